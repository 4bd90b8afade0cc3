//! The connections of the simulated server, each in its dialect, as far as a room does not know of them.

use std::collections::BTreeMap;

use bytes::Bytes;
use coscribe_engine::dialect::{hocuspocus, y_websocket};
use coscribe_engine::message::Outbound;
use coscribe_engine::peer::PeerId;

use crate::scenario::Dialect;

/// The open connections.
#[derive(Debug, Default)]
pub(super) struct Connections {
    dialects: BTreeMap<PeerId, Connection>,
}

/// One connection.
#[derive(Debug)]
pub(super) enum Connection {
    /// A peer of the room from its start.
    YWebsocket,
    /// A peer of the room while it has the document open at an address.
    Hocuspocus {
        /// The address.
        address: Option<Bytes>,
    },
}

impl Connections {
    pub(super) fn open(&mut self, peer: PeerId, dialect: Dialect) {
        let connection = match dialect {
            Dialect::YWebsocket => Connection::YWebsocket,
            Dialect::Hocuspocus => Connection::Hocuspocus { address: None },
        };
        self.dialects.insert(peer, connection);
    }

    pub(super) fn close(&mut self, peer: PeerId) {
        self.dialects.remove(&peer);
    }

    pub(super) fn clear(&mut self) {
        self.dialects.clear();
    }

    pub(super) fn get_mut(&mut self, peer: PeerId) -> Option<&mut Connection> {
        self.dialects.get_mut(&peer)
    }

    /// The frame of a room's message to a peer, in the peer's dialect.
    pub(super) fn encode(&self, peer: PeerId, message: &Outbound) -> Option<Bytes> {
        let frame = match self.dialects.get(&peer)? {
            Connection::YWebsocket => y_websocket::encode(message),
            Connection::Hocuspocus { address } => hocuspocus::encode(address.as_ref()?, message),
        };
        Some(frame.expect("the room sends what the dialect has").to_bytes())
    }
}
