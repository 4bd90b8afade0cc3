//! Compaction: reclaims the space of snapshots that no longer count.

use super::files::{self, Files};
use super::index::Location;
use super::{SnapshotRef, Snapshots};
use crate::error::SnapshotError;
use crate::name::DocumentName;

impl Snapshots {
    /// Removes segments in which nothing counts. As long as there is more waste than everything else plus two segments, it also
    /// copies the snapshots that count out of the most wasteful segment. `counts` asks the catalog; the index would not do, since
    /// it may have lost an entry.
    pub(crate) fn compact(&self, counts: impl Fn(&DocumentName, u64) -> bool) -> Result<(), SnapshotError> {
        let mut files = self.files();
        while let Some(number) = wasteful(&files, self.segment_bytes) {
            self.clear_segment(&mut files, number, &counts)?;
        }
        Ok(())
    }

    /// Copies the snapshots that count from a segment into the active one, and removes the segment; a damaged one is kept.
    fn clear_segment(
        &self,
        files: &mut Files,
        number: u32,
        counts: &impl Fn(&DocumentName, u64) -> bool,
    ) -> Result<(), SnapshotError> {
        let Some(all) = files::read_segment(&self.dir, number)? else {
            files.note_damage(number);
            return Ok(());
        };
        for (name, generation, location) in
            all.iter().filter(|(name, generation, _)| counts(name, *generation))
        {
            if !self.is_elsewhere(files, name, *generation, *location)? {
                self.copy(files, name, *generation, *location)?;
            }
        }
        let synced = files.sync()?;
        self.with_index(files, |index| index.set_mark(synced))?;
        files.remove(&self.dir, number)?;
        Ok(())
    }

    /// Whether a snapshot can also be read elsewhere, as after a crash while a segment was being cleared.
    fn is_elsewhere(
        &self,
        files: &Files,
        name: &DocumentName,
        generation: u64,
        location: Location,
    ) -> Result<bool, SnapshotError> {
        let other = self.with_index(files, |index| index.get(name, generation))?;
        let other = other.filter(|other| *other != location);
        Ok(other.is_some_and(|other| self.read(files.marker(other), name, generation, other).is_ok()))
    }

    fn copy(
        &self,
        files: &mut Files,
        name: &DocumentName,
        generation: u64,
        location: Location,
    ) -> Result<(), SnapshotError> {
        let snapshot = self.read(files.marker(location), name, generation, location)?;
        let state = [&snapshot.state[..]];
        let (sequence, time, born) = (snapshot.sequence, snapshot.time, snapshot.born);
        self.write(files, name, generation, SnapshotRef { sequence, time, born, state: &state })
    }
}

/// The segment to clear next, if any.
fn wasteful(files: &Files, segment_bytes: u64) -> Option<u32> {
    let closed = || files.closed().filter(|(_, segment)| !segment.is_damaged);
    if let Some((number, _)) = closed().find(|(_, segment)| segment.live == 0) {
        return Some(number);
    }
    let (bytes, live) =
        closed().fold((0, 0), |(bytes, live), (_, segment)| (bytes + segment.bytes, live + segment.live));
    if bytes <= 2 * live + 2 * segment_bytes {
        return None;
    }
    closed()
        .max_by_key(|(_, segment)| segment.bytes - segment.live.min(segment.bytes))
        .map(|(number, _)| number)
}
