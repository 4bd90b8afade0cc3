//! The file system of the operating system.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{Disk, DiskFile, DiskLock};
use crate::error::StoreError;

/// The name of the lock file in the directory of a store.
const LOCK_FILE: &str = "lock";

/// The file system of the operating system; the default.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemDisk;

#[derive(Debug)]
struct SystemFile(File);

impl Disk for SystemDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        create_dir(dir)
    }

    fn lock(&self, dir: &Path) -> Result<DiskLock, StoreError> {
        lock_exclusive(dir).map(|file| Box::new(file) as DiskLock)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path())).collect()
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(SystemFile(File::open(path)?)))
    }

    fn open_to_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut file = OpenOptions::new().write(true).open(path)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Box::new(SystemFile(file)))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(SystemFile(OpenOptions::new().write(true).create_new(true).open(path)?)))
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
        self.0.write_all(bytes)
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.0.set_len(len)?;
        self.0.seek(SeekFrom::Start(len)).map(drop)
    }

    /// `fdatasync`, which includes the length.
    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// Takes the lock of a store for as long as the file is open, and leaves the process id in it.
fn lock_exclusive(dir: &Path) -> Result<File, StoreError> {
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
