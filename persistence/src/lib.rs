//! Keeps documents on disk: an append-only log that is synced before anything is acknowledged, and snapshots.
//!
//! The path of a byte: [`Store::append`] writes updates to the log and syncs it; [`Store::checkpoint`] replaces the updates of a
//! document with one snapshot; [`Store::load`] returns the snapshot, the updates after it, and the parked updates. No snapshot
//! contains parked updates, so they are appended again before each checkpoint.
//!
//! In the directory of a store:
//!
//! | Path | What it is | Module |
//! |---|---|---|
//! | `00000001.log`, … | segments of the log: every update since the document's last checkpoint | [`record`], `log` |
//! | `catalog` | which documents have a snapshot, and up to which sequence it covers them | `catalog` |
//! | `snapshots/00000001.states`, … | segments of snapshots | `snapshots` |
//! | `snapshots/index/` | sled: where each snapshot is; rebuilt from the segments if it is unusable | `snapshots` |
//! | `lock` | locked while a process has the store open; holds its process id | `disk` |
//! | `00000003-4711.torn` | the torn end of a segment, cut off when the store was opened after a crash | `store` |
//! | `00000003.log.damaged` | a retired segment in which something could not be read | `log` |
//! | `snapshots.earlier/`, `snapshots.broken-<time>/` | snapshots of an earlier version, which kept them in sled | `snapshots` |
//!
//! Everything but sled is on a [`Disk`]: the system's, or a [`MemoryDisk`], which can simulate a power loss and goes with
//! [`SnapshotIndex::Memory`].
//!
//! What this crate does not do: it does not know Yjs (an update is opaque bytes), it does not merge updates, and it
//! starts no threads (sled starts its own). [`Store::append`] blocks until the disk has answered.

#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod limits;
mod name;
pub mod record;

mod damage;
mod error;

mod disk;
mod segment;

mod catalog;
mod index;
mod log;
mod snapshots;

mod load;
mod store;

mod reader;
mod verify;

mod archive;

mod words;

pub use archive::{ARCHIVE_MANIFEST, ArchiveEntry, ArchiveError, ArchiveReader, ArchiveWriter, write_new};
pub use damage::Damage;
pub use disk::{Choose, Disk, DiskFile, DiskLock, Faults, MemoryDisk, Step, SystemDisk};
pub use error::{SnapshotError, StoreError};
pub use load::StoredDocument;
pub use log::NewRecord;
pub use log::contents::Unmarked;
pub use name::{DocumentName, NameError};
pub use reader::{ReadOptions, StoreReader};
pub use segment::VERSION as FORMAT_VERSION;
pub use snapshots::SnapshotIndex;
pub use store::{Checkpoint, Missing, Recovery, Salvage, Store, StoreOptions, TornTail};
pub use verify::{Gap, Report, UnreadableSnapshot, verify, verify_with};
