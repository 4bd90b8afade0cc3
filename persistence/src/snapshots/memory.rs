//! Snapshots in memory, for tests. They are gone when the store is closed, and so are documents that were checkpointed:
//! opening it again reports them as unreadable, unless the log still has all of their updates.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use super::{Snapshot, SnapshotError, SnapshotRef, SnapshotStore};
use crate::name::DocumentName;

/// Snapshots that are gone when it is dropped.
#[derive(Debug, Default)]
pub struct MemorySnapshots {
    snapshots: Mutex<BTreeMap<(DocumentName, u64), Snapshot>>,
}

/// Opens an empty store; the arguments are what [`super::OpenSnapshots`] asks for.
pub fn open(_dir: &Path, _cache_bytes: u64) -> Result<Box<dyn SnapshotStore>, SnapshotError> {
    Ok(Box::new(MemorySnapshots::default()))
}

impl MemorySnapshots {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(DocumentName, u64), Snapshot>> {
        self.snapshots.lock().expect("no holder of this lock panics")
    }
}

impl SnapshotStore for MemorySnapshots {
    fn put(
        &self,
        name: &DocumentName,
        generation: u64,
        snapshot: SnapshotRef<'_>,
    ) -> Result<(), SnapshotError> {
        let SnapshotRef { sequence, time, born, state } = snapshot;
        let snapshot = Snapshot { sequence, time, born, state: state.to_vec() };
        self.lock().insert((name.clone(), generation), snapshot);
        Ok(())
    }

    fn get(&self, name: &DocumentName, generation: u64) -> Result<Option<Snapshot>, SnapshotError> {
        Ok(self.lock().get(&(name.clone(), generation)).cloned())
    }

    fn generations(&self, name: &DocumentName) -> Result<Vec<u64>, SnapshotError> {
        let range = (name.clone(), 0)..=(name.clone(), u64::MAX);
        Ok(self.lock().range(range).map(|((_, generation), _)| *generation).collect())
    }

    fn prune(&self, name: &DocumentName, keep: Option<u64>) -> Result<(), SnapshotError> {
        self.lock().retain(|(other, generation), _| other != name || Some(*generation) == keep);
        Ok(())
    }

    fn sync(&self) -> Result<(), SnapshotError> {
        Ok(())
    }

    fn list(&self) -> Result<Vec<(DocumentName, u64)>, SnapshotError> {
        // Later generations of a name replace the earlier ones.
        let latest: BTreeMap<_, _> = self.lock().keys().cloned().collect();
        Ok(latest.into_iter().collect())
    }
}
