//! Reading every record and every snapshot of a store, without changing anything in its directory.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::catalog::Contents;
use crate::disk::{self, StoreDir, SystemDisk};
use crate::error::StoreError;
use crate::index::{Covered, Index};
use crate::load::{self, StoredDocument, Whereabouts};
use crate::name::DocumentName;
use crate::recovery::{self, SNAPSHOTS_DIR};
use crate::segment::Damage;
use crate::snapshots::{self, OpenSnapshots, SnapshotError, SnapshotStore};
use crate::survey::Survey;

/// For sled: each snapshot is read once.
const CACHE_BYTES: u64 = 1 << 20;

/// How to verify.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// Where sled's files are copied to, since sled writes to what it opens. They may take several times the size of
    /// the documents. Default: the system's directory for temporary files.
    pub scratch: PathBuf,
    /// Where snapshots are kept. Default [`snapshots::sled::Sled`].
    pub snapshots: Arc<dyn OpenSnapshots>,
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

impl Default for VerifyOptions {
    fn default() -> Self {
        Self { scratch: std::env::temp_dir(), snapshots: Arc::new(snapshots::sled::Sled) }
    }
}

/// Reads every record and every snapshot of the store in `dir`, also one that a crash left behind, and changes nothing
/// there; meanwhile nobody can open it. `Err` only if it cannot look: the directory is missing, in use, or refuses to be
/// read.
pub fn verify(dir: &Path, options: &VerifyOptions) -> Result<Report, StoreError> {
    verify_with(dir, options, |_, _| {})
}

/// As [`verify`], and shows every stored document, in the order of the names, as [`Store::load`](crate::Store::load) would
/// give it: an error if it cannot be read in full.
pub fn verify_with(
    dir: &Path,
    options: &VerifyOptions,
    mut visit: impl FnMut(&DocumentName, Result<StoredDocument, StoreError>),
) -> Result<Report, StoreError> {
    let lock = disk::lock_shared(dir)?;
    let store = StoreDir::new(dir, Arc::new(SystemDisk), None);
    let mut contents = Contents::read(&store)?;
    let mut covered = mem::take(&mut contents.covered);
    let snapshots = Snapshots::open(dir, options, &contents, &covered)?;
    let adopted = match &snapshots {
        Snapshots::Open(snapshots, _copy) if contents.is_doubtful() => {
            recovery::adopt(&mut covered, &**snapshots).map_err(snapshots_in(dir))?
        }
        _ => Vec::new(),
    };
    let survey = Survey::read(&store, covered)?;
    let index = &survey.index;
    let mut report = Report {
        segments: index.segments.len(),
        records: survey.records,
        documents: index.len(),
        torn: survey.torn.map(|torn| torn.damage),
        damage: survey.damage,
        catalog_missing: !contents.exists && (!index.segments.is_empty() || !adopted.is_empty()),
        catalog_damage: contents.damage,
        adopted,
        gaps: gaps(index),
        snapshots_lost: snapshots.lost(),
        ..Report::default()
    };
    visit_documents(&store, index, &snapshots, &mut report, &mut visit);
    if lock.is_none() && disk::lock_shared(dir)?.is_some() {
        let holder = "a process that was started meanwhile".to_owned();
        return Err(StoreError::InUse { path: dir.to_owned(), holder });
    }
    Ok(report)
}

fn visit_documents(
    dir: &StoreDir,
    index: &Index,
    snapshots: &Snapshots,
    report: &mut Report,
    visit: &mut impl FnMut(&DocumentName, Result<StoredDocument, StoreError>),
) {
    for name in index.names() {
        // Also if records are missing: the report says everything that is.
        let snapshot = snapshots.read(&name, index.covered(&name));
        report.note_snapshot(&name, index.covered(&name), &snapshot);
        let document = match Whereabouts::find(dir, index, &name) {
            Ok(Some(whereabouts)) => snapshot.and_then(|snapshot| whereabouts.read(dir, snapshot)),
            Ok(None) => continue,
            Err(error) => Err(error),
        };
        if document.is_err() {
            report.unreadable.push(name.clone());
        }
        visit(&name, document);
    }
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

/// What can be had of the snapshots.
enum Snapshots {
    /// The copy is removed after they were closed.
    Open(Box<dyn SnapshotStore>, Scratch),
    /// They cannot be read as a whole, and why.
    Lost(String),
    /// Nothing says that there should be any.
    None,
}

impl Snapshots {
    fn open(
        dir: &Path,
        options: &VerifyOptions,
        contents: &Contents,
        covered: &HashMap<DocumentName, Covered>,
    ) -> Result<Self, StoreError> {
        let source = dir.join(SNAPSHOTS_DIR);
        let expected = covered.values().any(Covered::has_snapshot);
        if !options.snapshots.exist(&source) {
            return Ok(if expected { Self::Lost("they are missing".to_owned()) } else { Self::None });
        }
        if !expected && !contents.is_doubtful() {
            return Ok(Self::None);
        }
        let copy = Scratch::copy_of(&source, &options.scratch)?;
        match options.snapshots.open(&copy.0, CACHE_BYTES) {
            Ok(snapshots) => Ok(Self::Open(snapshots, copy)),
            Err(SnapshotError::Unreadable(reason)) => Ok(Self::Lost(reason)),
            Err(error) => Err(snapshots_in(&copy.0)(error)),
        }
    }

    fn lost(&self) -> Option<String> {
        if let Self::Lost(reason) = self { Some(reason.clone()) } else { None }
    }

    fn read(&self, name: &DocumentName, covered: Covered) -> Result<Option<Vec<u8>>, StoreError> {
        match self {
            Self::Open(snapshots, _copy) => load::snapshot(&**snapshots, name, covered),
            Self::Lost(_) if covered.has_snapshot() => {
                let source = SnapshotError::Damaged("the snapshots as a whole cannot be read");
                Err(StoreError::Snapshot { name: name.clone(), source })
            }
            _ => Ok(None),
        }
    }
}

fn snapshots_in(dir: &Path) -> impl FnOnce(SnapshotError) -> StoreError {
    move |source| StoreError::Snapshots { path: dir.to_owned(), source }
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
