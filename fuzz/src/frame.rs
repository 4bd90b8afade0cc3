//! What a server does with a frame: its messages go into the room one after the other.

use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::protocol::y_websocket::Messages;
use coscribe_engine::room::{PeerId, Room};
use coscribe_engine::work::finish;

/// A frame has come from a peer of a room.
pub(crate) fn receive(room: &mut Room, peer: PeerId, frame: &Bytes, now: Duration) {
    for message in Messages::of(frame.clone()) {
        match message {
            Ok(message) => finish(room.receive(peer, message, now)),
            Err(error) => finish(room.refuse(peer, error)),
        }
    }
}
