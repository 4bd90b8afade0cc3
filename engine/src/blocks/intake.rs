//! Taking in an update: what is new in it, what must wait, and what waited for it.

use std::collections::BTreeMap;

use super::{Blocks, Changes};
use crate::id_set::IdSet;
use crate::limits::{DELETIONS_AT_ONCE, UNSORTED_DELETIONS_AT_ONCE};
use crate::parked::{Author, Waiting};
use crate::state_vector::StateVector;
use crate::update::{Block, ClientId, Clock, Content, Deletions, Id, Piece, Remains, Run, Update};
use crate::work::{Work, discard};

/// What became of an update, where its changes were kept elsewhere.
#[derive(Debug)]
pub(crate) struct Intake {
    /// Whether the document changed.
    pub(crate) changed: bool,
    /// Whether that change is the update as it came: nothing of it known or missing, nothing else woken.
    pub(crate) as_it_came: bool,
    /// Whether a part of it waits for what is missing.
    pub(crate) parked: bool,
    /// Whether what others had sent earlier is in it, because it stopped waiting.
    pub(crate) woken: bool,
    /// Authors of which nothing waits any more.
    pub(crate) freed: Vec<Author>,
    /// Authors of which what waited was forgotten, because too much waited in all.
    pub(crate) evicted: Vec<Author>,
}

impl Blocks {
    /// Takes in what can be and parks the rest; wakes what waited for it. What is new is added to `changes`.
    pub(crate) async fn take_in(
        &mut self,
        update: &Update,
        author: Author,
        changes: &mut Changes,
        work: &mut Work,
    ) -> Intake {
        let mut taken = Taken::new(update, author, self.parked.next_number(), changes);
        let mut runs = Runs::of(update);
        let mut next = Vec::new();
        while let Some(run) = next.pop().or_else(|| runs.take_next()) {
            let Progress { advanced, rest } = self.take_blocks(&run, &mut taken, work).await;
            if let Some((missing, rest)) = rest {
                match runs.take_first_of(missing.client, work).await {
                    // First what it depends on.
                    Some(on) => next.extend([rest, on]),
                    None => self.park_blocks(missing, rest, &mut taken, work),
                }
            }
            if advanced {
                self.wake(run.client(), &mut taken, work).await;
            }
        }
        runs.discard(work).await;
        // Not before: where clients depend on each other, much waits for other parts of the same update.
        self.limit_parked(&mut taken, work).await;
        self.parked.detach(author, taken.first_number, work).await;
        self.take_delete_set(update.deletions(), &mut taken, work).await;
        taken.intake()
    }

    async fn take_delete_set(&mut self, deletions: Deletions<'_>, taken: &mut Taken<'_>, work: &mut Work) {
        let mut deletions = deletions.peekable();
        while !taken.is_refused()
            && let Some((client, range)) = deletions.next()
        {
            // They nearly always come sorted. Where they don't, more are sorted at once, so that no chunk is rewritten again and
            // again for one of them.
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
                taken.parked += 1;
                self.parked.park_deletions(taken.author, client, unknown, work).await;
                self.limit_parked(taken, work).await;
            }
        }
    }

    fn park_blocks(&mut self, missing: Id, rest: Run, taken: &mut Taken<'_>, work: &mut Work) {
        taken.parked += 1;
        work.count(4);
        self.parked.park_blocks(missing, taken.author, rest);
    }

    /// Forgets what the author sent of whom the most waits, where too much waits in all.
    async fn limit_parked(&mut self, taken: &mut Taken<'_>, work: &mut Work) {
        while self.parked.bytes() > self.max_parked_bytes
            && let Some(largest) = self.parked.largest_author()
        {
            self.parked.forget(largest, work).await;
            taken.evicted.push(largest);
        }
    }

    /// Takes in what waited for blocks of `client` that have come, and what waited for that.
    async fn wake(&mut self, client: ClientId, taken: &mut Taken<'_>, work: &mut Work) {
        if self.parked.is_empty() {
            return;
        }
        let mut advanced = vec![client];
        while let Some(&client) = advanced.last() {
            let Some((ticket, waiting)) = self.parked.wake(client, self.state.get(client)) else {
                advanced.pop();
                continue;
            };
            work.count(8);
            let from_elsewhere = ticket.number() < taken.first_number;
            taken.woken |= from_elsewhere;
            taken.as_it_came &= !from_elsewhere;
            let author = ticket.author();
            match waiting {
                Waiting::Blocks(run) => {
                    let progress = self.take_blocks(&run, taken, work).await;
                    advanced.extend(progress.advanced.then_some(run.client()));
                    match progress.rest {
                        Some((missing, rest)) => self.parked.park(missing, ticket, Waiting::Blocks(rest)),
                        None if from_elsewhere => {}
                        None => taken.parked -= 1,
                    }
                }
                Waiting::Deletions(client, mut ranges) => {
                    loop {
                        let known = ranges.take_before(client, self.state.get(client), DELETIONS_AT_ONCE);
                        if known.is_empty() {
                            break;
                        }
                        self.take_deletions(client, known, taken, work).await;
                    }
                    if let Some(first) = ranges.first_of(client) {
                        let missing = Id { client, clock: first.start };
                        self.parked.park(missing, ticket, Waiting::Deletions(client, ranges));
                    }
                }
            }
            if !self.parked.waits_for(author) {
                taken.freed.push(author);
            }
            work.pause().await;
        }
    }

    /// Takes in blocks up to the first whose dependencies are not known. O(bytes).
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
            self.chunks.push(tail, Piece::between(block, end, block.end()), work).await;
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

    /// Takes in deletions of one client's known elements, and gives those of unknown ones. O(ranges · log, and the bytes of
    /// each chunk that has a new one).
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
    /// The first run of each client; made when it is first asked for.
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

/// How far a run of blocks was taken in.
struct Progress {
    /// Whether any block was.
    advanced: bool,
    /// What the first block that was not lacks, and the run from there on.
    rest: Option<(Id, Run)>,
}

/// What was taken in of an update.
struct Taken<'a> {
    author: Author,
    changes: &'a mut Changes,
    changed: bool,
    as_it_came: bool,
    /// How many parts of it are parked.
    parked: usize,
    /// The first number that a part of it has or would have while it is parked.
    first_number: u64,
    woken: bool,
    freed: Vec<Author>,
    evicted: Vec<Author>,
}

impl<'a> Taken<'a> {
    fn new(update: &Update, author: Author, first_number: u64, changes: &'a mut Changes) -> Self {
        Self {
            author,
            changes,
            changed: false,
            as_it_came: !update.has_skips(),
            parked: 0,
            first_number,
            woken: false,
            freed: Vec::new(),
            evicted: Vec::new(),
        }
    }

    /// Whether the rest of the update is not taken in any more.
    fn is_refused(&self) -> bool {
        self.evicted.contains(&self.author)
    }

    fn intake(self) -> Intake {
        Intake {
            changed: self.changed,
            as_it_came: self.as_it_came && self.parked == 0,
            parked: self.parked > 0,
            woken: self.woken,
            freed: self.freed,
            evicted: self.evicted,
        }
    }
}
