//! The document as blocks: what of an update is new, and what a peer lacks, without running anything.
//!
//! The blocks of each client are kept encoded, in chunks of about a kilobyte, as one ordered map over all clients.
//! So a document takes the memory of its encoding, a diff is mostly copied ranges, and a deletion rewrites one chunk.

use std::cell::OnceCell;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use bytes::Bytes;

use crate::chunks::Chunks;
use crate::id_set::IdSet;
use crate::parked::{Author, Parked, Waiting};
use crate::state_vector::StateVector;
use crate::update::{Block, ClientId, Clock, Content, Id, Piece, Run, Update, UpdateError};

/// Memory that a range or a client takes in a map.
const ENTRY_OVERHEAD: usize = 32;

/// A document: its blocks, its state vector, and what was deleted.
#[derive(Debug, Default)]
pub struct Blocks {
    chunks: Chunks,
    state: StateVector,
    deleted: IdSet,
    parked: Parked,
}

/// What an update, or several, added to a document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// For each client of which there are new blocks, the clock from which on they are new.
    from: BTreeMap<ClientId, Clock>,
    /// What is newly deleted.
    deleted: IdSet,
}

impl Changes {
    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.from.is_empty() && self.deleted.is_empty()
    }

    /// Adds later changes of the same document.
    pub fn extend(&mut self, later: &Self) {
        for (&client, &clock) in &later.from {
            self.add_from(client, clock);
        }
        self.deleted.extend(&later.deleted);
    }

    fn add_from(&mut self, client: ClientId, clock: Clock) {
        self.from.entry(client).and_modify(|from| *from = clock.min(*from)).or_insert(clock);
    }
}

/// What became of an update.
#[derive(Debug)]
pub struct Admission {
    /// What is new in the document, as an update; `None` if nothing is.
    pub update: Option<Bytes>,
    /// The same as a place to diff from.
    pub changes: Changes,
    /// Whether a part of it waits for what is missing.
    pub parked: bool,
    /// Whether what others had sent earlier is in it, because it stopped waiting.
    pub woken: bool,
}

/// Why stored bytes are not a document.
#[derive(Debug, Copy, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The bytes are not an update.
    #[error("not a Yjs update: {0}")]
    Update(UpdateError),
    /// Blocks or deletions depend on others that are not there.
    #[error("the update depends on others that are missing")]
    Gap,
}

impl From<UpdateError> for LoadError {
    fn from(error: UpdateError) -> Self {
        Self::Update(error)
    }
}

impl Blocks {
    /// The document that one update makes.
    ///
    /// # Errors
    /// If the bytes are not an update, or depend on other updates.
    pub fn from_update(update: &[u8]) -> Result<Self, LoadError> {
        let mut blocks = Self::default();
        blocks.load(update)?;
        Ok(blocks)
    }

    /// Takes in a stored update, all of whose dependencies must be known.
    ///
    /// # Errors
    /// If the bytes are not an update, or depend on other updates.
    pub fn load(&mut self, update: &[u8]) -> Result<(), LoadError> {
        let update = Update::scan(Bytes::copy_from_slice(update))?;
        self.take_in(&update, 0);
        if self.parked.is_empty() { Ok(()) } else { Err(LoadError::Gap) }
    }

    /// Takes in what is new in an update. What depends on elements that are not known is parked under the name of its
    /// author, and taken in as soon as they come.
    pub fn admit(&mut self, update: &Update, author: Author) -> Admission {
        let taken = self.take_in(update, author);
        let parked = taken.parked > 0;
        let bytes = match taken {
            _ if taken.changes.is_empty() => None,
            Taken { as_it_came: true, .. } => Some(update.bytes().clone()),
            Taken { ref changes, .. } => Some(self.diff_changes(changes)),
        };
        Admission { update: bytes, changes: taken.changes, parked, woken: taken.woken }
    }

    /// How much of each client is known.
    pub fn state_vector(&self) -> &StateVector {
        &self.state
    }

    /// What was deleted.
    pub fn delete_set(&self) -> &IdSet {
        &self.deleted
    }

    /// What waits for a gap to fill.
    pub fn parked(&self) -> &Parked {
        &self.parked
    }

    /// Forgets what waits and was sent by one author.
    pub fn forget_parked(&mut self, author: Author) {
        self.parked.forget(author);
    }

    /// Whether nothing was ever written.
    pub fn is_empty(&self) -> bool {
        self.state.is_empty()
    }

    /// About how many bytes of memory the document takes.
    pub fn memory(&self) -> usize {
        self.chunks.memory() + (self.deleted.len() + self.state.len()) * ENTRY_OVERHEAD + self.parked.bytes()
    }

    /// How many bytes the blocks of an update take that are not known yet. Deletions don't count.
    pub fn growth(&self, update: &Update) -> usize {
        let mut growth = 0;
        for run in update.runs() {
            let known = self.state.get(run.client());
            let mut blocks = run.blocks();
            let mut from = blocks.position();
            while let Some(block) = blocks.next() {
                let to = blocks.position();
                growth += if block.end() > known { to - from } else { 0 };
                from = to;
            }
        }
        growth
    }

    /// The whole document as one update.
    pub fn encode_state(&self) -> Bytes {
        self.encode(self.state.iter().rev().map(|(client, _)| (client, 0)), &self.deleted)
    }

    /// What a peer with this state vector lacks, as one update. State vectors say nothing of deletions, so all are in it.
    pub fn diff(&self, known: &StateVector) -> Bytes {
        let lacking = self.state.iter().rev().filter_map(|(client, clock)| {
            let from = known.get(client);
            (from < clock).then_some((client, from))
        });
        self.encode(lacking, &self.deleted)
    }

    /// What a peer with this state vector lacks, as changes.
    pub fn changes_since(&self, known: &StateVector) -> Changes {
        let lacking = self.state.iter().map(|(client, clock)| (client, known.get(client), clock));
        let from = lacking.filter(|(_, from, clock)| from < clock).map(|(client, from, _)| (client, from));
        Changes { from: from.collect(), deleted: self.deleted.clone() }
    }

    /// Changes of this document as one update: however many updates brought them, this is their merge.
    pub fn diff_changes(&self, changes: &Changes) -> Bytes {
        self.encode(changes.from.iter().rev().map(|(&client, &clock)| (client, clock)), &changes.deleted)
    }

    /// Encodes the blocks of some clients, each from a clock on, and a delete set. Clients come from high to low, as
    /// the lazy readers of Yjs expect.
    fn encode(&self, from: impl Iterator<Item = (ClientId, Clock)> + Clone, deleted: &IdSet) -> Bytes {
        let mut out = Vec::new();
        crate::lib0::write_var_uint(&mut out, from.clone().count() as u64);
        for (client, clock) in from {
            self.chunks.encode_section(Id { client, clock }, &mut out);
        }
        deleted.encode(&mut out);
        Bytes::from(out)
    }

    /// Takes in what can be and parks the rest; wakes what waited for it.
    fn take_in(&mut self, update: &Update, author: Author) -> Taken {
        let mut taken = Taken::new(update, author, self.parked.next_number());
        let mut runs = Runs::of(update);
        let mut next = Vec::new();
        while let Some(run) = next.pop().or_else(|| runs.take_next()) {
            let Progress { advanced, rest } = self.take_blocks(&run, &mut taken);
            if let Some((missing, rest)) = rest {
                match runs.take_first_of(missing.client) {
                    // First what it depends on.
                    Some(on) => next.extend([rest, on]),
                    None => self.park(missing, Waiting::Blocks(rest), &mut taken),
                }
            }
            if advanced {
                self.wake(run.client(), &mut taken);
            }
        }
        let mut deletions = IdSet::default();
        for (client, range) in update.deletions() {
            deletions.insert(client, range, |_| {});
        }
        for (client, ranges) in by_client(&deletions) {
            if let Some((missing, rest)) = self.take_deletions(client, ranges, &mut taken) {
                self.park(missing, rest, &mut taken);
            }
        }
        taken.as_it_came &= taken.parked == 0;
        taken
    }

    fn park(&mut self, missing: Id, waiting: Waiting, taken: &mut Taken) {
        taken.parked += 1;
        self.parked.park_new(missing, taken.author, waiting, taken.source_bytes);
    }

    /// Takes in what waited for blocks of `client` that have come, and what waited for that.
    fn wake(&mut self, client: ClientId, taken: &mut Taken) {
        if self.parked.is_empty() {
            return;
        }
        let mut advanced = vec![client];
        while let Some(&client) = advanced.last() {
            let Some((ticket, waiting)) = self.parked.wake(client, self.state.get(client)) else {
                advanced.pop();
                continue;
            };
            let from_elsewhere = ticket.number() < taken.first_number;
            taken.woken |= from_elsewhere;
            taken.as_it_came &= !from_elsewhere;
            let rest = match waiting {
                Waiting::Blocks(run) => {
                    let progress = self.take_blocks(&run, taken);
                    advanced.extend(progress.advanced.then_some(run.client()));
                    progress.rest.map(|(missing, rest)| (missing, Waiting::Blocks(rest)))
                }
                Waiting::Deletions(client, ranges) => self.take_deletions(client, ranges, taken),
            };
            match rest {
                Some((missing, waiting)) => self.parked.park(missing, ticket, waiting),
                None if !from_elsewhere => taken.parked -= 1,
                None => {}
            }
        }
    }

    /// Takes in blocks up to the first whose dependencies are not known.
    fn take_blocks(&mut self, run: &Run, taken: &mut Taken) -> Progress {
        let client = run.client();
        let known = self.state.get(client);
        let (mut end, mut rest) = (known, None);
        let mut tail = None;
        let mut blocks = run.blocks();
        loop {
            let (position, left) = (blocks.position(), blocks.left());
            let Some(block) = blocks.next() else { break };
            if block.end() <= end {
                taken.as_it_came = false;
                continue;
            }
            if let Some(missing) = missing(&block, end, &self.state) {
                rest =
                    Some((missing, Run { next: block.id, blocks: left, bytes: run.bytes.slice(position..) }));
                break;
            }
            taken.as_it_came &= block.id.clock == end;
            if matches!(block.content, Content::Gc | Content::Deleted) {
                self.deleted.insert(client, end..block.end(), |_| {});
                taken.changes.deleted.insert(client, end..block.end(), |_| {});
            }
            let tail = tail.get_or_insert_with(|| self.chunks.open(Id { client, clock: end }));
            self.chunks.push(tail, Piece::between(block, end, block.end()));
            end = block.end();
        }
        let advanced = tail.is_some();
        if let Some(tail) = tail {
            self.chunks.close(tail);
            self.state.set(client, end);
            taken.changes.add_from(client, known);
        }
        Progress { advanced, rest }
    }

    /// Takes in deletions of known elements; gives the first unknown one and the rest.
    fn take_deletions(
        &mut self,
        client: ClientId,
        mut ranges: VecDeque<Range<Clock>>,
        taken: &mut Taken,
    ) -> Option<(Id, Waiting)> {
        let known = self.state.get(client);
        let mut fresh = Vec::new();
        while let Some(range) = ranges.front_mut().filter(|range| range.start < known) {
            let covered = range.start..range.end.min(known);
            range.start = covered.end;
            if range.start >= range.end {
                ranges.pop_front();
            }
            let before = fresh.len();
            self.deleted.insert(client, covered.clone(), |part| fresh.push(part));
            taken.as_it_came &= fresh[before..] == [covered];
        }
        self.chunks.drop_content(client, &fresh);
        for range in fresh {
            taken.changes.deleted.insert(client, range, |_| {});
        }
        let missing = Id { client, clock: ranges.front()?.start };
        Some((missing, Waiting::Deletions(client, ranges)))
    }
}

/// The first element that a block depends on and that is not known; `end` is how much of its own client is.
fn missing(block: &Block<'_>, end: Clock, state: &StateVector) -> Option<Id> {
    let Id { client, clock } = block.id;
    if clock > end {
        return Some(Id { client, clock: clock - 1 });
    }
    block.dependencies().find(|&on| on.client != client && !state.contains(on))
}

/// The runs of an update that have not been looked at.
struct Runs<'a> {
    update: &'a Update,
    looked_at: Vec<bool>,
    next: usize,
    /// Client and index of every run, sorted; made when it is first asked for.
    by_client: OnceCell<Vec<(ClientId, usize)>>,
}

impl<'a> Runs<'a> {
    fn of(update: &'a Update) -> Self {
        Self { update, looked_at: vec![false; update.runs().len()], next: 0, by_client: OnceCell::new() }
    }

    /// The next one in the order of the update.
    fn take_next(&mut self) -> Option<Run> {
        self.next += self.looked_at[self.next..].iter().position(|looked_at| !looked_at)?;
        self.take(self.next)
    }

    /// The first one of a client. (It has several only where the update has gaps.)
    fn take_first_of(&mut self, client: ClientId) -> Option<Run> {
        let by_client = self.by_client.get_or_init(|| {
            let mut by_client: Vec<_> = self.update.runs().map(|run| run.client()).zip(0..).collect();
            by_client.sort_unstable();
            by_client
        });
        let first = by_client.partition_point(|&(other, _)| other < client);
        let &(_, index) = by_client.get(first).filter(|(other, _)| *other == client)?;
        self.take(index)
    }

    fn take(&mut self, index: usize) -> Option<Run> {
        let looked_at = std::mem::replace(&mut self.looked_at[index], true);
        (!looked_at).then(|| self.update.run(index))
    }
}

/// How far a run of blocks was taken in.
struct Progress {
    /// Whether any block was.
    advanced: bool,
    /// What the first block that was not lacks, and the run from there on.
    rest: Option<(Id, Run)>,
}

/// What was taken in of an update.
struct Taken {
    author: Author,
    source_bytes: usize,
    changes: Changes,
    /// Whether the changes are the update as it came: nothing of it known or missing, nothing else woken.
    as_it_came: bool,
    /// How many parts of it are parked.
    parked: usize,
    /// The first number that a part of it has or would have while it is parked.
    first_number: u64,
    /// Whether what had come in other updates stopped waiting.
    woken: bool,
}

impl Taken {
    fn new(update: &Update, author: Author, first_number: u64) -> Self {
        Self {
            author,
            source_bytes: update.bytes().len(),
            changes: Changes::default(),
            as_it_came: !update.has_skips(),
            parked: 0,
            first_number,
            woken: false,
        }
    }
}

/// The ranges of each client of a set.
fn by_client(set: &IdSet) -> Vec<(ClientId, VecDeque<Range<Clock>>)> {
    let mut clients: Vec<(ClientId, VecDeque<Range<Clock>>)> = Vec::new();
    for (client, range) in set.iter() {
        match clients.last_mut() {
            Some((last, ranges)) if *last == client => ranges.push_back(range),
            _ => clients.push((client, VecDeque::from([range]))),
        }
    }
    clients
}
