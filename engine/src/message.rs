//! The messages between peers and a room, without framing: a dialect turns messages into frames, and frames into messages.

use std::borrow::Cow;

use bytes::Bytes;

use crate::peer::Access;
use crate::rope::Rope;

/// A message from a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inbound {
    /// The peer has the elements of this encoded state vector, and wants the rest.
    Step1(Bytes),
    /// The update that answers a question of the room.
    Step2(Bytes),
    /// An update.
    Update(Bytes),
    /// Awareness states: see [`crate::awareness`].
    Awareness(Bytes),
    /// It wants all awareness states.
    QueryAwareness,
    /// The peer may have elements that the room lacks, and wants to be asked for them.
    Offer,
    /// It wants this back when all that it sent before is durable.
    Confirm(Bytes),
    /// It wants the document to be stored, also if nobody has written anything.
    Create,
    /// A text of the application for the other peers, which is no part of the document.
    Stateless(Bytes),
}

/// A message to peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outbound {
    /// The room has the elements of this encoded state vector, and wants the rest.
    Step1(Bytes),
    /// The update that the peer lacked.
    Step2(Rope),
    /// An update with new blocks or deletions.
    Update(Rope),
    /// Awareness states: see [`crate::awareness`].
    Awareness(Rope),
    /// The token of a receipt: everything that the peer sent before it is durable.
    Confirmed(Bytes),
    /// One more of the peer's messages with an update is durable, or was refused: see [`crate::peer::Confirmation`].
    Saved(bool),
    /// What the peer has asked for is not allowed, in these words.
    Denied(Cow<'static, str>),
    /// What the peer may do with the document from now on.
    Access(Access),
    /// A text of the application.
    Stateless(Bytes),
    /// The room wants all awareness states that the peer knows.
    QueryAwareness,
}

impl Outbound {
    /// Its size in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Step1(bytes) | Self::Confirmed(bytes) | Self::Stateless(bytes) => bytes.len(),
            Self::Saved(_) | Self::Access(_) | Self::QueryAwareness => 1,
            Self::Denied(words) => words.len(),
            Self::Step2(rope) | Self::Update(rope) | Self::Awareness(rope) => rope.len(),
        }
    }

    /// Whether it carries nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The update in it, if it has one.
    pub fn update(&self) -> Option<&Rope> {
        match self {
            Self::Step2(update) | Self::Update(update) => Some(update),
            _ => None,
        }
    }
}

/// Why a peer is sent away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parting {
    /// The kind of reason. A dialect maps it to a close code.
    pub reason: Reason,
    /// The reason in words, for people.
    pub words: Cow<'static, str>,
}

/// Kinds of reasons to send a peer away.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It broke a rule: its message is malformed, or asks for more than one may.
    Violation,
    /// It has sent text where messages are binary.
    Text,
    /// A message is larger than it may be, or would make the document so.
    TooLarge,
    /// It is over a limit that may not last: it may try again later.
    Overload,
    /// It has given no sign of life for too long.
    Silence,
    /// It has not shown who it is, or its right to be here has ended.
    Unauthorized,
    /// It may not be here, whatever it shows.
    Forbidden,
    /// The server stops.
    Shutdown,
    /// The server cannot do its part: the document cannot be read, or something failed.
    Failure,
}

impl Parting {
    /// For this reason, in these words.
    pub fn new(reason: Reason, words: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, words: words.into() }
    }
}
