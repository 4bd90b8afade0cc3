//! Reading a document: its snapshot, and the records after it.

use crate::damage::Damage;
use crate::disk::StoreDir;
use crate::error::{SnapshotError, StoreError};
use crate::index::{Covered, Index, RecordRef};
use crate::log;
use crate::name::DocumentName;
use crate::record::{self, Kind};
use crate::snapshots::Snapshot;

/// The stored parts of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDocument {
    /// The state at the last checkpoint.
    pub snapshot: Option<Vec<u8>>,
    /// The updates after it, in order.
    pub updates: Vec<Vec<u8>>,
    /// The parked updates, with the sequences of their records: to be loaded after all other updates.
    pub waiting: Vec<(u64, Vec<u8>)>,
    /// The sequence of the last record; the next one is this plus 1.
    pub sequence: u64,
}

impl StoredDocument {
    /// The sequence that the snapshot covers; 0 if there is none.
    pub fn covered(&self) -> u64 {
        self.sequence.saturating_sub((self.updates.len() + self.waiting.len()) as u64)
    }

    /// The updates after the snapshot, with the sequences of their records.
    pub fn numbered_updates(&self) -> impl Iterator<Item = (u64, &Vec<u8>)> {
        let mut waiting = self.waiting.iter().map(|(sequence, _)| *sequence).peekable();
        let of_updates = (self.covered() + 1..).filter(move |n| waiting.next_if_eq(n).is_none());
        of_updates.zip(&self.updates)
    }
}

/// Where a document is, according to the index at one moment; the segments with its records are open.
pub(crate) struct Whereabouts {
    name: DocumentName,
    pub(crate) covered: Covered,
    records: Vec<RecordRef>,
    reader: log::Reader,
}

impl Whereabouts {
    /// `None` if nothing is stored under this name; an error if it is known that a part is missing.
    pub(crate) fn find(
        dir: &StoreDir,
        index: &Index,
        name: &DocumentName,
    ) -> Result<Option<Self>, StoreError> {
        if let Some(damage) = index.damage(name) {
            return Err(StoreError::Damaged { name: name.clone(), damage: damage.clone() });
        }
        if let Some((expected, found)) = index.gap(name) {
            return Err(StoreError::Gap { name: name.clone(), expected, found });
        }
        let (covered, records) = (index.covered(name), index.records(name).to_vec());
        if !covered.has_snapshot() && records.is_empty() {
            return Ok(None);
        }
        let reader = log::Reader::open(dir, &records, &index.segments)?;
        Ok(Some(Self { name: name.clone(), covered, records, reader }))
    }

    /// Reads the records, and puts them after the result of [`snapshot`].
    pub(crate) fn read(
        mut self,
        dir: &StoreDir,
        snapshot: Option<Vec<u8>>,
    ) -> Result<StoredDocument, StoreError> {
        let sequence = self.records.last().map_or(self.covered.sequence, |record| record.sequence);
        let (mut updates, mut waiting) = (Vec::with_capacity(self.records.len()), Vec::new());
        for record in &self.records {
            match read_record(dir, &self.name, record, &mut self.reader)? {
                (Kind::Waiting, payload) => waiting.push((record.sequence, payload)),
                (_, payload) => updates.push(payload),
            }
        }
        Ok(StoredDocument { snapshot, updates, waiting, sequence })
    }
}

/// The state that covers a document, checked against the catalog's entry; `None` if no snapshot covers it.
pub(crate) fn snapshot(
    name: &DocumentName,
    covered: Covered,
    get: impl FnOnce(u64) -> Result<Option<Snapshot>, SnapshotError>,
) -> Result<Option<Vec<u8>>, StoreError> {
    if !covered.has_snapshot() {
        return Ok(None);
    }
    let damaged = |source| StoreError::Snapshot { name: name.clone(), source };
    let missing = || StoreError::SnapshotMissing { name: name.clone(), sequence: covered.sequence };
    let snapshot = get(covered.generation).map_err(damaged)?.ok_or_else(missing)?;
    if snapshot.sequence != covered.sequence {
        return Err(damaged(SnapshotError::Damaged("it is from another checkpoint")));
    }
    Ok(Some(snapshot.state))
}

fn read_record(
    dir: &StoreDir,
    name: &DocumentName,
    record: &RecordRef,
    reader: &mut log::Reader,
) -> Result<(Kind, Vec<u8>), StoreError> {
    let (mut bytes, marker) = read_bytes(dir, name, record, reader)?;
    let found = record::decode_unchecked(&bytes, marker).expect("it has just been decoded");
    let (kind, payload) = (found.kind, bytes.len() - found.payload.len());
    bytes.drain(..payload);
    Ok((kind, bytes))
}

/// The bytes of a record and its marker; [`StoreError::Damaged`] if they are not what the index says.
pub(crate) fn read_bytes(
    dir: &StoreDir,
    name: &DocumentName,
    record: &RecordRef,
    reader: &mut log::Reader,
) -> Result<(Vec<u8>, u64), StoreError> {
    let path = log::segment_path(dir, record.position.segment());
    let (bytes, marker) = reader.read(record).map_err(StoreError::io("read", &path))?;
    let reason = match record::decode(&bytes, marker) {
        Ok(found) if found.name == name.as_str() && found.sequence == record.sequence => {
            return Ok((bytes, marker));
        }
        Ok(_) => "another record is in its place",
        Err(_) => "the record has changed since the store was opened",
    };
    let document = Some((name.clone(), record.sequence));
    let (offset, bytes) = (record.position.offset(), u64::from(record.len));
    Err(StoreError::Damaged { name: name.clone(), damage: Damage { path, offset, bytes, document, reason } })
}
