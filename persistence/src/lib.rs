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
//! | `00000003-4711.torn` | the torn end of a segment, cut off when the store was opened after a crash | `recovery` |
//! | `00000003.log.damaged` | a retired segment in which something could not be read | `log` |
//! | `snapshots.earlier/`, `snapshots.broken-<time>/` | snapshots of an earlier version, which kept them in sled | `snapshots` |
//!
//! Everything but sled is on a [`Disk`]: the system's, or a [`MemoryDisk`], which can simulate a power loss and goes with
//! [`SnapshotIndex::Memory`].
//!
//! What this crate does not do: it does not know Yjs (an update is opaque bytes), it does not merge updates, and it
//! starts no threads (sled starts its own). [`Store::append`] blocks until the disk has answered.

#![forbid(unsafe_code)]

mod archive;
mod catalog;
mod checkpoint;
mod disk;
mod error;
mod index;
mod load;
mod log;
mod name;
mod reader;
pub mod record;
mod recovery;
mod salvage;
mod segment;
mod snapshots;
mod store;
mod survey;
mod verify;
mod volatile;
mod window;

pub use archive::{ARCHIVE_MANIFEST, ArchiveEntry, ArchiveError, ArchiveReader, ArchiveWriter};
pub use disk::{Disk, DiskFile, DiskLock, Faults, MemoryDisk, Step, SystemDisk};
pub use error::StoreError;
pub use load::StoredDocument;
pub use name::{DocumentName, MAX_NAME_BYTES, NameError};
pub use reader::{ReadOptions, StoreReader};
pub use recovery::{Recovery, TornTail};
pub use salvage::{Missing, Salvage};
pub use segment::Damage;
pub use snapshots::{MAX_STATE_BYTES, SnapshotError, SnapshotIndex};
pub use store::{Checkpoint, NewRecord, Store, StoreOptions};
pub use verify::{Gap, Report, UnreadableSnapshot, verify, verify_with};
pub use volatile::Choose;
