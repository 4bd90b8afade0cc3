//! Collection: blocks below deleted types become GC, as in Yjs.
//!
//! Nothing is integrated for that. A block lies in a deleted type if it names the type as its parent, or if its origin or right
//! origin lies there: a block that names no parent has the parent of its origins. A block that depends on GC is GC itself: so
//! Yjs takes in late blocks. One walk finds all of them, in an order in which every block comes after its dependencies. There
//! is such an order, because blocks are admitted in one. If a block depends on a block of another client that was not looked
//! at, the walk looks at that client first, up to that block.
//!
//! A collection goes on a slice at a time while updates come in. The document is the same for every subset of these blocks that
//! is GC: a client that has the others as items, or is sent them, knows that the type is deleted, and deletes them.
//!
//! A collection takes memory for each client, and for each run of GC that it finds: no more than the document.

use std::collections::BTreeMap;

use super::Blocks;
use crate::document::chunks::{Chunks, Cursor};
use crate::document::id_set::IdSet;
use crate::document::state_vector::StateVector;
use crate::limits::{COLLECTED_SHARE, LITTLE_DEBRIS, SLICE_STEPS};
use crate::update::{Block, ClientId, Clock, Content, Id, Remains};
use crate::work::{Work, discard, finish};

/// One in so many bytes of a new block counts as debris even if the block names nothing deleted. A block that somebody writes
/// in a type while others delete the type names only older blocks there.
const UNLIKELY_SHARE: usize = 4;

/// A walk over all blocks that is under way.
#[derive(Debug, Default)]
pub(super) struct Collection {
    /// How far the blocks of each client have been looked at.
    cursors: BTreeMap<ClientId, Cursor>,
    /// Clients that are being looked at, each up to a clock. All but the last wait for the next one.
    path: Vec<(ClientId, Clock)>,
    /// The client that follows these.
    next: ClientId,
    /// Elements that were looked at, and are GC or will be.
    gone: IdSet,
    /// Elements of `gone` that are not GC yet.
    doomed: IdSet,
}

impl Blocks {
    /// Makes all blocks below deleted types GC. O(bytes of the document).
    pub fn collect(&mut self) {
        finish(self.collect_in_slices(&mut Work::default()));
    }

    /// The same, with pauses.
    pub(crate) async fn collect_in_slices(&mut self, work: &mut Work) {
        while self.collection.is_some() || self.has_debris(1) {
            self.collect_slice(work).await;
        }
    }

    /// Whether deletions have left enough for a collection, or one is under way. O(1).
    pub(crate) fn collection_is_due(&self) -> bool {
        self.collection.is_some() || self.has_debris(LITTLE_DEBRIS + self.chunks.memory() / COLLECTED_SHARE)
    }

    /// Continues a collection for a slice, if it is due, and gives whether blocks have become GC.
    pub(crate) async fn collect_some(&mut self, work: &mut Work) -> bool {
        self.collection_is_due() && self.collect_slice(work).await
    }

    /// Counts a new block that may lie below a deleted type. O(log deletions).
    pub(super) fn note_debris(&mut self, block: &Block<'_>) {
        let is_deleted = |id| self.deleted.contains(id);
        let below = block.parent.is_some_and(is_deleted);
        let is_gc = block.content == Content::Gc;
        let debris = &mut self.chunks.debris;
        debris.has_types |= below || is_gc;
        if debris.has_types && !is_gc {
            let likely = below || block.content == Content::Deleted || block.dependencies().any(is_deleted);
            let len = block.bytes().len();
            debris.bytes += if likely { len } else { len.div_ceil(UNLIKELY_SHARE) };
        }
    }

    fn has_debris(&self, bytes: usize) -> bool {
        let debris = &self.chunks.debris;
        !self.keeps_deleted && debris.has_types && debris.bytes >= bytes
    }

    async fn collect_slice(&mut self, work: &mut Work) -> bool {
        let (until, mut changed) = (work.total() + SLICE_STEPS, false);
        let mut collection = self.collection.take().unwrap_or_else(|| {
            self.chunks.debris.bytes = 0;
            Box::default()
        });
        while work.total() < until {
            if collection.look_on(&self.chunks, &self.state, &self.deleted, work) {
                work.pause().await;
            } else if let Some((client, range)) = collection.doomed.first() {
                self.collect_chunk(&mut collection, Id { client, clock: range.start }, work).await;
                changed = true;
            } else {
                collection.discard(work).await;
                return changed;
            }
        }
        self.collection = Some(collection);
        changed
    }

    /// Makes the doomed elements GC in the chunk that holds `first`. O(bytes of the chunk).
    async fn collect_chunk(&mut self, collection: &mut Collection, first: Id, work: &mut Work) {
        let Id { client, .. } = first;
        let end = self.chunks.end_of_chunk(first);
        let ranges: Vec<_> =
            collection.doomed.take_before(client, end, usize::MAX).iter().map(|(_, range)| range).collect();
        for range in &ranges {
            self.deleted.insert_in_slices(client, range.clone(), |_| {}, work).await;
        }
        self.encoded_deletions.take();
        self.chunks.reduce(client, &ranges, Remains::Length, work).await;
    }
}

impl Collection {
    /// Looks at further blocks, up to a chunk of them. `false` if all have been looked at.
    fn look_on(&mut self, chunks: &Chunks, state: &StateVector, deleted: &IdSet, work: &mut Work) -> bool {
        work.count(1);
        let Some(&(client, until)) = self.path.last() else {
            let Some((client, clock)) = state.first_from(self.next) else { return false };
            self.path.push((client, clock));
            self.next = client + 1;
            return true;
        };
        let mut cursor = self.cursors.get(&client).copied().unwrap_or_default();
        if cursor.clock >= until {
            self.path.pop();
            return true;
        }
        let mut depends_on = None;
        chunks.walk(client, &mut cursor, work, |block, from| {
            depends_on = block.dependencies().find(|on| on.client != client && !self.has_seen(*on));
            if depends_on.is_some() || block.id.clock >= until {
                return false;
            }
            self.look_at(block, from, deleted);
            true
        });
        self.cursors.insert(client, cursor);
        self.path.extend(depends_on.map(|on| (on.client, on.clock + 1)));
        true
    }

    fn has_seen(&self, id: Id) -> bool {
        self.cursors.get(&id.client).is_some_and(|cursor| id.clock < cursor.clock)
    }

    /// Looks at the part of a block from a clock on. All its dependencies have been looked at.
    fn look_at(&mut self, block: &Block<'_>, from: Clock, deleted: &IdSet) {
        let (Id { client, clock }, is_gc) = (block.id, block.content == Content::Gc);
        let range = clock.max(from)..block.end();
        let below = block.parent.is_some_and(|parent| deleted.contains(parent));
        if !is_gc && !below && !block.dependencies().any(|on| self.gone.contains(on)) {
            return;
        }
        if !is_gc {
            self.doomed.insert(client, range.clone(), |_| {});
        }
        self.gone.insert(client, range, |_| {});
    }

    async fn discard(self, work: &mut Work) {
        discard(self.cursors, work).await;
        self.gone.discard(work).await;
    }
}
