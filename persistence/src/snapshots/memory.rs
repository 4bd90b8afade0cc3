//! Snapshots in memory, for tests: they survive as long as there is a handle, and forget at a power loss what was not synced.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::{fmt, io};

use super::{OpenSnapshots, Snapshot, SnapshotError, SnapshotRef, SnapshotStore};
use crate::name::DocumentName;
use crate::volatile::{Choose, Volatile};

/// The snapshots of one store, in whichever directory it is. A clone is the same snapshots.
#[derive(Clone, Default)]
pub struct MemorySnapshots {
    state: Arc<Mutex<State>>,
}

/// Document and generation.
type Key = (DocumentName, u64);

#[derive(Clone, Default)]
struct State {
    exist: bool,
    snapshots: Volatile<Key, Arc<Snapshot>>,
}

impl MemorySnapshots {
    /// What a power loss may leave of them now, as snapshots of their own; these stay as they are. Any snapshot that was put or
    /// removed since the last sync may be there or not: `choose` decides.
    pub fn crash(&self, choose: Choose<'_>) -> Self {
        let state = self.lock();
        let snapshots = Volatile::synced(state.snapshots.after_power_loss(choose));
        Self { state: Arc::new(Mutex::new(State { exist: state.exist, snapshots })) }
    }

    /// What is left when the process is killed, as snapshots of their own: everything, but what was not synced may still
    /// be lost in a later power loss. These stay as they are.
    pub fn kill(&self) -> Self {
        Self { state: Arc::new(Mutex::new(self.lock().clone())) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

impl OpenSnapshots for MemorySnapshots {
    fn exist(&self, _dir: &Path) -> bool {
        self.lock().exist
    }

    fn open(&self, _dir: &Path, _cache_bytes: u64) -> Result<Box<dyn SnapshotStore>, SnapshotError> {
        self.lock().exist = true;
        Ok(Box::new(self.clone()))
    }

    fn set_aside(&self, _dir: &Path) -> io::Result<Option<PathBuf>> {
        *self.lock() = State::default();
        Ok(None)
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
        let snapshot = Arc::new(Snapshot { sequence, time, born, state: state.to_vec() });
        self.lock().snapshots.change(vec![((name.clone(), generation), Some(snapshot))]);
        Ok(())
    }

    fn get(&self, name: &DocumentName, generation: u64) -> Result<Option<Snapshot>, SnapshotError> {
        let snapshot = self.lock().snapshots.now().get(&(name.clone(), generation)).cloned();
        Ok(snapshot.map(Arc::unwrap_or_clone))
    }

    fn generations(&self, name: &DocumentName) -> Result<Vec<u64>, SnapshotError> {
        Ok(self.lock().snapshots.now().range(all_of(name)).map(|((_, generation), _)| *generation).collect())
    }

    fn prune(&self, name: &DocumentName, keep: Option<u64>) -> Result<(), SnapshotError> {
        let mut state = self.lock();
        let keys = state.snapshots.now().range(all_of(name)).map(|(key, _)| key);
        let superseded: Vec<_> = keys.filter(|(_, generation)| Some(*generation) != keep).cloned().collect();
        superseded.into_iter().for_each(|key| state.snapshots.change(vec![(key, None)]));
        Ok(())
    }

    fn sync(&self) -> Result<(), SnapshotError> {
        self.lock().snapshots.sync();
        Ok(())
    }

    fn list(&self) -> Result<Vec<(DocumentName, u64)>, SnapshotError> {
        let mut latest: Vec<Key> = Vec::new();
        for (name, generation) in self.lock().snapshots.now().keys() {
            // Later generations of a name replace the earlier ones.
            match latest.last_mut() {
                Some(last) if last.0 == *name => last.1 = *generation,
                _ => latest.push((name.clone(), *generation)),
            }
        }
        Ok(latest)
    }
}

impl fmt::Debug for MemorySnapshots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemorySnapshots").finish_non_exhaustive()
    }
}

fn all_of(name: &DocumentName) -> RangeInclusive<Key> {
    (name.clone(), 0)..=(name.clone(), u64::MAX)
}
