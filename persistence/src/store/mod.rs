//! The store: the log and the snapshots together.

mod checkpoint;
mod moving;
mod options;
mod recovery;
mod salvage;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub use self::checkpoint::Checkpoint;
pub use self::options::StoreOptions;
use self::recovery::Opened;
pub use self::recovery::{Recovery, TornTail};
pub use self::salvage::{Missing, Salvage};
use crate::catalog::Catalog;
use crate::disk::{DiskLock, StoreDir};
use crate::error::{POISONED, SnapshotError, StoreError};
use crate::index::Index;
use crate::limits::{MAX_BATCH_BYTES, MAX_PAYLOAD_BYTES, MAX_SUBJECT_BYTES};
use crate::load::{self, StoredDocument, Whereabouts};
use crate::log::{Log, NewRecord};
use crate::name::DocumentName;
use crate::segment::tail::AppendError;
use crate::snapshots::{SNAPSHOTS_DIR, Snapshots};

/// A file that is written to see whether there is room.
const PROBE_FILE: &str = "probe";

/// Documents on disk. All methods may be called from any thread; [`Store::append`] and [`Store::checkpoint`] block until the
/// disk has answered.
pub struct Store {
    pub(crate) dir: StoreDir,
    pub(crate) options: StoreOptions,
    /// Held while the log and the catalog are written.
    writer: Mutex<Writer>,
    /// Held during a checkpoint or a deletion: only they change what covers a document. Taken before `writer`.
    pub(crate) covering: Mutex<()>,
    /// Changed only under `writer`, and never locked for writing while waiting for the disk. Taken last.
    index: RwLock<Index>,
    pub(crate) snapshots: Snapshots,
    /// The first failure of the log or the catalog; it latches, and nothing more is written.
    failure: OnceLock<String>,
    /// Why the last checkpoint failed, if it did.
    pub(crate) snapshot_failure: Mutex<Option<String>>,
    /// Held as long as the store is open.
    _lock: DiskLock,
}

/// The files that are written to, by one call at a time.
pub(crate) struct Writer {
    pub(crate) log: Log,
    pub(crate) catalog: Catalog,
}

impl Store {
    /// Whether there is a store in `dir`, open or not.
    pub fn exists(dir: &Path) -> bool {
        crate::disk::is_store(dir)
    }

    /// Opens the store in `dir`, or creates it, and repairs the consequences of a crash. Fails with [`StoreError::InUse`] while
    /// another process (or another `Store`) has it open.
    pub fn open(dir: &Path, options: StoreOptions) -> Result<(Self, Recovery), StoreError> {
        options.disk.create_dir(dir).map_err(StoreError::io("create", dir))?;
        let lock = options.disk.lock(dir)?;
        let dir = StoreDir::new(dir, Arc::clone(&options.disk), options.faults.clone());
        let Opened { index, log, catalog, snapshots, torn, mut recovery } = recovery::open(&dir, &options)?;
        let store = Self {
            dir,
            options,
            writer: Mutex::new(Writer { log, catalog }),
            covering: Mutex::default(),
            index: RwLock::new(index),
            snapshots,
            failure: OnceLock::new(),
            snapshot_failure: Mutex::default(),
            _lock: lock,
        };
        if let (Some(torn), Some(tail)) = (torn, &mut recovery.torn) {
            let (rescued, dropped) = torn.rescue(&store.index());
            (tail.rescued, tail.dropped) = (rescued.len(), dropped);
            store.append(&rescued)?;
        }
        if !recovery.snapshots_lost {
            store.retire(&mut store.writer())?;
        }
        store.describe(&mut recovery);
        Ok((store, recovery))
    }

    fn describe(&self, recovery: &mut Recovery) {
        let index = self.index();
        recovery.documents = index.len();
        recovery.records = index.segments.values().map(|segment| segment.live).sum();
        recovery.segments = index.segments.len();
        recovery.unreadable = index.unreadable(recovery.snapshots_lost);
    }

    /// The stored parts of a document; `None` if there are none. A document that cannot be read, even in part, is an error: see
    /// [`Store::salvage`].
    pub fn load(&self, name: &DocumentName) -> Result<Option<StoredDocument>, StoreError> {
        loop {
            let Some(whereabouts) = Whereabouts::find(&self.dir, &self.index(), name)? else {
                return Ok(None);
            };
            let covered = whereabouts.covered;
            match load::snapshot(name, covered, |generation| self.snapshots.get(name, generation)) {
                Ok(snapshot) => return whereabouts.read(&self.dir, snapshot).map(Some),
                // A checkpoint has replaced it meanwhile.
                Err(_) if self.index().covered(name) != covered => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes all records with one write and syncs them with one `fdatasync`: when it returns `Ok` they are on disk.
    ///
    /// A record that is too large or out of order is refused before anything is written. If a write fails, as on a full disk
    /// ([`StoreError::Scarce`]), everything written is cut off again, and a later call may succeed. After a failed sync
    /// every later call fails, because the content of the disk is unknown. Every later call also fails once the name of the
    /// log no longer belongs to its file.
    pub fn append(&self, records: &[NewRecord<'_>]) -> Result<(), StoreError> {
        if records.is_empty() {
            return Ok(());
        }
        let mut writer = self.writer();
        self.check_failure()?;
        self.check_records(records)?;
        if writer.log.is_full() {
            self.roll(&mut writer)?;
        }
        let refs =
            writer.log.append(records, false).map_err(|error| self.not_appended("write the log", error))?;
        self.check_place(&writer)?;
        let mut index = self.index_mut();
        for (record, position) in records.iter().zip(refs) {
            index.add(record.name, position, false);
        }
        Ok(())
    }

    fn check_records(&self, records: &[NewRecord<'_>]) -> Result<(), StoreError> {
        let index = self.index();
        let mut next: HashMap<&DocumentName, u64> = HashMap::new();
        for NewRecord { name, sequence, subject, payload, .. } in records {
            check_size("a subject", subject.len(), MAX_SUBJECT_BYTES)?;
            check_size("an update", payload.len(), MAX_PAYLOAD_BYTES)?;
            let next = next.entry(name).or_insert_with(|| index.last_sequence(name).saturating_add(1));
            if *next != *sequence {
                return Err(StoreError::OutOfOrder {
                    name: (*name).clone(),
                    expected: *next,
                    found: *sequence,
                });
            }
            *next = next.saturating_add(1);
        }
        check_size("a batch", records.iter().map(NewRecord::encoded_len).sum(), MAX_BATCH_BYTES)
    }

    /// Whether everything in the log is before an end mark.
    pub fn is_marked(&self) -> bool {
        self.writer().log.is_marked()
    }

    /// Ends the log with a mark, unless it does so already: damage before it is then told from what a crash leaves, and no document
    /// passes for a smaller one because its last record is damaged. To be called when nothing was written for a while. It costs a sync.
    /// Fails like [`Store::append`].
    pub fn mark(&self) -> Result<(), StoreError> {
        let mut writer = self.writer();
        self.check_failure()?;
        writer.log.mark().map_err(|error| self.not_appended("write an end mark", error))
    }

    /// Every stored document, readable or not, sorted.
    pub fn names(&self) -> Vec<DocumentName> {
        self.index().names()
    }

    /// Whether anything is stored under this name, readable or not.
    pub fn contains(&self, name: &DocumentName) -> bool {
        self.index().contains(name)
    }

    /// Documents with live records in the log, sorted. After a start they are to be checkpointed in the background.
    pub fn uncheckpointed(&self) -> Vec<DocumentName> {
        self.index().uncheckpointed()
    }

    /// Why nothing can be written any more, in words; `None` while all is well.
    pub fn failure(&self) -> Option<String> {
        self.failure.get().cloned()
    }

    /// Why the last checkpoint failed, if it did. The log still has the records that it would have covered.
    pub fn checkpoint_failure(&self) -> Option<String> {
        self.snapshot_failure().clone()
    }

    /// Why sled is no longer used to find snapshots, if it is not. They are found all the same.
    pub fn index_failure(&self) -> Option<&str> {
        self.snapshots.index_failure()
    }

    /// Bytes of a document's live records in the log.
    pub fn log_bytes(&self, name: &DocumentName) -> u64 {
        self.index().log_bytes(name)
    }

    /// The highest sequence that is stored of a document, also of an unreadable one; 0 if nothing is. A checkpoint with
    /// this sequence replaces everything.
    pub fn last_sequence(&self, name: &DocumentName) -> u64 {
        self.index().last_sequence(name)
    }

    /// An estimate of the memory that all documents together take in the index, in bytes.
    pub fn index_bytes(&self) -> usize {
        self.index().bytes()
    }

    /// Fails if the directory was removed or replaced while the store is open: writes would be lost with the process.
    pub fn check_directory(&self) -> Result<(), StoreError> {
        self.check_failure()?;
        self.check_place(&self.writer())
    }

    fn check_place(&self, writer: &Writer) -> Result<(), StoreError> {
        let gone = || io::Error::new(io::ErrorKind::NotFound, "it was removed or replaced");
        let in_place = writer.log.is_in_place().and_then(|is| if is { Ok(()) } else { Err(gone()) });
        match in_place {
            // It is looked at again within a second.
            Err(error) if StoreError::is_scarce(&error) => Ok(()),
            in_place => in_place.map_err(|error| self.fail("find the log", &error)),
        }
    }

    /// Whether there is room for this many bytes now: they are written and removed again.
    pub fn has_room(&self, bytes: usize) -> bool {
        let path = self.dir.join(PROBE_FILE);
        let write = || {
            self.dir.clear(&path)?;
            let mut file = self.dir.disk.create(&path)?;
            file.append(&vec![0; bytes])?;
            file.sync()
        };
        let written = write();
        self.dir.clear(&path).and(written).is_ok()
    }

    pub(crate) fn roll(&self, writer: &mut Writer) -> Result<(), StoreError> {
        let is_live = self.index().segments.get(&writer.log.number()).is_some_and(|segment| segment.live > 0);
        match if is_live { writer.log.mark() } else { Ok(()) } {
            // Without a mark it can be read as well.
            Ok(()) | Err(AppendError::Undone(_)) => {}
            Err(error) => return Err(self.not_appended("write an end mark", error)),
        }
        let (closed, bytes) = (writer.log.number(), writer.log.len());
        writer.log.roll().map_err(|error| self.not_appended("start a new segment", error))?;
        self.index_mut().segments.entry(closed).and_modify(|segment| segment.bytes = bytes);
        self.index_mut().segments.insert(writer.log.number(), writer.log.segment());
        Ok(())
    }

    pub(crate) fn check_failure(&self) -> Result<(), StoreError> {
        self.failure.get().map_or(Ok(()), |reason| Err(StoreError::Failed { reason: reason.clone() }))
    }

    pub(crate) fn not_appended(&self, action: &'static str, error: AppendError) -> StoreError {
        match error {
            AppendError::Undone(source) => StoreError::Scarce { action, path: self.dir.path.clone(), source },
            AppendError::Unknown(error) => self.fail(action, &error),
        }
    }

    pub(crate) fn fail(&self, action: &str, error: &io::Error) -> StoreError {
        let reason =
            self.failure.get_or_init(|| format!("could not {action} in {:?}: {error}", self.dir.path));
        StoreError::Failed { reason: reason.clone() }
    }

    pub(crate) fn fail_snapshots(&self, source: SnapshotError) -> StoreError {
        let path = self.dir.join(SNAPSHOTS_DIR);
        *self.snapshot_failure() = Some(format!("the snapshots in {path:?}: {source}"));
        StoreError::Snapshots { path, source }
    }

    pub(crate) fn snapshot_failure(&self) -> MutexGuard<'_, Option<String>> {
        self.snapshot_failure.lock().expect(POISONED)
    }

    /// Panics if a writer has panicked: nothing may build on half-done work.
    pub(crate) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().expect(POISONED)
    }

    pub(crate) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().expect(POISONED)
    }

    pub(crate) fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().expect(POISONED)
    }
}

impl Drop for Store {
    /// Ends the log with a mark and gives back the space that is reserved. After a failure the content of the disk is unknown, and left
    /// as it is.
    fn drop(&mut self) {
        if self.failure.get().is_none()
            && let Ok(writer) = self.writer.get_mut()
            && !matches!(writer.log.mark(), Err(AppendError::Unknown(_)))
        {
            // If it fails, the next start does it.
            let _ = writer.log.release();
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("dir", &self.dir.path)
            .field("failure", &self.failure())
            .finish_non_exhaustive()
    }
}

pub(crate) fn check_size(what: &'static str, bytes: usize, limit: usize) -> Result<(), StoreError> {
    if bytes <= limit { Ok(()) } else { Err(StoreError::TooLarge { what, bytes, limit }) }
}
