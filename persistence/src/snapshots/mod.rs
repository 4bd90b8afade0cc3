//! Snapshots: the state of each document at its last checkpoint.
//!
//! They are stored in segments of records, `snapshots/00000001.states` and so on, which are written and synced like the log, and
//! trusted as little. The format of a snapshot's record is in [`record`].
//!
//! An [`index`] in sled says where each one is. It is only an index: it is rebuilt from the segments if it is missing or wrong,
//! and replaced with one in memory if sled cannot be used at all. Nothing that a crash or a full disk does to it loses a
//! document.
//!
//! A snapshot counts only once the catalog says so, after it has been written, synced and read back. One that no longer counts is
//! waste. A segment that is all waste is removed; where most bytes are waste, the snapshots that count are copied out of the most
//! wasteful segments.

mod compaction;
pub(crate) mod earlier;
mod files;
mod index;
mod record;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, RwLock};

use self::files::Files;
pub use self::index::SnapshotIndex;
use self::index::{Index, IndexError, Location, MemoryIndex};
use self::record::{PREFIX_BYTES, encode_head, split_prefix};
pub(crate) use self::record::{Snapshot, SnapshotRef};
use crate::disk::StoreDir;
use crate::error::{POISONED, SnapshotError, StoreError};
use crate::limits::COMPARED_BYTES;
use crate::name::DocumentName;
use crate::record::{Kind, Record, decode};

/// The directory of the snapshots in the directory of a store.
pub(crate) const SNAPSHOTS_DIR: &str = "snapshots";

/// The segments of the snapshots of the store in `dir`.
pub(crate) fn segments(dir: &StoreDir) -> io::Result<BTreeMap<u32, PathBuf>> {
    let dir = dir.child(SNAPSHOTS_DIR);
    if dir.exists()? { dir.list_numbered(files::EXTENSION) } else { Ok(BTreeMap::new()) }
}

/// The snapshots of a store.
pub(crate) struct Snapshots {
    dir: StoreDir,
    segment_bytes: u64,
    /// Locked before `index`.
    files: Mutex<Files>,
    index: RwLock<Box<dyn Index>>,
    /// The index has been rebuilt from all segments since it was opened: a snapshot that it lacks does not exist.
    is_complete: AtomicBool,
    /// Why sled is not used any more.
    index_failure: OnceLock<String>,
}

impl Snapshots {
    /// Opens the snapshots in `dir`, which is created if it does not exist. A segment of `segment_bytes` is closed.
    pub(crate) fn open(dir: StoreDir, kind: SnapshotIndex, segment_bytes: u64) -> Result<Self, StoreError> {
        dir.disk.create_dir(&dir.path).map_err(StoreError::io("create", &dir.path))?;
        // A killed process may have created files without syncing their names. They must not be lost once they count.
        dir.sync().map_err(StoreError::io("sync", &dir.path))?;
        let (index, failure) = index::open(kind, &dir);
        let snapshots = Self::with(dir, index, segment_bytes)?;
        if let Some(failure) = failure {
            snapshots.note_failure(&failure);
        }
        snapshots.files().continue_last(&snapshots.dir)?;
        Ok(snapshots)
    }

    /// Opens the snapshots in `dir` read-only: nothing in it is created or changed.
    pub(crate) fn open_to_read(dir: StoreDir) -> Result<Self, StoreError> {
        Self::with(dir, Box::new(MemoryIndex::default()), 0)
    }

    fn with(dir: StoreDir, index: Box<dyn Index>, segment_bytes: u64) -> Result<Self, StoreError> {
        let snapshots = Self {
            files: Mutex::new(Files::list(&dir)?),
            dir,
            segment_bytes,
            index: RwLock::new(index),
            is_complete: AtomicBool::new(false),
            index_failure: OnceLock::new(),
        };
        snapshots.catch_up()?;
        Ok(snapshots)
    }

    /// Why sled is not used any more, if it is not: the index is in memory instead.
    pub(crate) fn index_failure(&self) -> Option<&str> {
        self.index_failure.get().map(String::as_str)
    }

    /// Writes a snapshot. It replaces any leftover of the same generation. Not durable before [`Self::sync`].
    pub(crate) fn put(
        &self,
        name: &DocumentName,
        generation: u64,
        snapshot: SnapshotRef<'_>,
    ) -> Result<(), SnapshotError> {
        self.write(&mut self.files(), name, generation, snapshot)
    }

    /// Checks, byte by byte, that the snapshot on disk is this one.
    pub(crate) fn check(
        &self,
        name: &DocumentName,
        generation: u64,
        snapshot: SnapshotRef<'_>,
    ) -> Result<(), SnapshotError> {
        let location = self.find(name, generation)?.ok_or(SnapshotError::ReadBack)?;
        let marker = self.files().marker(location).ok_or(SnapshotError::ReadBack)?;
        let head = encode_head(name, generation, snapshot, marker, location.offset);
        let mut file = self.dir.disk.open(&self.dir.numbered(location.segment, files::EXTENSION))?;
        let (mut at, mut buffer) = (location.offset, vec![0; COMPARED_BYTES]);
        let parts = std::iter::once(&head[..]).chain(snapshot.state.iter().copied());
        for part in parts.flat_map(|part| part.chunks(COMPARED_BYTES)) {
            let read = &mut buffer[..part.len()];
            file.read_at(at, read)?;
            if read != part {
                return Err(SnapshotError::ReadBack);
            }
            at += part.len() as u64;
        }
        if at == location.offset + u64::from(location.len) { Ok(()) } else { Err(SnapshotError::ReadBack) }
    }

    /// The snapshot, checked against its checksum; `None` if there is none of that generation.
    pub(crate) fn get(
        &self,
        name: &DocumentName,
        generation: u64,
    ) -> Result<Option<Snapshot>, SnapshotError> {
        loop {
            let location = self.find(name, generation)?;
            let read = location.map(|location| {
                let marker = self.files().marker(location);
                self.read(marker, name, generation, location)
            });
            match read.transpose() {
                Ok(Some(snapshot)) => return Ok(Some(snapshot)),
                // It has been moved meanwhile.
                Err(_) if self.find(name, generation)? != location => {}
                // The index may be wrong: it is not trusted to say that a snapshot is missing or damaged.
                _ if self.complete()? => {}
                read => return read,
            }
        }
    }

    /// The generations that exist of a document, ascending, whether readable or not.
    pub(crate) fn generations(&self, name: &DocumentName) -> Result<Vec<u64>, SnapshotError> {
        self.complete()?;
        let all = self.with_index(&self.files(), |index| index.of(name))?;
        Ok(all.into_iter().map(|(generation, _)| generation).collect())
    }

    /// Every document with the highest generation that exists, whether readable or not.
    pub(crate) fn list(&self) -> Result<Vec<(DocumentName, u64)>, SnapshotError> {
        self.complete()?;
        self.with_index(&self.files(), |index| {
            let mut latest: Vec<(DocumentName, u64)> = Vec::new();
            index.each(&mut |name, generation, _| match latest.last_mut() {
                Some(last) if last.0 == name => last.1 = generation,
                _ => latest.push((name, generation)),
            })?;
            Ok(latest)
        })
    }

    /// Forgets all snapshots of a document but this generation.
    pub(crate) fn prune(&self, name: &DocumentName, keep: Option<u64>) -> Result<(), SnapshotError> {
        let mut files = self.files();
        for (generation, location) in self.with_index(&files, |index| index.of(name))? {
            if Some(generation) != keep {
                self.with_index(&files, |index| index.remove(name, generation))?;
                files.count_dead(Some(location));
            }
        }
        Ok(())
    }

    /// Makes every snapshot written so far durable.
    pub(crate) fn sync(&self) -> Result<(), SnapshotError> {
        let mut files = self.files();
        let synced = files.sync()?;
        self.with_index(&files, |index| index.set_mark(synced))
    }

    fn write(
        &self,
        files: &mut Files,
        name: &DocumentName,
        generation: u64,
        snapshot: SnapshotRef<'_>,
    ) -> Result<(), SnapshotError> {
        let head = |marker, batch| encode_head(name, generation, snapshot, marker, batch);
        let location = files.append(&self.dir, self.segment_bytes, head, snapshot.state)?;
        let replaced = self.with_index(files, |index| index.insert(name, generation, location))?;
        files.count_dead(replaced);
        Ok(())
    }

    /// `marker` is the segment's.
    fn read(
        &self,
        marker: Option<u64>,
        name: &DocumentName,
        generation: u64,
        location: Location,
    ) -> Result<Snapshot, SnapshotError> {
        use SnapshotError::Damaged;
        let marker = marker.ok_or(Damaged("its file is missing"))?;
        let mut file = self.dir.disk.open(&self.dir.numbered(location.segment, files::EXTENSION))?;
        let mut bytes = vec![0; location.len as usize];
        file.read_at(location.offset, &mut bytes)?;
        let record = decode(&bytes, marker).map_err(|_| Damaged("the checksum differs"))?;
        let (found, born) = split_prefix(record.payload).ok_or(Damaged("it is cut short"))?;
        if record.kind != Kind::Snapshot || record.name != name.as_str() || found != generation {
            return Err(Damaged("another snapshot is in its place"));
        }
        let Record { sequence, time, payload, .. } = record;
        let state = bytes.len() - payload.len() + PREFIX_BYTES;
        bytes.drain(..state);
        Ok(Snapshot { sequence, time, born, state: bytes })
    }

    fn find(&self, name: &DocumentName, generation: u64) -> Result<Option<Location>, SnapshotError> {
        let found = self.index.read().expect(POISONED).get(name, generation);
        // Tried first without locking the files: that lock is held for as long as the disk takes.
        found.or_else(|_| self.with_index(&self.files(), |index| index.get(name, generation)))
    }

    /// Asks the index. If sled fails, an index in memory takes its place.
    fn with_index<T>(
        &self,
        files: &Files,
        ask: impl Fn(&dyn Index) -> Result<T, IndexError>,
    ) -> Result<T, SnapshotError> {
        let asked = ask(&**self.index.read().expect(POISONED));
        asked.or_else(|error| {
            self.note_failure(&error);
            let index = MemoryIndex::default();
            files.scan(&self.dir, None, |name, generation, location| {
                Ok(index.insert(&name, generation, location).map(drop)?)
            })?;
            self.is_complete.store(true, Ordering::Release);
            *self.index.write().expect(POISONED) = Box::new(index);
            Ok(ask(&**self.index.read().expect(POISONED))?)
        })
    }

    fn note_failure(&self, error: &IndexError) {
        self.index_failure.get_or_init(|| error.to_string());
    }

    /// Indexes the snapshots that were written after the index was last synced, and counts the bytes of each segment that are in
    /// it.
    fn catch_up(&self) -> Result<(), StoreError> {
        let failed = |source| StoreError::Snapshots { path: self.dir.path.clone(), source };
        let mut files = self.files();
        let mark = self.with_index(&files, |index| index.mark()).map_err(failed)?;
        match mark.filter(|mark| files.reach(*mark)) {
            Some(mark) => self.index_from(&files, Some(mark)).map_err(failed)?,
            None => self.index_all(&files).map_err(failed)?,
        }
        let live = self.with_index(&files, |index| {
            let mut live = BTreeMap::new();
            index.each(&mut |_, _, Location { segment, len, .. }| {
                *live.entry(segment).or_default() += u64::from(len)
            })?;
            Ok(live)
        });
        files.count_live(&live.map_err(failed)?);
        Ok(())
    }

    fn index_from(&self, files: &Files, mark: Option<index::Mark>) -> Result<(), SnapshotError> {
        files.scan(&self.dir, mark, |name, generation, location| {
            self.with_index(files, |index| index.insert(&name, generation, location)).map(drop)
        })
    }

    fn index_all(&self, files: &Files) -> Result<(), SnapshotError> {
        self.with_index(files, |index| index.clear())?;
        self.index_from(files, None)?;
        self.is_complete.store(true, Ordering::Release);
        Ok(())
    }

    /// Rebuilds the index from all segments, once. True unless that was done before.
    fn complete(&self) -> Result<bool, SnapshotError> {
        if self.is_complete.load(Ordering::Acquire) {
            return Ok(false);
        }
        let files = self.files();
        if self.is_complete.load(Ordering::Acquire) {
            return Ok(true);
        }
        self.index_all(&files)?;
        Ok(true)
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().expect(POISONED)
    }
}
