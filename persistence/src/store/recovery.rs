//! Recovery when a store is opened: reads the catalog and every segment, and tells a crash from damage.
//!
//! - The end of the last segment may be torn: broken bytes that were not yet synced when the process died. Nothing in them was
//!   acknowledged. They are cut off, kept in a `.torn` file, and reported. Damage to the very last batch by the disk cannot be told
//!   from that, unless it has an end mark behind it: after a crash, it is reported which records have none. Sound records of the same batch that still follow their document's last one are written again.
//! - Zeros behind that are reserved space, which a process that was killed could not give back. They are cut off and not reported.
//! - Broken bytes anywhere else are damage: they are reported and left as they are, and a document that lacks a record is
//!   unreadable. Which documents these are is known from the sequences of their later records, or from the next end mark. After a
//!   crash there may be none, and then it is taken from what is left of the damaged record. The segment stays in the log as long as such a document exists, and gets no more records if its end was torn as
//!   well.
//! - If the directory of the snapshots is missing, documents whose updates are all still in the log are rebuilt from it.
//!   The others are unreadable, because the catalog remembers that they exist.
//! - A damaged catalog is compared with the snapshots. If these are missing as well the store does not open.
//! - Snapshots of an earlier version are migrated, including those that it could not open and set aside.

use std::collections::HashMap;
use std::io;
use std::mem;
use std::path::{Path, PathBuf};

use super::options::StoreOptions;
use crate::catalog::{Catalog, Contents, adopt};
use crate::damage::Damage;
use crate::disk::StoreDir;
use crate::error::StoreError;
use crate::index::{Covered, Index};
use crate::log::contents::{LogContents, Torn, Unmarked};
use crate::log::{self, Log};
use crate::name::DocumentName;
use crate::segment::Scan;
use crate::snapshots::{self, SNAPSHOTS_DIR, Snapshots, earlier};
use crate::words::counted;

/// The findings and repairs of opening a store. Most of it deserves a warning: see [`Recovery::warnings`].
#[derive(Debug, Default)]
pub struct Recovery {
    /// How many documents are stored.
    pub documents: usize,
    /// How many records are live: in the log, and not in a snapshot.
    pub records: usize,
    /// How many segments the log has.
    pub segments: usize,
    /// The half-written end of the log that a crash left.
    pub torn: Option<TornTail>,
    /// Records at the end of the log that no end mark vouches for, as a crash leaves them. A sentence about them is no warning: all
    /// of them may be well.
    pub unmarked: Option<Unmarked>,
    /// Parts of the log that cannot be read.
    pub damage: Vec<Damage>,
    /// The half-written end of the catalog that a crash left; nothing in it counted yet.
    pub catalog_torn: Option<Damage>,
    /// Parts of the catalog that could not be read; it was compared with the snapshots and written anew.
    pub catalog_damage: Vec<Damage>,
    /// Documents that the catalog had lost and the snapshots still had.
    pub adopted: Vec<DocumentName>,
    /// The directory of the snapshots was missing.
    pub snapshots_lost: bool,
    /// How many snapshots of an earlier version were migrated. No reason for a warning.
    pub taken_over: usize,
    /// Directories of an earlier version in which not everything that counts can be read, and why. They are left as they are.
    pub left: Vec<(PathBuf, String)>,
    /// Why sled cannot be used to find snapshots, if it cannot: they are found all the same.
    pub index_failure: Option<String>,
    /// Documents whose snapshot was lost, but whose updates are all in the log.
    pub rebuilt: Vec<DocumentName>,
    /// Documents that are known to be unreadable. (Others may turn out to be: their snapshots are not read now.)
    pub unreadable: Vec<DocumentName>,
}

/// A torn end of the log that was cut off.
#[derive(Debug, Clone)]
pub struct TornTail {
    /// Where it was.
    pub damage: Damage,
    /// The file that the bytes are kept in; `None` if they were nothing but zeros.
    pub kept_in: Option<PathBuf>,
    /// How many sound records behind it were written again.
    pub rescued: usize,
    /// How many sound records behind it do not follow their document's last one, and are only in that file.
    pub dropped: usize,
}

impl Recovery {
    /// One line for each thing that somebody should know about; empty after a clean shutdown.
    pub fn warnings(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(TornTail { damage, kept_in, rescued, dropped }) = &self.torn {
            let kept = kept_in.as_ref().map(|path| format!("; kept in {path:?}")).unwrap_or_default();
            let behind = match (counted(*rescued, "sound record"), counted(*dropped, "sound record")) {
                _ if rescued + dropped == 0 => String::new(),
                (rescued, dropped) => format!("; behind it, {rescued} rescued and {dropped} not"),
            };
            let by_a_crash = !self.damage.contains(damage);
            let what = if by_a_crash { "what a crash left at the end" } else { "the damaged end" };
            lines.push(format!("cut off {what} of the log: {damage}{kept}{behind}"));
        }
        lines.extend(self.damage.iter().map(|damage| format!("the log is damaged: {damage}")));
        lines.extend(self.catalog_damage.iter().map(|damage| format!("the catalog was damaged: {damage}")));
        lines.extend(
            self.adopted.iter().map(|name| format!("document {name:?} was put back into the catalog")),
        );
        if self.snapshots_lost {
            lines.push("the directory of the snapshots is missing".to_owned());
        }
        lines.extend(self.left.iter().map(|(path, reason)| {
            format!(
                "{path:?}, where an earlier version has left snapshots, is kept: {reason}; remove it when nobody can \
                 use it any more"
            )
        }));
        if let Some(reason) = &self.index_failure {
            lines.push(format!("the index of the snapshots is kept in memory, not in sled: {reason}"));
        }
        lines.extend(self.rebuilt.iter().map(|name| format!("document {name:?} was rebuilt from the log")));
        lines.extend(self.unreadable.iter().map(|name| format!("document {name:?} is unreadable")));
        lines
    }
}

/// The parts of an open store.
pub(crate) struct Opened {
    pub(crate) index: Index,
    pub(crate) log: Log,
    pub(crate) catalog: Catalog,
    pub(crate) snapshots: Snapshots,
    /// The torn end that was cut off: its sound records wait to be written again.
    pub(crate) torn: Option<Torn>,
    pub(crate) recovery: Recovery,
}

/// Opens the store in `dir`, which is locked.
pub(crate) fn open(dir: &StoreDir, options: &StoreOptions) -> Result<Opened, StoreError> {
    let mut recovery = Recovery::default();
    refuse_unknown_versions(dir)?;
    // A killed process may have created or renamed files here without making that durable: nothing that is acknowledged from now
    // on may depend on it.
    dir.sync().map_err(StoreError::io("sync", &dir.path))?;
    earlier::set_apart(dir).map_err(StoreError::io("rename the snapshots in", &dir.path))?;
    // Before the index is in memory: otherwise the allocator would keep the memory that sled needs only while it opens.
    let existing = open_existing_snapshots(dir, options)?;
    let mut contents = read_catalog(dir)?;
    let mut covered = mem::take(&mut contents.covered);
    let are_missing =
        existing.is_none() && (contents.is_doubtful() || covered.values().any(Covered::has_snapshot));
    if are_missing && contents.is_doubtful() {
        return Err(StoreError::CatalogLost { path: dir.path.clone() });
    }
    if let Some(snapshots) = &existing {
        let taken = earlier::take_over(dir, &covered, contents.is_doubtful(), snapshots)?;
        (recovery.taken_over, recovery.left) = (taken.snapshots, taken.left);
        if contents.is_doubtful() {
            let failed = |source| StoreError::Snapshots { path: dir.join(SNAPSHOTS_DIR), source };
            let latest = snapshots.list().map_err(failed)?;
            recovery.adopted =
                adopt(&mut covered, latest, |name, generation| snapshots.get(name, generation));
            // Before the catalog names them: they may be from a checkpoint that was killed before it synced them.
            snapshots.sync().map_err(failed)?;
        }
    }
    let mut logged = if are_missing {
        let (logged, rebuilt) = rebuild(dir, covered)?;
        recovery.rebuilt = rebuilt;
        logged
    } else {
        LogContents::read(dir, covered)?
    };
    let torn = logged.torn.take();
    recovery.torn = torn.as_ref().map(|torn| cut_off(dir, torn)).transpose()?;
    if let Some((path, end)) = logged.reserved {
        truncate(dir, &path, end).map_err(StoreError::io("cut the reserved space off", &path))?;
    }
    let log = Log::open(dir, options.segment_bytes, logged.last, logged.resume)?;
    let mut index = logged.index;
    index.segments.entry(log.number()).or_insert_with(|| log.segment());
    let mut catalog = Catalog::open(dir, &contents, &index)?;
    if !recovery.rebuilt.is_empty() {
        let failed = StoreError::io("rewrite the catalog in", &dir.path);
        catalog.rewrite(&index).map_err(|error| failed(error.into_error()))?;
    }
    recovery.unmarked = logged.unmarked;
    recovery.damage = logged.damage;
    recovery.catalog_torn = contents.torn;
    recovery.catalog_damage = contents.damage;
    recovery.snapshots_lost = are_missing;
    // New ones only now: after a crash before the catalog was rewritten, recovery must find them missing again.
    let snapshots = existing.map_or_else(|| open_snapshots(dir, options), Ok)?;
    recovery.index_failure = snapshots.index_failure().map(str::to_owned);
    Ok(Opened { index, log, catalog, snapshots, torn, recovery })
}

/// The catalog's contents. In a new directory it is created before anything else: a directory that has other files but no catalog
/// has lost it.
fn read_catalog(dir: &StoreDir) -> Result<Contents, StoreError> {
    let contents = Contents::read(dir)?;
    let segments = log::segments(dir).map_err(StoreError::io("list", &dir.path))?;
    let failed = StoreError::io("look for snapshots in", &dir.path);
    if contents.exists || !segments.is_empty() || dir.child(SNAPSHOTS_DIR).exists().map_err(failed)? {
        return Ok(contents);
    }
    Catalog::open(dir, &contents, &Index::default())?;
    Contents::read(dir)
}

/// Keeps the torn bytes in a file of their own, then cuts them off.
fn cut_off(dir: &StoreDir, torn: &Torn) -> Result<TornTail, StoreError> {
    let path = &torn.damage.path;
    let segment = path.file_stem().unwrap_or_default().to_string_lossy();
    let kept_in = dir.join(&format!("{segment}-{}.torn", torn.damage.offset));
    let zeros = torn.is_only_zeros();
    if !zeros {
        let rest = torn.damage.offset..torn.end;
        dir.keep_copy(path, rest, &kept_in).map_err(StoreError::io("write", &kept_in))?;
    }
    let cut = if torn.damage.offset == 0 {
        dir.disk.remove(path).and_then(|()| dir.sync())
    } else {
        truncate(dir, path, torn.damage.offset)
    };
    cut.map_err(StoreError::io("cut the torn end of", path))?;
    Ok(TornTail { damage: torn.damage.clone(), kept_in: (!zeros).then_some(kept_in), rescued: 0, dropped: 0 })
}

fn truncate(dir: &StoreDir, path: &Path, len: u64) -> io::Result<()> {
    let mut file = dir.disk.open_to_append(path)?;
    file.set_len(len)?;
    file.sync()
}

/// Files that a later version has written are left alone, and so is everything beside them.
fn refuse_unknown_versions(dir: &StoreDir) -> Result<(), StoreError> {
    Contents::check_version(dir)?;
    let logged = log::segments(dir).map_err(StoreError::io("list", &dir.path))?;
    let snapshots = snapshots::segments(dir).map_err(StoreError::io("look for snapshots in", &dir.path))?;
    let mut segments = logged.values().chain(snapshots.values());
    segments.try_for_each(|path| Scan::open(&*dir.disk, path).map(drop))
}

/// Opens the snapshots; `None` if there never were any, or they are missing.
fn open_existing_snapshots(dir: &StoreDir, options: &StoreOptions) -> Result<Option<Snapshots>, StoreError> {
    let failed = || StoreError::io("look for snapshots in", &dir.path);
    let exist = dir.child(SNAPSHOTS_DIR).exists().map_err(failed())?
        || !earlier::directories(dir).map_err(failed())?.is_empty();
    exist.then(|| open_snapshots(dir, options)).transpose()
}

fn open_snapshots(dir: &StoreDir, options: &StoreOptions) -> Result<Snapshots, StoreError> {
    Snapshots::open(dir.child(SNAPSHOTS_DIR), options.snapshot_index, options.segment_bytes)
}

/// Reads a log whose snapshots are lost: documents whose updates are all in the log are served from it; the others stay covered
/// by a missing snapshot and so are unreadable. Returns the former.
fn rebuild(
    dir: &StoreDir,
    covered: HashMap<DocumentName, Covered>,
) -> Result<(LogContents, Vec<DocumentName>), StoreError> {
    let uncovered = |covered: Covered| Covered { generation: 0, sequence: 0, ..covered };
    let uncovered = covered.iter().map(|(name, covered)| (name.clone(), uncovered(*covered))).collect();
    let mut logged = LogContents::read(dir, uncovered)?;
    let mut rebuilt = Vec::new();
    for (name, covered) in covered.into_iter().filter(|(_, covered)| covered.has_snapshot()) {
        let index = &mut logged.index;
        let complete = index.gap(&name).is_none() && index.damage(&name).is_none();
        if complete && covered.sequence > 0 && index.last_sequence(&name) >= covered.sequence {
            rebuilt.push(name);
        } else {
            index.cover(&name, covered);
        }
    }
    rebuilt.sort_unstable();
    Ok((logged, rebuilt))
}
