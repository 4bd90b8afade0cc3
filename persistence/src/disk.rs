//! What the file system is asked for: the lock, syncing a directory, and a place where tests let it fail.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use crate::error::StoreError;

/// The name of the lock file in the directory of a store.
const LOCK_FILE: &str = "lock";

/// A step that changes the disk. Each is about to happen when [`Faults::before`] is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// A new segment is created.
    CreateSegment,
    /// A batch is written to the log.
    WriteLog,
    /// The log is synced.
    SyncLog,
    /// A snapshot is written.
    WriteSnapshot,
    /// The snapshots are synced.
    SyncSnapshots,
    /// A batch is written to the catalog.
    WriteCatalog,
    /// The catalog is synced.
    SyncCatalog,
    /// The catalog is written anew.
    RewriteCatalog,
    /// Superseded snapshots of a document are removed.
    PruneSnapshots,
    /// A segment without live records is removed.
    RetireSegment,
}

/// Lets a test stop the store before any step: an error is taken for the disk's own.
pub trait Faults: fmt::Debug + Send + Sync {
    /// Called before `step`; an `Err` fails it.
    fn before(&self, step: Step) -> io::Result<()>;
}

/// Asks the faults of a test, if there are any.
pub(crate) fn check(faults: Option<&Arc<dyn Faults>>, step: Step) -> io::Result<()> {
    faults.map_or(Ok(()), |faults| faults.before(step))
}

/// Takes the lock of a store for as long as the file is open, and leaves the process id in it.
pub(crate) fn lock_exclusive(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join(LOCK_FILE);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(StoreError::io("open the lock file", &path))?;
    resolve(file.try_lock(), &mut file, dir)?;
    let holder = std::process::id().to_string();
    file.set_len(0)
        .and_then(|()| file.write_all(holder.as_bytes()))
        .map_err(StoreError::io("write", &path))?;
    Ok(file)
}

/// Makes sure that no process has the store open, and that none opens it while the file is open, without creating or
/// changing a file. `None` if there is no lock file.
pub(crate) fn lock_shared(dir: &Path) -> Result<Option<File>, StoreError> {
    let path = dir.join(LOCK_FILE);
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io("open the lock file", &path)(error)),
    };
    resolve(file.try_lock_shared(), &mut file, dir)?;
    Ok(Some(file))
}

fn resolve(outcome: Result<(), TryLockError>, file: &mut File, dir: &Path) -> Result<(), StoreError> {
    match outcome {
        Ok(()) => Ok(()),
        // Who only reads does not say who it is; the id in the file is that of somebody before.
        Err(TryLockError::WouldBlock) if file.try_lock_shared().is_ok() => {
            Err(StoreError::InUse { path: dir.to_owned(), holder: "a process that verifies it".to_owned() })
        }
        Err(TryLockError::WouldBlock) => {
            let mut id = String::new();
            // Only for the message: the holder may not have written its id yet.
            let known = file.take(32).read_to_string(&mut id).is_ok() && !id.trim().is_empty();
            let holder = if known { format!("process {}", id.trim()) } else { "another process".to_owned() };
            Err(StoreError::InUse { path: dir.to_owned(), holder })
        }
        Err(TryLockError::Error(error)) => Err(StoreError::io("lock", dir)(error)),
    }
}

/// Makes created, renamed and removed names in `dir` durable. Windows has no such call, and does it by itself.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}

/// Creates `dir`, and makes it durable that it exists.
pub(crate) fn create_dir(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => Ok(()),
    }
}
