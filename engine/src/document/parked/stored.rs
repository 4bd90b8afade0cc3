//! What waits, in the log.
//!
//! ```text
//! waiting = part*
//! part    = numIds, (client, clock)*, update as varBuf
//! ```
//!
//! The blocks of the update wait for what they depend on. Its deletions wait for these elements, and then for what they
//! delete. Only what waits is in it, and not the update that brought it: that may be a whole document.

use bytes::Bytes;

use super::{Parked, Waiting};
use crate::document::id_set::IdSet;
use crate::lib0::{Reader, write_var_uint};
use crate::update::{Id, Run, Update, UpdateError, read_clock, write_section_header};
use crate::work::{Work, copy};

/// A part of what waits.
#[derive(Debug)]
pub(crate) struct Part {
    /// What the deletions wait for.
    pub(crate) after: Vec<Id>,
    pub(crate) update: Update,
}

impl Part {
    /// Reads what [`Parked::encode_unlogged`] has written. O(bytes).
    ///
    /// # Errors
    /// If the bytes are something else.
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
    /// What waits and is in no record of the log, to be put into one; `None` if all is. O(its bytes).
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

    /// All that waits is to be put into a record. O(entries and ranges · log).
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

    /// All that waits is in the log: it was read from there.
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
