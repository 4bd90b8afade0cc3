//! The store's index of the disk: which snapshot covers which document, and where its live records are.
//!
//! A record is live if no snapshot covers it and its document was not deleted after it. Memory grows with the number of
//! documents: about 100 bytes for one with only a snapshot, 150 for one with only a record.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem;
use std::mem::size_of;

use crate::damage::Damage;
use crate::limits::{LOG_SEGMENTS, LOG_SHARE};
use crate::name::DocumentName;

/// A place in the log: segment number and offset. Ordered as the log was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Position(u64);

/// Where a live record is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordRef {
    pub(crate) position: Position,
    /// Bytes of the whole record.
    pub(crate) len: u32,
    pub(crate) sequence: u64,
}

/// The catalog's entry for a document; all zeros if it has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Covered {
    /// Which snapshot of the document is the valid one; 0 if it has none.
    pub(crate) generation: u64,
    /// The sequence up to which that snapshot covers it.
    pub(crate) sequence: u64,
    /// Records before this place belong to a deleted document of the same name.
    pub(crate) born: Position,
}

/// A segment of the log.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Segment {
    /// The marker of its records; `None` if not even that can be read.
    pub(crate) marker: Option<u64>,
    /// How many of its records are live.
    pub(crate) live: usize,
    /// Bytes of these.
    pub(crate) live_bytes: u64,
    /// Bytes of the whole segment; unknown, and 0, while it is the active one.
    pub(crate) bytes: u64,
    /// Part of it cannot be read: its file is kept when it is retired.
    pub(crate) damaged: bool,
}

/// The live records of a document, in the order of the log.
#[derive(Debug, Default)]
struct Live {
    records: Vec<RecordRef>,
    bytes: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) segments: BTreeMap<u32, Segment>,
    covered: HashMap<DocumentName, Covered>,
    live: HashMap<DocumentName, Live>,
    /// Documents that a damaged record seems to belong to.
    damaged: HashMap<DocumentName, Vec<(Position, Damage)>>,
}

impl Position {
    /// `None` if the offset is too large for a segment.
    pub(crate) fn new(segment: u32, offset: u64) -> Option<Self> {
        (offset <= u64::from(u32::MAX)).then_some(Self(u64::from(segment) << 32 | offset))
    }

    pub(crate) fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    pub(crate) fn raw(self) -> u64 {
        self.0
    }

    pub(crate) fn segment(self) -> u32 {
        u32::try_from(self.0 >> 32).expect("32 bits are left")
    }

    pub(crate) fn offset(self) -> u64 {
        self.0 & u64::from(u32::MAX)
    }
}

impl Covered {
    pub(crate) fn has_snapshot(&self) -> bool {
        self.generation > 0
    }
}

impl Live {
    /// Puts a moved record where its sequence belongs. Returns the record that it is a copy of, if that is still there.
    fn put(&mut self, record: RecordRef) -> Option<RecordRef> {
        let at = self.records.partition_point(|held| held.sequence < record.sequence);
        match self.records.get_mut(at) {
            Some(held) if held.sequence == record.sequence && held.len == record.len => {
                Some(mem::replace(held, record))
            }
            _ => {
                self.records.insert(at, record);
                None
            }
        }
    }
}

/// A record is not live any more.
fn uncount(segments: &mut BTreeMap<u32, Segment>, record: &RecordRef) {
    if let Some(segment) = segments.get_mut(&record.position.segment()) {
        segment.live -= 1;
        segment.live_bytes -= u64::from(record.len);
    }
}

impl Index {
    /// Without any records.
    pub(crate) fn new(covered: HashMap<DocumentName, Covered>) -> Self {
        Self { covered, ..Self::default() }
    }

    pub(crate) fn covered(&self, name: &DocumentName) -> Covered {
        self.covered.get(name).copied().unwrap_or_default()
    }

    pub(crate) fn catalog(&self) -> impl Iterator<Item = (&DocumentName, Covered)> {
        self.covered.iter().map(|(name, covered)| (name, *covered))
    }

    pub(crate) fn catalog_len(&self) -> usize {
        self.covered.len()
    }

    pub(crate) fn records(&self, name: &DocumentName) -> &[RecordRef] {
        self.live.get(name).map_or(&[], |live| &live.records)
    }

    pub(crate) fn log_bytes(&self, name: &DocumentName) -> u64 {
        self.live.get(name).map_or(0, |live| live.bytes)
    }

    pub(crate) fn damage(&self, name: &DocumentName) -> Option<&Damage> {
        self.damaged.get(name).and_then(|damage| damage.first()).map(|(_, damage)| damage)
    }

    /// The highest sequence that is stored, 0 if none is.
    pub(crate) fn last_sequence(&self, name: &DocumentName) -> u64 {
        let logged = self.records(name).last().map_or(0, |record| record.sequence);
        logged.max(self.covered(name).sequence)
    }

    /// The first gap in a document's stored records: the missing sequence, and the one found in its place.
    pub(crate) fn gap(&self, name: &DocumentName) -> Option<(u64, u64)> {
        let first = self.covered(name).sequence.saturating_add(1);
        let records = self.records(name).iter();
        records.zip(first..).find_map(|(record, expected)| {
            (record.sequence != expected).then_some((expected, record.sequence))
        })
    }

    /// Whether anything is stored under this name, readable or not.
    pub(crate) fn contains(&self, name: &DocumentName) -> bool {
        self.covered(name).has_snapshot() || self.live.contains_key(name) || self.damaged.contains_key(name)
    }

    /// How many documents are stored.
    pub(crate) fn len(&self) -> usize {
        let has_snapshot = |name: &DocumentName| self.covered(name).has_snapshot();
        let snapshots = self.covered.values().filter(|covered| covered.has_snapshot()).count();
        let logged = self.live.keys().filter(|name| !has_snapshot(name)).count();
        let lost =
            self.damaged.keys().filter(|name| !has_snapshot(name) && !self.live.contains_key(*name)).count();
        snapshots + logged + lost
    }

    /// The documents known to be unreadable, sorted. If the snapshots are lost, that includes every document that had one.
    pub(crate) fn unreadable(&self, snapshots_lost: bool) -> Vec<DocumentName> {
        let gaps = self.live.keys().filter(|name| self.gap(name).is_some());
        let lost = self.covered.iter().filter(|(_, covered)| snapshots_lost && covered.has_snapshot());
        let all: BTreeSet<_> = gaps.chain(self.damaged.keys()).chain(lost.map(|(name, _)| name)).collect();
        all.into_iter().cloned().collect()
    }

    /// Every stored document, sorted.
    pub(crate) fn names(&self) -> Vec<DocumentName> {
        let covered = self.covered.iter().filter(|(_, covered)| covered.has_snapshot()).map(|(name, _)| name);
        let mut names: Vec<_> = covered.chain(self.live.keys()).chain(self.damaged.keys()).cloned().collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Documents with live records, sorted.
    pub(crate) fn uncheckpointed(&self) -> Vec<DocumentName> {
        let mut names: Vec<_> = self.live.keys().cloned().collect();
        names.sort_unstable();
        names
    }

    /// Deleted documents whose records cannot be in any remaining segment, sorted.
    pub(crate) fn forgettable(&self) -> Vec<DocumentName> {
        let oldest = self.segments.keys().next().copied().unwrap_or(u32::MAX);
        let gone = |covered: &Covered| !covered.has_snapshot() && covered.born.segment() < oldest;
        let forgettable = self.catalog().filter(|(_, covered)| gone(covered)).map(|(name, _)| name);
        let mut forgettable: Vec<_> = forgettable.cloned().collect();
        forgettable.sort_unstable();
        forgettable
    }

    /// Adds a record of the log if it is live. The index must already have its segment. One that was `moved` may be there
    /// already, or belong before others that are: there it takes its place. O(records of the document) for such a one.
    pub(crate) fn add(&mut self, name: &DocumentName, record: RecordRef, moved: bool) {
        let covered = self.covered(name);
        if record.sequence <= covered.sequence || record.position < covered.born {
            return;
        }
        // `entry` would clone the name for each record of a long document.
        let live = match self.live.get_mut(name) {
            Some(live) => live,
            None => self.live.entry(self.key(name)).or_default(),
        };
        if live.records.is_empty() {
            live.records.reserve_exact(1);
        }
        let replaced = if moved {
            live.put(record)
        } else {
            live.records.push(record);
            None
        };
        live.bytes += u64::from(record.len);
        if let Some(replaced) = &replaced {
            live.bytes -= u64::from(replaced.len);
            uncount(&mut self.segments, replaced);
        }
        if let Some(segment) = self.segments.get_mut(&record.position.segment()) {
            segment.live += 1;
            segment.live_bytes += u64::from(record.len);
        }
    }

    /// Bytes of the log and of its live records, without damaged segments, which stay. `active` is the active segment, and its length.
    pub(crate) fn log_size(&self, active: (u32, u64)) -> (u64, u64) {
        let sound = self.segments.iter().filter(|(_, segment)| !segment.damaged);
        sound.fold((0, 0), |(bytes, live), (number, segment)| {
            let len = if *number == active.0 { active.1 } else { segment.bytes };
            (bytes + len, live + segment.live_bytes)
        })
    }

    /// Live records, with their documents, of the segment that has the least of them for its size, if the log is larger than it may
    /// be: of at most so many bytes in all, or one. O(live records of all documents), if it is.
    pub(crate) fn movable(
        &self,
        active: (u32, u64),
        segment_bytes: u64,
        most: u64,
    ) -> Vec<(DocumentName, RecordRef)> {
        let (bytes, live) = self.log_size(active);
        if bytes <= LOG_SHARE * live + LOG_SEGMENTS * segment_bytes {
            return Vec::new();
        }
        let closed =
            self.segments.iter().filter(|(number, segment)| **number != active.0 && !segment.damaged);
        let worth_it = closed
            .filter(|(_, segment)| segment.live > 0 && LOG_SHARE * segment.live_bytes <= segment.bytes)
            .min_by_key(|(_, segment)| (segment.live_bytes << 20) / segment.bytes.max(1));
        let Some((&emptied, _)) = worth_it else { return Vec::new() };
        let mut records: Vec<_> = Vec::new();
        for (name, live) in &self.live {
            let in_it = live.records.iter().filter(|record| record.position.segment() == emptied);
            records.extend(in_it.map(|record| (name.clone(), *record)));
        }
        // A hash map has a different order each time.
        records.sort_unstable_by_key(|(_, record)| record.position);
        let mut bytes = 0;
        let fit = records.iter().take_while(|(_, record)| {
            bytes += u64::from(record.len);
            bytes <= most
        });
        let at_once = fit.count().max(1);
        records.truncate(at_once);
        records
    }

    /// Remembers that a record could not be read any more.
    pub(crate) fn note_damage(&mut self, position: Position, damage: &Damage) {
        if let Some(segment) = self.segments.get_mut(&position.segment()) {
            segment.damaged = true;
        }
        self.add_damage(position, damage);
    }

    /// Remembers a stretch of the log that cannot be read, if it is known which document has lost a record there.
    pub(crate) fn add_damage(&mut self, position: Position, damage: &Damage) {
        let Some((name, sequence)) = &damage.document else {
            return;
        };
        let covered = self.covered(name);
        if *sequence > covered.sequence && position >= covered.born {
            self.damaged.entry(name.clone()).or_default().push((position, damage.clone()));
        }
    }

    /// Removes and returns the segments without live records, except the active one and any with damage that makes a document
    /// unreadable: without that segment, the document would pass for a complete, smaller one.
    pub(crate) fn extract_retired(&mut self, active: u32) -> Vec<(u32, Segment)> {
        let lost = self.damaged.values().flatten();
        let needed: BTreeSet<u32> = lost.map(|(position, _)| position.segment()).collect();
        let retired = |number: &u32, segment: &Segment| {
            *number != active && segment.live == 0 && !needed.contains(number)
        };
        self.segments.extract_if(.., |number, segment| retired(number, segment)).collect()
    }

    /// Sets what covers a document, and forgets the records and damage that this makes dead.
    pub(crate) fn cover(&mut self, name: &DocumentName, covered: Covered) {
        if let Some(mut live) = self.live.remove(name) {
            let dead =
                |record: &RecordRef| record.sequence <= covered.sequence || record.position < covered.born;
            for record in live.records.extract_if(.., |record| dead(record)) {
                live.bytes -= u64::from(record.len);
                uncount(&mut self.segments, &record);
            }
            if !live.records.is_empty() {
                live.records.shrink_to_fit();
                self.live.insert(self.key(name), live);
            }
        }
        if let Some(damage) = self.damaged.get_mut(name) {
            damage.retain(|(position, damage)| {
                let sequence = damage.document.as_ref().map_or(0, |(_, sequence)| *sequence);
                sequence > covered.sequence && *position >= covered.born
            });
            if damage.is_empty() {
                self.damaged.remove(name);
            }
        }
        if covered == Covered::default() {
            self.covered.remove(name);
        } else {
            self.covered.insert(self.key(name), covered);
        }
    }

    /// An estimate of the memory that the index takes, in bytes, for all documents together.
    pub(crate) fn bytes(&self) -> usize {
        fn table<K, V>(map: &HashMap<K, V>) -> usize {
            map.capacity() * 8 / 7 * (size_of::<(K, V)>() + 1)
        }
        /// Two counters beside the text, rounded up as an allocator does.
        fn name(name: &DocumentName) -> usize {
            (name.as_str().len() + 2 * size_of::<usize>()).next_multiple_of(16) + 8
        }
        let records = self.live.values().map(|live| live.records.capacity() * size_of::<RecordRef>() + 8);
        let names = self.live.keys().map(name).sum::<usize>();
        let more_names =
            self.covered.keys().filter(|key| !self.live.contains_key(*key)).map(name).sum::<usize>();
        table(&self.covered) + table(&self.live) + records.sum::<usize>() + names + more_names
    }

    /// The copy of the name that the index already holds, so that it is in memory only once.
    fn key(&self, name: &DocumentName) -> DocumentName {
        let held = self.covered.get_key_value(name).map(|(held, _)| held);
        held.or_else(|| self.live.get_key_value(name).map(|(held, _)| held)).unwrap_or(name).clone()
    }
}
