//! The file system, as far as the log and the catalog need it: the system's, or one in memory that can lose power. Also the hook
//! through which tests make a step fail.

mod memory;
mod synced_map;
mod system;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use memory::MemoryDisk;
pub use synced_map::Choose;
pub use system::SystemDisk;
pub(crate) use system::{Lock, copy_dir, create_dir, is_locked, is_store, lock_shared, sync_dir};

use crate::error::StoreError;
use crate::limits::COPIED_BYTES;

/// The file system operations that a store needs.
///
/// A write to a file is durable after [`DiskFile::sync`], and a file's name after [`Disk::sync_dir`]. Until then both are visible
/// to other handles, and a power loss may undo them, in any order.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Creates `dir` if it does not exist, and makes its existence durable.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes the lock of the store in `dir`. [`StoreError::InUse`] while somebody else has it.
    fn lock(&self, dir: &Path) -> Result<DiskLock, StoreError>;

    /// The paths of everything in `dir`, in any order.
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;

    /// Opens a file for reading.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file for writing at its end.
    fn open_to_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Creates a file for writing; an error if the name is taken.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Renames a file within its directory, atomically. A file that had the new name is replaced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Open handles can still read it.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names that were created, changed and removed in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// An unguessable number, for the marker of a segment.
    fn random(&self) -> io::Result<u64>;
}

/// An open file: for reading, or for writing one part after the other.
#[expect(clippy::len_without_is_empty, reason = "nobody asks")]
pub trait DiskFile: fmt::Debug + Send {
    /// Its length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Fills `bytes` from `offset` on; an error if the file is too short.
    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;

    /// Writes after the part before, or at the end of the file as it was opened or truncated. Not durable before
    /// [`DiskFile::sync`].
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Lengthens the file to `len` with zeros, and takes their space on the disk: writing there changes no length. Where the next
    /// part goes does not change. Not durable before [`DiskFile::sync`]. [`io::ErrorKind::Unsupported`] where there is no
    /// such call. After another error the file may be longer than before.
    fn reserve(&mut self, len: u64) -> io::Result<()>;

    /// Truncates the file; the next part goes to its new end. Not durable before [`DiskFile::sync`].
    fn set_len(&mut self, len: u64) -> io::Result<()>;

    /// Makes content and length durable.
    fn sync(&self) -> io::Result<()>;

    /// Whether this is the file that now has this name.
    fn is_at(&self, path: &Path) -> io::Result<bool>;
}

/// The lock of a store: held until this is dropped.
pub type DiskLock = Box<dyn Send + Sync>;

/// A step that changes the disk. Each is about to happen when [`Faults::before`] is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// A new segment is created.
    CreateSegment,
    /// A batch is written to the log.
    WriteLog,
    /// The log is synced.
    SyncLog,
    /// An end mark is written to the log.
    WriteMark,
    /// An end mark is synced.
    SyncMark,
    /// A snapshot is written.
    WriteSnapshot,
    /// The snapshots are synced.
    SyncSnapshots,
    /// A batch is written to the catalog.
    WriteCatalog,
    /// The catalog is synced.
    SyncCatalog,
    /// The catalog is rewritten.
    RewriteCatalog,
    /// Superseded snapshots of a document are removed.
    PruneSnapshots,
    /// A segment without live records is removed.
    RetireSegment,
}

/// Lets a test stop the store before any step: its error counts as the disk's own.
pub trait Faults: fmt::Debug + Send + Sync {
    /// Called before `step`; an `Err` fails it.
    fn before(&self, step: Step) -> io::Result<()>;
}

/// The directory of a store, on its disk.
#[derive(Debug, Clone)]
pub(crate) struct StoreDir {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) path: PathBuf,
    faults: Option<Arc<dyn Faults>>,
}

impl StoreDir {
    pub(crate) fn new(path: &Path, disk: Arc<dyn Disk>, faults: Option<Arc<dyn Faults>>) -> Self {
        Self { disk, path: path.to_owned(), faults }
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A subdirectory of this one.
    pub(crate) fn child(&self, name: &str) -> Self {
        Self { path: self.join(name), ..self.clone() }
    }

    /// Whether there is a directory here.
    pub(crate) fn exists(&self) -> io::Result<bool> {
        match self.disk.list(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            listed => listed.map(|_| true),
        }
    }

    /// The file with this number and extension.
    pub(crate) fn numbered(&self, number: u32, extension: &str) -> PathBuf {
        self.join(&format!("{number:08}.{extension}"))
    }

    /// The numbered files with this extension.
    pub(crate) fn list_numbered(&self, extension: &str) -> io::Result<BTreeMap<u32, PathBuf>> {
        let mut found = BTreeMap::new();
        for path in self.disk.list(&self.path)? {
            let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
            // Only names in our own format: `1.log` is somebody else's.
            if let Some(number) = number.filter(|&number| self.numbered(number, extension) == path) {
                found.insert(number, path);
            }
        }
        Ok(found)
    }

    /// Gives the test's faults, if there are any, a chance to fail the step.
    pub(crate) fn check(&self, step: Step) -> io::Result<()> {
        self.faults.as_ref().map_or(Ok(()), |faults| faults.before(step))
    }

    /// Makes created, renamed and removed names durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.disk.sync_dir(&self.path)
    }

    /// Removes the file that an interrupted attempt may have left.
    pub(crate) fn clear(&self, path: &Path) -> io::Result<()> {
        match self.disk.remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Copies a part of a file into another one, durably.
    pub(crate) fn keep_copy(&self, from: &Path, part: Range<u64>, copy: &Path) -> io::Result<()> {
        self.clear(copy)?;
        let (mut from, mut copy) = (self.disk.open(from)?, self.disk.create(copy)?);
        let Range { start: mut offset, end } = part;
        while offset < end {
            let bytes = COPIED_BYTES.min(end - offset);
            let mut buffer = vec![0; usize::try_from(bytes).expect("a small number")];
            from.read_at(offset, &mut buffer)?;
            copy.append(&buffer)?;
            offset += bytes;
        }
        copy.sync()?;
        self.sync()
    }
}
