//! The changes of a document, kept once for everybody who is still to be told.
//!
//! The log, the next flush and each lagging peer know the document up to some moment, each up to another one. If each had its
//! own list of the changes that it misses, three hundred lagging peers would keep three hundred copies of one large deletion.
//! So a [`Trail`] cuts the changes into segments at these moments, and all share the segments that came later.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use crate::document::id_set::IdSet;
use crate::update::{ClientId, Clock};
use crate::work::{Work, discard};

/// What a client with new blocks costs, or a range of deletions.
const ENTRY_BYTES: usize = 48;

/// The additions of one update, or of several, to a document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// For each client with new blocks, the clock of the first new element.
    pub(crate) from: BTreeMap<ClientId, Clock>,
    /// New deletions.
    pub(crate) deleted: IdSet,
}

impl Changes {
    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.from.is_empty() && self.deleted.is_empty()
    }

    /// Adds other changes of the same document. O(other changes · log).
    pub fn extend(&mut self, others: &Self) {
        crate::work::finish(self.extend_in_slices(others, &mut Work::default()));
    }

    async fn extend_in_slices(&mut self, others: &Self, work: &mut Work) {
        for (&client, &clock) in &others.from {
            self.add_from(client, clock);
            work.count(2);
            work.pause().await;
        }
        for (client, range) in others.deleted.iter() {
            self.deleted.insert_in_slices(client, range, |_| {}, work).await;
        }
    }

    /// Adds other changes, and drops them. O(other changes · log).
    async fn absorb(&mut self, mut others: Self, work: &mut Work) {
        while let Some((client, clock)) = others.from.pop_first() {
            self.add_from(client, clock);
            work.count(2);
            work.pause().await;
        }
        if !others.deleted.is_empty() {
            Box::pin(self.extend_in_slices(&others, work)).await;
            Box::pin(others.deleted.discard(work)).await;
        }
    }

    pub(crate) fn add_from(&mut self, client: ClientId, clock: Clock) {
        self.from.entry(client).and_modify(|from| *from = clock.min(*from)).or_insert(clock);
    }

    fn len(&self) -> usize {
        self.from.len() + self.deleted.len()
    }

    /// About how many bytes of memory they take. O(1).
    pub(crate) fn memory(&self) -> usize {
        self.len() * ENTRY_BYTES
    }

    /// Drops them, with pauses. O(changes).
    pub(crate) async fn discard(self, work: &mut Work) {
        discard(self.from, work).await;
        self.deleted.discard(work).await;
    }
}

/// A moment in the history of a document. The trail keeps all later changes until the bookmark is given back to
/// [`Trail::release`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Bookmark(u64);

/// The changes since the oldest bookmark.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    segments: VecDeque<Segment>,
    next: u64,
}

/// The changes between two bookmarked moments.
#[derive(Debug)]
struct Segment {
    /// The moment at which it begins.
    start: u64,
    bookmarks: usize,
    changes: Changes,
}

impl Trail {
    /// Marks the present moment. O(1).
    pub(crate) fn bookmark(&mut self) -> Bookmark {
        match self.segments.back_mut() {
            Some(last) if last.changes.is_empty() => {
                last.bookmarks += 1;
                Bookmark(last.start)
            }
            _ => {
                let start = self.next;
                self.next += 1;
                if self.segments.is_empty() {
                    // As many as most documents ever have.
                    self.segments.reserve_exact(1);
                }
                self.segments.push_back(Segment { start, bookmarks: 1, changes: Changes::default() });
                Bookmark(start)
            }
        }
    }

    /// Marks the same moment once more. O(log bookmarks).
    pub(crate) fn duplicate(&mut self, bookmark: &Bookmark) -> Bookmark {
        let at = self.position(bookmark);
        self.segments[at].bookmarks += 1;
        Bookmark(bookmark.0)
    }

    /// Adds changes. There must be a bookmark. O(the changes · log).
    pub(crate) async fn add(&mut self, changes: Changes, work: &mut Work) {
        let last = self.changes();
        if last.is_empty() {
            *last = changes;
        } else {
            last.absorb(changes, work).await;
        }
    }

    /// The segment to which changes are to be added. There must be a bookmark.
    pub(crate) fn changes(&mut self) -> &mut Changes {
        &mut self.segments.back_mut().expect("somebody is to be told").changes
    }

    /// All changes since a moment. O(1) if no later moment was marked, else O(changes · log).
    pub(crate) async fn since(&self, bookmark: &Bookmark, work: &mut Work) -> Cow<'_, Changes> {
        let mut segments = self.segments.range(self.position(bookmark)..).filter(|s| !s.changes.is_empty());
        let first = match segments.next() {
            Some(first) => &first.changes,
            None => &self.segments[self.position(bookmark)].changes,
        };
        let mut all = Cow::Borrowed(first);
        for segment in segments {
            if let Cow::Borrowed(first) = all {
                let mut copy = Changes::default();
                copy.extend_in_slices(first, work).await;
                all = Cow::Owned(copy);
            }
            all.to_mut().extend_in_slices(&segment.changes, work).await;
        }
        all
    }

    /// Gives up a moment. Changes that nobody is to be told any more are forgotten. Two segments without a bookmark between
    /// them become one, the smaller into the larger: O(log changes) for each change in the long run.
    pub(crate) async fn release(&mut self, bookmark: Bookmark, work: &mut Work) {
        let at = self.position(&bookmark);
        self.segments[at].bookmarks -= 1;
        if self.segments[at].bookmarks > 0 {
            return;
        }
        let Some(Segment { changes: mut gone, .. }) = self.segments.remove(at) else { return };
        if let Some(before) = at.checked_sub(1) {
            let before = &mut self.segments[before].changes;
            if gone.len() > before.len() {
                std::mem::swap(before, &mut gone);
            }
            before.absorb(gone, work).await;
        } else {
            gone.discard(work).await;
        }
    }

    /// About how many bytes of memory it takes. O(bookmarked moments).
    pub(crate) fn memory(&self) -> usize {
        self.segments.iter().map(|segment| size_of::<Segment>() + segment.changes.memory()).sum()
    }

    fn position(&self, bookmark: &Bookmark) -> usize {
        self.segments.binary_search_by_key(&bookmark.0, |segment| segment.start).expect("it was not released")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::finish;
    use proptest::prelude::*;

    /// The model of a trail: a copy of all changes for each bookmark.
    #[derive(Default)]
    struct Model {
        trail: Trail,
        told: Vec<(Bookmark, Changes)>,
    }

    impl Model {
        fn change(&mut self, client: ClientId, clock: Clock) {
            for changes in self.told.iter_mut().map(|(_, changes)| changes).chain([self.trail.changes()]) {
                changes.add_from(client, clock);
                changes.deleted.insert(client, clock..clock + 2, |_| {});
            }
        }

        fn check(&self) {
            for (bookmark, changes) in &self.told {
                assert_eq!(*finish(self.trail.since(bookmark, &mut Work::default())), *changes);
            }
        }
    }

    proptest! {
        #[test]
        fn each_bookmark_has_what_came_after_it(steps in prop::collection::vec((0u8..4, 0usize..8, 0u32..50), 1..60)) {
            let mut model = Model::default();
            let first = model.trail.bookmark();
            model.told.push((first, Changes::default()));
            for (kind, which, clock) in steps {
                match kind {
                    0 => {
                        let bookmark = model.trail.bookmark();
                        model.told.push((bookmark, Changes::default()));
                    }
                    1 => {
                        let (bookmark, changes) = &model.told[which % model.told.len()];
                        let copy = (model.trail.duplicate(bookmark), changes.clone());
                        model.told.push(copy);
                    }
                    2 if model.told.len() > 1 => {
                        let (bookmark, _) = model.told.swap_remove(which % model.told.len());
                        finish(model.trail.release(bookmark, &mut Work::default()));
                    }
                    _ => model.change(which as ClientId % 3, clock),
                }
                model.check();
                assert!(model.trail.segments.len() <= model.told.len());
            }
        }
    }
}
