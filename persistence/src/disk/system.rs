//! The file system of the operating system.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use super::{Disk, DiskFile, DiskLock};
use crate::error::StoreError;
use crate::limits::{OPENED_AGAIN_AFTER, OPENED_WITHIN, WRITTEN_BYTES};

/// The name of the lock file in the directory of a store.
const LOCK_FILE: &str = "lock";

/// Directories that are made are for the server's user only, and so are files: documents are in them.
#[cfg(unix)]
const PRIVATE_DIR: u32 = 0o700;
#[cfg(unix)]
const PRIVATE_FILE: u32 = 0o600;

/// The file system of the operating system; the default.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemDisk;

#[derive(Debug)]
struct SystemFile(File);

impl Disk for SystemDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, PRIVATE_DIR);
        builder.recursive(true).create(dir)?;
        sync_parent(dir)
    }

    fn lock(&self, dir: &Path) -> Result<DiskLock, StoreError> {
        lock_exclusive(dir).map(|file| Box::new(file) as DiskLock)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        opened(|| fs::read_dir(dir))?.map(|entry| entry.map(|entry| entry.path())).collect()
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(SystemFile(opened(|| File::open(path))?)))
    }

    fn open_to_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut file = opened(|| OpenOptions::new().write(true).open(path))?;
        file.seek(SeekFrom::End(0))?;
        Ok(Box::new(SystemFile(file)))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(SystemFile(opened(|| private().write(true).create_new(true).open(path))?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        sync_dir(dir)
    }

    fn random(&self) -> io::Result<u64> {
        getrandom::u64().map_err(io::Error::other)
    }
}

impl DiskFile for SystemFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.0.seek(SeekFrom::Start(offset))?;
        self.0.read_exact(bytes)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        bytes.chunks(WRITTEN_BYTES).try_for_each(|part| self.0.write_all(part))
    }

    fn reserve(&mut self, len: u64) -> io::Result<()> {
        let end = self.len()?;
        reserve(&self.0, end, len.saturating_sub(end))
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.0.set_len(len)?;
        self.0.seek(SeekFrom::Start(len)).map(drop)
    }

    /// `fdatasync`, which includes the length.
    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn is_at(&self, path: &Path) -> io::Result<bool> {
        match identities(&self.0, path) {
            Ok([this, named]) => Ok(this == named),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The result of opening something. Where the process or the system has no descriptor or no memory for it, others give some back
/// sooner or later, and nothing has happened yet: it is tried again for a while.
fn opened<T>(open: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let deadline = Instant::now() + OPENED_WITHIN;
    loop {
        match open() {
            Err(error) if StoreError::is_scarce(&error) && Instant::now() < deadline => {
                thread::sleep(OPENED_AGAIN_AFTER);
            }
            opened => return opened,
        }
    }
}

/// How a file is opened that may not be there yet.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, PRIVATE_FILE);
    options
}

/// Whether a store was ever opened in a directory.
pub(crate) fn is_store(dir: &Path) -> bool {
    dir.join(LOCK_FILE).is_file()
}

#[cfg(target_os = "linux")]
fn reserve(file: &File, offset: u64, bytes: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    let reserve = || fallocate(file, FallocateFlags::empty(), offset, bytes);
    rustix::io::retry_on_intr(reserve).map_err(io::Error::from)
}

#[cfg(not(target_os = "linux"))]
fn reserve(_file: &File, _offset: u64, _bytes: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Device and inode of a file that is open, and of one with a name. Its times are not asked for: from Linux 6.13 on, the next
/// write would set them anew then, and the next sync would cost as much as if the file had grown.
#[cfg(target_os = "linux")]
fn identities(file: &File, path: &Path) -> io::Result<[(u64, u64); 2]> {
    use rustix::fs::{AtFlags, CWD, Statx, StatxFlags, makedev, statx};
    use rustix::io::Errno;
    let identity = |found: Statx| (makedev(found.stx_dev_major, found.stx_dev_minor), found.stx_ino);
    let one = statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::INO);
    let other = one.and_then(|one| Ok([one, statx(CWD, path, AtFlags::empty(), StatxFlags::INO)?]));
    match other {
        // Before Linux 4.11, or not allowed in a container.
        Err(Errno::NOSYS | Errno::PERM) => identities_with_times(file, path),
        found => Ok(found?.map(identity)),
    }
}

#[cfg(all(unix, not(target_os = "linux")))]
use identities_with_times as identities;

#[cfg(unix)]
fn identities_with_times(file: &File, path: &Path) -> io::Result<[(u64, u64); 2]> {
    use std::os::unix::fs::MetadataExt;
    Ok([file.metadata()?, fs::metadata(path)?].map(|found| (found.dev(), found.ino())))
}

/// An open file cannot be removed.
#[cfg(not(unix))]
fn identities(_file: &File, path: &Path) -> io::Result<[(u64, u64); 2]> {
    fs::metadata(path).map(|_| [(0, 0); 2])
}

/// A file whose lock, if any, is released on drop. Closing the file would not do: a child process that is being started has a
/// copy of every file for a moment, and the lock would stay until that is closed as well.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // If it fails, the lock goes when the last copy is closed.
        let _ = self.0.unlock();
    }
}

/// Takes the lock of a store, and leaves the process id in its file.
fn lock_exclusive(dir: &Path) -> Result<Lock, StoreError> {
    let path = dir.join(LOCK_FILE);
    let file = private().read(true).write(true).create(true).truncate(false).open(&path);
    let mut lock = file.map(Lock).map_err(StoreError::io("open the lock file", &path))?;
    resolve(lock.0.try_lock(), &mut lock.0, dir)?;
    let holder = std::process::id().to_string();
    let write = |file: &mut File| file.set_len(0).and_then(|()| file.write_all(holder.as_bytes()));
    write(&mut lock.0).map_err(StoreError::io("write", &path))?;
    Ok(lock)
}

/// Makes sure that no process has the store open, and that none opens it while the lock is held, without creating or
/// changing a file. `None` if there is no lock file.
pub(crate) fn lock_shared(dir: &Path) -> Result<Option<Lock>, StoreError> {
    let path = dir.join(LOCK_FILE);
    let mut lock = match File::open(&path) {
        Ok(file) => Lock(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io("open the lock file", &path)(error)),
    };
    resolve(lock.0.try_lock_shared(), &mut lock.0, dir)?;
    Ok(Some(lock))
}

/// Whether any process has a file locked.
pub(crate) fn is_locked(path: &Path) -> bool {
    let outcome = File::open(path).map(Lock).map(|lock| lock.0.try_lock());
    matches!(outcome, Ok(Err(TryLockError::WouldBlock)))
}

fn resolve(outcome: Result<(), TryLockError>, file: &mut File, dir: &Path) -> Result<(), StoreError> {
    match outcome {
        Ok(()) => Ok(()),
        // A reader does not write its id; the one in the file is an earlier holder's.
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
    if cfg!(unix) { opened(|| File::open(dir))?.sync_all() } else { Ok(()) }
}

/// Creates `dir`, and makes its existence durable.
pub(crate) fn create_dir(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    sync_parent(dir)
}

fn sync_parent(dir: &Path) -> io::Result<()> {
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => Ok(()),
    }
}

/// Copies a directory with everything in it.
pub(crate) fn copy_dir(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
