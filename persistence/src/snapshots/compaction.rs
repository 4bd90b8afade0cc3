//! Giving back the space of snapshots that no longer count.

use super::files::{self, Files};
use super::index::Location;
use super::{SnapshotError, SnapshotRef, Snapshots};
use crate::name::DocumentName;

impl Snapshots {
    /// Removes segments in which nothing counts, and copies out what counts of those with the most waste for as long as there is
    /// more waste than everything else and two segments. The catalog says through `counts` what does; the index would not do, since
    /// it may have lost an entry.
    pub(crate) fn compact(&self, counts: impl Fn(&DocumentName, u64) -> bool) -> Result<(), SnapshotError> {
        let mut files = self.files();
        while let Some(number) = wasteful(&files, self.segment_bytes) {
            self.clear_segment(&mut files, number, &counts)?;
        }
        Ok(())
    }

    /// Copies what counts of a segment into the one that is written to, and removes it; one that is damaged is kept.
    fn clear_segment(
        &self,
        files: &mut Files,
        number: u32,
        counts: &impl Fn(&DocumentName, u64) -> bool,
    ) -> Result<(), SnapshotError> {
        let mut found: Vec<(DocumentName, u64, Location)> = Vec::new();
        let is_sound = files::scan_segment(&self.dir, number, 0, &mut |name, generation, location| {
            if counts(&name, generation) {
                found.push((name, generation, location));
            }
            Ok(())
        })?;
        if !is_sound {
            files.note_damage(number);
            return Ok(());
        }
        for (name, generation, location) in &found {
            // It may be there twice, after a crash.
            if self.with_index(files, |index| index.get(name, *generation))?.is_some_and(|at| at != *location)
            {
                continue;
            }
            if let Err(error) = self.copy(files, name, *generation, *location) {
                files.note_damage(number);
                return if matches!(error, SnapshotError::Damaged(_)) { Ok(()) } else { Err(error) };
            }
        }
        let synced = files.sync()?;
        self.with_index(files, |index| index.set_mark(synced))?;
        files.remove(&self.dir, number)?;
        Ok(())
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

/// The segment that is to be cleared next, if one is.
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
