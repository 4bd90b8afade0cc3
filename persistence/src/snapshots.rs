//! Where snapshots are kept: a small interface, so that sled can be replaced.
//!
//! A snapshot store is not trusted: a snapshot counts only when the catalog says so, after it was written, synced and
//! read back.

pub mod memory;
pub mod sled;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::name::DocumentName;

/// A document's full state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Records up to this sequence are in it.
    pub sequence: u64,
    /// When it was made, ms since the Unix epoch.
    pub time: u64,
    /// Position in the log before which records belong to a deleted document of the same name; opaque here.
    pub born: u64,
    /// The state: an update in v1 encoding, opaque here.
    pub state: Vec<u8>,
}

/// Why a snapshot, or all of them, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// One snapshot is damaged.
    #[error("the snapshot is damaged: {0}")]
    Damaged(&'static str),
    /// The snapshot was written by a version that this one does not know.
    #[error("the snapshot has format version {0}, which this version of coscribe does not know")]
    UnknownVersion(u8),
    /// What was read back after writing is not what was written.
    #[error("the snapshot that was read back differs from what was written")]
    ReadBack,
    /// The file system refused something. It may work later.
    #[error("the file system: {0}")]
    Io(#[from] io::Error),
    /// The store as a whole cannot be read, and trying again would not help.
    #[error("unreadable: {0}")]
    Unreadable(String),
}

/// Keeps snapshots by document and generation.
pub trait SnapshotStore: Send + Sync {
    /// Writes a snapshot, also in place of one of the same generation that was left behind. Not durable before
    /// [`SnapshotStore::sync`].
    fn put(
        &self,
        name: &DocumentName,
        generation: u64,
        snapshot: SnapshotRef<'_>,
    ) -> Result<(), SnapshotError>;

    /// The snapshot, checked against its checksum; `None` if there is none of that generation.
    fn get(&self, name: &DocumentName, generation: u64) -> Result<Option<Snapshot>, SnapshotError>;

    /// The generations that are there of a document, ascending, whether readable or not.
    fn generations(&self, name: &DocumentName) -> Result<Vec<u64>, SnapshotError>;

    /// Removes all snapshots of a document but this generation.
    fn prune(&self, name: &DocumentName, keep: Option<u64>) -> Result<(), SnapshotError>;

    /// Makes everything that was put durable.
    fn sync(&self) -> Result<(), SnapshotError>;

    /// Every document with the highest generation that is there, whether readable or not.
    fn list(&self) -> Result<Vec<(DocumentName, u64)>, SnapshotError>;
}

/// A snapshot that is to be written; fields as in [`Snapshot`].
#[derive(Debug, Clone, Copy)]
pub struct SnapshotRef<'a> {
    /// Records up to this sequence are in it.
    pub sequence: u64,
    /// When it was made, ms since the Unix epoch.
    pub time: u64,
    /// Position in the log before which records belong to a deleted document of the same name.
    pub born: u64,
    /// The state.
    pub state: &'a [u8],
}

/// Opens the snapshots of a store. `dir` is where a store wants them; what keeps them elsewhere need not look at it.
pub trait OpenSnapshots: fmt::Debug + Send + Sync {
    /// Whether they were opened before, by any process: then they may be lost, otherwise they are new.
    fn exist(&self, dir: &Path) -> bool;

    /// Opens them, or creates them. [`SnapshotError::Unreadable`] means that they should be set aside.
    fn open(&self, dir: &Path, cache_bytes: u64) -> Result<Box<dyn SnapshotStore>, SnapshotError>;

    /// Puts those that do not open out of the way, durably, so that they don't exist any more. Returns where they are
    /// now, if anywhere.
    fn set_aside(&self, dir: &Path) -> io::Result<Option<PathBuf>>;
}
