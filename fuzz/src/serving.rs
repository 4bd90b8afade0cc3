//! How a server connects a y-websocket peer to a room, and hands the messages of its frames to the room one after the other.

use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::dialect::y_websocket::{GREETING, Messages};
use coscribe_engine::room::{PeerId, Room, Terms};
use coscribe_engine::work::finish;

/// A peer has come.
pub(crate) fn connect(room: &mut Room, peer: PeerId, now: Duration) {
    room.connect(peer, Terms::default(), now);
    for wish in &GREETING {
        finish(room.receive(peer, wish.clone(), now));
    }
}

/// A frame has come from a peer of a room.
pub(crate) fn receive(room: &mut Room, peer: PeerId, frame: &Bytes, now: Duration) {
    for message in Messages::of(frame.clone()) {
        match message {
            Ok(message) => finish(room.receive(peer, message, now)),
            Err(error) => finish(room.refuse(peer, error)),
        }
    }
}
