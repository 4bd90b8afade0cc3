//! A store opened read-only: nothing in its directory is created, written or removed.

use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::catalog::{self, Contents};
use crate::damage::Damage;
use crate::disk::{self, Lock, StoreDir, SystemDisk};
use crate::error::{SnapshotError, StoreError};
use crate::index::{Covered, Index};
use crate::load::{self, StoredDocument, Whereabouts};
use crate::log::contents::{LogContents, Unmarked};
use crate::name::DocumentName;
use crate::snapshots::earlier::{self, Copy, Earlier};
use crate::snapshots::{SNAPSHOTS_DIR, Snapshot, Snapshots};

/// Options for reading a store.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// Where snapshots of an earlier version are copied to, since sled writes to what it opens. They may take several times
    /// the size of the documents. Default: the system's directory for temporary files.
    pub scratch: PathBuf,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { scratch: std::env::temp_dir() }
    }
}

/// A store that nobody else has open, even after a crash. Nobody can open it for writing meanwhile.
pub struct StoreReader {
    dir: StoreDir,
    snapshots: ReadSnapshots,
    pub(crate) index: Index,
    pub(crate) found: Found,
    lock: Option<Lock>,
}

/// Findings from opening the store.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Sound records in the log, live or not.
    pub(crate) records: usize,
    pub(crate) torn: Option<Damage>,
    pub(crate) unmarked: Option<Unmarked>,
    pub(crate) damage: Vec<Damage>,
    pub(crate) catalog_damage: Vec<Damage>,
    pub(crate) catalog_missing: bool,
    pub(crate) adopted: Vec<DocumentName>,
    pub(crate) snapshots_lost: Option<String>,
}

impl StoreReader {
    /// Opens the store in `dir`. `Err` if the directory is missing, in use, or cannot be read.
    pub fn open(dir: &Path, options: &ReadOptions) -> Result<Self, StoreError> {
        let lock = disk::lock_shared(dir)?;
        let dir = StoreDir::new(dir, Arc::new(SystemDisk), None);
        let mut contents = Contents::read(&dir)?;
        let mut covered = mem::take(&mut contents.covered);
        let snapshots = ReadSnapshots::open(&dir, options)?;
        let is_doubtful = contents.is_doubtful();
        let adopted = if is_doubtful {
            let failed = |source| StoreError::Snapshots { path: dir.join(SNAPSHOTS_DIR), source };
            catalog::adopt(&mut covered, snapshots.list().map_err(failed)?, |name, generation| {
                snapshots.get(name, generation, None)
            })
        } else {
            Vec::new()
        };
        let expected = is_doubtful && contents.exists || covered.values().any(Covered::has_snapshot);
        let snapshots_lost = if expected { snapshots.lost() } else { None };
        let logged = LogContents::read(&dir, covered)?;
        let found = Found {
            records: logged.records,
            torn: logged.torn.map(|torn| torn.damage),
            unmarked: logged.unmarked,
            damage: logged.damage,
            catalog_missing: !contents.exists && (!logged.index.segments.is_empty() || !adopted.is_empty()),
            catalog_damage: contents.damage,
            adopted,
            snapshots_lost,
        };
        Ok(Self { dir, snapshots, index: logged.index, found, lock })
    }

    /// Every stored document, readable or not, sorted.
    pub fn names(&self) -> Vec<DocumentName> {
        self.index.names()
    }

    /// The stored parts of a document, as [`Store::load`](crate::Store::load) would return them.
    pub fn load(&self, name: &DocumentName) -> Result<Option<StoredDocument>, StoreError> {
        self.load_with(name, self.snapshot(name))
    }

    /// The same, given the result of reading its snapshot.
    pub(crate) fn load_with(
        &self,
        name: &DocumentName,
        snapshot: Result<Option<Vec<u8>>, StoreError>,
    ) -> Result<Option<StoredDocument>, StoreError> {
        let Some(whereabouts) = Whereabouts::find(&self.dir, &self.index, name)? else {
            return Ok(None);
        };
        whereabouts.read(&self.dir, snapshot?).map(Some)
    }

    /// The state that covers a document.
    pub(crate) fn snapshot(&self, name: &DocumentName) -> Result<Option<Vec<u8>>, StoreError> {
        let covered = self.index.covered(name);
        load::snapshot(name, covered, |generation| self.snapshots.get(name, generation, Some(covered)))
    }

    /// Fails if a process has meanwhile opened a store that had never been opened before.
    pub(crate) fn check_alone(&self) -> Result<(), StoreError> {
        if self.lock.is_none() && disk::lock_shared(&self.dir.path)?.is_some() {
            let holder = "a process that was started meanwhile".to_owned();
            return Err(StoreError::InUse { path: self.dir.path.clone(), holder });
        }
        Ok(())
    }
}

/// The snapshots in segments, and those of an earlier version.
struct ReadSnapshots {
    segments: Option<Snapshots>,
    /// Each copy is removed after it is closed.
    earlier: Vec<(Earlier, Copy)>,
    /// Why some snapshots of an earlier version cannot be read.
    unreadable: Option<String>,
}

impl ReadSnapshots {
    fn open(dir: &StoreDir, options: &ReadOptions) -> Result<Self, StoreError> {
        let snapshots = dir.child(SNAPSHOTS_DIR);
        let listed = |error| StoreError::io("list", &dir.path)(error);
        let segments =
            snapshots.exists().map_err(listed)?.then(|| Snapshots::open_to_read(snapshots)).transpose()?;
        let (mut earlier, mut unreadable) = (Vec::new(), None);
        for path in earlier::directories(dir).map_err(listed)? {
            let opened = scratch(options).and_then(|scratch| {
                let copy = Copy::of(&path, scratch)?;
                Ok((Earlier::open(&copy.path)?, copy))
            });
            match opened {
                Ok(opened) => earlier.push(opened),
                Err(SnapshotError::Unreadable(reason)) => unreadable = Some(reason),
                Err(source) => return Err(StoreError::Snapshots { path, source }),
            }
        }
        Ok(Self { segments, earlier, unreadable })
    }

    /// Why there are no readable snapshots, if so.
    fn lost(&self) -> Option<String> {
        match &self.unreadable {
            Some(reason) if self.earlier.is_empty() => Some(reason.clone()),
            None if self.segments.is_none() && self.earlier.is_empty() => Some("they are missing".to_owned()),
            _ => None,
        }
    }

    /// The snapshot of that generation; one of an earlier version only if it is from the checkpoint that covers the document.
    fn get(
        &self,
        name: &DocumentName,
        generation: u64,
        covered: Option<Covered>,
    ) -> Result<Option<Snapshot>, SnapshotError> {
        let found = self.segments.as_ref().map_or(Ok(None), |segments| segments.get(name, generation));
        if matches!(found, Ok(Some(_))) {
            return found;
        }
        let earlier =
            self.earlier.iter().filter_map(|(earlier, _)| earlier.get(name, generation).ok().flatten());
        let mut by = earlier.filter(|snapshot| covered.is_none_or(|covered| snapshot.is_from(&covered)));
        by.next().map_or(found, |snapshot| Ok(Some(snapshot)))
    }

    /// Every document with the highest generation that exists.
    fn list(&self) -> Result<Vec<(DocumentName, u64)>, SnapshotError> {
        let mut latest: BTreeMap<DocumentName, u64> = BTreeMap::new();
        let mut all: Vec<_> = self.segments.as_ref().map_or(Ok(Vec::new()), Snapshots::list)?;
        for (earlier, _) in &self.earlier {
            all.extend(earlier.list()?);
        }
        for (name, generation) in all {
            let highest = latest.entry(name).or_default();
            *highest = generation.max(*highest);
        }
        Ok(latest.into_iter().collect())
    }
}

/// A name for a copy.
fn scratch(options: &ReadOptions) -> Result<PathBuf, SnapshotError> {
    let tag = getrandom::u64().map_err(io::Error::other)?;
    Ok(options.scratch.join(format!("coscribe-verify-{tag:016x}")))
}
