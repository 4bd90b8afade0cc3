//! Parked blocks and deletions: they depend on elements that are not known yet, and wait for the gap to fill.
//!
//! They belong to the document, not to the peer that sent them. Yjs puts all its pending blocks into each SyncStep2, also
//! blocks of other clients, so the same blocks come from everybody who has them: they are kept once. The sources of an entry
//! are remembered as long as they are here, because they get no receipt before it is taken in.

mod entry;
mod stored;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use crate::document::id_set::IdSet;
use crate::document::state_vector::StateVector;
use crate::limits::{DELETION_BYTES, DELETIONS_AT_ONCE};
use crate::seldom::Empty;
use crate::update::{ClientId, Clock, Id, Run};
use crate::work::{Work, copy};

use self::entry::{ENTRY_BYTES, Held, SOURCE_BYTES};
pub(crate) use self::entry::{Ticket, Waiting};
pub(crate) use self::stored::Part;

/// The source of parked entries: it waits for a receipt.
pub type Source = u64;

/// Blocks and deletions that wait, by the element that they wait for.
#[derive(Debug, Default)]
pub struct Parked {
    /// By the missing element; the number tells entries apart that wait for the same one.
    waiting: BTreeMap<(Id, u64), (Ticket, Waiting)>,
    /// The element that each entry waits for, by its number.
    entries: BTreeMap<u64, Id>,
    /// Runs of blocks, by client and the clock after their last one. None lies within another when it comes.
    ends: BTreeMap<Id, u64>,
    /// All elements of these runs, and perhaps some that are known by now.
    covered: IdSet,
    /// The entry with the deletions of each client's elements: there is one for each client, however often they come.
    deletions: BTreeMap<ClientId, u64>,
    /// The entry with the deletions that wait for the same elements.
    held: BTreeMap<Arc<[Id]>, u64>,
    /// The sources of each entry, and the entries of each source, for sources that are here.
    sources: BTreeSet<(u64, Source)>,
    sent: BTreeSet<(Source, u64)>,
    /// Entries and deletions that no record of the log has yet.
    unlogged: BTreeSet<u64>,
    unlogged_deletions: IdSet,
    bytes: usize,
    next: u64,
}

impl Empty for Parked {
    const EMPTY: &'static Parked = &Parked {
        waiting: BTreeMap::new(),
        entries: BTreeMap::new(),
        ends: BTreeMap::new(),
        covered: IdSet::EMPTY,
        deletions: BTreeMap::new(),
        held: BTreeMap::new(),
        sources: BTreeSet::new(),
        sent: BTreeSet::new(),
        unlogged: BTreeSet::new(),
        unlogged_deletions: IdSet::EMPTY,
        bytes: 0,
        next: 0,
    };
}

impl Parked {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// About how many bytes of memory it takes.
    pub fn bytes(&self) -> usize {
        self.bytes + self.sources.len() * SOURCE_BYTES
    }

    /// The element that each entry waits for.
    pub fn missing(&self) -> impl Iterator<Item = Id> {
        self.entries.values().copied()
    }

    /// Whether an entry of this source waits. O(log entries).
    pub fn waits_for(&self, source: Source) -> bool {
        self.sent.range((source, 0)..=(source, u64::MAX)).next().is_some()
    }

    /// Notes that a source is gone, and wants no receipt any more. Its entries stay. O(its entries · log).
    pub(crate) async fn leave(&mut self, source: Source, work: &mut Work) {
        while let Some(&(_, number)) = self.sent.range((source, 0)..=(source, u64::MAX)).next() {
            self.sent.remove(&(source, number));
            self.sources.remove(&(number, source));
            work.count(2);
            work.pause().await;
        }
    }

    /// The number of the next entry.
    pub(crate) fn next_number(&self) -> u64 {
        self.next
    }

    /// Keeps blocks until the element `missing` is known. Until [`Self::settle`], they are a view of the frame that they came
    /// in, and may be known already. O(log entries).
    pub(crate) fn park_blocks(&mut self, missing: Id, source: Option<Source>, run: Run) {
        let number = self.park_new(missing, None, Waiting::Blocks(run));
        self.note_source(number, source);
    }

    /// Called when an update was taken in but for its deletions. Keeps the entries from number `since` on, unless the same
    /// blocks wait already. Gives the last element of each run of blocks that waits. `None` if more than `most` bytes would
    /// wait: then none of these entries is kept. O(bytes of the runs, and log entries for each run).
    pub(crate) async fn settle(
        &mut self,
        source: Option<Source>,
        since: u64,
        known: &StateVector,
        most: usize,
        work: &mut Work,
    ) -> Option<Vec<Id>> {
        let (mut last, mut fits) = (Vec::new(), true);
        let numbers: Vec<u64> = self.entries.range(since..).map(|(&number, _)| number).collect();
        let mut fresh = Vec::new();
        for number in numbers {
            let Some(run) = self.run(number).cloned() else { continue };
            let client = run.client();
            let clocks = run.next.clock.max(known.get(client))..end_of(&run, work).await;
            work.count(8);
            work.pause().await;
            if clocks.is_empty() {
                // Another part of the update had them.
                self.drop_entry(number);
                continue;
            }
            last.push(Id { client, clock: clocks.end - 1 });
            if let Some(same) = self.same(client, clocks.clone()) {
                self.drop_entry(number);
                fits &= self.bytes() + SOURCE_BYTES <= most;
                self.note_source(same, source.filter(|_| fits));
            } else {
                fresh.push((number, clocks));
            }
        }
        fits &= self.bytes() <= most;
        for (number, clocks) in fresh {
            if fits {
                self.settle_run(number, clocks, work).await;
            } else {
                self.drop_entry(number);
            }
            work.count(8);
            work.pause().await;
        }
        fits.then_some(last)
    }

    /// The entry that holds the last of these blocks, if all of them wait already. O(log entries).
    fn same(&self, client: ClientId, clocks: Range<Clock>) -> Option<u64> {
        let mut from = self.ends.range(Id { client, clock: clocks.end }..=Id { client, clock: Clock::MAX });
        let covers = self.covered.covers(client, clocks);
        covers.then(|| from.next().map(|(_, &number)| number)).flatten()
    }

    /// Keeps blocks that did not wait before. They are copied, since they may be a small part of a frame that would be kept in
    /// memory with them. Entries that lie within them are dropped. O(bytes, and dropped entries · log).
    async fn settle_run(&mut self, number: u64, clocks: Range<Clock>, work: &mut Work) {
        let key = (self.entries[&number], number);
        let Some((ticket, Waiting::Blocks(run))) = self.waiting.get_mut(&key) else { return };
        let mut bytes = Vec::with_capacity(run.bytes.len());
        copy(&run.bytes, &mut bytes, work).await;
        run.bytes = bytes.into();
        ticket.end = Some(clocks.end);
        let client = run.client();
        let (after, end) = (Id { client, clock: clocks.start + 1 }, Id { client, clock: clocks.end });
        while let Some((_, &within)) = self.ends.range(after..=end).next_back()
            && self.run(within).is_some_and(|run| run.next.clock >= clocks.start)
        {
            for source in self.drop_entry(within) {
                self.note_source(number, Some(source));
            }
            work.count(8);
            work.pause().await;
        }
        self.ends.insert(end, number);
        self.covered.insert_in_slices(client, clocks, |_| {}, work).await;
        self.unlogged.insert(number);
    }

    /// Keeps deletions of one client's elements until the first of these is known, together with those that wait already.
    /// `false` if more than `most` bytes would wait. O(ranges · log).
    pub(crate) async fn park_deletions(
        &mut self,
        source: Option<Source>,
        client: ClientId,
        ranges: IdSet,
        most: usize,
        work: &mut Work,
    ) -> bool {
        let before = self.deletions.get(&client).map(|number| (self.entries[number], *number));
        let others = match before.and_then(|key| self.waiting.get(&key)) {
            Some((_, Waiting::Deletions(_, others))) => others,
            _ => &IdSet::default(),
        };
        let lacking = ranges.iter().filter(|(client, range)| !others.covers(*client, range.clone())).count();
        work.count(ranges.len());
        let growth = SOURCE_BYTES + lacking * DELETION_BYTES + if before.is_none() { ENTRY_BYTES } else { 0 };
        if self.bytes() + growth > most {
            ranges.discard(work).await;
            return false;
        }
        let number = self.add_deletions(before, client, ranges, work).await;
        self.note_source(number, source);
        true
    }

    /// Adds deletions to an entry's, if there is one.
    async fn add_deletions(
        &mut self,
        before: Option<(Id, u64)>,
        client: ClientId,
        ranges: IdSet,
        work: &mut Work,
    ) -> u64 {
        let mut all = IdSet::default();
        if let Some((_, Waiting::Deletions(_, others))) = before.and_then(|key| self.take(key)) {
            all = others;
        }
        for (client, range) in ranges.iter() {
            let mut fresh = Vec::new();
            all.insert_in_slices(client, range, |part| fresh.push(part), work).await;
            for part in fresh {
                self.unlogged_deletions.insert_in_slices(client, part, |_| {}, work).await;
            }
        }
        ranges.discard(work).await;
        let missing = Id { client, clock: all.first_of(client).expect("there is something to delete").start };
        let waiting = Waiting::Deletions(client, all);
        match before {
            Some((_, number)) => {
                let ticket = Ticket { number, charged: waiting.bytes(), end: None };
                self.park(missing, ticket, waiting);
                number
            }
            None => self.park_new(missing, None, waiting),
        }
    }

    /// Keeps deletions until all elements of `after` are known, the first of which is not. `false` if more than `most` bytes
    /// would wait. O(elements and ranges · log).
    pub(crate) async fn hold(
        &mut self,
        source: Option<Source>,
        after: Vec<Id>,
        mut deletions: IdSet,
        most: usize,
        work: &mut Work,
    ) -> bool {
        work.count(4 + after.len());
        let (missing, after) = (after[0], Arc::<[Id]>::from(after));
        let before = self.held.get(&after).map(|number| (self.entries[number], *number));
        if let Some((number, others)) = before.and_then(|key| self.held_by(key)) {
            if deletions.iter().all(|(client, range)| others.covers(client, range)) {
                work.count(deletions.len());
                deletions.discard(work).await;
                let fits = self.bytes() + SOURCE_BYTES <= most;
                self.note_source(number, source.filter(|_| fits));
                return fits;
            }
            for (client, range) in others.clone().iter() {
                deletions.insert_in_slices(client, range, |_| {}, work).await;
            }
        }
        let waiting = Waiting::Held(Held { after: Arc::clone(&after), known: 0, deletions });
        if self.bytes() + waiting.bytes() + SOURCE_BYTES > most {
            return false;
        }
        let number = self.park_new(missing, None, waiting);
        if let Some((_, before)) = before {
            for source in self.drop_entry(before) {
                self.note_source(number, Some(source));
            }
        }
        self.note_source(number, source);
        self.unlogged.insert(number);
        true
    }

    fn held_by(&self, key: (Id, u64)) -> Option<(u64, &IdSet)> {
        match self.waiting.get(&key)? {
            (ticket, Waiting::Held(held)) => Some((ticket.number, &held.deletions)),
            _ => None,
        }
    }

    fn park_new(&mut self, missing: Id, end: Option<Clock>, waiting: Waiting) -> u64 {
        let number = self.next;
        self.next += 1;
        self.park(missing, Ticket { number, charged: waiting.bytes(), end }, waiting);
        number
    }

    /// Keeps the rest of an entry that was taken out. O(log entries).
    pub(crate) fn park(&mut self, missing: Id, ticket: Ticket, waiting: Waiting) {
        let number = ticket.number;
        self.entries.insert(number, missing);
        match &waiting {
            Waiting::Blocks(run) => {
                let end = ticket.end.map(|clock| Id { client: run.client(), clock });
                self.ends.extend(end.map(|end| (end, number)));
            }
            Waiting::Deletions(client, _) => drop(self.deletions.insert(*client, number)),
            Waiting::Held(held) => drop(self.held.insert(Arc::clone(&held.after), number)),
        }
        self.bytes += ticket.charged;
        self.waiting.insert((missing, number), (ticket, waiting));
    }

    /// Takes out one entry that waits for an element of `client` before `clock`. Its rest is parked again, or it is done. O(log
    /// entries).
    pub(crate) fn wake(&mut self, client: ClientId, clock: Clock) -> Option<(Ticket, Waiting)> {
        let (from, to) = (Id { client, clock: 0 }, Id { client, clock });
        let (&key, _) = self.waiting.range((from, 0)..(to, 0)).next()?;
        self.take(key)
    }

    /// Drops entries whose blocks are known, now that `client` is known up to `clock`. They may still depend on missing
    /// elements: then they came as GC, which depends on nothing. Gives the sources of which nothing waits now. O(entries and
    /// ranges that are known · log).
    pub(crate) async fn caught_up(&mut self, client: ClientId, clock: Clock, work: &mut Work) -> Vec<Source> {
        let mut sources = Vec::new();
        loop {
            let known = self.covered.take_before(client, clock, DELETIONS_AT_ONCE);
            if known.is_empty() {
                break;
            }
            known.discard(work).await;
        }
        while let Some((_, &number)) = self.ends.range(Id { client, clock: 0 }..=Id { client, clock }).next()
        {
            sources.extend(self.drop_entry(number));
            work.count(8);
            work.pause().await;
        }
        sources.retain(|&source| !self.waits_for(source));
        sources
    }

    /// Whether nobody is known to have sent an entry but this source. O(log entries).
    pub(crate) fn is_only_of(&self, ticket: &Ticket, source: Option<Source>) -> bool {
        let number = ticket.number;
        let mut sources = self.sources.range((number, 0)..=(number, u64::MAX)).map(|&(_, source)| source);
        source.is_some() && sources.next() == source && sources.next().is_none()
    }

    /// Notes that an entry that was taken out waits no more. Gives the sources of which nothing waits now. O(sources · log).
    pub(crate) fn done(&mut self, ticket: &Ticket) -> Vec<Source> {
        let mut sources = self.forget_sources(ticket.number);
        self.unlogged.remove(&ticket.number);
        sources.retain(|&source| !self.waits_for(source));
        sources
    }

    /// Lets deletions that were held, and their sources, wait for the elements that are deleted. O(ranges and sources · log).
    pub(crate) async fn pass_on(&mut self, from: &Ticket, client: ClientId, ranges: IdSet, work: &mut Work) {
        let before = self.deletions.get(&client).map(|number| (self.entries[number], *number));
        let number = self.add_deletions(before, client, ranges, work).await;
        for source in self.sources_of(from.number) {
            self.note_source(number, Some(source));
        }
    }

    fn take(&mut self, key: (Id, u64)) -> Option<(Ticket, Waiting)> {
        let (ticket, waiting) = self.waiting.remove(&key)?;
        self.entries.remove(&ticket.number);
        match &waiting {
            Waiting::Blocks(run) => {
                if let Some(clock) = ticket.end {
                    self.ends.remove(&Id { client: run.client(), clock });
                }
            }
            Waiting::Deletions(client, _) => drop(self.deletions.remove(client)),
            Waiting::Held(held) => {
                if self.held.get(&held.after) == Some(&ticket.number) {
                    self.held.remove(&held.after);
                }
            }
        }
        self.bytes -= ticket.charged;
        Some((ticket, waiting))
    }

    /// Drops an entry, and gives its sources.
    fn drop_entry(&mut self, number: u64) -> Vec<Source> {
        self.take((self.entries[&number], number));
        self.unlogged.remove(&number);
        self.forget_sources(number)
    }

    fn run(&self, number: u64) -> Option<&Run> {
        match self.waiting.get(&(*self.entries.get(&number)?, number))? {
            (_, Waiting::Blocks(run)) => Some(run),
            _ => None,
        }
    }

    fn note_source(&mut self, number: u64, source: Option<Source>) {
        self.sources.extend(source.map(|source| (number, source)));
        self.sent.extend(source.map(|source| (source, number)));
    }

    fn sources_of(&self, number: u64) -> Vec<Source> {
        self.sources.range((number, 0)..=(number, u64::MAX)).map(|&(_, source)| source).collect()
    }

    fn forget_sources(&mut self, number: u64) -> Vec<Source> {
        let sources = self.sources_of(number);
        for &source in &sources {
            self.sources.remove(&(number, source));
            self.sent.remove(&(source, number));
        }
        sources
    }
}

/// The clock after the last of these blocks. O(bytes).
async fn end_of(run: &Run, work: &mut Work) -> Clock {
    let (mut end, mut blocks) = (run.next.clock, run.blocks());
    while let Some(block) = blocks.next_in_slices(work).await {
        end = block.end();
        work.count(1);
        work.pause().await;
    }
    end
}
