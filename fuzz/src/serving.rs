//! How a server connects a peer to a room, and hands the messages of a y-websocket frame to the room one after the other.

use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::dialect::y_websocket::{self, Messages};
use coscribe_engine::dialect::{MessageError, hocuspocus};
use coscribe_engine::message::Inbound;
use coscribe_engine::peer::{Access, PeerId, Terms};
use coscribe_engine::room::Room;
use coscribe_engine::work::finish;

/// A peer has come that speaks y-websocket.
pub(crate) fn connect(room: &mut Room, peer: PeerId, access: Access, now: Duration) {
    join(room, peer, Terms { access, ..Terms::default() }, &y_websocket::GREETING, now);
}

/// A peer that speaks Hocuspocus has opened the document.
pub(crate) fn open(room: &mut Room, peer: PeerId, access: Access, now: Duration) {
    join(room, peer, hocuspocus::terms(access, true), &hocuspocus::GREETING, now);
}

fn join(room: &mut Room, peer: PeerId, terms: Terms, greeting: &[Inbound], now: Duration) {
    room.connect(peer, terms, now);
    for wish in greeting {
        finish(room.receive(peer, wish.clone(), now));
    }
}

/// A frame of y-websocket has come from a peer of a room.
pub(crate) fn receive(room: &mut Room, peer: PeerId, frame: &Bytes, now: Duration) {
    for message in messages(frame) {
        match message {
            Ok(message) => finish(room.receive(peer, message, now)),
            Err(error) => finish(room.refuse(peer, error)),
        }
    }
}

/// The messages of a frame of y-websocket that are for the room: tokens stay with the connection.
pub(crate) fn messages(frame: &Bytes) -> impl Iterator<Item = Result<Inbound, MessageError>> {
    Messages::of(frame.clone()).filter_map(|request| match request {
        Ok(y_websocket::Request::Say(message)) => Some(Ok(message)),
        Ok(y_websocket::Request::Token(_)) => None,
        Err(error) => Some(Err(error)),
    })
}
