//! What waits as one: blocks, or deletions.

use std::sync::Arc;

use crate::document::id_set::IdSet;
use crate::limits::DELETION_BYTES;
use crate::update::{ClientId, Clock, Id, Run};

/// Memory that an entry takes beside its bytes: some map nodes and an allocation or two.
pub(super) const ENTRY_BYTES: usize = 256;
/// Memory that an element takes for which deletions wait.
const ID_BYTES: usize = 32;
/// Memory that one source of an entry takes.
pub(super) const SOURCE_BYTES: usize = 64;

/// The content of an entry.
#[derive(Debug)]
pub(crate) enum Waiting {
    /// Blocks, the first of which depends on a missing element.
    Blocks(Run),
    /// Deletions of one client's elements, the first of which is not known.
    Deletions(ClientId, IdSet),
    /// Deletions of an update whose blocks wait.
    Held(Held),
}

/// Deletions that are not to be shown before some elements are known, which replace the deleted ones.
#[derive(Debug)]
pub(crate) struct Held {
    /// These elements: the last one of each client is enough, since a client's elements come in order.
    pub(super) after: Arc<[Id]>,
    /// How many of them are known.
    pub(super) known: usize,
    pub(crate) deletions: IdSet,
}

impl Held {
    /// The next element that is missing. O(elements), over all calls.
    pub(crate) fn next_missing(&mut self, is_known: impl Fn(Id) -> bool) -> Option<Id> {
        self.known += self.after[self.known..].iter().take_while(|id| is_known(**id)).count();
        self.after.get(self.known).copied()
    }
}

impl Waiting {
    /// About how many bytes of memory it takes.
    pub(super) fn bytes(&self) -> usize {
        ENTRY_BYTES
            + match self {
                Self::Blocks(run) => run.bytes.len(),
                Self::Deletions(_, ranges) => ranges.len() * DELETION_BYTES,
                // Each range may become an entry of its own when it waits for the elements that it deletes.
                Self::Held(held) => {
                    let each = DELETION_BYTES + ENTRY_BYTES + SOURCE_BYTES;
                    held.after.len() * ID_BYTES + held.deletions.len() * each
                }
            }
    }
}

/// The number of an entry, and the bytes that it was charged when it first came: a rest of it keeps all of these in memory.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(super) number: u64,
    pub(super) charged: usize,
    /// The clock after the last of its blocks; `None` for deletions, and while the update that brought it is taken in.
    pub(super) end: Option<Clock>,
}

impl Ticket {
    /// The number of the entry: a higher one came later.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}
