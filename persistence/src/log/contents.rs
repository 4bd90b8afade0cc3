//! The contents of the log, read without changing anything, both to open a store and to verify it.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::mem;
use std::path::{Path, PathBuf};

use super::marks::{self, Mark, Marks};
use super::{NewRecord, Resume};
use crate::damage::{DAMAGED_MARK, Damage};
use crate::disk::StoreDir;
use crate::error::StoreError;
use crate::index::{Covered, Index, Position, RecordRef, Segment};
use crate::name::DocumentName;
use crate::record::{Kind, Record};
use crate::segment::{self, Found, HEADER_BYTES, Scan};
use crate::words::counted;

/// The contents of the log, given which snapshot covers each document.
#[derive(Debug, Default)]
pub(crate) struct LogContents {
    pub(crate) index: Index,
    pub(crate) damage: Vec<Damage>,
    /// Sound records in the log, live or not.
    pub(crate) records: usize,
    pub(crate) torn: Option<Torn>,
    /// The last segment, and where the reserved space at its end starts; `None` if there is none, or the end is torn.
    pub(crate) reserved: Option<(PathBuf, u64)>,
    /// Number of the last segment; 0 if there is none.
    pub(crate) last: u32,
    /// How the last segment is continued, if records can be appended to it.
    pub(crate) resume: Option<Resume>,
    /// The end of the log that no end mark vouches for.
    pub(crate) unmarked: Option<Unmarked>,
    /// Damage that was marked as having been on disk.
    marked: Vec<MarkedDamage>,
}

/// Records at the end of the log after the last end mark, as a crash leaves them. If the disk has damaged the last of them, that
/// cannot be told from what was being written when the process died.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmarked {
    /// The last segment.
    pub path: PathBuf,
    /// Where the records start.
    pub offset: u64,
    /// Their length.
    pub bytes: u64,
}

/// Damage in the stretch of an end mark, which tells what was there.
#[derive(Debug)]
struct MarkedDamage {
    segment: u32,
    damage: Vec<Damage>,
    /// The documents with records in the stretch, and their last sequences.
    documents: Vec<(DocumentName, u64)>,
}

/// A segment that is being read.
struct Reading<'a> {
    number: u32,
    path: &'a Path,
    /// Where its torn end starts, if it has one.
    torn_at: Option<u64>,
    /// Whether it may be continued, and have a next mark.
    is_last: bool,
    /// What that would say.
    marks: Marks,
    /// Damage for which no mark speaks so far.
    unmarked: Vec<Damage>,
}

/// The torn end of the last segment.
#[derive(Debug)]
pub(crate) struct Torn {
    /// Where it starts: the rest of the file is cut off.
    pub(crate) damage: Damage,
    /// Where the bytes end that are worth keeping.
    pub(crate) end: u64,
    /// Sound records in the rest.
    behind: Vec<Owned>,
}

#[derive(Debug)]
struct Owned {
    name: DocumentName,
    sequence: u64,
    time: u64,
    subject: String,
    payload: Vec<u8>,
    waits: bool,
}

impl fmt::Display for Unmarked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, offset, bytes } = self;
        write!(
            f,
            "the last {} of the log (from offset {offset} of {path:?}) have no end mark: the log was not closed, or the disk has \
             damaged the mark. Damage to the very end cannot be told from a write that was cut short, so what was written in the \
             last moments may be missing",
            counted(*bytes, "byte")
        )
    }
}

impl LogContents {
    /// Reads the log. `covered` has the catalog's entry of each document.
    pub(crate) fn read(dir: &StoreDir, covered: HashMap<DocumentName, Covered>) -> Result<Self, StoreError> {
        let mut contents = Self { index: Index::new(covered), ..Self::default() };
        let segments = super::segments(dir).map_err(StoreError::io("list", &dir.path))?;
        let last = segments.keys().next_back().copied().unwrap_or(0);
        for (number, path) in segments {
            contents.read_segment(dir, number, &path, number == last)?;
        }
        contents.last = last;
        if contents.torn.as_ref().is_some_and(|torn| torn.damage.offset == 0) {
            // Not even its header was written.
            contents.index.segments.remove(&last);
        }
        contents.settle_marked_damage();
        contents.stay_behind_deletions();
        Ok(contents)
    }

    fn read_segment(
        &mut self,
        dir: &StoreDir,
        number: u32,
        path: &Path,
        last: bool,
    ) -> Result<(), StoreError> {
        let open = || if last { Scan::open_last(&*dir.disk, path) } else { Scan::open(&*dir.disk, path) };
        let torn_at = if last { segment::torn_at(open()?)? } else { None };
        let mut scan = open()?;
        let (marker, len) = (scan.marker(), scan.len());
        self.index.segments.insert(number, Segment { marker, bytes: len, ..Segment::default() });
        let mut sound_header = len >= HEADER_BYTES as u64;
        let is_last = last && scan.has_marks();
        let marks = Marks::default();
        let mut reading = Reading { number, path, torn_at, is_last, marks, unmarked: Vec::new() };
        while let Some(found) = scan.read_next().map_err(StoreError::io("read", path))? {
            match found {
                Found::Record(offset, record) if reading.is_torn(offset) => self.add_behind_tear(record),
                Found::Record(offset, record) => self.add_record(&mut reading, offset, &record),
                Found::Damage(damage) if reading.is_torn(damage.offset) => {
                    self.torn.get_or_insert_with(|| Torn { damage, end: 0, behind: Vec::new() });
                }
                Found::Damage(damage) => {
                    sound_header &= damage.offset > 0;
                    self.note_damage(&mut reading, damage);
                }
            }
        }
        let end = scan.offset();
        self.torn.iter_mut().for_each(|torn| torn.end = end);
        if last && torn_at.is_none() && end < len {
            self.reserved = Some((path.to_owned(), end));
        }
        let sound_end = torn_at.unwrap_or(end);
        let is_marked = match marker.filter(|_| is_last) {
            Some(marker) => {
                self.note_damaged_mark(dir, &reading, marker).map_err(StoreError::io("read", path))?
            }
            None => false,
        };
        if is_last && !is_marked && sound_end > reading.marks.marked() {
            let offset = reading.marks.marked();
            self.unmarked = Some(Unmarked { path: path.to_owned(), offset, bytes: sound_end - offset });
        }
        let marks = self.end_segment(reading, sound_end);
        // Damage is told from a torn end by the batches after it, and some of those are cut off: only a later segment preserves
        // the distinction.
        let is_both = torn_at.is_some() && self.index.segments.get(&number).is_some_and(|it| it.damaged);
        if is_last && sound_header && torn_at != Some(0) && !is_both {
            self.resume = marker.map(|marker| Resume { marker, len: sound_end, marks });
        }
        Ok(())
    }

    fn add_record(&mut self, reading: &mut Reading<'_>, offset: u64, record: &Record<'_>) {
        let position = Position::new(reading.number, offset);
        match (record.kind, position, u32::try_from(record.encoded_len())) {
            (Kind::Update | Kind::Waiting, Some(position), Ok(len)) => {
                let name = record.document();
                self.records += 1;
                self.index.add(&name, RecordRef { position, len, sequence: record.sequence }, record.moved);
                if reading.is_last && position >= self.index.covered(&name).born {
                    reading.marks.note(&name, record.sequence);
                }
            }
            (Kind::Mark, ..) if let Some(mark) = Mark::read(record) => {
                self.add_mark(reading, offset, record, mark)
            }
            _ => self.note_damage(reading, Damage::foreign(reading.path, offset, record)),
        }
    }

    fn add_behind_tear(&mut self, record: Record<'_>) {
        // A mark says nothing that would be worth keeping, and a moved record is still in its old place.
        if record.kind != Kind::Mark && !record.moved {
            self.torn.iter_mut().for_each(|torn| torn.behind.push(Owned::from(record)));
        }
    }

    fn note_damage(&mut self, reading: &mut Reading<'_>, damage: Damage) {
        if let Some(segment) = self.index.segments.get_mut(&reading.number) {
            segment.damaged = true;
        }
        self.damage.push(damage.clone());
        reading.unmarked.push(damage);
    }

    /// Everything before a mark was on disk. It tells what was at the places in its stretch that are damaged now.
    fn add_mark(&mut self, reading: &mut Reading<'_>, offset: u64, record: &Record<'_>, mark: Mark) {
        let end = offset + record.encoded_len() as u64;
        let damage: Vec<_> = reading.unmarked.extract_if(.., |damage| damage.offset >= mark.from).collect();
        if damage.is_empty() {
            return reading.marks.mark(end);
        }
        // The next one must not speak for this stretch, of which it does not know everything.
        reading.marks = Marks::starting_at(end);
        self.marked.push(MarkedDamage { segment: reading.number, damage, documents: mark.documents });
    }

    /// Notes that the torn end is a damaged mark, and says whether it is: then everything before it was on disk. That is damage which
    /// costs no document; it is cut off like any torn end. O(bytes of the mark).
    fn note_damaged_mark(&mut self, dir: &StoreDir, reading: &Reading<'_>, marker: u64) -> io::Result<bool> {
        let Some(torn) = &mut self.torn else { return Ok(false) };
        let (offset, mut mark) = (torn.damage.offset, Vec::new());
        reading.marks.encode(offset, marker, &mut mark);
        let (end, mut file) = (offset + mark.len() as u64, dir.disk.open(reading.path)?);
        if !torn.behind.is_empty() || torn.end > end || file.len()? < end {
            return Ok(false);
        }
        let mut found = vec![0; mark.len()];
        file.read_at(offset, &mut found)?;
        let is_damaged = marks::is_damaged(&mark, &found);
        if is_damaged {
            torn.damage.reason = DAMAGED_MARK;
            self.damage.push(torn.damage.clone());
        }
        Ok(is_damaged)
    }

    /// What no mark speaks for is put down to the documents that the damaged records seem to belong to. Returns what the next
    /// mark will say, should the segment be continued.
    fn end_segment(&mut self, reading: Reading<'_>, end: u64) -> Marks {
        for damage in &reading.unmarked {
            self.index.add_damage(position_of(reading.number, damage), damage);
        }
        if reading.unmarked.is_empty() { reading.marks } else { Marks::starting_at(end) }
    }

    /// Notes which documents have lost their end to damage in the stretch of a mark.
    fn settle_marked_damage(&mut self) {
        for MarkedDamage { segment, damage, documents } in mem::take(&mut self.marked) {
            for (name, sequence) in documents {
                // If it has later records, the lost ones are a gap.
                if self.index.last_sequence(&name) >= sequence {
                    continue;
                }
                let seems_its =
                    |damage: &&Damage| damage.document.as_ref().is_some_and(|(guess, _)| *guess == name);
                if let Some(lost) = damage.iter().find(seems_its).or(damage.first()) {
                    let lost = Damage { document: Some((name, sequence)), ..lost.clone() };
                    self.index.add_damage(position_of(segment, &lost), &lost);
                }
            }
        }
    }

    /// Records before the position of the last deletion would be dead: if the log has become shorter than it was then, it
    /// continues in a later segment.
    fn stay_behind_deletions(&mut self) {
        let born = self.index.catalog().map(|(_, covered)| covered.born).max().unwrap_or_default();
        let end = self.resume.as_ref().and_then(|resume| Position::new(self.last, resume.len));
        if end.is_none_or(|end| end < born) {
            self.resume = None;
            self.last = self.last.max(born.segment());
        }
    }
}

impl Reading<'_> {
    /// Whether an offset is in the torn end.
    fn is_torn(&self, offset: u64) -> bool {
        self.torn_at.is_some_and(|torn| offset >= torn)
    }
}

/// No record can be live at an offset that a position cannot address: the start of the segment will do for the bookkeeping.
fn position_of(segment: u32, damage: &Damage) -> Position {
    Position::new(segment, damage.offset).or(Position::new(segment, 0)).unwrap_or_default()
}

impl Torn {
    /// Whether it holds nothing worth keeping.
    pub(crate) fn is_only_zeros(&self) -> bool {
        self.damage.is_only_zeros() && self.behind.is_empty()
    }

    /// The sound records behind the torn part that follow their document's last stored one, and how many do not.
    pub(crate) fn rescue(&self, index: &Index) -> (Vec<NewRecord<'_>>, usize) {
        let mut next: HashMap<&DocumentName, u64> = HashMap::new();
        let mut rescued = Vec::new();
        for Owned { name, sequence, time, subject, payload, waits } in &self.behind {
            let next = next.entry(name).or_insert_with(|| index.last_sequence(name).saturating_add(1));
            if *next == *sequence {
                *next = next.saturating_add(1);
                let (sequence, time, waits) = (*sequence, *time, *waits);
                rescued.push(NewRecord { name, sequence, time, subject, payload, waits });
            }
        }
        let dropped = self.behind.len() - rescued.len();
        (rescued, dropped)
    }
}

impl From<Record<'_>> for Owned {
    fn from(record: Record<'_>) -> Self {
        Self {
            name: record.document(),
            sequence: record.sequence,
            time: record.time,
            subject: record.subject.to_owned(),
            payload: record.payload.to_vec(),
            waits: record.kind == Kind::Waiting,
        }
    }
}
