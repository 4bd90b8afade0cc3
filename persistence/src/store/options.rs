//! How a store is opened.

use std::sync::Arc;

use crate::disk::{Disk, Faults, SystemDisk};
use crate::limits::SEGMENT_BYTES;
use crate::snapshots::SnapshotIndex;

/// Options for opening a store.
#[derive(Clone)]
pub struct StoreOptions {
    /// A segment of the log is closed when it has reached this size in bytes. Small segments are retired sooner, large
    /// ones cost fewer file operations. At most 1 GiB is used. Default 64 MiB.
    pub segment_bytes: u64,
    /// Where the index of the snapshots is kept. Default [`SnapshotIndex::Sled`].
    pub snapshot_index: SnapshotIndex,
    /// Where everything else is kept. Default [`SystemDisk`].
    pub disk: Arc<dyn Disk>,
    /// Lets a test fail any step. Default `None`.
    pub faults: Option<Arc<dyn Faults>>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES,
            snapshot_index: SnapshotIndex::default(),
            disk: Arc::new(SystemDisk),
            faults: None,
        }
    }
}
