//! A map whose changes are durable once it is synced, and may be undone by a power loss until then: the names in a directory.

use std::collections::BTreeMap;

/// Decides the outcome of a power loss: called with the number of possible outcomes, at least 1, it returns the number of one.
/// 0 always keeps the least, the highest number keeps everything.
pub type Choose<'a> = &'a mut dyn FnMut(u64) -> u64;

/// An atomic change of some keys: a new value for each, or none.
type Change<K, V> = Vec<(K, Option<V>)>;

#[derive(Debug, Clone)]
pub(crate) struct SyncedMap<K, V> {
    /// The map with all changes.
    now: BTreeMap<K, V>,
    /// The map without the changes since the last sync.
    synced: BTreeMap<K, V>,
    changes: Vec<Change<K, V>>,
}

impl<K, V> Default for SyncedMap<K, V> {
    fn default() -> Self {
        Self { now: BTreeMap::new(), synced: BTreeMap::new(), changes: Vec::new() }
    }
}

impl<K: Ord + Clone, V: Clone> SyncedMap<K, V> {
    /// Everything in it is durable.
    pub(crate) fn durable(map: BTreeMap<K, V>) -> Self {
        Self { now: map.clone(), synced: map, changes: Vec::new() }
    }

    /// The map as it is while there is power.
    pub(crate) fn now(&self) -> &BTreeMap<K, V> {
        &self.now
    }

    /// Changes several keys atomically: a power loss undoes all of it or nothing.
    pub(crate) fn change(&mut self, change: Change<K, V>) {
        apply(&mut self.now, change.iter().cloned());
        self.changes.push(change);
    }

    /// Makes all changes durable.
    pub(crate) fn sync(&mut self) {
        apply(&mut self.synced, self.changes.drain(..).flatten());
    }

    /// The map after a power loss: each unsynced change may survive or not, independently of earlier ones.
    pub(crate) fn after_power_loss(&self, choose: Choose<'_>) -> BTreeMap<K, V> {
        let mut left = self.synced.clone();
        for change in &self.changes {
            if choose(2) == 1 {
                apply(&mut left, change.iter().cloned());
            }
        }
        left
    }

    /// The same map, with each value converted.
    pub(crate) fn map<W>(&self, mut value: impl FnMut(&V) -> W) -> SyncedMap<K, W> {
        let mut all = |map: &BTreeMap<K, V>| map.iter().map(|(key, v)| (key.clone(), value(v))).collect();
        let (now, synced) = (all(&self.now), all(&self.synced));
        let mut one = |change: &Change<K, V>| {
            change.iter().map(|(key, v)| (key.clone(), v.as_ref().map(&mut value))).collect()
        };
        SyncedMap { now, synced, changes: self.changes.iter().map(&mut one).collect() }
    }
}

fn apply<K: Ord, V>(map: &mut BTreeMap<K, V>, change: impl Iterator<Item = (K, Option<V>)>) {
    for (key, value) in change {
        match value {
            Some(value) => map.insert(key, value),
            None => map.remove(&key),
        };
    }
}
