//! What waits for a gap to fill: blocks and deletions that depend on elements which are not known yet.

use std::collections::BTreeMap;

use crate::id_set::IdSet;
use crate::update::{ClientId, Clock, Id, Run};
use crate::work::{Work, copy};

/// Memory that an entry takes beside its bytes: four map nodes and an allocation or two.
const ENTRY_BYTES: usize = 256;
/// Memory that a range of deletions takes.
const RANGE_BYTES: usize = 32;

/// Who sent what is parked, so that it can be forgotten together.
pub type Author = u64;

/// One thing that waits.
#[derive(Debug)]
pub(crate) enum Waiting {
    /// Blocks, the first of which depends on what is missing.
    Blocks(Run),
    /// Deletions of one client's elements, the first of which has not been seen.
    Deletions(ClientId, IdSet),
}

impl Waiting {
    fn bytes(&self) -> usize {
        ENTRY_BYTES
            + match self {
                Self::Blocks(run) => run.bytes.len(),
                Self::Deletions(_, ranges) => ranges.len() * RANGE_BYTES,
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

    /// Who sent it.
    pub(crate) fn author(&self) -> Author {
        self.author
    }
}

/// What one author has waiting.
#[derive(Debug, Default)]
struct Usage {
    /// What each entry waits for, by its number.
    entries: BTreeMap<u64, Id>,
    /// The entry with the deletions of each client's elements: there is one, however often they come, so that none wakes
    /// more than one entry of an author.
    deletions: BTreeMap<ClientId, u64>,
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

    /// Whether something of this author waits. O(log authors).
    pub fn waits_for(&self, author: Author) -> bool {
        self.usage.contains_key(&author)
    }

    /// The author whose entries take the most memory. O(authors).
    pub fn largest_author(&self) -> Option<Author> {
        self.usage.iter().max_by_key(|(_, usage)| usage.bytes).map(|(&author, _)| author)
    }

    /// Forgets what one author sent. O(their entries · log).
    pub(crate) async fn forget(&mut self, author: Author, work: &mut Work) {
        let Some(usage) = self.usage.remove(&author) else { return };
        self.bytes -= usage.bytes;
        for (number, missing) in usage.entries {
            if let Some((_, Waiting::Deletions(_, ranges))) = self.waiting.remove(&(missing, number)) {
                ranges.discard(work).await;
            }
            work.count(4);
            work.pause().await;
        }
    }

    /// The number of what is parked next.
    pub(crate) fn next_number(&self) -> u64 {
        self.next
    }

    /// Keeps blocks until the element `missing` is known. They are a view of the frame that they came in: see
    /// [`Self::detach`]. O(log entries).
    pub(crate) fn park_blocks(&mut self, missing: Id, author: Author, run: Run) {
        self.park_new(missing, author, Waiting::Blocks(run));
    }

    /// Copies what an author has parked since there was this number, so that it does not keep a whole frame in memory, of which
    /// it may be the least part. O(bytes).
    pub(crate) async fn detach(&mut self, author: Author, since: u64, work: &mut Work) {
        let Some(usage) = self.usage.get(&author) else { return };
        for (&number, &missing) in usage.entries.range(since..) {
            if let Some((_, Waiting::Blocks(run))) = self.waiting.get_mut(&(missing, number)) {
                let mut bytes = Vec::with_capacity(run.bytes.len());
                copy(&run.bytes, &mut bytes, work).await;
                run.bytes = bytes.into();
            }
            work.count(4);
            work.pause().await;
        }
    }

    /// Keeps deletions of one client's elements until the first of them is known, with those that wait already.
    /// O(ranges · log).
    pub(crate) async fn park_deletions(
        &mut self,
        author: Author,
        client: ClientId,
        mut ranges: IdSet,
        work: &mut Work,
    ) {
        let usage = self.usage.get(&author);
        let before = usage
            .and_then(|usage| Some((usage.entries[usage.deletions.get(&client)?], usage.deletions[&client])));
        if let Some((_, Waiting::Deletions(_, mut others))) = before.and_then(|key| self.take(key)) {
            if others.len() > ranges.len() {
                std::mem::swap(&mut others, &mut ranges);
            }
            for (client, range) in others.iter() {
                ranges.insert_in_slices(client, range, |_| {}, work).await;
            }
            others.discard(work).await;
        }
        let first = ranges.first_of(client).expect("there is something to delete");
        self.park_new(Id { client, clock: first.start }, author, Waiting::Deletions(client, ranges));
    }

    fn park_new(&mut self, missing: Id, author: Author, waiting: Waiting) {
        let ticket = Ticket { author, charged: waiting.bytes(), number: self.next };
        self.next += 1;
        self.park(missing, ticket, waiting);
    }

    /// Keeps what is left of something that waited before. O(log entries).
    pub(crate) fn park(&mut self, missing: Id, ticket: Ticket, waiting: Waiting) {
        let usage = self.usage.entry(ticket.author).or_default();
        usage.entries.insert(ticket.number, missing);
        if let Waiting::Deletions(client, _) = waiting {
            usage.deletions.insert(client, ticket.number);
        }
        usage.bytes += ticket.charged;
        self.bytes += ticket.charged;
        self.waiting.insert((missing, ticket.number), (ticket, waiting));
    }

    /// Takes out one thing that waits for an element of `client` before `clock`. O(log entries).
    pub(crate) fn wake(&mut self, client: ClientId, clock: Clock) -> Option<(Ticket, Waiting)> {
        let (from, to) = (Id { client, clock: 0 }, Id { client, clock });
        let (&key, _) = self.waiting.range((from, 0)..(to, 0)).next()?;
        self.take(key)
    }

    fn take(&mut self, key: (Id, u64)) -> Option<(Ticket, Waiting)> {
        let (ticket, waiting) = self.waiting.remove(&key)?;
        if let Some(usage) = self.usage.get_mut(&ticket.author) {
            usage.entries.remove(&ticket.number);
            if let Waiting::Deletions(client, _) = waiting {
                usage.deletions.remove(&client);
            }
            usage.bytes -= ticket.charged;
            if usage.entries.is_empty() {
                self.usage.remove(&ticket.author);
            }
        }
        self.bytes -= ticket.charged;
        Some((ticket, waiting))
    }
}
