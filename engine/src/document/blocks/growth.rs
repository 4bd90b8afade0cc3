//! How much a document would grow by an update: estimated before anything of it is taken in, so that one that would make the
//! document too large is refused as a whole.

use std::collections::BTreeSet;

use super::{Blocks, ENTRY_OVERHEAD};
use crate::document::chunks::CHUNK_OVERHEAD;
use crate::document::id_set::IdSet;
use crate::limits::{CHUNK_BYTES, DELETION_BYTES};
use crate::update::{ClientId, Clock, Content, Run, Update};
use crate::work::{Work, finish};

/// The place of a client: its entry in the state vector, and its first chunk.
const CLIENT_BYTES: usize = ENTRY_OVERHEAD + CHUNK_OVERHEAD;

/// Blocks take one part in so many beside their bytes, for their chunks.
const CHUNKS_SHARE: usize = 8;

/// What an update would add to a document, about, in bytes of memory.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Growth {
    /// Clients that are new to the document.
    pub(crate) clients: usize,
    /// New blocks, and the places of new clients.
    pub(crate) blocks: usize,
    /// New deletions: their ranges, and the blocks that they cut.
    pub(crate) deletions: usize,
    /// The content that these deletions free at least.
    pub(crate) freed: usize,
}

impl Growth {
    /// By how much the document would be larger in the end.
    pub(crate) fn net(&self) -> usize {
        (self.blocks + self.deletions).saturating_sub(self.freed)
    }
}

impl Blocks {
    /// About how many bytes of memory an update adds to the document at most, if nothing waits for it. O(bytes of the update,
    /// and deleted ranges that its deletions swallow).
    pub fn growth(&self, update: &Update) -> usize {
        let Growth { blocks, deletions, .. } =
            finish(self.growth_in_slices(update, usize::MAX, &mut Work::default()));
        blocks + deletions
    }

    /// The same, with pauses, and with what it frees. Deletions are not looked at once blocks take more than `most`.
    pub(crate) async fn growth_in_slices(&self, update: &Update, most: usize, work: &mut Work) -> Growth {
        let mut growth = Growth::default();
        let mut gone = IdSet::default();
        for run in update.runs() {
            self.add_run(&run, &mut growth, &mut gone, work).await;
            if growth.blocks > most {
                break;
            }
        }
        if growth.blocks <= most {
            self.add_deletions(update, &mut growth, &gone, work).await;
        }
        gone.discard(work).await;
        growth
    }

    /// Adds the new blocks of a run. Those without content are deletions as well, and noted in `gone`.
    async fn add_run(&self, run: &Run, growth: &mut Growth, gone: &mut IdSet, work: &mut Work) {
        let client = run.client();
        let known = self.state.get(client);
        let mut blocks = run.blocks();
        let (mut from, mut bytes, mut count) = (blocks.position(), 0, 0_usize);
        let mut without_content: Option<std::ops::Range<Clock>> = None;
        while let Some(block) = blocks.next_in_slices(work).await {
            let to = blocks.position();
            if block.end() > known {
                (bytes, count) = (bytes + to - from, count + 1);
                if matches!(block.content, Content::Gc | Content::Deleted) {
                    without_content.get_or_insert(block.id.clock..known).end = block.end();
                } else if let Some(range) = without_content.take() {
                    gone.insert(client, range, |_| {});
                    growth.blocks += ENTRY_OVERHEAD;
                    work.count(4);
                }
            }
            from = to;
        }
        if let Some(range) = without_content {
            gone.insert(client, range, |_| {});
            growth.blocks += ENTRY_OVERHEAD;
        }
        if count > 0 {
            let is_new = known == 0;
            growth.clients += usize::from(is_new);
            growth.blocks += if is_new { CLIENT_BYTES } else { 0 };
            // The last chunk may have reserved twice what it has.
            let reserved = if count > 1 { bytes.min(CHUNK_BYTES) } else { 0 };
            growth.blocks += bytes + bytes / CHUNKS_SHARE + reserved;
        }
        work.count(4);
        work.pause().await;
    }

    /// Adds the deletions of an update. Deletions of elements that neither the document nor the update has do not count: they
    /// wait, and take no more when they wake than they were charged for that.
    async fn add_deletions(&self, update: &Update, growth: &mut Growth, gone: &IdSet, work: &mut Work) {
        let each = if self.keeps_deleted { ENTRY_OVERHEAD } else { DELETION_BYTES };
        let has_blocks = growth.blocks > 0;
        let mut order = Order::default();
        for (client, range) in update.deletions() {
            work.count(2);
            work.pause().await;
            let is_next = order.is_next(client, &range);
            let state = self.state.get(client);
            let known = range.start..range.end.min(state);
            let unknown = range.start.max(state)..range.end;
            if !known.is_empty() && !self.deleted.covers(client, known.clone()) {
                growth.deletions += each;
                // What comes twice frees nothing the second time.
                if is_next && !self.keeps_deleted {
                    growth.freed += self.deleted.count_missing(client, known, work).await;
                }
            }
            if has_blocks && !unknown.is_empty() && !gone.covers(client, unknown) {
                growth.deletions += each;
            }
        }
    }
}

/// Whether the ranges of a delete set come in order, so that none of them comes twice.
#[derive(Debug, Default)]
struct Order {
    clients: BTreeSet<ClientId>,
    /// The client whose ranges come, and the end of the last one; `None` as an end if the client has come before.
    last: Option<(ClientId, Option<Clock>)>,
}

impl Order {
    fn is_next(&mut self, client: ClientId, range: &std::ops::Range<Clock>) -> bool {
        let end = match self.last {
            Some((last, end)) if last == client => end,
            _ => self.clients.insert(client).then_some(0),
        };
        let is_next = end.is_some_and(|end| end <= range.start);
        self.last = Some((client, end.map(|end| end.max(range.end))));
        is_next
    }
}
