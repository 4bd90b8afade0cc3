//! What waits for a gap to fill: blocks and deletions that depend on elements which are not known yet.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use crate::update::{ClientId, Clock, Id, Run};

/// Memory that an entry takes beside its bytes: two map nodes and an allocation or two.
const ENTRY_BYTES: usize = 160;

/// Who sent what is parked, so that it can be forgotten together.
pub type Author = u64;

/// One thing that waits.
#[derive(Debug)]
pub(crate) enum Waiting {
    /// Blocks, the first of which depends on what is missing.
    Blocks(Run),
    /// Ranges of one client, the first of which has not been seen; sorted.
    Deletions(ClientId, VecDeque<Range<Clock>>),
}

impl Waiting {
    fn bytes(&self) -> usize {
        ENTRY_BYTES
            + match self {
                Self::Blocks(run) => run.bytes.len(),
                Self::Deletions(_, ranges) => ranges.len() * size_of::<Range<Clock>>(),
            }
    }
}

/// Who sent what waits, and what it was charged when it first came: a rest keeps all of that in memory.
#[derive(Debug)]
pub(crate) struct Ticket {
    author: Author,
    charged: usize,
    number: u64,
}

impl Ticket {
    /// Counts what was ever parked: a higher number came later.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}

#[derive(Debug, Default)]
struct Usage {
    entries: usize,
    bytes: usize,
}

/// Blocks and deletions that wait, by what they wait for.
#[derive(Debug, Default)]
pub struct Parked {
    /// By the element that is missing; the number tells apart those that wait for the same.
    waiting: BTreeMap<(Id, u64), (Ticket, Waiting)>,
    usage: BTreeMap<Author, Usage>,
    bytes: usize,
    next: u64,
}

impl Parked {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// About how many bytes of memory it takes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether something of this author waits.
    pub fn waits_for(&self, author: Author) -> bool {
        self.usage.contains_key(&author)
    }

    /// The author whose entries take the most memory.
    pub fn largest_author(&self) -> Option<Author> {
        self.usage.iter().max_by_key(|(_, usage)| usage.bytes).map(|(&author, _)| author)
    }

    /// Forgets what one author sent.
    pub fn forget(&mut self, author: Author) {
        if let Some(usage) = self.usage.remove(&author) {
            self.bytes -= usage.bytes;
            self.waiting.retain(|_, (ticket, _)| ticket.author != author);
        }
    }

    /// The number of what is parked next.
    pub(crate) fn next_number(&self) -> u64 {
        self.next
    }

    /// Keeps what came in an update of `source_bytes` until the element `missing` is known. Small parts are copied, so
    /// that they don't keep the whole update in memory.
    pub(crate) fn park_new(
        &mut self,
        missing: Id,
        author: Author,
        mut waiting: Waiting,
        source_bytes: usize,
    ) {
        if let Waiting::Blocks(run) = &mut waiting
            && run.bytes.len() < source_bytes / 2
        {
            run.bytes = bytes::Bytes::copy_from_slice(&run.bytes);
        }
        let ticket = Ticket { author, charged: waiting.bytes(), number: self.next };
        self.next += 1;
        self.park(missing, ticket, waiting);
    }

    /// Keeps what is left of something that waited before.
    pub(crate) fn park(&mut self, missing: Id, ticket: Ticket, waiting: Waiting) {
        let usage = self.usage.entry(ticket.author).or_default();
        usage.entries += 1;
        usage.bytes += ticket.charged;
        self.bytes += ticket.charged;
        self.waiting.insert((missing, ticket.number), (ticket, waiting));
    }

    /// Takes out one thing that waits for an element of `client` before `clock`.
    pub(crate) fn wake(&mut self, client: ClientId, clock: Clock) -> Option<(Ticket, Waiting)> {
        let (from, to) = (Id { client, clock: 0 }, Id { client, clock });
        let (&key, _) = self.waiting.range((from, 0)..(to, 0)).next()?;
        let (ticket, waiting) = self.waiting.remove(&key)?;
        if let Some(usage) = self.usage.get_mut(&ticket.author) {
            usage.entries -= 1;
            usage.bytes -= ticket.charged;
            if usage.entries == 0 {
                self.usage.remove(&ticket.author);
            }
        }
        self.bytes -= ticket.charged;
        Some((ticket, waiting))
    }
}
