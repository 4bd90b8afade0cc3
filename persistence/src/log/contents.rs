//! The contents of the log, read without changing anything, both to open a store and to verify it.

use std::collections::HashMap;
use std::path::Path;

use super::NewRecord;
use crate::damage::Damage;
use crate::disk::StoreDir;
use crate::error::StoreError;
use crate::index::{Covered, Index, Position, RecordRef, Segment};
use crate::name::DocumentName;
use crate::record::{Kind, Record};
use crate::segment::{self, Found, HEADER_BYTES, Scan};

/// The contents of the log, given which snapshot covers each document.
#[derive(Debug, Default)]
pub(crate) struct LogContents {
    pub(crate) index: Index,
    pub(crate) damage: Vec<Damage>,
    /// Sound records in the log, live or not.
    pub(crate) records: usize,
    pub(crate) torn: Option<Torn>,
    /// Number of the last segment; 0 if there is none.
    pub(crate) last: u32,
    /// Marker and sound length of the last segment, if records can be appended to it.
    pub(crate) resume: Option<(u64, u64)>,
}

/// The torn end of the last segment.
#[derive(Debug)]
pub(crate) struct Torn {
    /// Where it starts: the rest of the file is cut off.
    pub(crate) damage: Damage,
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
        let torn_at = if last { segment::torn_at(&*dir.disk, path)? } else { None };
        let mut scan = Scan::open(&*dir.disk, path)?;
        let (marker, len) = (scan.marker(), scan.len());
        self.index.segments.insert(number, Segment { marker, live: 0, damaged: false });
        let mut sound_header = len >= HEADER_BYTES as u64;
        while let Some(found) = scan.read_next().map_err(StoreError::io("read", path))? {
            match found {
                Found::Record(offset, record) if torn_at.is_none_or(|torn| offset < torn) => {
                    self.add_record(number, path, offset, &record);
                }
                Found::Record(_, record) => {
                    self.torn.iter_mut().for_each(|torn| torn.behind.push(Owned::from(record)))
                }
                Found::Damage(damage) if torn_at.is_some_and(|torn| damage.offset >= torn) => {
                    self.torn.get_or_insert_with(|| Torn { damage, behind: Vec::new() });
                }
                Found::Damage(damage) => {
                    sound_header &= damage.offset > 0;
                    self.add_damage(number, damage);
                }
            }
        }
        // Damage is told from a torn end by the batches after it, and some of those are cut off: only a later segment preserves
        // the distinction.
        let is_both = torn_at.is_some() && self.index.segments.get(&number).is_some_and(|it| it.damaged);
        if last && sound_header && torn_at != Some(0) && !is_both {
            let len = torn_at.unwrap_or(len);
            self.resume = marker.map(|marker| (marker, len));
        }
        Ok(())
    }

    fn add_record(&mut self, number: u32, path: &Path, offset: u64, record: &Record<'_>) {
        let position = Position::new(number, offset);
        let (Kind::Update | Kind::Waiting, Some(position), Ok(len)) =
            (record.kind, position, u32::try_from(record.encoded_len()))
        else {
            return self.add_damage(number, Damage::foreign(path, offset, record));
        };
        self.records += 1;
        self.index.add(&record.document(), RecordRef { position, len, sequence: record.sequence });
    }

    fn add_damage(&mut self, number: u32, damage: Damage) {
        // No record can be live at an offset that a position cannot address: the start of the segment will do for the
        // bookkeeping.
        let position = Position::new(number, damage.offset).or(Position::new(number, 0)).unwrap_or_default();
        self.index.add_damage(position, &damage);
        self.damage.push(damage);
    }

    /// Records before the position of the last deletion would be dead: if the log has become shorter than it was then, it
    /// continues in a later segment.
    fn stay_behind_deletions(&mut self) {
        let born = self.index.catalog().map(|(_, covered)| covered.born).max().unwrap_or_default();
        let end = self.resume.and_then(|(_, len)| Position::new(self.last, len));
        if end.is_none_or(|end| end < born) {
            self.resume = None;
            self.last = self.last.max(born.segment());
        }
    }
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
