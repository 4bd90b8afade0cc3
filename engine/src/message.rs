//! What peers say to a room, without framing.

use bytes::Bytes;

/// A message from a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inbound {
    /// It has what this encoded state vector says, and wants the rest.
    Step1(Bytes),
    /// The update that answers a question of the room.
    Step2(Bytes),
    /// An update.
    Update(Bytes),
    /// Awareness states: see [`crate::awareness`].
    Awareness(Bytes),
    /// It wants all awareness states.
    QueryAwareness,
    /// It wants this back when all that it sent before is durable.
    Confirm(Bytes),
}
