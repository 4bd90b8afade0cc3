//! What comes into a room's inbox.

use std::sync::Arc;

use coscribe_engine::message::Inbound;
use coscribe_engine::room::{Access, PeerId, Terms};
use tokio::sync::OwnedSemaphorePermit;

use super::outbox::Outbox;
use super::{Hold, Said};
use crate::budget::Charge;
use crate::observe::Span;

/// Something for a room to take in.
pub(crate) enum Input {
    /// A connection wants to be a peer.
    Join { peer: PeerId, place: Place, terms: Terms, greeting: &'static [Inbound], span: Span },
    /// A peer has said something. The space in the inbox is free again when that has been processed.
    Said { peer: PeerId, said: Said, span: Span, _space: (OwnedSemaphorePermit, Hold, Charge) },
    /// A peer has begun to send a message that is larger than any may be.
    TooLarge { peer: PeerId },
    /// Everything that was queued to a stalled peer has been written.
    Drained { peer: PeerId },
    /// A peer has given the sign of life that the room wanted.
    Alive { peer: PeerId },
    /// A peer may do something else from now on.
    SetAccess { peer: PeerId, access: Access },
    /// A peer has said who it is.
    SetSubject { peer: PeerId, subject: Arc<str> },
    /// A connection is gone.
    Leave { peer: PeerId },
    /// Memory is short: end as soon as nobody is here.
    Hurry,
    /// Memory is short, and the document has much of it: send everybody away, in these words.
    GiveWay { words: &'static str },
    /// The server stops: end when all that came before this is processed.
    Stop,
}

/// What the task knows of a peer.
pub(crate) struct Place {
    /// What waits for it.
    pub(crate) outbox: Arc<Outbox>,
    /// The user of the application that it is; empty if that is unknown.
    pub(crate) subject: Arc<str>,
}
