//! Makes states visible to those who come back.
//!
//! Clients ignore a state at a clock that they know, also after they have dropped it with their connection. A state gets a
//! higher clock only from its owner, and that is made to raise it by being told that it is gone. So whoever comes is counted
//! among the *comers*, and a moment later all states that one of them may know are asked for, once for all comers. What is
//! answered goes out together: to all, if somebody may not see it or it has changed, and else to the comers only.

use std::collections::BTreeSet;
use std::mem;
use std::time::Duration;

use super::peer::Peer;
use super::{Effect, Room};
use crate::awareness::{Moment, Received};
use crate::limits::{BETWEEN_RENEWALS, COMERS_GATHER, RENEWALS_GATHER};
use crate::message::Outbound;
use crate::peer::PeerId;
use crate::update::ClientId;

/// Who has come, and what was asked for them.
#[derive(Debug, Default)]
pub(super) struct Renewal {
    comers: BTreeSet<PeerId>,
    /// When the next round begins.
    due: Option<Duration>,
    last: Option<Duration>,
    /// Boxed: it is rarely under way.
    round: Option<Box<Round>>,
}

#[derive(Debug, Default)]
struct Round {
    until: Duration,
    comers: BTreeSet<PeerId>,
    /// Clients that have not answered.
    asked: BTreeSet<ClientId>,
    for_all: Vec<ClientId>,
    for_comers: Vec<ClientId>,
}

impl Round {
    fn is_answered(&self) -> bool {
        self.asked.is_empty()
    }
}

impl Renewal {
    /// When there is something to do.
    pub(super) fn next(&self) -> Option<Duration> {
        let end =
            self.round.as_ref().map(|round| if round.is_answered() { Duration::ZERO } else { round.until });
        end.into_iter().chain(self.due).min()
    }

    /// A peer has gone.
    pub(super) fn forget(&mut self, peer: PeerId, clients: &[ClientId]) {
        self.comers.remove(&peer);
        if let Some(round) = &mut self.round {
            round.asked.retain(|client| !clients.contains(client));
        }
    }

    /// There is to be a round.
    fn call(&mut self, now: Duration) {
        let earliest = self.last.map_or(Duration::ZERO, |last| last + BETWEEN_RENEWALS);
        self.due.get_or_insert(earliest.max(now + COMERS_GATHER));
    }

    /// Clients are asked: their answers are collected.
    fn expect(&mut self, clients: impl Iterator<Item = ClientId>, now: Duration) -> &mut Round {
        let round = self.round.get_or_insert_default();
        round.until = now + RENEWALS_GATHER;
        round.asked.extend(clients);
        round
    }

    /// Whether an answer of a client is collected; then it is not to go out by itself.
    fn collects(&mut self, client: ClientId, for_all: bool) -> bool {
        let Some(round) = &mut self.round else { return false };
        let collects = round.asked.remove(&client);
        if collects {
            if for_all { &mut round.for_all } else { &mut round.for_comers }.push(client);
        }
        collects
    }
}

impl Room {
    /// A peer speaks, for the first time perhaps: it may have been here before.
    pub(super) fn greet(&mut self, peer: PeerId, now: Duration) {
        if !mem::replace(&mut self.peer(peer).greeted, true) {
            self.renewal.comers.insert(peer);
            self.renewal.call(now);
        }
    }

    /// Awareness has come: gives the clients of which all are to hear at the next flush.
    pub(super) fn note_renewal(
        &mut self,
        peer: PeerId,
        received: Received,
        now: Duration,
    ) -> BTreeSet<ClientId> {
        let known = self.peer(peer);
        known.knows = known.knows.max(received.knows);
        if !received.unseen.is_empty() {
            self.renewal.expect(received.unseen.iter().copied(), now);
            self.owe(peer, |owed| owed.removals.extend(received.unseen));
        }
        let Received { mut changed, mut renewed, .. } = received;
        changed.retain(|&client| !self.renewal.collects(client, true));
        renewed.retain(|&client| !self.renewal.collects(client, false));
        changed.append(&mut renewed);
        changed
    }

    /// Begins and ends rounds when it is time. O(what is asked and answered · log, and the peers).
    pub(super) async fn renew(&mut self, now: Duration) {
        let is_over = |round: &mut Box<Round>| round.is_answered() || now >= round.until;
        if let Some(round) = self.renewal.round.take_if(is_over) {
            self.end_round(*round).await;
        }
        if self.renewal.due.is_some_and(|due| due <= now) {
            self.renewal.due = None;
            self.begin_round(now).await;
        }
    }

    async fn begin_round(&mut self, now: Duration) {
        let comers = mem::take(&mut self.renewal.comers);
        self.work.count(comers.len());
        let known = comers.iter().filter_map(|id| Some((*id, self.may_know(self.peers.get(*id)?)?)));
        let known: Vec<(PeerId, Moment)> = known.collect();
        let Some(&moment) = known.iter().map(|(_, moment)| moment).max() else { return };
        if self.peers.len() < 2 {
            return;
        }
        let asked: Vec<_> = self.awareness.known_at(moment).collect();
        for &(owner, client) in &asked {
            self.owe(owner, |owed| owed.renewals.extend([client]));
            self.work.count(4);
            self.work.pause().await;
        }
        if !asked.is_empty() {
            self.renewal.last = Some(now);
            let round = self.renewal.expect(asked.into_iter().map(|(_, client)| client), now);
            round.comers.extend(known.into_iter().map(|(peer, _)| peer));
        }
    }

    /// Up to when a peer may know clocks; `None` if it has never been here. One that has not said which client it is may have
    /// been here until just now, but if it lacks a document that is not empty it has just begun.
    fn may_know(&self, peer: &Peer) -> Option<Moment> {
        peer.knows.or_else(|| (!peer.begins).then_some(self.awareness.moment()))
    }

    async fn end_round(&mut self, round: Round) {
        self.unflushed.awareness_changed(round.for_all);
        let keeps_up = |id: &PeerId| self.peers.get(*id).is_some_and(|peer| peer.keeps_up());
        // Who has come meanwhile was sent what rose before it came, and will not be asked for what rose since.
        let to: BTreeSet<_> = round.comers.union(&self.renewal.comers).copied().collect();
        let to: Vec<_> = to.into_iter().filter(keeps_up).collect();
        if !round.for_comers.is_empty() && !to.is_empty() {
            let states =
                self.awareness.encode_in_slices(&round.for_comers, &BTreeSet::new(), &mut self.work).await;
            self.effects.push_back(Effect::Broadcast { message: Outbound::Awareness(states), to });
        }
    }
}
