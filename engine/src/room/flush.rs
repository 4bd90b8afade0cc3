//! What goes to the log and to all who keep up.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::time::Duration;

use bytes::Bytes;

use super::peer::{Peer, Sources};
use super::{Effect, Room};
use crate::document::changes::Bookmark;
use crate::limits::APPEND_BYTES;
use crate::message::Outbound;
use crate::peer::PeerId;
use crate::rope::Rope;
use crate::update::ClientId;

/// The updates that brought some changes.
#[derive(Debug, Default)]
enum Updates {
    #[default]
    None,
    /// One, which is the changes as they are.
    One(Bytes),
    /// Others: their merge has to be encoded.
    Several,
}

impl Updates {
    fn add(&mut self, as_it_came: Option<Bytes>) {
        *self = match (&self, as_it_came) {
            (Self::None, Some(update)) => Self::One(update),
            _ => Self::Several,
        };
    }

    fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
}

/// What is still to be logged: all of it from one peer, but for what it woke.
#[derive(Debug, Default)]
pub(super) enum Unlogged {
    #[default]
    Nothing,
    /// One update, which is what changed as it is. It becomes a record of its own.
    One(PeerId, Bytes),
    /// What changed since a moment becomes one record.
    Several {
        /// `None` where something was woken that others may have sent.
        source: Option<PeerId>,
        since: Bookmark,
        /// Bytes of the updates, about.
        bytes: usize,
    },
}

impl Unlogged {
    /// Whether no record will come of it.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Nothing | Self::Several { bytes: 0, .. })
    }
}

/// What is still to be broadcast.
#[derive(Debug)]
pub(super) struct Unflushed {
    since: Bookmark,
    updates: Updates,
    sources: Sources,
    /// Clients whose awareness has changed.
    awareness: BTreeSet<ClientId>,
    awareness_sources: Sources,
}

impl Unflushed {
    pub(super) fn since(since: Bookmark) -> Self {
        let (sources, awareness_sources) = Default::default();
        Self { since, updates: Updates::None, sources, awareness: BTreeSet::new(), awareness_sources }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.updates.is_none() && self.awareness.is_empty()
    }

    /// The last flush.
    pub(super) fn bookmark(&self) -> &Bookmark {
        &self.since
    }

    /// An update brought changes, which may be that update as it came.
    pub(super) fn add(&mut self, source: PeerId, as_it_came: Option<Bytes>) {
        self.updates.add(as_it_came);
        self.sources.add(source);
    }

    /// Nobody has seen all of it.
    pub(super) fn came_from_several(&mut self) {
        self.sources = Sources::Several;
    }

    /// A peer changed the awareness of some clients.
    pub(super) fn awareness_came(&mut self, source: PeerId, clients: BTreeSet<ClientId>) {
        if !clients.is_empty() {
            self.awareness.extend(clients);
            self.awareness_sources.add(source);
        }
    }

    /// The awareness of some clients has changed, which nobody has seen.
    pub(super) fn awareness_changed(&mut self, clients: Vec<ClientId>) {
        if !clients.is_empty() {
            self.awareness.extend(clients);
            self.awareness_sources = Sources::Several;
        }
    }
}

impl Room {
    /// What the fan-out of the last flush took of one processor. The time to the next one follows it.
    pub fn fanned_out(&mut self, cost: Duration, now: Duration) {
        self.window.spend(cost, now);
    }

    /// How busy the process is: 0 where nothing is done, 1 where all its processors are. The time between two flushes follows it.
    pub fn set_load(&mut self, load: f32) {
        self.window.set_load(load);
    }

    /// Makes room for what a peer is about to change. Where that is unlikely to be one update, a moment is marked: what comes
    /// after it will be merged.
    pub(super) async fn begin_record(&mut self, peer: PeerId) {
        match self.unlogged {
            Unlogged::Nothing => {}
            Unlogged::Several { source, bytes, .. } if source == Some(peer) && bytes < APPEND_BYTES => {}
            Unlogged::One(source, _) if source == peer => {
                self.log().await;
                let since = self.trail.bookmark();
                self.unlogged = Unlogged::Several { source: Some(source), since, bytes: 0 };
            }
            _ => self.log().await,
        }
    }

    /// Appends what has come from a peer to the log, if it is not there yet. O(that).
    pub(super) async fn log_of(&mut self, peer: PeerId) {
        if let Unlogged::One(source, _) | Unlogged::Several { source: Some(source), .. } = self.unlogged
            && source == peer
        {
            self.log().await;
        }
    }

    /// Appends what has come to the log. O(what has come).
    pub(super) async fn log(&mut self) {
        match std::mem::take(&mut self.unlogged) {
            Unlogged::Nothing => {}
            Unlogged::One(source, update) => self.append(Some(source), update.into(), false),
            Unlogged::Several { source, since, bytes } => {
                if bytes > 0 {
                    let update = Box::pin(self.merge_since(&since)).await;
                    self.append(source, update, false);
                }
                self.trail.release(since, &mut self.work).await;
            }
        }
    }

    /// Appends to the log what waits and is not there yet. O(its bytes).
    pub(super) async fn log_waiting(&mut self) {
        if let Some(waiting) = self.blocks.encode_waiting_in_slices(&mut self.work).await {
            self.append(None, Bytes::from(waiting).into(), true);
        }
    }

    /// Appends all that waits once more, since a snapshot does not have it, and a checkpoint lets go of what is in the log.
    /// O(its bytes).
    pub async fn append_waiting(&mut self) {
        self.blocks.forget_logged_waiting(&mut self.work).await;
        self.log_waiting().await;
    }

    /// Appends an update to the log, or what waits.
    pub(super) fn append(&mut self, source: Option<PeerId>, update: Rope, waits: bool) {
        self.sequence += 1;
        self.effects.push_back(Effect::Append { sequence: self.sequence, update, source, waits });
    }

    /// What was appended after the last durable sequence is not stored and will not be, as on a full disk: the document is
    /// appended once more as a whole, with what waits, and takes the place of all that. O(the document, and receipts · log).
    pub async fn append_again(&mut self) {
        if let Unlogged::Several { since, .. } = std::mem::take(&mut self.unlogged) {
            self.trail.release(since, &mut self.work).await;
        }
        let state = self.blocks.encode_state_in_slices(&mut self.work).await;
        self.sequence = self.durable;
        self.append(None, state, false);
        self.append_waiting().await;
        let lost = (Bound::Excluded((self.durable, PeerId(u64::MAX))), Bound::Unbounded);
        let waiting: BTreeSet<_> = self.due.range(lost).map(|(_, peer)| *peer).collect();
        self.due = waiting.iter().map(|&peer| (self.sequence, peer)).collect();
        for peer in waiting {
            let (durable, sequence) = (self.durable, self.sequence);
            let Some(peer) = self.peers.get_mut(peer) else { continue };
            peer.receipts.postpone(durable, sequence);
            self.work.count(4 + peer.receipts.len());
            self.work.pause().await;
        }
    }

    /// Sends what has come to all who keep up. O(what has come, and the peers).
    pub(super) async fn flush(&mut self, now: Duration) {
        self.last_flush = now;
        self.flushed_moment = self.awareness.moment();
        let unflushed = std::mem::replace(&mut self.unflushed, Unflushed::since(self.trail.bookmark()));
        if let Some(update) = self.merge(&unflushed.since, unflushed.updates).await {
            self.broadcast(Outbound::Update(update), unflushed.sources);
        }
        if !unflushed.awareness.is_empty() {
            let clients: Vec<_> = unflushed.awareness.into_iter().collect();
            let states = self.awareness.encode_in_slices(&clients, &BTreeSet::new(), &mut self.work).await;
            self.broadcast(Outbound::Awareness(states), unflushed.awareness_sources);
        }
        self.trail.release(unflushed.since, &mut self.work).await;
    }

    /// The changes since a moment as one update; `None` if nothing brought any.
    async fn merge(&mut self, since: &Bookmark, updates: Updates) -> Option<Rope> {
        match updates {
            Updates::None => None,
            Updates::One(update) => Some(update.into()),
            Updates::Several => Some(self.merge_since(since).await),
        }
    }

    async fn merge_since(&mut self, since: &Bookmark) -> Rope {
        let changes = self.trail.since(since, &mut self.work).await;
        let diff = self.blocks.diff_changes_in_slices(&changes, &mut self.work).await;
        if let Cow::Owned(changes) = changes {
            changes.discard(&mut self.work).await;
        }
        diff
    }

    /// A message for all who keep up, but for the source if it is one.
    fn broadcast(&mut self, message: Outbound, sources: Sources) {
        let gets = |id: PeerId, peer: &Peer| {
            peer.keeps_up() && !matches!(sources, Sources::Only(source) if source == id)
        };
        let to: Vec<_> = self.peers.iter().filter(|(id, peer)| gets(*id, peer)).map(|(id, _)| id).collect();
        self.work.count(self.peers.len());
        if !to.is_empty() {
            self.effects.push_back(Effect::Broadcast { message, to });
        }
    }
}
