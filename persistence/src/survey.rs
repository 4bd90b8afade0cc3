//! Reading what is in the directory of a store, without changing anything: for opening it, and for verifying it.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use crate::error::StoreError;
use crate::index::{Covered, Index, Position, RecordRef, Segment};
use crate::log;
use crate::name::DocumentName;
use crate::record::{Kind, Record};
use crate::segment::{self, Damage, Found, HEADER_BYTES, Scan};
use crate::store::NewRecord;

/// What is in the directory of a store; reading it changes nothing.
#[derive(Debug, Default)]
pub(crate) struct Survey {
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
    pub(crate) damage: Damage,
    /// The bytes that are cut off.
    pub(crate) bytes: Vec<u8>,
    /// Sound records among them.
    behind: Vec<Owned>,
}

#[derive(Debug)]
struct Owned {
    name: DocumentName,
    sequence: u64,
    time: u64,
    author: String,
    payload: Vec<u8>,
}

impl Survey {
    /// Reads the log, given what covers each document.
    pub(crate) fn read(dir: &Path, covered: HashMap<DocumentName, Covered>) -> Result<Self, StoreError> {
        let mut survey = Self { index: Index::new(covered), ..Self::default() };
        let segments = log::segments(dir).map_err(StoreError::io("list", dir))?;
        let last = segments.keys().next_back().copied().unwrap_or(0);
        for (number, path) in segments {
            let bytes = fs::read(&path).map_err(StoreError::io("read", &path))?;
            survey.read_segment(number, &path, &bytes, number == last)?;
        }
        survey.last = last;
        if survey.torn.as_ref().is_some_and(|torn| torn.damage.offset == 0) {
            // Not even its header was written.
            survey.index.segments.remove(&last);
        }
        survey.stay_behind_deletions();
        Ok(survey)
    }

    fn read_segment(&mut self, number: u32, path: &Path, bytes: &[u8], last: bool) -> Result<(), StoreError> {
        let unknown = |version| StoreError::UnknownVersion { path: path.to_owned(), version };
        let scan = Scan::new(path, bytes).map_err(unknown)?;
        let marker = scan.marker();
        self.index.segments.insert(number, Segment { marker, live: 0, damaged: false });
        let torn_at = if last { segment::torn_at(scan.clone()) } else { None };
        let mut sound_header = bytes.len() >= HEADER_BYTES;
        for found in scan {
            match found {
                Found::Record(offset, record) if torn_at.is_none_or(|torn| offset < torn) => {
                    self.add_record(number, path, offset, &record);
                }
                Found::Record(_, record) => {
                    self.torn.iter_mut().for_each(|torn| torn.behind.push(Owned::from(record)))
                }
                Found::Damage(damage) if torn_at.is_some_and(|torn| damage.offset >= torn as u64) => {
                    let cut = &bytes[torn_at.unwrap_or(bytes.len())..];
                    self.torn.get_or_insert_with(|| Torn { damage, bytes: cut.to_vec(), behind: Vec::new() });
                }
                Found::Damage(damage) => {
                    sound_header &= damage.offset > 0;
                    self.add_damage(number, damage);
                }
            }
        }
        if last && sound_header && torn_at != Some(0) {
            let len = torn_at.unwrap_or(bytes.len()) as u64;
            self.resume = marker.map(|marker| (marker, len));
        }
        Ok(())
    }

    fn add_record(&mut self, number: u32, path: &Path, offset: usize, record: &Record<'_>) {
        let position = Position::new(number, offset as u64);
        let (Kind::Update, Some(position), Ok(len)) =
            (record.kind, position, u32::try_from(record.encoded_len()))
        else {
            return self.add_damage(number, Damage::foreign(path, offset, record));
        };
        self.records += 1;
        self.index.add(&record.document(), RecordRef { position, len, sequence: record.sequence });
    }

    fn add_damage(&mut self, number: u32, damage: Damage) {
        // Beyond what a position can name nothing can be live: the start of the segment does for the bookkeeping.
        let position = Position::new(number, damage.offset).or(Position::new(number, 0)).unwrap_or_default();
        self.index.add_damage(position, &damage);
        self.damage.push(damage);
    }

    /// Records at places that a deletion has declared void would be dead: if the log has become shorter than it was at
    /// the last deletion, it goes on in a later segment.
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
    /// The sound records behind the torn part that follow what is stored, and how many do not.
    pub(crate) fn rescue(&self, index: &Index) -> (Vec<NewRecord<'_>>, usize) {
        let mut next: HashMap<&DocumentName, u64> = HashMap::new();
        let mut rescued = Vec::new();
        for Owned { name, sequence, time, author, payload } in &self.behind {
            let next = next.entry(name).or_insert_with(|| index.last_sequence(name).saturating_add(1));
            if *next == *sequence {
                *next = next.saturating_add(1);
                rescued.push(NewRecord { name, sequence: *sequence, time: *time, author, payload });
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
            author: record.author.to_owned(),
            payload: record.payload.to_vec(),
        }
    }
}
