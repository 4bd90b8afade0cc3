//! Whether an update says something else of known elements than the document does, as where two clients have the same id.
//!
//! Elements are told apart by their ids alone, so what a second client of an id writes looks like what is known already. It
//! must not be taken for stored.

use super::Blocks;
use crate::document::chunks::Cursor;
use crate::limits::MAX_CONTENT_BYTES;
use crate::update::{Content, Cutter, Id, Piece, Run, Update};
use crate::work::Work;

/// Steps that comparing may take for each byte of an update, and beside that: to find a known block, its chunk is walked. What
/// would take more is not compared, as where many short blocks lie in as many chunks.
const STEPS_PER_BYTE: u64 = 2;
const STEPS: u64 = 1_000;

impl Blocks {
    /// The first element found of which an update says something else than the document. O(bytes of the update).
    pub(crate) async fn contradiction(&self, update: &Update, work: &mut Work) -> Option<Id> {
        let most = work.total() + STEPS + STEPS_PER_BYTE * update.bytes().len() as u64;
        for run in update.runs() {
            work.count(1);
            work.pause().await;
            if run.next.clock < self.state.get(run.client())
                && let Some(at) = Box::pin(self.contradiction_in(&run, most, work)).await
            {
                return Some(at);
            }
        }
        None
    }

    /// The same for one run, until so many steps were counted.
    pub(super) async fn contradiction_in(&self, run: &Run, most: u64, work: &mut Work) -> Option<Id> {
        let known = self.state.get(run.client());
        let mut cursor = Cursor::at(run.next.clock);
        let mut blocks = run.blocks();
        while let Some(block) = blocks.next_in_slices(work).await {
            if block.id.clock >= known || work.total() > most {
                return None;
            }
            if block.content == Content::Gc {
                cursor = Cursor::at(block.end().min(known));
                continue;
            }
            let mut cutter = Cutter::new(block.into(), MAX_CONTENT_BYTES);
            while let Some(piece) = cutter.next(work).await {
                let differs = self.differs_from(&piece, &mut cursor, work).await;
                if differs.is_some() || cursor.clock >= known || work.total() > most {
                    return differs;
                }
            }
        }
        None
    }

    /// The first known element of a piece of which the document says something else. The cursor is at the first element of the
    /// piece, and then behind its last one that is known.
    async fn differs_from(&self, piece: &Piece<'_>, cursor: &mut Cursor, work: &mut Work) -> Option<Id> {
        let Id { client, clock } = piece.id();
        let end = (clock + piece.elements()).min(self.state.get(client));
        let mut differs = None;
        while cursor.clock < end && differs.is_none() {
            let (mut reached, mut bytes) = (cursor.clock, 0);
            self.chunks.walk(client, cursor, work, |ours, from| {
                if from >= end {
                    return false;
                }
                let to = ours.end().min(end);
                bytes += ours.bytes().len().min(MAX_CONTENT_BYTES) + (to - from) as usize;
                differs = (!ours.is_same(piece, from, to)).then_some(Id { client, clock: from });
                reached = to;
                differs.is_none() && to == ours.end()
            });
            cursor.clock = reached.max(cursor.clock);
            work.count_bytes(bytes);
            work.pause().await;
        }
        differs
    }
}
