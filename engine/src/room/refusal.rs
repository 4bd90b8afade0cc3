//! Updates that are refused for good, and peers that bring them again.
//!
//! A refused update leaves a gap in its client's clock: nothing that follows it can ever be taken in, unless it comes again
//! and is accepted. So the room remembers where the gap begins, and refuses what lies beyond it in the same words, instead
//! of letting it wait. It forgets when the gap is filled.
//!
//! A provider connects again after any close, and brings the same with its SyncStep2. The first time it is closed at once,
//! so that its person can be told. After that it is closed later and later: until then it is a peer like any other, which
//! gets what others write, is seen, and keeps the rest of what it sends. What counts are the clients of the refused update,
//! not the address: nobody else is slowed down.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Room;
use super::violation::Violation;
use crate::document::state_vector::StateVector;
use crate::limits::{
    FIRST_REFUSAL_DELAY, LONGEST_REFUSAL_DELAY, REFUSAL_FORGIVEN, REFUSED_CLIENTS, REFUSED_CLIENTS_OF_UPDATE,
};
use crate::message::Parting;
use crate::peer::PeerId;
use crate::update::{ClientId, Clock, Id, Update, UpdateError};
use crate::work::Work;

/// Stands for the clients of messages that were not read. Yjs has none of this number: it does not fit into 53 bits.
const UNREAD: ClientId = ClientId::MAX;

/// Stands for the clock of what was refused where nothing depends on it.
const NO_GAP: Clock = Clock::MAX;

/// What a room remembers of refused updates.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    of_clients: BTreeMap<ClientId, Refused>,
    /// The same clients by when they were last refused.
    by_age: BTreeSet<(Duration, ClientId)>,
    /// Peers that are to be closed, by when.
    leaving: BTreeMap<(Duration, PeerId), Parting>,
}

#[derive(Debug)]
struct Refused {
    /// The first element that was refused.
    from: Clock,
    parting: Parting,
    /// How many connections have brought it.
    times: u32,
    last: Duration,
}

impl Refusals {
    /// When the next peer is to be closed.
    pub(super) fn next(&self) -> Option<Duration> {
        self.leaving.first_key_value().map(|(&(due, _), _)| due)
    }

    /// Forgets that a peer is to be closed.
    pub(super) fn forget(&mut self, peer: PeerId, due: Duration) {
        self.leaving.remove(&(due, peer));
    }

    /// Why an update cannot be taken in that leaves a refused one out, and the element before which that is missing. O(runs and
    /// deleted ranges · log), if anything was refused.
    async fn gap_before(
        &self,
        update: &Update,
        state: &StateVector,
        work: &mut Work,
    ) -> Option<(Id, Parting)> {
        if self.of_clients.is_empty() {
            return None;
        }
        let mut filled = BTreeSet::new();
        for run in update.runs() {
            work.count(4);
            work.pause().await;
            let Some(refused) = self.of_clients.get(&run.client()) else { continue };
            if run.next.clock <= state.get(run.client()) {
                filled.insert(run.client());
            } else if run.next.clock > refused.from && !filled.contains(&run.client()) {
                return Some((run.next, refused.parting.clone()));
            }
        }
        for (client, range) in update.deletions() {
            work.count(2);
            work.pause().await;
            let Some(refused) = self.of_clients.get(&client) else { continue };
            if range.end > refused.from.max(state.get(client)) && !filled.contains(&client) {
                return Some((Id { client, clock: refused.from }, refused.parting.clone()));
            }
        }
        None
    }

    /// Remembers that these elements, and all that follow them, were refused. Gives how long their peer may stay.
    fn note(&mut self, refused: &[Id], parting: &Parting, now: Duration) -> Duration {
        let mut times = 0;
        for &Id { client, clock } in refused {
            if !self.of_clients.contains_key(&client)
                && self.of_clients.len() >= REFUSED_CLIENTS
                && let Some((_, oldest)) = self.by_age.pop_first()
            {
                self.of_clients.remove(&oldest);
            }
            let fresh = || Refused { from: clock, parting: parting.clone(), times: 0, last: now };
            let known = self.of_clients.entry(client).or_insert_with(fresh);
            if now.saturating_sub(known.last) > REFUSAL_FORGIVEN {
                known.times = 0;
            }
            times = times.max(known.times);
            known.from = known.from.min(clock);
            known.times = known.times.saturating_add(1);
            self.by_age.remove(&(known.last, client));
            known.last = now;
            self.by_age.insert((now, client));
        }
        match times.checked_sub(1) {
            None => Duration::ZERO,
            Some(doublings) => {
                (FIRST_REFUSAL_DELAY * 2_u32.saturating_pow(doublings.min(16))).min(LONGEST_REFUSAL_DELAY)
            }
        }
    }

    /// Forgets the gaps of an update's clients that are filled now. O(runs · log), if anything was refused.
    pub(super) async fn forget_filled(&mut self, update: &Update, state: &StateVector, work: &mut Work) {
        if self.of_clients.is_empty() {
            return;
        }
        for run in update.runs() {
            let client = run.client();
            let filled = |refused: &&Refused| refused.from < state.get(client);
            if let Some(Refused { last, .. }) = self.of_clients.get(&client).filter(filled) {
                self.by_age.remove(&(*last, client));
                self.of_clients.remove(&client);
            }
            work.count(4);
            work.pause().await;
        }
    }
}

impl Room {
    /// Checks an update from a peer, and says why it is not taken in, if it never will be.
    pub(super) async fn check_update(&mut self, update: &Update) -> Result<(), (Vec<Id>, Violation)> {
        let state = self.blocks.state_vector();
        if let Some((at, parting)) = self.refusals.gap_before(update, state, &mut self.work).await {
            return Err((vec![at], Violation::AfterRefused(parting)));
        }
        if let Some(Id { client, .. }) = self.blocks.contradiction(update, &mut self.work).await {
            return Err((vec![Id { client, clock: NO_GAP }], Violation::Contradiction));
        }
        if let Err(violation) = self.check_size(update).await {
            let state = self.blocks.state_vector();
            let first_new = |id: Id| Id { clock: id.clock.max(state.get(id.client)), ..id };
            let runs = update.runs().map(|run| first_new(run.next));
            // Deletions alone leave no gap.
            let deletions = update.deletions().map(|(client, _)| Id { client, clock: NO_GAP });
            let mut refused: Vec<_> = runs.chain(deletions).take(REFUSED_CLIENTS_OF_UPDATE).collect();
            refused.sort_unstable();
            refused.dedup_by_key(|id| id.client);
            return Err((refused, violation));
        }
        Ok(())
    }

    /// An update is refused for good: its peer is closed, at once or, where it brings that again, later. Nothing that it
    /// sends after that is acknowledged.
    ///
    /// # Errors
    /// The violation for which the peer is to be closed at once.
    pub(super) fn refuse_update(
        &mut self,
        peer: PeerId,
        refused: &[Id],
        violation: &Violation,
        now: Duration,
    ) -> Result<(), Violation> {
        if self.peer(peer).leaves_at.is_some() {
            return Ok(());
        }
        let parting = violation.for_good();
        self.work.count(8 * refused.len());
        let delay = self.refusals.note(refused, &parting, now);
        if delay.is_zero() {
            return Err(Violation::AfterRefused(parting));
        }
        self.peer(peer).leaves_at = Some(now + delay);
        self.refusals.leaving.insert((now + delay, peer), parting);
        Ok(())
    }

    /// A peer has begun to send a message that is larger than any may be, and is not read any more. It is closed: later, where
    /// that has happened before.
    pub async fn too_large(&mut self, peer: PeerId, now: Duration) {
        if self.peers.contains(peer) {
            let unread = Id { client: UNREAD, clock: 0 };
            let violation = Violation::MessageTooLarge;
            if let Err(violation) = self.refuse_update(peer, &[unread], &violation, now) {
                self.part(peer, violation.into()).await;
            }
        }
    }

    /// Whether an update was refused for good that may come again.
    pub fn has_refused(&self) -> bool {
        !self.refusals.of_clients.is_empty()
    }

    /// Closes peers whose time has come.
    pub(super) async fn close_refused(&mut self, now: Duration) {
        while self.refusals.next().is_some_and(|due| due <= now)
            && let Some(((_, peer), parting)) = self.refusals.leaving.pop_first()
        {
            self.part(peer, parting).await;
        }
    }
}

/// Whether an update with this fault is one that a sound client may have, and brings again.
pub(super) fn is_sound(error: UpdateError) -> bool {
    use crate::lib0::ReadError;
    matches!(
        error,
        UpdateError::Read(ReadError::TooDeep) | UpdateError::ClockOutOfRange | UpdateError::TooManyRuns
    )
}
