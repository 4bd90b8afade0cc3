//! What goes to the log and to all who keep up.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use super::peer::{Authors, Peer};
use super::{Effect, Room};
use crate::changes::Bookmark;
use crate::limits::APPEND_BYTES;
use crate::peer::PeerId;
use crate::protocol::y_websocket;
use crate::rope::Rope;
use crate::update::ClientId;

/// Longest time between two flushes: one frame of a screen.
const LONGEST_FLUSH_WINDOW: Duration = Duration::from_millis(16);
/// A room spends at most one part in so many of its time on fan-out, while that keeps it under the longest window.
const FAN_OUT_SHARE: u32 = 16;

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

/// What is still to be logged: all of it from one peer.
#[derive(Debug)]
pub(super) struct Unlogged {
    since: Bookmark,
    updates: Updates,
    author: PeerId,
    /// Bytes of the updates, about.
    bytes: usize,
}

impl Unlogged {
    pub(super) fn since(since: Bookmark) -> Self {
        Self { since, updates: Updates::None, author: PeerId(0), bytes: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.updates.is_none()
    }

    /// Whether what comes from this peer can be in the same record.
    pub(super) fn can_take(&self, peer: PeerId) -> bool {
        self.is_empty() || self.author == peer && self.bytes < APPEND_BYTES
    }

    /// An update brought changes, which may be that update as it came.
    pub(super) fn add(&mut self, author: PeerId, bytes: usize, as_it_came: Option<Bytes>) {
        self.author = author;
        self.bytes += bytes;
        self.updates.add(as_it_came);
    }
}

/// What is still to be broadcast.
#[derive(Debug)]
pub(super) struct Unflushed {
    since: Bookmark,
    updates: Updates,
    authors: Authors,
    /// Clients whose awareness has changed.
    awareness: BTreeSet<ClientId>,
    awareness_authors: Authors,
}

impl Unflushed {
    pub(super) fn since(since: Bookmark) -> Self {
        let (authors, awareness_authors) = Default::default();
        Self { since, updates: Updates::None, authors, awareness: BTreeSet::new(), awareness_authors }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.updates.is_none() && self.awareness.is_empty()
    }

    /// The last flush.
    pub(super) fn bookmark(&self) -> &Bookmark {
        &self.since
    }

    /// An update brought changes, which may be that update as it came.
    pub(super) fn add(&mut self, author: PeerId, as_it_came: Option<Bytes>) {
        self.updates.add(as_it_came);
        self.authors.add(author);
    }

    /// Nobody has seen all of it.
    pub(super) fn came_from_several(&mut self) {
        self.authors = Authors::Several;
    }

    /// A peer changed the awareness of some clients.
    pub(super) fn awareness_came(&mut self, author: PeerId, clients: BTreeSet<ClientId>) {
        if !clients.is_empty() {
            self.awareness.extend(clients);
            self.awareness_authors.add(author);
        }
    }

    /// Some clients are gone.
    pub(super) fn awareness_left(&mut self, clients: Vec<ClientId>) {
        if !clients.is_empty() {
            self.awareness.extend(clients);
            self.awareness_authors = Authors::Several;
        }
    }
}

impl Room {
    /// What the fan-out of the last flush took. The time to the next one follows it.
    pub fn fanned_out(&mut self, cost: Duration) {
        self.flush_window = (cost * FAN_OUT_SHARE).min(LONGEST_FLUSH_WINDOW);
    }

    /// Appends what has come to the log. O(what has come).
    pub(super) async fn log(&mut self) {
        if self.unlogged.is_empty() {
            return;
        }
        let author = self.unlogged.author;
        let new = Unlogged::since(self.trail.bookmark());
        let Unlogged { since, updates, .. } = std::mem::replace(&mut self.unlogged, new);
        if let Some(update) = self.merge(&since, updates).await {
            self.sequence += 1;
            self.effects.push_back(Effect::Append { sequence: self.sequence, update, author });
        }
        self.trail.release(since, &mut self.work).await;
    }

    /// Sends what has come to all who keep up. O(what has come, and the peers).
    pub(super) async fn flush(&mut self, now: Duration) {
        self.last_flush = now;
        self.flushed_removals = self.awareness.removals();
        let unflushed = std::mem::replace(&mut self.unflushed, Unflushed::since(self.trail.bookmark()));
        if let Some(update) = self.merge(&unflushed.since, unflushed.updates).await {
            self.broadcast(y_websocket::update_frame(&update), true, unflushed.authors);
        }
        if !unflushed.awareness.is_empty() {
            let clients: Vec<_> = unflushed.awareness.into_iter().collect();
            let states = self.awareness.encode_in_slices(&clients, &mut self.work).await;
            self.broadcast(y_websocket::awareness_rope_frame(&states), false, unflushed.awareness_authors);
        }
        self.trail.release(unflushed.since, &mut self.work).await;
    }

    /// The changes since a moment as one update; `None` if nothing brought any.
    async fn merge(&mut self, since: &Bookmark, updates: Updates) -> Option<Rope> {
        match updates {
            Updates::None => None,
            Updates::One(update) => Some(update.into()),
            Updates::Several => {
                let changes = self.trail.since(since, &mut self.work).await;
                let diff = self.blocks.diff_changes_in_slices(&changes, &mut self.work).await;
                if let Cow::Owned(changes) = changes {
                    changes.discard(&mut self.work).await;
                }
                Some(diff)
            }
        }
    }

    /// One frame for all who keep up, but for the author if it is one.
    fn broadcast(&mut self, frame: Rope, is_update: bool, authors: Authors) {
        let gets = |&(&id, peer): &(&PeerId, &Peer)| {
            peer.keeps_up() && !matches!(authors, Authors::Only(author) if author == id)
        };
        let to: Vec<_> = self.peers.iter().filter(gets).map(|(&peer, _)| peer).collect();
        self.work.count(self.peers.len());
        if !to.is_empty() {
            self.effects.push_back(Effect::Broadcast { frame, is_update, to });
        }
    }
}
