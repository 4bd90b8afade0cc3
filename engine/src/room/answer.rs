//! What single peers get: answers to what they asked, what they missed, and receipts.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::peer::{Missed, Owed, Peer};
use super::{Effect, Room, Snapshot};
use crate::document::changes::Bookmark;
use crate::document::state_vector::StateVector;
use crate::limits::{ANSWERS_AT_ONCE, QUERIED_CLIENTS};
use crate::message::Outbound;
use crate::peer::PeerId;
use crate::update::ClientId;

/// What a peer hears that may not write, and does.
const READ_ONLY: &str = "you may read this document, but not change it";

impl Room {
    /// The whole document, to be stored. O(clients, chunks and deletions); where nobody waits for the room, all is collected
    /// before, which is O(bytes) if there is anything to collect.
    pub async fn snapshot(&mut self) -> Snapshot {
        if self.peers.is_empty() {
            self.full_state = None;
            self.blocks.collect_in_slices(&mut self.work).await;
        }
        let Self { blocks, work, .. } = self;
        blocks.seal(work).await;
        Snapshot {
            state: blocks.encode_state_in_slices(work).await,
            state_vector: blocks.state_vector().encode_in_slices(work).await,
            deletions: blocks.encode_deletions(work).await,
        }
    }

    /// Owes a peer something, which it gets when it does not lag. O(log peers).
    pub(super) fn owe(&mut self, id: PeerId, what: impl FnOnce(&mut Owed)) {
        let Some(peer) = self.peers.get_mut(id) else { return };
        what(&mut peer.owed);
        if !peer.lagging && !std::mem::replace(&mut peer.queued, true) {
            self.queue.push_back(id);
        }
    }

    /// Answers peers, one after the other, until it is enough for once.
    pub(super) async fn answer_some(&mut self) {
        let mut bytes = 0;
        while bytes < ANSWERS_AT_ONCE
            && let Some(peer) = self.queue.pop_front()
        {
            bytes += self.answer(peer).await;
            self.work.pause().await;
        }
    }

    /// Gives a peer all that it is owed, and gives how many bytes that was.
    async fn answer(&mut self, id: PeerId) -> usize {
        let Some(peer) = self.peers.get_mut(id) else { return 0 };
        peer.queued = false;
        if peer.lagging {
            return 0;
        }
        let Owed { access, step_1, offered, denial, mut state, awareness, mut removals, renewals } =
            std::mem::take(&mut peer.owed);
        let missed = peer.missed.take();
        let mut bytes = 0;
        if access {
            let access = self.peer(id).terms.access;
            bytes += self.send(id, Outbound::Access(access));
        }
        if denial {
            bytes += self.send(id, Outbound::Denied(READ_ONLY.into()));
        }
        if step_1 {
            self.peer(id).questions.ask(offered);
            bytes += self.send_step_1(id).await;
        }
        if let Some(Missed { since, moment }) = missed {
            bytes += self.send_missed(id, &since, &mut state).await;
            removals.extend(self.awareness.removed_since(moment));
            self.trail.release(since, &mut self.work).await;
        }
        if let Some(known) = state {
            bytes += self.send_state(id, &known).await;
            known.discard(&mut self.work).await;
        }
        removals.retain(|client| !self.awareness.has(*client));
        removals.extend(renewals);
        // Any of them may be its own.
        let asks = !removals.is_empty()
            && self.peer(id).terms.renews_silently
            && self.awareness.clients().take(QUERIED_CLIENTS + 1).count() <= QUERIED_CLIENTS;
        bytes += self.send_awareness(id, removals, awareness).await;
        if asks {
            bytes += self.send(id, Outbound::QueryAwareness);
        }
        bytes + self.send_receipts(id)
    }

    async fn send_step_1(&mut self, peer: PeerId) -> usize {
        if self.state_vector.is_none() {
            let encoded = self.blocks.state_vector().encode_in_slices(&mut self.work).await;
            self.state_vector = Some(encoded.into());
        }
        let known = self.state_vector.clone().unwrap_or_default();
        self.send(peer, Outbound::Step1(known))
    }

    /// Sends what was not sent since a moment; where the peer has asked for more, that is added to its question instead.
    /// The diff reaches up to the last block of each client, also to those that are still to be flushed.
    async fn send_missed(
        &mut self,
        peer: PeerId,
        since: &Bookmark,
        asked: &mut Option<StateVector>,
    ) -> usize {
        let changes = self.trail.since(since, &mut self.work).await;
        let mut diff = None;
        if let Some(known) = asked {
            for (&client, &clock) in &changes.from {
                known.lower(client, clock);
                self.work.count(2);
                self.work.pause().await;
            }
        } else if !changes.is_empty() {
            diff = Some(self.blocks.diff_changes_in_slices(&changes, &mut self.work).await);
        }
        if let Cow::Owned(changes) = changes {
            changes.discard(&mut self.work).await;
        }
        diff.map_or(0, |diff| self.send(peer, Outbound::Step2(diff)))
    }

    async fn send_state(&mut self, peer: PeerId, known: &StateVector) -> usize {
        self.blocks.seal(&mut self.work).await;
        if !known.is_empty() {
            let diff = self.blocks.diff_in_slices(known, &mut self.work).await;
            return self.send(peer, Outbound::Step2(diff));
        }
        let (version, state) = match self.full_state.take() {
            Some(known) => known,
            None => {
                self.versions += 1;
                (self.versions, self.blocks.encode_state_in_slices(&mut self.work).await)
            }
        };
        self.full_state = Some((version, state.clone()));
        self.send_version(peer, Outbound::Step2(state), Some(version))
    }

    /// Sends that some clients are gone, also those of its own that are to announce themselves, and the states of all others if
    /// the peer wants them.
    async fn send_awareness(&mut self, peer: PeerId, gone: BTreeSet<ClientId>, all: bool) -> usize {
        let Self { awareness, work, .. } = self;
        let mut clients: Vec<_> = gone.iter().copied().collect();
        for client in awareness.clients().take_while(|_| all) {
            if !gone.contains(&client) {
                clients.push(client);
            }
            work.count(1);
            work.pause().await;
        }
        if clients.is_empty() {
            return 0;
        }
        let states = awareness.encode_in_slices(&clients, &gone, work).await;
        self.send(peer, Outbound::Awareness(states))
    }

    /// Gives the receipts that are due.
    fn send_receipts(&mut self, id: PeerId) -> usize {
        let durable = self.durable;
        let mut bytes = 0;
        while let Some(receipt) = self.peers.get_mut(id).and_then(|peer| peer.receipts.next(durable)) {
            self.work.count_bytes(receipt.len());
            bytes += self.send(id, receipt);
        }
        bytes
    }

    fn send(&mut self, peer: PeerId, message: Outbound) -> usize {
        self.send_version(peer, message, None)
    }

    fn send_version(&mut self, peer: PeerId, message: Outbound, version: Option<u64>) -> usize {
        let bytes = message.len();
        self.effects.push_back(Effect::Send { peer, message, version });
        bytes
    }

    /// A peer that is here.
    pub(super) fn peer(&mut self, peer: PeerId) -> &mut Peer {
        self.peers.get_mut(peer).expect("only called for peers that are here")
    }
}
