//! A disk in memory that may lose the same in a power failure as a real one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::synced_map::{Choose, SyncedMap};
use super::{Disk, DiskFile, DiskLock};
use crate::error::StoreError;

/// The unit that a disk writes atomically.
const SECTOR_BYTES: usize = 512;
/// The unit in which a file system writes.
const PAGE_BYTES: usize = 4096;

/// A disk in memory, for tests. A clone is the same disk.
///
/// It tracks what was synced, for the content of each file and for the names in each directory, and [`MemoryDisk::crash`] returns
/// one of the disks that a power loss may leave. It is deterministic: the calls and the seed decide everything, to the byte.
#[derive(Clone)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
}

struct State {
    directories: BTreeMap<PathBuf, SyncedMap<OsString, Contents>>,
    /// Directories of the stores that are open.
    locked: BTreeSet<PathBuf>,
    /// The state of the random number generator.
    random: u64,
    /// How many changes will still succeed; `None` for all.
    left: Option<u64>,
    /// Whether a change has failed.
    failed: bool,
}

/// The content of a file, shared by its names and its open handles.
type Contents = Arc<Mutex<Content>>;

#[derive(Debug, Clone, Default)]
struct Content {
    bytes: Vec<u8>,
    /// How many of the first bytes were synced.
    synced: usize,
    /// Bytes after those that had been synced, and have been cut off since.
    cut: Vec<u8>,
}

#[derive(Debug)]
struct MemoryFile {
    content: Contents,
    disk: MemoryDisk,
}

/// Unlocks the directory when it is dropped.
struct Lock {
    disk: MemoryDisk,
    dir: PathBuf,
}

impl MemoryDisk {
    /// An empty disk. The markers of segments follow from the seed.
    pub fn new(seed: u64) -> Self {
        Self::with(BTreeMap::new(), seed)
    }

    /// The disk that a power loss now may leave, as a separate one; this one does not change, and open handles go on writing to
    /// it. Everything that was synced is there. Of the bytes appended to a file since, a prefix of any length is there, with
    /// zeros in place of any sector or page; a file that was truncated may have its old length; and each name that was created,
    /// changed or removed may be as before. `choose` decides between these.
    pub fn crash(&self, choose: Choose<'_>) -> Self {
        let state = self.lock_state();
        let directories = state.directories.iter().map(|(path, directory)| {
            let names = directory.after_power_loss(&mut *choose).into_iter().map(|(name, contents)| {
                let content = lock(&contents).after_power_loss(&mut *choose);
                (name, Arc::new(Mutex::new(content)))
            });
            (path.clone(), SyncedMap::durable(names.collect()))
        });
        Self::with(directories.collect(), state.random)
    }

    /// The disk that a killed process leaves, as a separate one: every write is there, but a later power loss may still undo
    /// those that were not synced. This one does not change.
    pub fn kill(&self) -> Self {
        let state = self.lock_state();
        // A file may have two names: the synced one, and a newer one.
        let mut copies: HashMap<*const Mutex<Content>, Contents> = HashMap::new();
        let mut copy = |contents: &Contents| {
            let copy = copies.entry(Arc::as_ptr(contents));
            Arc::clone(copy.or_insert_with(|| Arc::new(Mutex::new(lock(contents).clone()))))
        };
        let directories = state.directories.iter();
        let directories = directories.map(|(path, directory)| (path.clone(), directory.map(&mut copy)));
        Self::with(directories.collect(), state.random)
    }

    /// Lets this many further changes succeed (a file created, written, truncated or synced; a name changed, removed or synced).
    /// All later ones are errors; the first of them is half done if it is a write. Then [`MemoryDisk::crash`] and
    /// [`MemoryDisk::kill`] return what is left after a power loss or a kill at that moment.
    pub fn fail_after(&self, changes: u64) {
        self.lock_state().left = Some(changes);
    }

    fn with(directories: BTreeMap<PathBuf, SyncedMap<OsString, Contents>>, random: u64) -> Self {
        let state = State { directories, locked: BTreeSet::new(), random, left: None, failed: false };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn lock_state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn file(&self, content: &Contents) -> Box<dyn DiskFile> {
        Box::new(MemoryFile { content: Arc::clone(content), disk: self.clone() })
    }
}

impl State {
    /// Whether the next change succeeds.
    fn attempt(&mut self) -> io::Result<()> {
        match &mut self.left {
            Some(0) => {
                self.failed = true;
                Err(io::Error::other("the disk in memory has failed, as it was asked to"))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn directory(&mut self, path: &Path) -> io::Result<&mut SyncedMap<OsString, Contents>> {
        self.directories.get_mut(path).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn find(&mut self, path: &Path) -> io::Result<Contents> {
        let (dir, name) = split(path)?;
        self.directory(dir)?.now().get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for MemoryDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.lock_state();
        if !state.directories.contains_key(dir) {
            state.attempt()?;
            state.directories.insert(dir.to_owned(), SyncedMap::default());
        }
        Ok(())
    }

    fn lock(&self, dir: &Path) -> Result<DiskLock, StoreError> {
        if !self.lock_state().locked.insert(dir.to_owned()) {
            return Err(StoreError::InUse { path: dir.to_owned(), holder: "this process".to_owned() });
        }
        Ok(Box::new(Lock { disk: self.clone(), dir: dir.to_owned() }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(self.lock_state().directory(dir)?.now().keys().map(|name| dir.join(name)).collect())
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.file(&self.lock_state().find(path)?))
    }

    fn open_to_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.open(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let (dir, name) = split(path)?;
        let mut state = self.lock_state();
        if state.directory(dir)?.now().contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.attempt()?;
        let content = Contents::default();
        state.directory(dir)?.change(vec![(name.to_owned(), Some(Arc::clone(&content)))]);
        Ok(self.file(&content))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let ((from_dir, from_name), (dir, name)) = (split(from)?, split(to)?);
        if from_dir != dir {
            return Err(io::ErrorKind::CrossesDevices.into());
        }
        let mut state = self.lock_state();
        let content = state.find(from)?;
        state.attempt()?;
        state.directory(dir)?.change(vec![(from_name.to_owned(), None), (name.to_owned(), Some(content))]);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let (dir, name) = split(path)?;
        let mut state = self.lock_state();
        state.find(path)?;
        state.attempt()?;
        state.directory(dir)?.change(vec![(name.to_owned(), None)]);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.lock_state();
        state.attempt()?;
        state.directory(dir)?.sync();
        Ok(())
    }

    /// SplitMix64 (Steele, Lea and Flood, 2014).
    fn random(&self) -> io::Result<u64> {
        let mut state = self.lock_state();
        state.random = state.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state.random ^ state.random >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        Ok(mixed ^ mixed >> 31)
    }
}

impl DiskFile for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.content).bytes.len() as u64)
    }

    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let content = lock(&self.content);
        let found = usize::try_from(offset).ok().and_then(|offset| content.bytes.get(offset..));
        let found = found.and_then(|found| found.get(..bytes.len())).ok_or(io::ErrorKind::UnexpectedEof)?;
        bytes.copy_from_slice(found);
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.lock_state();
        let failed_before = state.failed;
        let done = state.attempt();
        let written = if done.is_ok() { bytes.len() } else { bytes.len() / 2 };
        if !failed_before {
            lock(&self.content).bytes.extend_from_slice(&bytes[..written]);
        }
        done
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.disk.lock_state().attempt()?;
        lock(&self.content).set_len(len);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.lock_state().attempt()?;
        let mut content = lock(&self.content);
        content.synced = content.bytes.len();
        content.cut.clear();
        Ok(())
    }

    fn is_at(&self, path: &Path) -> io::Result<bool> {
        match self.disk.lock_state().find(path) {
            Ok(found) => Ok(Arc::ptr_eq(&found, &self.content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Content {
    fn set_len(&mut self, len: usize) {
        if len < self.synced {
            self.cut.splice(..0, self.bytes[len..self.synced].iter().copied());
            self.synced = len;
        }
        self.bytes.resize(len, 0);
    }

    fn after_power_loss(&self, choose: Choose<'_>) -> Self {
        let (synced, unsynced) = self.bytes.split_at(self.synced);
        let mut bytes = synced.to_vec();
        if !self.cut.is_empty() && choose(2) == 0 {
            bytes.extend_from_slice(&self.cut);
        } else if !unsynced.is_empty() {
            let kept = usize::try_from(choose(unsynced.len() as u64 + 1)).expect("no more than there is");
            bytes.extend_from_slice(&unsynced[..kept]);
            let block = if choose(2) == 0 { SECTOR_BYTES } else { PAGE_BYTES };
            punch_holes(&mut bytes, self.synced, block, choose);
        }
        Self { synced: bytes.len(), bytes, cut: Vec::new() }
    }
}

/// Puts zeros in place of some blocks from `start` on, as if later ones had been written but not these.
fn punch_holes(bytes: &mut [u8], mut start: usize, block: usize, choose: Choose<'_>) {
    while start < bytes.len() {
        let end = (start + 1).next_multiple_of(block).min(bytes.len());
        if choose(4) == 0 {
            bytes[start..end].fill(0);
        }
        start = end;
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.disk.lock_state().locked.remove(&self.dir);
    }
}

impl fmt::Debug for MemoryDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryDisk").finish_non_exhaustive()
    }
}

fn split(path: &Path) -> io::Result<(&Path, &OsStr)> {
    path.parent().zip(path.file_name()).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder of this lock panics")
}
