//! Reading every record and every snapshot of a store, without changing anything in its directory.

use std::fmt;
use std::fs;
use std::io;
use std::mem;
use std::path::{Path, PathBuf};

use crate::catalog::Contents;
use crate::disk;
use crate::error::StoreError;
use crate::index::{Covered, Index};

use crate::name::DocumentName;
use crate::recovery::SNAPSHOTS_DIR;
use crate::segment::Damage;
use crate::snapshots::{self, OpenSnapshots, SnapshotError, SnapshotStore};
use crate::survey::Survey;

/// How to verify.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// Where sled's files are copied to, since sled writes to what it opens. They may take several times the size of
    /// the documents. Default: the system's directory for temporary files.
    pub scratch: PathBuf,
    /// Where snapshots are kept. Default [`snapshots::sled::open`].
    pub snapshots: OpenSnapshots,
}

/// What [`verify`] found.
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
    /// Parts of the log that cannot be read.
    pub damage: Vec<Damage>,
    /// Parts of the catalog that cannot be read.
    pub catalog_damage: Vec<Damage>,
    /// The catalog is missing.
    pub catalog_missing: bool,
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

impl Default for VerifyOptions {
    fn default() -> Self {
        Self { scratch: std::env::temp_dir(), snapshots: snapshots::sled::open }
    }
}

/// Reads every record and every snapshot of the store in `dir`, also one that a crash left behind. `Err` only if it
/// cannot look: the directory is missing, in use, or refuses to be read.
pub fn verify(dir: &Path, options: &VerifyOptions) -> Result<Report, StoreError> {
    let _lock = disk::lock_shared(dir)?;
    let mut contents = Contents::read(dir)?;
    let survey = Survey::read(dir, mem::take(&mut contents.covered))?;
    let index = &survey.index;
    let mut report = Report {
        segments: index.segments.len(),
        records: survey.records,
        documents: index.len(),
        torn: survey.torn.map(|torn| torn.damage),
        damage: survey.damage,
        catalog_missing: !contents.exists && !index.segments.is_empty(),
        catalog_damage: contents.damage,
        gaps: gaps(index),
        unreadable: index.unreadable(false),
        ..Report::default()
    };
    if index.catalog().any(|(_, covered)| covered.has_snapshot()) {
        verify_snapshots(dir, options, index, &mut report)?;
    }
    report.unreadable.extend(report.unreadable_snapshots.iter().map(|snapshot| snapshot.name.clone()));
    report.unreadable.sort_unstable();
    report.unreadable.dedup();
    Ok(report)
}

impl Report {
    /// Whether nothing is damaged or missing. A store may be unsound and every document still be readable, when what
    /// is damaged was already in a snapshot: see [`Report::unreadable`].
    pub fn is_sound(&self) -> bool {
        let log = self.damage.is_empty() && self.gaps.is_empty();
        let catalog = self.catalog_damage.is_empty() && !self.catalog_missing;
        log && catalog && self.unreadable_snapshots.is_empty() && self.snapshots_lost.is_none()
    }

    /// The documents that cannot be read in full, as far as they are known by name; sorted.
    pub fn unreadable(&self) -> &[DocumentName] {
        &self.unreadable
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segments, records, documents, snapshots, .. } = self;
        writeln!(
            f,
            "{documents} documents: {records} records in {segments} segments, {snapshots} snapshots"
        )?;
        if let Some(torn) = &self.torn {
            writeln!(f, "torn end (a crash; nothing that was acknowledged): {torn}")?;
        }
        for damage in &self.damage {
            writeln!(f, "damaged log: {damage}")?;
        }
        for damage in &self.catalog_damage {
            writeln!(f, "damaged catalog: {damage}")?;
        }
        if self.catalog_missing {
            writeln!(f, "the catalog is missing: documents that are only in a snapshot are not known")?;
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

fn verify_snapshots(
    dir: &Path,
    options: &VerifyOptions,
    index: &Index,
    report: &mut Report,
) -> Result<(), StoreError> {
    let copy = Scratch::copy_of(&dir.join(SNAPSHOTS_DIR), &options.scratch)?;
    let mut covered: Vec<_> = index.catalog().filter(|(_, covered)| covered.has_snapshot()).collect();
    covered.sort_unstable_by_key(|(name, _)| *name);
    let snapshots = (options.snapshots)(&copy.0, 4 << 20).inspect_err(|error| {
        report.snapshots_lost = Some(error.to_string());
    });
    for (name, covered) in covered {
        let verdict = match &snapshots {
            Ok(snapshots) => verify_snapshot(&**snapshots, name, covered),
            Err(_) => Err(SnapshotError::Damaged("the snapshots as a whole cannot be read")),
        };
        match verdict {
            Ok(()) => report.snapshots += 1,
            Err(reason) => {
                let (name, sequence, reason) = (name.clone(), covered.sequence, reason.to_string());
                report.unreadable_snapshots.push(UnreadableSnapshot { name, sequence, reason });
            }
        }
    }
    Ok(())
}

fn verify_snapshot(
    snapshots: &dyn SnapshotStore,
    name: &DocumentName,
    covered: Covered,
) -> Result<(), SnapshotError> {
    let snapshot =
        snapshots.get(name, covered.generation)?.ok_or(SnapshotError::Damaged("it is not there"))?;
    if snapshot.sequence == covered.sequence {
        Ok(())
    } else {
        Err(SnapshotError::Damaged("it is of another checkpoint"))
    }
}

/// A copy of a directory that is removed when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn copy_of(source: &Path, scratch: &Path) -> Result<Self, StoreError> {
        let tag = getrandom::u64()
            .map_err(|error| StoreError::io("name a copy in", scratch)(io::Error::other(error)))?;
        let copy = Self(scratch.join(format!("coscribe-verify-{tag:016x}")));
        fs::create_dir_all(&copy.0).map_err(StoreError::io("create", &copy.0))?;
        copy_files(source, &copy.0).map_err(StoreError::io("copy", source))?;
        Ok(copy)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It is in a directory for temporary files: what cannot be removed now is removed by the system.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn copy_files(source: &Path, target: &Path) -> io::Result<()> {
    if !source.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(source)? {
        let entry = entry?;
        let target = target.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir(&target)?;
            copy_files(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
