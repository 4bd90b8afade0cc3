//! Reads every record and every snapshot of a store without changing anything in its directory.

use std::fmt;
use std::path::Path;

use crate::damage::Damage;
use crate::error::StoreError;
use crate::index::{Covered, Index};
use crate::load::StoredDocument;
use crate::log::contents::Unmarked;
use crate::name::DocumentName;
use crate::reader::{ReadOptions, StoreReader};
use crate::segment::VERSION as FORMAT_VERSION;
use crate::words::counted;

/// The findings of [`verify`].
#[derive(Debug, Default)]
pub struct Report {
    /// Segments of the log.
    pub segments: usize,
    /// Sound records in them, live or not.
    pub records: usize,
    /// Stored documents, readable or not.
    pub documents: usize,
    /// Sound snapshots that count.
    pub snapshots: usize,
    /// The end of the log, if a crash left it half-written: opening the store cuts it off. Not a fault.
    pub torn: Option<Damage>,
    /// Records at the end of the log that no end mark vouches for, as a crash leaves them. Not a fault.
    pub unmarked: Option<Unmarked>,
    /// Parts of the log that cannot be read.
    pub damage: Vec<Damage>,
    /// Parts of the catalog that cannot be read.
    pub catalog_damage: Vec<Damage>,
    /// The catalog is missing.
    pub catalog_missing: bool,
    /// Documents that are not in the catalog, but whose snapshot is there: opening the store puts them back.
    pub adopted: Vec<DocumentName>,
    /// Documents of which records are missing.
    pub gaps: Vec<Gap>,
    /// Documents whose snapshot is missing or damaged.
    pub unreadable_snapshots: Vec<UnreadableSnapshot>,
    /// Why the snapshots as a whole cannot be read.
    pub snapshots_lost: Option<String>,
    unreadable: Vec<DocumentName>,
}

/// Records of a document that are missing from the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The document.
    pub name: DocumentName,
    /// The first sequence that is missing.
    pub expected: u64,
    /// The sequence that was found in its place.
    pub found: u64,
}

/// A snapshot that counts, but cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableSnapshot {
    /// The document.
    pub name: DocumentName,
    /// The sequence up to which it covers the document.
    pub sequence: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// Reads every record and every snapshot of the store in `dir`, even after a crash, and changes nothing there; meanwhile nobody
/// can open it. `Err` only if the directory is missing, in use, or cannot be read.
pub fn verify(dir: &Path, options: &ReadOptions) -> Result<Report, StoreError> {
    verify_with(dir, options, |_, _, _| {})
}

/// Like [`verify`], and also calls `visit` with every stored document, in name order, as [`Store::load`](crate::Store::load)
/// would return it, which is an error if it cannot be read in full; and with the number of documents that there are.
pub fn verify_with(
    dir: &Path,
    options: &ReadOptions,
    mut visit: impl FnMut(&DocumentName, Result<StoredDocument, StoreError>, usize),
) -> Result<Report, StoreError> {
    let mut reader = StoreReader::open(dir, options)?;
    let found = std::mem::take(&mut reader.found);
    let index = &reader.index;
    let mut report = Report {
        segments: index.segments.len(),
        records: found.records,
        documents: index.len(),
        torn: found.torn,
        unmarked: found.unmarked,
        damage: found.damage,
        catalog_missing: found.catalog_missing,
        catalog_damage: found.catalog_damage,
        adopted: found.adopted,
        gaps: gaps(index),
        snapshots_lost: found.snapshots_lost,
        ..Report::default()
    };
    for name in reader.names() {
        // Even if records are missing: the report lists everything that is.
        let snapshot = reader.snapshot(&name);
        report.note_snapshot(&name, index.covered(&name), &snapshot);
        let Some(document) = reader.load_with(&name, snapshot).transpose() else { continue };
        if document.is_err() {
            report.unreadable.push(name.clone());
        }
        visit(&name, document, report.documents);
    }
    reader.check_alone()?;
    Ok(report)
}

impl Report {
    /// Whether nothing is damaged or missing. A store may be unsound while every document is readable, if a snapshot already
    /// covers the damage: see [`Report::unreadable`].
    pub fn is_sound(&self) -> bool {
        let log = self.damage.is_empty() && self.gaps.is_empty();
        let catalog = self.catalog_damage.is_empty() && !self.catalog_missing;
        log && catalog && self.unreadable_snapshots.is_empty() && self.snapshots_lost.is_none()
    }

    /// The documents that cannot be read in full, as far as their names are known; sorted.
    pub fn unreadable(&self) -> &[DocumentName] {
        &self.unreadable
    }

    fn note_snapshot(
        &mut self,
        name: &DocumentName,
        covered: Covered,
        snapshot: &Result<Option<Vec<u8>>, StoreError>,
    ) {
        let reason = match snapshot {
            Ok(None) => return,
            Ok(Some(_)) => {
                self.snapshots += 1;
                return;
            }
            Err(StoreError::Snapshot { source, .. }) => source.to_string(),
            Err(_) => "it is not there".to_owned(),
        };
        let (name, sequence) = (name.clone(), covered.sequence);
        self.unreadable_snapshots.push(UnreadableSnapshot { name, sequence, reason });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segments, records, documents, snapshots, .. } = self;
        writeln!(
            f,
            "{}: {} in {}, {}",
            counted(*documents, "document"),
            counted(*records, "record"),
            counted(*segments, "segment"),
            counted(*snapshots, "snapshot")
        )?;
        writeln!(f, "data format: version {FORMAT_VERSION}")?;
        if let Some(torn) = self.torn.as_ref().filter(|torn| !self.damage.contains(torn)) {
            writeln!(f, "torn end (of a write that a crash cut short): {torn}")?;
        }
        if let Some(unmarked) = &self.unmarked {
            writeln!(f, "note: {unmarked}")?;
        }
        for damage in &self.damage {
            writeln!(f, "damaged log: {damage}")?;
        }
        for damage in &self.catalog_damage {
            writeln!(f, "damaged catalog: {damage}")?;
        }
        if self.catalog_missing {
            writeln!(f, "the catalog is missing")?;
        }
        for name in &self.adopted {
            writeln!(f, "document {name:?}: not in the catalog, but its snapshot is there")?;
        }
        for Gap { name, expected, found } in &self.gaps {
            writeln!(f, "document {name:?}: record {expected} is missing, the next one there is {found}")?;
        }
        if let Some(reason) = &self.snapshots_lost {
            writeln!(f, "the snapshots cannot be opened: {reason}")?;
        }
        for UnreadableSnapshot { name, sequence, reason } in &self.unreadable_snapshots {
            writeln!(f, "document {name:?}: its snapshot up to sequence {sequence} is unreadable: {reason}")?;
        }
        f.write_str(if self.is_sound() { "sound" } else { "NOT SOUND" })
    }
}

fn gaps(index: &Index) -> Vec<Gap> {
    let gap = |name: DocumentName| index.gap(&name).map(|(expected, found)| Gap { name, expected, found });
    index.uncheckpointed().into_iter().filter_map(gap).collect()
}
