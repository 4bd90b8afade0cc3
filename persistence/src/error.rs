//! Why a call to the store failed.

use std::io;
use std::path::{Path, PathBuf};

use crate::damage::Damage;
use crate::name::DocumentName;
use crate::segment::VERSION;

/// Why a call to the store failed. A document that cannot be read is always one of these errors, never an empty
/// document.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the store open.
    #[error("the store {path:?} is in use by {holder}")]
    InUse {
        /// The directory of the store.
        path: PathBuf,
        /// Its holder, as far as the lock file tells.
        holder: String,
    },
    /// A system call failed.
    #[error("could not {action} {path:?}: {source}")]
    Io {
        /// The action that failed.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// An earlier write or sync failed. The content of the disk has been unknown since, so nothing more is
    /// acknowledged; reopening the store finds out.
    #[error("the store has stopped writing after a failure: {reason}")]
    Failed {
        /// The first failure.
        reason: String,
    },
    /// There is no room on the disk, or no descriptor for a file, or a write has failed. Nothing of it is left, and the same call
    /// may succeed later.
    #[error("{}: could not {action} in {path:?}: {source}", lack(source))]
    Scarce {
        /// The action that failed.
        action: &'static str,
        /// The directory of the store.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file was written by a version of coscribe that this one does not know.
    #[error(
        "{path:?} has format version {version}, and this program reads versions up to {VERSION}; use the version of coscribe \
         that wrote it, or a later one"
    )]
    UnknownVersion {
        /// The file.
        path: PathBuf,
        /// The version it claims.
        version: u32,
    },
    /// A record or checkpoint does not follow the one before it. Nothing was written.
    #[error("document {name:?}: sequence {found} was given where {expected} comes next")]
    OutOfOrder {
        /// The document.
        name: DocumentName,
        /// The sequence (for a checkpoint: the nearest) that would have been right.
        expected: u64,
        /// The sequence that was given.
        found: u64,
    },
    /// There is nothing that a checkpoint could replace. Nothing was written.
    #[error("document {name:?} is not stored, so there is nothing to checkpoint")]
    NotStored {
        /// The document.
        name: DocumentName,
    },
    /// One call holds two checkpoints of the same document. Nothing was written.
    #[error("document {name:?} appears twice in one checkpoint")]
    Repeated {
        /// The document.
        name: DocumentName,
    },
    /// Something is larger than the format allows. Nothing was written.
    #[error("{what} of {bytes} bytes is over the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// Records of a document are missing in the middle of the log.
    #[error("document {name:?}: record {expected} is missing from the log, the next one there is {found}")]
    Gap {
        /// The document.
        name: DocumentName,
        /// The first sequence that is missing.
        expected: u64,
        /// The sequence that was found in its place.
        found: u64,
    },
    /// A record of the document is in the log, but cannot be read.
    #[error("document {name:?}: {damage}")]
    Damaged {
        /// The document.
        name: DocumentName,
        /// Where the damage is, and what is wrong.
        damage: Damage,
    },
    /// The document was checkpointed, but its snapshot is gone.
    #[error("document {name:?}: its snapshot up to sequence {sequence} is missing")]
    SnapshotMissing {
        /// The document.
        name: DocumentName,
        /// The sequence up to which the snapshot covered it.
        sequence: u64,
    },
    /// The document's snapshot cannot be read or written.
    #[error("document {name:?}: {source}")]
    Snapshot {
        /// The document.
        name: DocumentName,
        /// What is wrong with it.
        source: SnapshotError,
    },
    /// The snapshots as a whole cannot be used.
    #[error("the snapshots in {path:?}: {source}")]
    Snapshots {
        /// Their directory.
        path: PathBuf,
        /// What is wrong with them.
        source: SnapshotError,
    },
    /// The catalog is unreadable and the snapshots are missing, so it is unknown which documents exist. Starting would
    /// present existing documents as empty.
    #[error(
        "the catalog in {path:?} cannot be read and the snapshots are missing, so it is unknown which documents exist; \
         restore one of them from a backup"
    )]
    CatalogLost {
        /// The directory of the store.
        path: PathBuf,
    },
}

/// Why a snapshot cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// It is damaged.
    #[error("the snapshot is damaged: {0}")]
    Damaged(&'static str),
    /// It was written by a version that this one does not know.
    #[error("the snapshot has format version {0}, which this version of coscribe does not know")]
    UnknownVersion(u8),
    /// The snapshot that was read back differs from the one that was written.
    #[error("the snapshot that was read back differs from what was written")]
    ReadBack,
    /// A file system call failed. It may succeed later.
    #[error("the file system: {0}")]
    Io(#[from] io::Error),
    /// A database of an earlier version cannot be read.
    #[error("unreadable: {0}")]
    Unreadable(String),
}

/// What was in the way.
fn lack(error: &io::Error) -> &'static str {
    match error {
        error if StoreError::is_full(error) => "the disk is full",
        error if StoreError::is_scarce(error) => "the system has no resources left",
        _ => "the disk has failed to write",
    }
}

/// No lock of the store is ever poisoned.
pub(crate) const POISONED: &str = "no thread panics while it holds a lock of the store";

impl StoreError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// Whether the disk is full.
    pub(crate) fn is_full(error: &io::Error) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
    }

    /// Whether the process or the system has no descriptor or no memory left, as may pass.
    pub(crate) fn is_scarce(error: &io::Error) -> bool {
        /// `ENFILE` and `EMFILE`, on all systems that have them.
        const NO_DESCRIPTOR: [Option<i32>; 2] = [Some(23), Some(24)];
        let no_descriptor = cfg!(unix) && NO_DESCRIPTOR.contains(&error.raw_os_error());
        no_descriptor || error.kind() == io::ErrorKind::OutOfMemory
    }

    /// Whether a file or directory does not exist.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}
