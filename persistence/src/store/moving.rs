//! Records that keep an old segment in the log are moved to its end, so that the segment can go.
//!
//! A segment stays as long as one of its records is live: one small update to a document that is seldom changed would hold on to
//! all of it. So where the log has more than twice its live bytes and two segments, the segment with the least live bytes is
//! emptied: its records are appended once more, with the sequences that they have, and are live at their new places when these
//! are synced. A crash in between leaves both, and the later one counts. So the log keeps to its bound, however large the documents
//! are and whether or not anybody has them open, and what is written for it is less than what it frees.

use super::{Store, Writer};
use crate::error::{POISONED, StoreError};
use crate::index::RecordRef;
use crate::limits::MOVED_BYTES;
use crate::load;
use crate::log::{self, NewRecord};
use crate::name::DocumentName;
use crate::record::{self, Kind};

/// A document, a record of it as it is in the log, and the marker of that.
type Moved = (DocumentName, Vec<u8>, u64);

impl Store {
    /// Bytes of the log, and of the records in it that are live.
    pub fn log_size(&self) -> (u64, u64) {
        let active = self.active();
        self.index().log_size(active)
    }

    /// Moves live records out of a segment, if the log is larger than twice its live records and two segments: about a megabyte of
    /// them, which are read, written and synced. To be called again until it returns `false`. Fails like [`Store::append`].
    pub fn trim_log(&self) -> Result<bool, StoreError> {
        // While it is held, nothing that is live ceases to be.
        let _covering = self.covering.lock().expect(POISONED);
        self.check_failure()?;
        let active = self.active();
        let (records, mut reader) = {
            let index = self.index();
            let records = index.movable(active, self.options.segment_bytes, MOVED_BYTES);
            let refs: Vec<_> = records.iter().map(|(_, record)| *record).collect();
            (records, log::Reader::open(&self.dir, &refs, &index.segments)?)
        };
        if records.is_empty() {
            return Ok(false);
        }
        let moved = self.read_sound(records, &mut reader)?;
        let mut writer = self.writer();
        self.check_failure()?;
        self.append_moved(&mut writer, &moved)?;
        self.retire(&mut writer)?;
        Ok(true)
    }

    /// Reads records. What has become unreadable makes its document unreadable, and its segment one that stays.
    fn read_sound(
        &self,
        records: Vec<(DocumentName, RecordRef)>,
        reader: &mut log::Reader,
    ) -> Result<Vec<Moved>, StoreError> {
        let mut sound = Vec::with_capacity(records.len());
        for (name, record) in records {
            match load::read_bytes(&self.dir, &name, &record, reader) {
                Ok((bytes, marker)) => sound.push((name, bytes, marker)),
                Err(StoreError::Damaged { damage, .. }) => {
                    self.index_mut().note_damage(record.position, &damage);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(sound)
    }

    fn append_moved(&self, writer: &mut Writer, moved: &[Moved]) -> Result<(), StoreError> {
        let records = moved.iter().map(|(name, bytes, marker)| {
            let record = record::decode_unchecked(bytes, *marker).expect("it was decoded when it was read");
            NewRecord {
                name,
                sequence: record.sequence,
                time: record.time,
                subject: record.subject,
                payload: record.payload,
                waits: record.kind == Kind::Waiting,
            }
        });
        let records: Vec<_> = records.collect();
        if records.is_empty() {
            return Ok(());
        }
        if writer.log.is_full() {
            self.roll(writer)?;
        }
        let refs =
            writer.log.append(&records, true).map_err(|error| self.not_appended("write the log", error))?;
        let mut index = self.index_mut();
        for (record, place) in records.iter().zip(refs) {
            index.add(record.name, place, true);
        }
        Ok(())
    }

    /// The number of the active segment, and its length.
    fn active(&self) -> (u32, u64) {
        let writer = self.writer();
        (writer.log.number(), writer.log.len())
    }
}
