//! Sets of element ids, kept as ranges: delete sets.
//!
//! Encoded as in Yjs: `numClients, (client, numRanges, (clock, len)*)*`.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::lib0::write_var_uint;
use crate::limits::SWALLOWED_AT_ONCE;
use crate::update::{ClientId, Clock, Id, write_deletion, write_deletions_header};
use crate::work::{Work, discard, finish};

/// A set of ids: disjoint ranges that don't touch, by client and clock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdSet {
    /// The first id of each range, and the clock after its last.
    ranges: BTreeMap<Id, Clock>,
}

impl IdSet {
    /// The set without an id.
    pub(crate) const EMPTY: IdSet = IdSet { ranges: BTreeMap::new() };

    /// Whether the set has no id.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many ranges it has.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether it has this id.
    pub fn contains(&self, id: Id) -> bool {
        self.at_or_before(id).is_some_and(|range| id.clock < range.end)
    }

    /// Whether it has all ids of a range. O(log ranges).
    pub(crate) fn covers(&self, client: ClientId, range: Range<Clock>) -> bool {
        self.at_or_before(Id { client, clock: range.start }).is_some_and(|found| found.end >= range.end)
    }

    /// How many ids of a range it has not. O(ranges within it, and log ranges).
    pub(crate) async fn count_missing(
        &self,
        client: ClientId,
        range: Range<Clock>,
        work: &mut Work,
    ) -> usize {
        let before = self.at_or_before(Id { client, clock: range.start });
        let (mut missing, mut from) = (0, before.map_or(range.start, |found| found.end.max(range.start)));
        let following = Id { client, clock: range.start + 1 }..Id { client, clock: range.end };
        for (id, &end) in self.ranges.range(following) {
            missing += id.clock - from;
            from = end;
            work.count(1);
            work.pause().await;
        }
        (missing + range.end.saturating_sub(from)) as usize
    }

    /// Its ranges, by client from low to high, then by clock.
    pub fn iter(&self) -> impl Iterator<Item = (ClientId, Range<Clock>)> {
        self.ranges.iter().map(|(id, &end)| (id.client, id.clock..end))
    }

    /// The range of one client that begins first. O(log ranges).
    pub(crate) fn first_of(&self, client: ClientId) -> Option<Range<Clock>> {
        let (id, &end) =
            self.ranges.range(Id { client, clock: 0 }..=Id { client, clock: Clock::MAX }).next()?;
        Some(id.clock..end)
    }

    /// The first range of all. O(log ranges).
    pub(crate) fn first(&self) -> Option<(ClientId, Range<Clock>)> {
        self.ranges.first_key_value().map(|(id, &end)| (id.client, id.clock..end))
    }

    /// Adds the ids of a range, and calls `fresh` with the parts of it that are new, in order.
    pub fn insert(&mut self, client: ClientId, range: Range<Clock>, mut fresh: impl FnMut(Range<Clock>)) {
        let (mut joined, mut uncovered) = (range.clone(), range.start);
        if let Some(before) = self.at_or_before(Id { client, clock: range.start })
            && before.end >= range.start
        {
            joined.start = before.start;
        }
        let from = Id { client, clock: joined.start };
        while let Some((&id, &end)) = self.ranges.range(from..=Id { client, clock: range.end }).next() {
            if id.clock > uncovered {
                fresh(uncovered..id.clock.min(range.end));
            }
            uncovered = uncovered.max(end);
            joined.end = joined.end.max(end);
            if id.clock <= range.start && end >= range.end {
                return;
            }
            self.ranges.remove(&id);
        }
        if uncovered < range.end {
            fresh(uncovered..range.end);
        }
        self.ranges.insert(Id { client, clock: joined.start }, joined.end);
    }

    /// The same, with pauses where the range swallows many. O(ranges swallowed · log).
    pub(crate) async fn insert_in_slices(
        &mut self,
        client: ClientId,
        range: Range<Clock>,
        mut fresh: impl FnMut(Range<Clock>),
        work: &mut Work,
    ) {
        let mut start = range.start;
        while start < range.end {
            let following = self.ranges.range(Id { client, clock: start }..Id { client, clock: range.end });
            let end = following.skip(SWALLOWED_AT_ONCE).map(|(id, _)| id.clock).next().unwrap_or(range.end);
            let before = self.ranges.len();
            self.insert(client, start..end, &mut fresh);
            work.count(4 + 4 * (before + 1 - self.ranges.len().min(before + 1)));
            work.pause().await;
            start = end;
        }
    }

    /// Adds all ids of another set.
    pub fn extend(&mut self, other: &Self) {
        for (client, range) in other.iter() {
            self.insert(client, range, |_| {});
        }
    }

    /// Takes out one client's ids before a clock, but at most `most` ranges. O(ranges taken · log).
    pub(crate) fn take_before(&mut self, client: ClientId, clock: Clock, most: usize) -> Self {
        let mut taken = Self::default();
        while taken.len() < most
            && let Some((&id, &end)) = self.ranges.range(Id { client, clock: 0 }..Id { client, clock }).next()
        {
            self.ranges.remove(&id);
            taken.ranges.insert(id, end.min(clock));
            if end > clock {
                self.ranges.insert(Id { client, clock }, end);
            }
        }
        taken
    }

    /// Encodes the set, with pauses. O(ranges).
    pub(crate) async fn encode_in_slices(&self, work: &mut Work) -> Vec<u8> {
        let mut out = Vec::new();
        let mut sections: Vec<(ClientId, u64)> = Vec::new();
        for id in self.ranges.keys() {
            match sections.last_mut() {
                Some((client, ranges)) if *client == id.client => *ranges += 1,
                _ => sections.push((id.client, 1)),
            }
            work.count(1);
            work.pause().await;
        }
        write_var_uint(&mut out, sections.len() as u64);
        let mut ranges = self.ranges.iter();
        for (client, count) in sections {
            write_deletions_header(&mut out, client, count);
            for _ in 0..count {
                let (id, &end) = ranges.next().expect("they were counted");
                write_deletion(&mut out, &(id.clock..end));
                work.count(1);
                work.pause().await;
            }
        }
        out
    }

    /// Drops the set, with pauses. O(ranges).
    pub(crate) async fn discard(self, work: &mut Work) {
        discard(self.ranges, work).await;
    }

    /// Appends the encoded set. O(ranges).
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&finish(self.encode_in_slices(&mut Work::default())));
    }

    /// The last range that starts at or before `id`, of the same client.
    fn at_or_before(&self, id: Id) -> Option<Range<Clock>> {
        let first = Id { client: id.client, clock: 0 };
        let (start, &end) = self.ranges.range(first..=id).next_back()?;
        Some(start.clock..end)
    }
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "lists of ranges are what is compared")]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn insert(set: &mut IdSet, client: ClientId, range: Range<Clock>) -> Vec<Range<Clock>> {
        let mut fresh = Vec::new();
        set.insert(client, range, |part| fresh.push(part));
        fresh
    }

    #[test]
    fn neighbours_join_and_only_new_parts_are_fresh() {
        let mut set = IdSet::default();
        assert_eq!(insert(&mut set, 1, 5..10), [5..10]);
        assert_eq!(insert(&mut set, 1, 10..12), [10..12]);
        assert_eq!(insert(&mut set, 1, 20..30), [20..30]);
        assert_eq!(insert(&mut set, 1, 0..40), [0..5, 12..20, 30..40]);
        assert_eq!(insert(&mut set, 1, 3..7), []);
        assert_eq!(set.iter().collect::<Vec<_>>(), [(1, 0..40)]);
    }

    proptest! {
        #[test]
        fn behaves_like_a_set_of_ids(ranges in prop::collection::vec((0u64..3, 0u32..60, 1u32..12), 0..60)) {
            let (mut set, mut model) = (IdSet::default(), BTreeSet::new());
            for (client, start, len) in ranges {
                let fresh: Vec<_> = insert(&mut set, client, start..start + len).into_iter().flatten().collect();
                let expected: Vec<_> = (start..start + len).filter(|&clock| model.insert((client, clock))).collect();
                prop_assert_eq!(fresh, expected);
            }
            let ids: BTreeSet<_> = set.iter().flat_map(|(client, range)| range.map(move |clock| (client, clock))).collect();
            prop_assert_eq!(&ids, &model);
            let ranges: Vec<_> = set.iter().collect();
            prop_assert!(ranges.windows(2).all(|two| two[0].0 < two[1].0 || two[0].1.end < two[1].1.start));
            for (client, start) in (0..3).flat_map(|client| (0..80).map(move |start| (client, start))) {
                let range = start..start + 7;
                let missing = range.clone().filter(|&clock| !model.contains(&(client, clock))).count();
                let counted = finish(set.count_missing(client, range, &mut Work::default()));
                prop_assert_eq!(counted, missing);
            }
            for id in (0..3).flat_map(|client| (0..80).map(move |clock| Id { client, clock })) {
                prop_assert_eq!(set.contains(id), model.contains(&(id.client, id.clock)));
            }
        }
    }
}
