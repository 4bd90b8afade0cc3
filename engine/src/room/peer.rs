//! What a room knows of a peer, and owes it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::receipts::{Questions, Receipts};
use crate::awareness::Moment;
use crate::document::changes::Bookmark;
use crate::document::state_vector::StateVector;
use crate::peer::{Confirmation, PeerId, Terms};
use crate::update::ClientId;

/// What a client costs in a map or a set of what is owed.
const ENTRY_BYTES: usize = 32;

/// A peer of a room.
#[derive(Debug, Default)]
pub(super) struct Peer {
    /// When it came.
    pub(super) came: Duration,
    /// What it may do, and wants to hear.
    pub(super) terms: Terms,
    /// What it is given when what it sent is durable.
    pub(super) receipts: Receipts,
    /// What it was asked and has not answered.
    pub(super) questions: Questions,
    /// Whether it was asked for what is missing, and has not answered.
    pub(super) asked: bool,
    /// Whether it has answered any question.
    pub(super) answered: bool,
    /// Its outbox is over the limit: it is sent nothing.
    pub(super) lagging: bool,
    /// What it was not sent since it lagged.
    pub(super) missed: Option<Missed>,
    pub(super) owed: Owed,
    /// Whether it has said anything that one says who comes.
    pub(super) greeted: bool,
    /// Whether it has said anything of awareness.
    pub(super) spoke: bool,
    /// It has told that it has nothing, and there was something.
    pub(super) begins: bool,
    /// Up to when it may know the clocks of others, as far as its own clients tell.
    pub(super) knows: Option<Moment>,
    /// When it is closed, because an update of it was refused for good.
    pub(super) leaves_at: Option<Duration>,
    /// It was told that it may not write, since its access last changed.
    pub(super) tried_to_write: bool,
    /// Something that it sent was refused because it might not write, and has not come again since.
    pub(super) lacks_refused: bool,
    /// Whether it was warned of that some of its awareness is left out.
    pub(super) warned: bool,
    /// Whether it is among those that are to be answered.
    pub(super) queued: bool,
}

impl Peer {
    /// Whether all that it has sent, and what of it is still to come, can become durable.
    pub(super) fn is_confirmable(&self) -> bool {
        // Where something that it sent was refused, not all that has come will be durable.
        let is_sound = self.leaves_at.is_none() && !self.was_denied();
        is_sound && (self.answered || !self.terms.confirms_answer)
    }

    /// Whether what it wants confirmed includes an update that was refused. A peer that counts its messages hears of each of
    /// them that it is refused, and one that hears of elements hears of no others.
    pub(super) fn was_denied(&self) -> bool {
        self.lacks_refused && self.terms.confirmation == Confirmation::OnRequest
    }

    /// About how many bytes of memory it takes. O(1).
    pub(super) fn memory(&self) -> usize {
        let owed = &self.owed;
        let entries =
            owed.state.as_ref().map_or(0, StateVector::len) + owed.removals.len() + owed.renewals.len();
        size_of::<Self>() + self.receipts.memory() + entries * ENTRY_BYTES
    }

    /// Whether it gets what is broadcast.
    pub(super) fn keeps_up(&self) -> bool {
        !self.lagging && self.missed.is_none()
    }
}

/// What a lagging peer misses.
#[derive(Debug)]
pub(super) struct Missed {
    /// The last flush that it got.
    pub(super) since: Bookmark,
    /// The last moment of the awareness by then.
    pub(super) moment: Moment,
}

/// Answers that a peer is still to get. However often it asks, each is given once.
#[derive(Debug, Default)]
pub(super) struct Owed {
    /// The question what the room lacks.
    pub(super) step_1: bool,
    /// It has wanted that question.
    pub(super) offered: bool,
    /// To hear what it may do from now on.
    pub(super) access: bool,
    /// To hear that it may not write.
    pub(super) denial: bool,
    /// What a peer with this state vector lacks.
    pub(super) state: Option<StateVector>,
    /// The awareness of everybody.
    pub(super) awareness: bool,
    /// The awareness of these: removals that the peer does not know of.
    pub(super) removals: BTreeSet<ClientId>,
    /// Clients of its own that it is to announce again.
    pub(super) renewals: BTreeSet<ClientId>,
}

/// The sources of a flush.
#[derive(Debug, Default, Copy, Clone)]
pub(super) enum Sources {
    #[default]
    Nobody,
    Only(PeerId),
    Several,
}

impl Sources {
    /// Somebody else, or the same.
    pub(super) fn add(&mut self, peer: PeerId) {
        *self = match *self {
            Self::Nobody => Self::Only(peer),
            Self::Only(source) if source == peer => Self::Only(peer),
            _ => Self::Several,
        };
    }
}
