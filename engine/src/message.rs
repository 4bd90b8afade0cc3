//! What peers and a room say to each other, without framing: a dialect turns it into frames, and frames into it.

use std::borrow::Cow;

use bytes::Bytes;

use crate::rope::Rope;

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
    /// It may have what the room lacks, and wants to be asked for it.
    Offer,
    /// It wants this back when all that it sent before is durable.
    Confirm(Bytes),
}

/// A message to peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outbound {
    /// The room has what this encoded state vector says, and wants the rest.
    Step1(Bytes),
    /// The update that the peer lacked.
    Step2(Rope),
    /// An update: what is new.
    Update(Rope),
    /// Awareness states: see [`crate::awareness`].
    Awareness(Rope),
    /// What the peer wanted back when all before it is durable.
    Confirmed(Bytes),
    /// The peer may not do this, for the reason in these words.
    Denied(String),
}

impl Outbound {
    /// The bytes of what it carries.
    pub fn len(&self) -> usize {
        match self {
            Self::Step1(bytes) | Self::Confirmed(bytes) => bytes.len(),
            Self::Step2(rope) | Self::Update(rope) | Self::Awareness(rope) => rope.len(),
            Self::Denied(reason) => reason.len(),
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
    /// What kind of reason it is. A dialect says it by a close code.
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
