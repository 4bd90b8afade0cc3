//! Taking in an update: its new blocks and deletions, those that must wait, and those that waited for it.

use std::collections::BTreeMap;

use super::{Blocks, Changes};
use crate::document::id_set::IdSet;
use crate::document::parked::{Part, Source, Ticket, Waiting};
use crate::document::state_vector::StateVector;
use crate::limits::{DELETIONS_AT_ONCE, UNSORTED_DELETIONS_AT_ONCE};
use crate::update::{Block, ClientId, Clock, Content, Deletions, Id, Piece, Remains, Run, Update};
use crate::work::{Work, discard};

/// How an update came.
#[derive(Debug, Copy, Clone)]
pub(crate) struct Arrival {
    /// The source that wants a receipt for it.
    pub(crate) source: Option<Source>,
    /// Whether its deletions wait for its blocks, as in an edit. The delete set of a SyncStep2 belongs to a whole document, and
    /// has little to do with its blocks.
    pub(crate) holds: bool,
}

impl Arrival {
    /// From the log.
    pub(crate) const STORED: Self = Self { source: None, holds: false };
}

/// The result of taking in an update, without its changes.
#[derive(Debug)]
pub(crate) struct Intake {
    /// Whether the document changed.
    pub(crate) changed: bool,
    /// Whether the change is the update as it came: no part of it was known or is missing, and nothing was woken.
    pub(crate) as_it_came: bool,
    /// Whether a part of it waits for missing elements.
    pub(crate) parked: bool,
    /// Whether blocks or deletions that others had sent earlier were taken in, because they stopped waiting.
    pub(crate) woken: bool,
    /// Whether somebody else than the source of the update may have sent some of what was woken.
    pub(crate) has_of_others: bool,
    /// Sources of which nothing waits any more.
    pub(crate) freed: Vec<Source>,
    /// Whether a part of it was left out, because too much would wait.
    pub(crate) refused: bool,
}

impl Blocks {
    /// Takes in all blocks and deletions whose dependencies are known, parks the others, and wakes entries that waited for the
    /// update. What is new is added to `changes`.
    pub(crate) async fn take_in(
        &mut self,
        update: &Update,
        arrival: Arrival,
        changes: &mut Changes,
        work: &mut Work,
    ) -> Intake {
        // Parked entries that are stored may not be left out.
        let most = if arrival.source.is_some() { self.max_parked_bytes } else { usize::MAX };
        let mut taken = Taken::new(update, arrival.source, most, self.parked.next_number(), changes);
        let after = self.take_runs(update, &mut taken, work).await;
        if arrival.holds && !after.is_empty() {
            Box::pin(self.hold_delete_set(update.deletions(), after, &mut taken, work)).await;
        } else if update.deletions().next().is_some() {
            Box::pin(self.take_delete_set(update.deletions(), &mut taken, work)).await;
        }
        taken.intake()
    }

    /// Takes in a part of a stored record of parked entries.
    pub(crate) async fn take_part(&mut self, part: Part, changes: &mut Changes, work: &mut Work) {
        let Part { mut after, update } = part;
        let mut taken = Taken::new(&update, None, usize::MAX, self.parked.next_number(), changes);
        self.take_runs(&update, &mut taken, work).await;
        after.retain(|&id| !self.state.contains(id));
        if after.is_empty() {
            self.take_delete_set(update.deletions(), &mut taken, work).await;
        } else {
            self.hold_delete_set(update.deletions(), after, &mut taken, work).await;
        }
    }

    /// Takes in the blocks of an update. Gives the last waiting element of each client.
    async fn take_runs(&mut self, update: &Update, taken: &mut Taken<'_>, work: &mut Work) -> Vec<Id> {
        let mut runs = Runs::of(update);
        let mut next = Vec::new();
        while let Some(run) = next.pop().or_else(|| runs.take_next()) {
            let Progress { advanced, rest } = self.take_blocks(&run, taken, work).await;
            if let Some((missing, rest)) = rest {
                match runs.take_first_of(missing.client, work).await {
                    // First the run that it depends on.
                    Some(on) => next.extend([rest, on]),
                    None => {
                        work.count(4);
                        self.parked.park_blocks(missing, taken.source, rest);
                    }
                }
            }
            if advanced && !self.parked.is_empty() {
                Box::pin(self.wake(run.client(), taken, work)).await;
            }
        }
        runs.discard(work).await;
        let Self { parked, state, .. } = self;
        if parked.next_number() == taken.first_number {
            return Vec::new();
        }
        // Not before: if clients depend on each other, many runs wait for other parts of the same update.
        let waits = Box::pin(parked.settle(taken.source, taken.first_number, state, taken.most, work)).await;
        taken.refused |= waits.is_none();
        let last = last_of_each(waits.unwrap_or_default());
        taken.parked |= !last.is_empty();
        last
    }

    /// Keeps the new ones among some deletions until the elements of `after` are known.
    async fn hold_delete_set(
        &mut self,
        deletions: Deletions<'_>,
        after: Vec<Id>,
        taken: &mut Taken<'_>,
        work: &mut Work,
    ) {
        let mut ranges = IdSet::default();
        for (client, range) in deletions {
            work.count(1);
            if !self.deleted.covers(client, range.clone()) {
                ranges.insert_in_slices(client, range, |_| {}, work).await;
            }
            work.pause().await;
        }
        taken.as_it_came = false;
        if !ranges.is_empty() {
            taken.parked = true;
            taken.refused |= !self.parked.hold(taken.source, after, ranges, taken.most, work).await;
        }
    }

    async fn take_delete_set(&mut self, deletions: Deletions<'_>, taken: &mut Taken<'_>, work: &mut Work) {
        let mut deletions = deletions.peekable();
        while !taken.refused
            && let Some((client, range)) = deletions.next()
        {
            // They nearly always come sorted. If they do not, more are sorted at once, so that no chunk is rewritten again and
            // again for single ranges.
            let (mut most, mut end) = (DELETIONS_AT_ONCE, range.end);
            let mut ranges = IdSet::default();
            ranges.insert(client, range, |_| {});
            while ranges.len() < most
                && let Some((_, range)) = deletions.next_if(|(next, _)| *next == client)
            {
                most = if range.start < end { UNSORTED_DELETIONS_AT_ONCE } else { most };
                end = range.end;
                ranges.insert_in_slices(client, range, |_| {}, work).await;
            }
            let unknown = self.take_deletions(client, ranges, taken, work).await;
            if !unknown.is_empty() {
                taken.parked = true;
                let parked =
                    self.parked.park_deletions(taken.source, client, unknown, taken.most, work).await;
                taken.refused |= !parked;
            }
        }
    }

    /// Takes in the entries that waited for blocks of `client` that have come, and the entries that waited for those.
    async fn wake(&mut self, client: ClientId, taken: &mut Taken<'_>, work: &mut Work) {
        let mut advanced = vec![client];
        while let Some(&client) = advanced.last() {
            let known = self.state.get(client);
            let Some((ticket, waiting)) = self.parked.wake(client, known) else {
                taken.freed.extend(self.parked.caught_up(client, known, work).await);
                advanced.pop();
                continue;
            };
            work.count(8);
            let from_elsewhere = ticket.number() < taken.first_number;
            taken.woken |= from_elsewhere;
            taken.has_of_others |= from_elsewhere && !self.parked.is_only_of(&ticket, taken.source);
            taken.as_it_came &= !from_elsewhere;
            let rest = match waiting {
                Waiting::Blocks(run) => {
                    let Progress { advanced: any, rest } = self.take_blocks(&run, taken, work).await;
                    advanced.extend(any.then_some(run.client()));
                    rest.map(|(missing, rest)| (missing, Waiting::Blocks(rest)))
                }
                Waiting::Deletions(client, ranges) => {
                    let rest = self.take_known_deletions(client, ranges, taken, work).await;
                    let missing = rest.first_of(client).map(|first| Id { client, clock: first.start });
                    missing.map(|missing| (missing, Waiting::Deletions(client, rest)))
                }
                Waiting::Held(mut held) => match held.next_missing(|id| self.state.contains(id)) {
                    Some(missing) => Some((missing, Waiting::Held(held))),
                    None => {
                        self.release(&ticket, held.deletions, taken, work).await;
                        None
                    }
                },
            };
            match rest {
                Some((missing, rest)) => self.parked.park(missing, ticket, rest),
                None => taken.freed.extend(self.parked.done(&ticket)),
            }
            work.pause().await;
        }
    }

    /// Takes in one client's deletions of known elements, and gives the others. O(ranges · log, and the bytes of each chunk
    /// with a new deletion).
    async fn take_known_deletions(
        &mut self,
        client: ClientId,
        mut ranges: IdSet,
        taken: &mut Taken<'_>,
        work: &mut Work,
    ) -> IdSet {
        loop {
            let known = ranges.take_before(client, self.state.get(client), DELETIONS_AT_ONCE);
            if known.is_empty() {
                return ranges;
            }
            self.take_deletions(client, known, taken, work).await;
        }
    }

    /// Takes in deletions that were held. Deletions of unknown elements wait for these elements. Costs as
    /// [`Self::take_known_deletions`].
    async fn release(&mut self, ticket: &Ticket, mut held: IdSet, taken: &mut Taken<'_>, work: &mut Work) {
        while let Some((client, _)) = held.first() {
            let ranges = held.take_before(client, Clock::MAX, DELETIONS_AT_ONCE);
            let unknown = self.take_known_deletions(client, ranges, taken, work).await;
            if !unknown.is_empty() {
                self.parked.pass_on(ticket, client, unknown, work).await;
            }
        }
    }

    /// Takes in blocks up to the first with unknown dependencies. O(bytes).
    async fn take_blocks(&mut self, run: &Run, taken: &mut Taken<'_>, work: &mut Work) -> Progress {
        let client = run.client();
        let known = self.state.get(client);
        let (mut end, mut rest) = (known, None);
        let mut tail = None;
        let mut blocks = run.blocks();
        loop {
            let (position, left) = (blocks.position(), blocks.left());
            let Some(block) = blocks.next_in_slices(work).await else { break };
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
                self.encoded_deletions.take();
            }
            self.note_debris(&block);
            let tail = tail.get_or_insert_with(|| self.chunks.open(Id { client, clock: end }));
            let piece = Piece::between(block, end, block.end());
            self.chunks.push(tail, &piece, work).await;
            end = block.end();
        }
        let advanced = tail.is_some();
        if let Some(tail) = tail {
            self.chunks.close(tail);
            self.state.set(client, end);
            taken.changes.add_from(client, known);
            taken.changed = true;
        }
        work.count(4);
        Progress { advanced, rest }
    }

    /// Takes in deletions of one client's known elements, and gives the deletions of unknown ones. O(ranges · log, and the
    /// bytes of each chunk with a new deletion).
    async fn take_deletions(
        &mut self,
        client: ClientId,
        ranges: IdSet,
        taken: &mut Taken<'_>,
        work: &mut Work,
    ) -> IdSet {
        let known = self.state.get(client);
        let (mut fresh, mut unknown) = (Vec::new(), IdSet::default());
        for (_, range) in ranges.iter() {
            let covered = range.start..range.end.min(known);
            if range.end > known {
                unknown.insert(client, range.start.max(known)..range.end, |_| {});
            }
            if !covered.is_empty() {
                let before = fresh.len();
                let note = |part| fresh.push(part);
                self.deleted.insert_in_slices(client, covered.clone(), note, work).await;
                taken.as_it_came &= fresh[before..] == [covered];
            }
            work.count(4);
            work.pause().await;
        }
        ranges.discard(work).await;
        for range in &fresh {
            taken.changes.deleted.insert_in_slices(client, range.clone(), |_| {}, work).await;
        }
        if !fresh.is_empty() {
            taken.changed = true;
            self.encoded_deletions.take();
        }
        if !self.keeps_deleted {
            self.chunks.reduce(client, &fresh, Remains::Place, work).await;
        }
        unknown
    }
}

/// The first unknown element that a block depends on; `end` is the clock up to which its own client is known.
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
    /// The first run of each client, made when it is first asked for.
    by_client: Option<BTreeMap<ClientId, usize>>,
}

impl<'a> Runs<'a> {
    fn of(update: &'a Update) -> Self {
        Self { update, looked_at: vec![false; update.runs().len()], next: 0, by_client: None }
    }

    /// The next one in the order of the update. O(runs), over all of them.
    fn take_next(&mut self) -> Option<Run> {
        self.next += self.looked_at[self.next..].iter().position(|looked_at| !looked_at)?;
        self.take(self.next)
    }

    /// The first one of a client. (It has several only where the update has gaps.) O(runs · log), once, then O(log runs).
    async fn take_first_of(&mut self, client: ClientId, work: &mut Work) -> Option<Run> {
        if self.by_client.is_none() {
            let mut by_client = BTreeMap::new();
            for (run, index) in self.update.runs().zip(0..) {
                by_client.entry(run.client()).or_insert(index);
                work.count(4);
                work.pause().await;
            }
            self.by_client = Some(by_client);
        }
        let index = *self.by_client.as_ref()?.get(&client)?;
        self.take(index)
    }

    async fn discard(self, work: &mut Work) {
        if let Some(by_client) = self.by_client {
            discard(by_client, work).await;
        }
    }

    fn take(&mut self, index: usize) -> Option<Run> {
        let looked_at = std::mem::replace(&mut self.looked_at[index], true);
        (!looked_at).then(|| self.update.run(index))
    }
}

/// The result of taking in a run of blocks.
struct Progress {
    /// Whether any block was taken in.
    advanced: bool,
    /// The element that the first other block lacks, and the run from that block on.
    rest: Option<(Id, Run)>,
}

/// The last of some elements for each client, in order.
fn last_of_each(mut ids: Vec<Id>) -> Vec<Id> {
    ids.sort_unstable_by(|left, right| right.cmp(left));
    ids.dedup_by_key(|id| id.client);
    ids
}

/// The state of taking in an update.
struct Taken<'a> {
    source: Option<Source>,
    /// How many bytes may wait in all.
    most: usize,
    changes: &'a mut Changes,
    changed: bool,
    as_it_came: bool,
    parked: bool,
    /// The number of the first entry that the update leaves, if any.
    first_number: u64,
    woken: bool,
    has_of_others: bool,
    freed: Vec<Source>,
    refused: bool,
}

impl<'a> Taken<'a> {
    fn new(
        update: &Update,
        source: Option<Source>,
        most: usize,
        first_number: u64,
        changes: &'a mut Changes,
    ) -> Self {
        Self {
            source,
            most,
            changes,
            changed: false,
            as_it_came: !update.has_skips(),
            parked: false,
            first_number,
            woken: false,
            has_of_others: false,
            freed: Vec::new(),
            refused: false,
        }
    }

    fn intake(self) -> Intake {
        Intake {
            changed: self.changed,
            as_it_came: self.as_it_came && !self.parked && !self.refused,
            parked: self.parked,
            woken: self.woken,
            has_of_others: self.has_of_others,
            freed: self.freed,
            refused: self.refused,
        }
    }
}
