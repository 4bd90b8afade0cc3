//! Parked blocks and deletions as the log has them.
//!
//! ```text
//! waiting = part*
//! part    = numIds, (client, clock)*, update as varBuf
//! ```
//!
//! The blocks of the update wait for the elements that they depend on. Its deletions wait for the elements with these ids, and
//! then for the elements that they delete. A part holds only what waits, not the update that brought it, which may be a whole
//! document.

use bytes::Bytes;

use super::{Parked, Waiting};
use crate::document::id_set::IdSet;
use crate::lib0::{Reader, write_var_uint};
use crate::update::{Id, Run, Update, UpdateError, read_clock, write_section_header};
use crate::work::{Work, copy};

/// A part of a record of parked entries.
#[derive(Debug)]
pub(crate) struct Part {
    /// The elements that the deletions wait for.
    pub(crate) after: Vec<Id>,
    pub(crate) update: Update,
}

impl Part {
    /// Reads the output of [`Parked::encode_unlogged`]. O(bytes).
    ///
    /// # Errors
    /// If the bytes are no such output.
    pub(crate) fn read_all(stored: Bytes) -> Result<Vec<Self>, UpdateError> {
        let mut reader = Reader::new(&stored);
        let mut parts = Vec::new();
        while !reader.is_empty() {
            let mut after = Vec::new();
            // An id takes at least two bytes.
            for _ in 0..reader.count(2)? {
                after.push(Id { client: reader.var_uint()?, clock: read_clock(&mut reader)? });
            }
            let update = stored.slice_ref(reader.var_buf()?);
            parts.push(Self { after, update: Update::scan(update)? });
        }
        Ok(parts)
    }
}

impl Parked {
    /// The entries that are in no record of the log, to be put into one; `None` if there are none. O(bytes of these entries).
    pub(crate) async fn encode_unlogged(&mut self, work: &mut Work) -> Option<Vec<u8>> {
        let numbers = std::mem::take(&mut self.unlogged);
        let deletions = std::mem::take(&mut self.unlogged_deletions);
        if numbers.is_empty() && deletions.is_empty() {
            return None;
        }
        let (mut stored, mut runs) = (Vec::new(), Vec::new());
        for number in numbers {
            match self.entries.get(&number).and_then(|&missing| self.waiting.get(&(missing, number))) {
                Some((_, Waiting::Blocks(run))) => runs.push(run),
                Some((_, Waiting::Held(held))) => {
                    write_part(&mut stored, &held.after, &[], &held.deletions, work).await;
                }
                _ => {}
            }
            work.count(4);
            work.pause().await;
        }
        if !runs.is_empty() || !deletions.is_empty() {
            write_part(&mut stored, &[], &runs, &deletions, work).await;
        }
        deletions.discard(work).await;
        Some(stored)
    }

    /// Marks all entries as missing from the log, so that they are put into a record again. O(entries and ranges · log).
    pub(crate) async fn forget_logged(&mut self, work: &mut Work) {
        for (ticket, waiting) in self.waiting.values() {
            if let Waiting::Deletions(_, ranges) = waiting {
                for (client, range) in ranges.iter() {
                    self.unlogged_deletions.insert_in_slices(client, range, |_| {}, work).await;
                }
            } else {
                self.unlogged.insert(ticket.number);
            }
            work.count(4);
            work.pause().await;
        }
    }

    /// Marks all entries as logged: they were read from the log.
    pub(crate) fn is_logged(&mut self) {
        self.unlogged.clear();
        self.unlogged_deletions = IdSet::default();
    }
}

async fn write_part(stored: &mut Vec<u8>, after: &[Id], runs: &[&Run], deletions: &IdSet, work: &mut Work) {
    write_var_uint(stored, after.len() as u64);
    for id in after {
        write_var_uint(stored, id.client);
        write_var_uint(stored, id.clock.into());
    }
    let mut update = Vec::new();
    write_var_uint(&mut update, runs.len() as u64);
    for run in runs {
        write_section_header(&mut update, run.blocks as u64, run.next);
        copy(&run.bytes, &mut update, work).await;
        work.pause().await;
    }
    update.extend(deletions.encode_in_slices(work).await);
    write_var_uint(stored, update.len() as u64);
    copy(&update, stored, work).await;
}
