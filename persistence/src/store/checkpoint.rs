//! Checkpoints and deletions: they make records dead, and then remove dead segments and snapshots from the disk.

use std::collections::HashSet;

use super::{Store, Writer, check_size};
use crate::disk::Step;
use crate::error::{POISONED, SnapshotError, StoreError};
use crate::index::Covered;
use crate::limits::{MAX_STATE_BYTES, RETIRED_SHARE};
use crate::log::{self, FIRST_OFFSET};
use crate::name::DocumentName;
use crate::segment::tail::AppendError;
use crate::snapshots::SnapshotRef;

/// A stored document's full state, which replaces its snapshot and its records up to `sequence`.
#[derive(Debug, Clone, Copy)]
pub struct Checkpoint<'a> {
    /// The document.
    pub name: &'a DocumentName,
    /// The last record that is in the state. Not lower than the last checkpoint's, nor higher than [`Store::last_sequence`];
    /// exactly that if a record of the document is damaged.
    pub sequence: u64,
    /// Milliseconds since the Unix epoch.
    pub time: u64,
    /// The state as one update, in parts, opaque here.
    pub state: &'a [&'a [u8]],
}

/// An entry of the catalog: the document, what covers it, and the time, in ms since the Unix epoch.
type Entry = (DocumentName, Covered, u64);

impl Store {
    /// Replaces the snapshots of these documents, and their records up to the given sequences.
    ///
    /// The new snapshots are written, synced, read back and compared; then the catalog says that they count, and is synced;
    /// then the old ones and segments without live records are removed. A crash in between leaves the old
    /// snapshot and all records, or the new snapshot. Many documents in one call cost no more syncs than one.
    ///
    /// If only the snapshots or a write of the catalog have failed, as on a full disk, the next call starts over.
    ///
    /// A snapshot whose entry was not written may still come to count, if a later crash damages the end of the catalog and it is
    /// unknown which entry was there. So a state should hold exactly the records up to its sequence.
    pub fn checkpoint(&self, checkpoints: &[Checkpoint<'_>]) -> Result<(), StoreError> {
        if checkpoints.is_empty() {
            return Ok(());
        }
        let _covering = self.covering.lock().expect(POISONED);
        self.check_failure()?;
        let entries = self.plan(checkpoints)?;
        self.write_snapshots(checkpoints, &entries)?;

        let mut writer = self.writer();
        self.check_failure()?;
        if let Err(error) = writer.catalog.append(&entries) {
            let error = self.not_appended("write the catalog", error);
            *self.snapshot_failure() = Some(error.to_string());
            return Err(error);
        }
        let mut index = self.index_mut();
        for (name, covered, _) in &entries {
            index.cover(name, *covered);
        }
        drop(index);
        self.retire(&mut writer)?;
        self.tidy_catalog(&mut writer)?;
        drop(writer);
        for (name, covered, _) in &entries {
            self.prune(name, Some(covered.generation))?;
        }
        self.compact()?;
        *self.snapshot_failure() = None;
        Ok(())
    }

    /// The catalog's entries for these checkpoints.
    fn plan(&self, checkpoints: &[Checkpoint<'_>]) -> Result<Vec<Entry>, StoreError> {
        let end = self.writer().log.end();
        let index = self.index();
        let mut seen = HashSet::new();
        let plan = checkpoints.iter().map(|Checkpoint { name, sequence, time, state }| {
            check_size("a state", state.iter().map(|part| part.len()).sum(), MAX_STATE_BYTES)?;
            if !seen.insert(*name) {
                return Err(StoreError::Repeated { name: (*name).clone() });
            }
            if !index.contains(name) {
                return Err(StoreError::NotStored { name: (*name).clone() });
            }
            let (old, last) = (index.covered(name), index.last_sequence(name));
            // The sequence of a damaged record is a guess, so everything stored of the document so far is replaced.
            let damaged = index.damage(name).is_some();
            let (lowest, born) = if damaged { (last, end) } else { (old.sequence, old.born) };
            // Not beyond the last record: a snapshot that a crash left behind without its entry may later stand in for a lost
            // one, and must not cover a record that came after it.
            if !(lowest..=last).contains(sequence) {
                let (name, expected) = ((*name).clone(), (*sequence).clamp(lowest, last));
                return Err(StoreError::OutOfOrder { name, expected, found: *sequence });
            }
            let covered = Covered { generation: old.generation + 1, sequence: *sequence, born };
            Ok(((*name).clone(), covered, *time))
        });
        plan.collect()
    }

    fn write_snapshots(&self, checkpoints: &[Checkpoint<'_>], entries: &[Entry]) -> Result<(), StoreError> {
        let write = |(checkpoint, (name, covered, time)): (&Checkpoint<'_>, &Entry)| {
            self.dir.check(Step::WriteSnapshot)?;
            self.snapshots.put(name, covered.generation, snapshot(checkpoint, covered, *time))
        };
        let compare = |(checkpoint, (name, covered, time)): (&Checkpoint<'_>, &Entry)| {
            self.snapshots.check(name, covered.generation, snapshot(checkpoint, covered, *time))
        };
        let both = || checkpoints.iter().zip(entries);
        let sync = || {
            self.dir.check(Step::SyncSnapshots)?;
            self.snapshots.sync()
        };
        let done =
            both().try_for_each(write).and_then(|()| sync()).and_then(|()| both().try_for_each(compare));
        done.map_err(|source| self.fail_snapshots(source))
    }

    /// Deletes a document: its records and snapshots no longer count, and a new one may take its name. `false` if there was
    /// nothing. The bytes of its records leave the disk with the segments that they are in.
    pub fn delete(&self, name: &DocumentName) -> Result<bool, StoreError> {
        let _covering = self.covering.lock().expect(POISONED);
        let mut writer = self.writer();
        self.check_failure()?;
        if !self.index().contains(name) {
            return Ok(false);
        }
        let deleted = Covered { born: writer.log.end(), ..Covered::default() };
        let entry = [(name.clone(), deleted, 0)];
        writer.catalog.append(&entry).map_err(|error| self.not_appended("write the catalog", error))?;
        writer.log.forget(name);
        self.index_mut().cover(name, deleted);
        self.retire(&mut writer)?;
        self.tidy_catalog(&mut writer)?;
        drop(writer);
        self.prune(name, None)?;
        self.compact()?;
        Ok(true)
    }

    /// Removes the segments without live records, including the active one once it is worth the trouble.
    pub(crate) fn retire(&self, writer: &mut Writer) -> Result<(), StoreError> {
        let worth_it = writer.log.len() >= (self.options.segment_bytes / RETIRED_SHARE).max(FIRST_OFFSET + 1);
        let active = writer.log.number();
        if worth_it && self.index().segments.get(&active).is_some_and(|segment| segment.live == 0) {
            match self.roll(writer) {
                // The next checkpoint is soon enough.
                Ok(()) | Err(StoreError::Scarce { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let active = writer.log.number();
        let retired = self.index_mut().extract_retired(active);
        log::retire(&self.dir, &retired).map_err(|error| self.fail("remove a segment", &error))
    }

    /// Rewrites the catalog if it is mostly out of date. Deleted documents are forgotten when no segment can hold their records
    /// any more.
    fn tidy_catalog(&self, writer: &mut Writer) -> Result<(), StoreError> {
        if !writer.catalog.wants_rewrite(&self.index()) {
            return Ok(());
        }
        let forgotten = self.index().forgettable();
        for name in &forgotten {
            self.prune(name, None)?;
        }
        let mut index = self.index_mut();
        forgotten.iter().for_each(|name| index.cover(name, Covered::default()));
        drop(index);
        match writer.catalog.rewrite(&self.index()) {
            // The next checkpoint is soon enough.
            Err(AppendError::Undone(_)) => Ok(()),
            rewritten => rewritten.map_err(|error| self.not_appended("rewrite the catalog", error)),
        }
    }

    /// Reclaims the space of snapshots that no longer count.
    fn compact(&self) -> Result<(), StoreError> {
        let counts = |name: &DocumentName, generation| self.index().covered(name).generation == generation;
        self.dir
            .check(Step::PruneSnapshots)
            .map_err(SnapshotError::Io)
            .and_then(|()| self.snapshots.compact(counts))
            .map_err(|source| self.fail_snapshots(source))
    }

    fn prune(&self, name: &DocumentName, keep: Option<u64>) -> Result<(), StoreError> {
        self.dir
            .check(Step::PruneSnapshots)
            .map_err(SnapshotError::Io)
            .and_then(|()| self.snapshots.prune(name, keep))
            .map_err(|source| self.fail_snapshots(source))
    }
}

fn snapshot<'a>(checkpoint: &Checkpoint<'a>, covered: &Covered, time: u64) -> SnapshotRef<'a> {
    let (born, sequence) = (covered.born.raw(), covered.sequence);
    SnapshotRef { sequence, time, born, state: checkpoint.state }
}
