//! The catalog: which documents have a snapshot, which one, and up to which sequence it covers them.
//!
//! The catalog commits a checkpoint: a snapshot counts from the moment that its entry is synced, and without an entry
//! it does not count. The catalog also makes a lost snapshot an error: a document with an entry but without its
//! snapshot is unreadable, never new. (The entries could be in the log instead, but then a segment could not be retired
//! before every document in it had been checkpointed again.)
//!
//! The file is one segment of records of the kinds `Checkpoint` and `Deleted`, of which the last one for each document
//! counts. Their payload is two numbers of 8 bytes, little-endian: the generation of the snapshot and the [`Position`]
//! before which records of that name are void. When most entries are out of date the file is rewritten.

use std::collections::HashMap;
use std::io;

use crate::damage::Damage;
use crate::disk::{Step, StoreDir};
use crate::error::{SnapshotError, StoreError};
use crate::index::{Covered, Index, Position};
use crate::limits::CATALOG_REWRITE_ENTRIES;
use crate::name::DocumentName;
use crate::record::{Kind, Record};
use crate::segment::tail::{AppendError, Tail};
use crate::segment::{self, Found, HEADER_BYTES, Scan};
use crate::snapshots::Snapshot;

const FILE: &str = "catalog";
const NEW_FILE: &str = "catalog.new";
const DAMAGED_FILE: &str = "catalog.damaged";

/// The contents of the file.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// What covers each document: its last entry.
    pub(crate) covered: HashMap<DocumentName, Covered>,
    /// Entries in the file, also those that are out of date.
    entries: usize,
    /// The parts of it that cannot be read.
    pub(crate) damage: Vec<Damage>,
    /// The torn end that a crash left.
    pub(crate) torn: Option<Damage>,
    /// Where it can be continued; `None` if there is no file, or a damaged one.
    end: Option<(u64, u64)>,
    /// Whether the file exists.
    pub(crate) exists: bool,
}

/// The open catalog.
#[derive(Debug)]
pub(crate) struct Catalog {
    dir: StoreDir,
    tail: Tail,
    entries: usize,
}

impl Contents {
    /// Fails if the file is of an unknown version.
    pub(crate) fn check_version(dir: &StoreDir) -> Result<(), StoreError> {
        match Scan::open(&*dir.disk, &dir.join(FILE)) {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    pub(crate) fn read(dir: &StoreDir) -> Result<Self, StoreError> {
        let path = dir.join(FILE);
        let mut scan = match Scan::open(&*dir.disk, &path) {
            Err(error) if error.is_not_found() => return Ok(Self::default()),
            scan => scan?,
        };
        let torn_at = segment::torn_at(Scan::open(&*dir.disk, &path)?)?;
        let (marker, len) = (scan.marker(), scan.len());
        let mut contents = Self { exists: true, ..Self::default() };
        while let Some(found) = scan.read_next().map_err(StoreError::io("read", &path))? {
            match found {
                Found::Record(offset, record) => match covered(&record) {
                    Some(covered) => {
                        contents.entries += 1;
                        contents.covered.insert(record.document(), covered);
                    }
                    None => contents.damage.push(Damage::foreign(&path, offset, &record)),
                },
                Found::Damage(damage) if torn_at.is_some_and(|torn| damage.offset >= torn) => {
                    contents.torn.get_or_insert(damage);
                }
                Found::Damage(damage) => contents.damage.push(damage),
            }
        }
        let sound = contents.damage.is_empty() && contents.torn.is_none() && len >= HEADER_BYTES as u64;
        contents.end = marker.filter(|_| sound).map(|marker| (marker, len));
        Ok(contents)
    }

    /// Whether an entry may be missing.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.end.is_none()
    }
}

impl Catalog {
    /// Continues the file as it was read, or rewrites it from the index if it was damaged or missing.
    pub(crate) fn open(dir: &StoreDir, contents: &Contents, index: &Index) -> Result<Self, StoreError> {
        let path = dir.join(FILE);
        let tail = match contents.end {
            Some((marker, len)) => {
                Tail::resume(&*dir.disk, &path, marker, len).map_err(StoreError::io("open", &path))?
            }
            None => replace_damaged(dir, index, !contents.damage.is_empty())
                .map_err(StoreError::io("write", &path))?,
        };
        Ok(Self { dir: dir.clone(), tail, entries: contents.entries })
    }

    /// Writes the entries in one write and syncs them.
    pub(crate) fn append(&mut self, entries: &[(DocumentName, Covered, u64)]) -> Result<(), AppendError> {
        let batch = encode(entries.iter().map(|(name, covered, time)| (name, *covered, *time)), &self.tail);
        self.dir.check(Step::WriteCatalog).map_err(AppendError::Undone)?;
        self.tail.append(|tail| tail.write(&batch), || self.dir.check(Step::SyncCatalog))?;
        self.entries += entries.len();
        Ok(())
    }

    /// Whether more than half of the entries are out of date.
    pub(crate) fn wants_rewrite(&self, index: &Index) -> bool {
        self.entries > CATALOG_REWRITE_ENTRIES + 2 * index.catalog_len()
    }

    /// Rewrites the file from the index.
    pub(crate) fn rewrite(&mut self, index: &Index) -> Result<(), AppendError> {
        self.dir.check(Step::RewriteCatalog).map_err(AppendError::Undone)?;
        self.tail = write_new(&self.dir, index)?;
        self.entries = index.catalog_len();
        Ok(())
    }
}

/// Restores lost entries of the catalog from the snapshots that still exist: for each document, the highest generation. Returns
/// those documents.
pub(crate) fn adopt(
    covered: &mut HashMap<DocumentName, Covered>,
    latest: Vec<(DocumentName, u64)>,
    get: impl Fn(&DocumentName, u64) -> Result<Option<Snapshot>, SnapshotError>,
) -> Vec<DocumentName> {
    let mut adopted = Vec::new();
    for (name, generation) in latest {
        let known = covered.get(&name).copied().unwrap_or_default();
        if generation <= known.generation {
            continue;
        }
        // Unreadable, or of a deleted document: the entry stays as it is.
        let Ok(Some(snapshot)) = get(&name, generation) else {
            continue;
        };
        let born = Position::from_raw(snapshot.born);
        if born >= known.born {
            covered.insert(name.clone(), Covered { generation, sequence: snapshot.sequence, born });
            adopted.push(name);
        }
    }
    adopted
}

/// Replaces the file; a damaged one is copied first, so that somebody can look at it.
fn replace_damaged(dir: &StoreDir, index: &Index, damaged: bool) -> io::Result<Tail> {
    if damaged {
        let path = dir.join(FILE);
        let len = dir.disk.open(&path)?.len()?;
        dir.keep_copy(&path, 0..len, &dir.join(DAMAGED_FILE))?;
    }
    write_new(dir, index).map_err(AppendError::into_error)
}

/// Writes a new file. Until it is renamed, the old one counts.
fn write_new(dir: &StoreDir, index: &Index) -> Result<Tail, AppendError> {
    let tail = write_beside(dir, index)?;
    let named = dir.disk.rename(&dir.join(NEW_FILE), &dir.join(FILE)).and_then(|()| dir.sync());
    named.map_err(AppendError::Unknown)?;
    Ok(tail)
}

fn write_beside(dir: &StoreDir, index: &Index) -> Result<Tail, AppendError> {
    let new = dir.join(NEW_FILE);
    dir.clear(&new).map_err(AppendError::Undone)?;
    let mut tail = Tail::create(&*dir.disk, &new)?;
    let mut entries: Vec<_> = index.catalog().map(|(name, covered)| (name, covered, 0)).collect();
    // A hash map has a different order each time.
    entries.sort_unstable_by_key(|(name, ..)| *name);
    let batch = encode(entries.into_iter(), &tail);
    tail.write(&batch).map_err(AppendError::Undone)?;
    tail.sync().map_err(AppendError::of_new)?;
    Ok(tail)
}

fn encode<'a>(entries: impl Iterator<Item = (&'a DocumentName, Covered, u64)>, tail: &Tail) -> Vec<u8> {
    let mut batch = Vec::new();
    for (name, covered, time) in entries {
        let mut payload = [0; 16];
        payload[..8].copy_from_slice(&covered.generation.to_le_bytes());
        payload[8..].copy_from_slice(&covered.born.raw().to_le_bytes());
        let record = Record {
            kind: if covered.has_snapshot() { Kind::Checkpoint } else { Kind::Deleted },
            name: name.as_str(),
            sequence: covered.sequence,
            time,
            subject: "",
            payload: &payload,
            batch: tail.len(),
            moved: false,
        };
        record.encode(tail.marker(), &mut batch);
    }
    batch
}

fn covered(record: &Record<'_>) -> Option<Covered> {
    let (generation, born) = record.payload.split_first_chunk::<8>()?;
    let covered = Covered {
        generation: u64::from_le_bytes(*generation),
        sequence: record.sequence,
        born: Position::from_raw(u64::from_le_bytes(born.try_into().ok()?)),
    };
    let kind = if covered.has_snapshot() { Kind::Checkpoint } else { Kind::Deleted };
    (record.kind == kind).then_some(covered)
}
