//! Where each snapshot is: in sled, or in memory. Each entry is checked against the record that it points to.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::disk::{self, StoreDir};
use crate::error::{POISONED, SnapshotError};
use crate::limits::{SLED_CACHE_BYTES, SLED_RELEASE, SLED_RELEASE_POLL};
use crate::name::DocumentName;

/// sled's directory, inside the snapshots' directory.
const DIR: &str = "index";
/// The key of the mark. No document has it, since a name is not empty.
const MARK: [u8; 2] = [0; 2];

/// Where the index of the snapshots is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SnapshotIndex {
    /// In sled, in the directory of the snapshots.
    #[default]
    Sled,
    /// In memory: rebuilt from the segments each time the store is opened.
    Memory,
}

/// Where the record of a snapshot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Location {
    pub(super) segment: u32,
    /// Bytes of the record.
    pub(super) len: u32,
    pub(super) offset: u64,
}

/// The place up to which all snapshots are in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) segment: u32,
    pub(super) offset: u64,
}

/// Why sled cannot be used.
#[derive(Debug)]
pub(super) enum IndexError {
    /// A file system call failed.
    Io(io::Error),
    /// It cannot be read, or has panicked.
    Unreadable(String),
}

impl From<IndexError> for SnapshotError {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Io(error) => Self::Io(error),
            IndexError::Unreadable(reason) => Self::Unreadable(reason),
        }
    }
}

impl fmt::Display for IndexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Unreadable(reason) => f.write_str(reason),
        }
    }
}

/// Locations by document and generation.
pub(super) trait Index: Send + Sync {
    /// Inserts a location, and returns the one that it replaces.
    fn insert(
        &self,
        name: &DocumentName,
        generation: u64,
        at: Location,
    ) -> Result<Option<Location>, IndexError>;
    fn remove(&self, name: &DocumentName, generation: u64) -> Result<(), IndexError>;
    fn get(&self, name: &DocumentName, generation: u64) -> Result<Option<Location>, IndexError>;
    /// All locations of a document, by generation.
    fn of(&self, name: &DocumentName) -> Result<Vec<(u64, Location)>, IndexError>;
    /// Visits all locations. The locations of one document follow each other, by generation.
    fn each(&self, visit: &mut dyn FnMut(DocumentName, u64, Location)) -> Result<(), IndexError>;
    fn clear(&self) -> Result<(), IndexError>;
    /// The last mark, if there is one.
    fn mark(&self) -> Result<Option<Mark>, IndexError>;
    /// Notes that everything before the mark is in the index; this reaches the disk some time later.
    fn set_mark(&self, mark: Mark) -> Result<(), IndexError>;
}

/// Opens an index. If sled's files are unusable, they are removed and the index starts empty; if even that fails, the index is in
/// memory, and the second value says why.
pub(super) fn open(kind: SnapshotIndex, dir: &StoreDir) -> (Box<dyn Index>, Option<IndexError>) {
    if kind == SnapshotIndex::Memory {
        return (Box::new(MemoryIndex::default()), None);
    }
    let path = dir.join(DIR);
    let again = |_| {
        // If the files cannot be removed, opening them fails and says so.
        let _ = fs::remove_dir_all(&path);
        SledIndex::open(&path)
    };
    match SledIndex::open(&path).or_else(again) {
        Ok(index) => (Box::new(index), None),
        Err(error) => (Box::new(MemoryIndex::default()), Some(error)),
    }
}

/// An index in memory: about 100 bytes for each document.
#[derive(Debug, Default)]
pub(super) struct MemoryIndex(Mutex<BTreeMap<(DocumentName, u64), Location>>);

impl MemoryIndex {
    fn map(&self) -> MutexGuard<'_, BTreeMap<(DocumentName, u64), Location>> {
        self.0.lock().expect(POISONED)
    }
}

impl Index for MemoryIndex {
    fn insert(
        &self,
        name: &DocumentName,
        generation: u64,
        at: Location,
    ) -> Result<Option<Location>, IndexError> {
        Ok(self.map().insert((name.clone(), generation), at))
    }

    fn remove(&self, name: &DocumentName, generation: u64) -> Result<(), IndexError> {
        self.map().remove(&(name.clone(), generation));
        Ok(())
    }

    fn get(&self, name: &DocumentName, generation: u64) -> Result<Option<Location>, IndexError> {
        Ok(self.map().get(&(name.clone(), generation)).copied())
    }

    fn of(&self, name: &DocumentName) -> Result<Vec<(u64, Location)>, IndexError> {
        let all = (name.clone(), 0)..=(name.clone(), u64::MAX);
        Ok(self.map().range(all).map(|((_, generation), at)| (*generation, *at)).collect())
    }

    fn each(&self, visit: &mut dyn FnMut(DocumentName, u64, Location)) -> Result<(), IndexError> {
        self.map().iter().for_each(|((name, generation), at)| visit(name.clone(), *generation, *at));
        Ok(())
    }

    fn clear(&self) -> Result<(), IndexError> {
        self.map().clear();
        Ok(())
    }

    fn mark(&self) -> Result<Option<Mark>, IndexError> {
        Ok(None)
    }

    fn set_mark(&self, _mark: Mark) -> Result<(), IndexError> {
        Ok(())
    }
}

/// An index in sled 0.34.7. A key is: length of the document name (2 bytes), name, generation (8 bytes); numbers are
/// big-endian, so that generations sort. A value is a [`Location`] as bincode writes it, with little-endian numbers of fixed
/// size.
///
/// sled panics on some damage and some disk errors, so every call is guarded and a panic becomes an error.
struct SledIndex {
    db: sled::Db,
    /// Dropped after `db`.
    _release: Release,
}

impl SledIndex {
    fn open(path: &Path) -> Result<Self, IndexError> {
        let config = || sled::Config::new().path(path).cache_capacity(SLED_CACHE_BYTES).flush_every_ms(None);
        let db = guarded(|| config().open())?;
        Ok(Self { db, _release: Release { locked: path.join("db") } })
    }
}

impl Index for SledIndex {
    fn insert(
        &self,
        name: &DocumentName,
        generation: u64,
        at: Location,
    ) -> Result<Option<Location>, IndexError> {
        let old = guarded(|| self.db.insert(key(name, generation), encode(at)))?;
        Ok(old.and_then(|old| decode(&old)))
    }

    fn remove(&self, name: &DocumentName, generation: u64) -> Result<(), IndexError> {
        guarded(|| self.db.remove(key(name, generation))).map(drop)
    }

    fn get(&self, name: &DocumentName, generation: u64) -> Result<Option<Location>, IndexError> {
        Ok(guarded(|| self.db.get(key(name, generation)))?.and_then(|value| decode(&value)))
    }

    fn of(&self, name: &DocumentName) -> Result<Vec<(u64, Location)>, IndexError> {
        let entries = guarded(|| self.db.scan_prefix(name_prefix(name)).collect::<sled::Result<Vec<_>>>())?;
        let entry = |(key, value): (sled::IVec, sled::IVec)| Some((parse_key(&key)?.1, decode(&value)?));
        Ok(entries.into_iter().filter_map(entry).collect())
    }

    fn each(&self, visit: &mut dyn FnMut(DocumentName, u64, Location)) -> Result<(), IndexError> {
        guarded(|| {
            for entry in self.db.iter() {
                let (key, value) = entry?;
                if let (Some((name, generation)), Some(at)) = (parse_key(&key), decode(&value)) {
                    visit(name, generation, at);
                }
            }
            Ok(())
        })
    }

    fn clear(&self) -> Result<(), IndexError> {
        guarded(|| self.db.clear())
    }

    fn mark(&self) -> Result<Option<Mark>, IndexError> {
        Ok(guarded(|| self.db.get(MARK))?.and_then(|value| decode(&value)))
    }

    fn set_mark(&self, mark: Mark) -> Result<(), IndexError> {
        guarded(|| self.db.insert(MARK, encode(mark)))?;
        guarded(|| self.db.flush()).map(drop)
    }
}

/// Waits on drop until sled has released its files: it goes on in the background for a moment, during which nobody else could
/// open them.
pub(super) struct Release {
    /// The file that sled locks.
    pub(super) locked: PathBuf,
}

impl Drop for Release {
    fn drop(&mut self) {
        let start = Instant::now();
        while start.elapsed() < SLED_RELEASE && disk::is_locked(&self.locked) {
            std::thread::sleep(SLED_RELEASE_POLL);
        }
    }
}

/// Runs a call into sled; a panic in it becomes an error.
pub(super) fn guarded<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, IndexError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        // An error caused by the content of the files does not pass by itself.
        Ok(Err(sled::Error::Io(error))) if !is_damage(&error) => Err(IndexError::Io(error)),
        Ok(Err(error)) => Err(IndexError::Unreadable(error.to_string())),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
            Err(IndexError::Unreadable(format!("sled panicked: {text}")))
        }
    }
}

fn is_damage(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof)
}

fn encode(value: impl Serialize) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, encoding()).expect("numbers can be encoded")
}

fn decode<T: for<'a> Deserialize<'a>>(value: &[u8]) -> Option<T> {
    bincode::serde::decode_from_slice(value, encoding()).ok().map(|(value, _)| value)
}

fn encoding() -> impl bincode::config::Config {
    bincode::config::standard().with_fixed_int_encoding().with_little_endian()
}

pub(super) fn name_prefix(name: &DocumentName) -> Vec<u8> {
    let len = u16::try_from(name.as_str().len()).expect("names are at most 1024 bytes");
    [&len.to_be_bytes(), name.as_str().as_bytes()].concat()
}

pub(super) fn key(name: &DocumentName, generation: u64) -> Vec<u8> {
    [&name_prefix(name)[..], &generation.to_be_bytes()].concat()
}

/// Document and generation of a key, or of a longer one that starts like it.
pub(super) fn parse_key(key: &[u8]) -> Option<(DocumentName, u64)> {
    let (len, rest) = key.split_first_chunk::<2>()?;
    let (name, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
    let (generation, _) = rest.split_first_chunk::<8>()?;
    Some((DocumentName::from_bytes(name).ok()?, u64::from_be_bytes(*generation)))
}
