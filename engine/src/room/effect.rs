//! What a room may hold, and what it wants done.

use bytes::Bytes;

use crate::document::read_back::ReadBack;
use crate::limits::{DOCUMENT_BYTES, PARKED_BYTES};
use crate::message::{Outbound, Parting};
use crate::peer::PeerId;
use crate::rope::Rope;

/// Bounds of one room.
#[derive(Debug, Copy, Clone)]
pub struct RoomLimits {
    /// Memory that updates may take which wait for a gap to fill.
    pub parked_bytes: usize,
    /// Memory that the document may take: no update is admitted that would make it larger. One that is larger already can
    /// still be read, and deleted from.
    pub document_bytes: usize,
    /// Whether what is deleted keeps its content: see [`crate::document::blocks::Blocks::keep_deleted`].
    pub keep_deleted: bool,
}

impl Default for RoomLimits {
    fn default() -> Self {
        Self { parked_bytes: PARKED_BYTES, document_bytes: DOCUMENT_BYTES, keep_deleted: false }
    }
}

/// What the room wants done. Effects are to be carried out in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// A message for one peer.
    Send {
        /// Who gets it.
        peer: PeerId,
        /// The message.
        message: Outbound,
        /// The version of the whole document that it brings, if it does that: messages with the same number are the same.
        version: Option<u64>,
    },
    /// A message for several peers.
    Broadcast {
        /// The message.
        message: Outbound,
        /// Who gets it.
        to: Vec<PeerId>,
    },
    /// An update to log. It is durable when [`Room::durable`] says so of its sequence.
    Append {
        /// Its place in the document's log: one more than that of the append before.
        sequence: u64,
        /// The update, v1; or what waits, as [`Room::load_waiting`] reads it.
        update: Rope,
        /// Who sent all of it; `None` where several may have, as where an update wakes what others had sent. That peer is still
        /// here, as far as the effects tell: what it sent is appended before it parts, and before [`Room::disconnect`] returns.
        source: Option<PeerId>,
        /// Whether it is no update that others can have, but what waits for one that is missing.
        waits: bool,
    },
    /// A peer to ask for a sign of life, now: [`Room::alive`] wants to hear of one that it gives after that.
    Probe {
        /// Who is asked.
        peer: PeerId,
    },
    /// Something that whoever runs the server should know of a peer. At most once for each.
    Warn {
        /// Whose fault it is.
        peer: PeerId,
        /// In words.
        what: &'static str,
    },
    /// A peer to send away. The room has forgotten it already.
    Part {
        /// Who goes.
        peer: PeerId,
        /// Why.
        parting: Parting,
    },
}

/// A whole document, and what must be found when it is read back.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The document as one v1 update, which shares its memory with the room.
    pub state: Rope,
    /// Its encoded state vector.
    pub state_vector: Vec<u8>,
    /// Its encoded delete set.
    pub deletions: Bytes,
}

impl Snapshot {
    /// Whether the encoded document, read back, is this one. O(its bytes); memory for its delete set and its longest block.
    pub fn reads_back(&self) -> bool {
        ReadBack::read(&self.state).is_ok_and(|ReadBack { state, deleted, .. }| {
            let mut deletions = Vec::new();
            deleted.encode(&mut deletions);
            state.encode() == self.state_vector && deletions == self.deletions
        })
    }
}
