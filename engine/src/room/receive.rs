//! What peers send.

use std::mem;
use std::time::Duration;

use bytes::Bytes;

use super::flush::Unlogged;
use super::peer::Peer;
use super::refusal::is_sound;
use super::violation::Violation;
use super::{Effect, Room};
use crate::awareness::Speaker;
use crate::dialect::MessageError;
use crate::document::blocks::{Arrival, Changes, Intake};
use crate::document::named::Named;
use crate::document::state_vector::StateVector;
use crate::limits::{
    DELETIONS_SHARE, DOCUMENT_CLIENTS, MAX_RUNS_FROM_PEER, MOST_GROWTH, STATELESS_BYTES, SYNC_STATUS_BYTES,
    UNANSWERED_SYNC_STATUSES,
};
use crate::message::{Inbound, Outbound};
use crate::peer::{Access, Confirmation, PeerId};
use crate::update::{self, Update};

/// What has become of an update.
enum Taken {
    /// It is part of the document, and was before or will be in the log.
    AsAWhole,
    /// A part of it waits for what is missing.
    InPart,
    /// Nothing of it is kept.
    Refused,
}

impl Room {
    /// A message has come from a peer. One that breaks a rule closes its connection. O(bytes of the message and of what it
    /// wakes · log).
    pub async fn receive(&mut self, peer: PeerId, message: Inbound, now: Duration) {
        if !self.peers.contains(peer) {
            return;
        }
        self.work.count(1);
        if let Err(violation) = self.take(peer, message, now).await {
            self.part(peer, violation.into()).await;
        }
    }

    /// A frame has come from a peer that cannot be read: its connection is closed.
    pub async fn refuse(&mut self, peer: PeerId, error: MessageError) {
        if self.peers.contains(peer) {
            self.part(peer, Violation::from(error).into()).await;
        }
    }

    async fn take(&mut self, peer: PeerId, message: Inbound, now: Duration) -> Result<(), Violation> {
        match message {
            Inbound::Step1(known) => {
                self.greet(peer, now);
                self.take_question(peer, &known).await
            }
            Inbound::Step2(update) => {
                let known = self.peer(peer);
                // What is still missing then it does not have: to ask again would go on for ever.
                known.asked = false;
                let is_first = !mem::replace(&mut known.answered, true);
                let is_counted = known.questions.answer();
                let taken = self.take_update(peer, update, false, now).await?;
                self.acknowledge(peer, &taken, is_counted);
                // The room never had what was refused before, so it is in each answer that comes after it.
                let is_taken = !matches!(taken, Taken::Refused);
                let comes_again = is_taken && mem::take(&mut self.peer(peer).lacks_refused);
                if (is_first || comes_again) && !self.blocks.parked().waits_for(peer.0) {
                    self.date_receipts(peer);
                }
                Ok(())
            }
            Inbound::Update(update) => {
                let taken = self.take_update(peer, update, true, now).await?;
                if matches!(taken, Taken::InPart) {
                    self.ask(peer);
                }
                self.acknowledge(peer, &taken, true);
                Ok(())
            }
            Inbound::Awareness(states) => self.take_awareness(peer, &states, now).await,
            Inbound::QueryAwareness => {
                self.owe(peer, |owed| owed.awareness = true);
                Ok(())
            }
            Inbound::Offer => {
                self.owe(peer, |owed| (owed.step_1, owed.offered) = (true, true));
                Ok(())
            }
            Inbound::Confirm(token) => self.take_confirm(peer, &token),
            Inbound::Create => {
                self.create(peer);
                Ok(())
            }
            Inbound::Stateless(text) => self.pass_on(peer, text),
        }
    }

    async fn take_question(&mut self, peer: PeerId, known: &[u8]) -> Result<(), Violation> {
        let document = self.blocks.state_vector();
        let begins = known[..] == [0] && !document.is_empty();
        let known = StateVector::decode_for(known, document, &mut self.work).await;
        let mut known = known.map_err(Violation::StateVector)?;
        self.peer(peer).begins = begins;
        if let Some(asked_before) = self.peer(peer).owed.state.take() {
            known = known.lower_of(asked_before, &mut self.work).await;
        }
        self.owe(peer, |owed| owed.state = Some(known));
        Ok(())
    }

    /// Takes in an update. `holds`: see [`Arrival`].
    async fn take_update(
        &mut self,
        peer: PeerId,
        update: Bytes,
        holds: bool,
        now: Duration,
    ) -> Result<Taken, Violation> {
        let may_write = self.peer(peer).terms.access == Access::Write;
        let update = match Update::scan_or_locate(update, MAX_RUNS_FROM_PEER, &mut self.work).await {
            Ok(update) if may_write => update,
            Ok(update) => return Ok(self.read_only(peer, &update).await),
            Err((error, Some(at))) if is_sound(error) && may_write => {
                return self
                    .refuse_update(peer, &[at], &Violation::Update(error), now)
                    .map(|()| Taken::Refused);
            }
            Err((error, _)) => return Err(error.into()),
        };
        if let Err((refused, violation)) = self.check_update(&update).await {
            return self.refuse_update(peer, &refused, &violation, now).map(|()| Taken::Refused);
        }
        self.begin_record(peer).await;
        let intake = self.take_in(peer, &update, holds).await;
        if intake.changed {
            self.refusals.forget_filled(&update, self.blocks.state_vector(), &mut self.work).await;
            self.forget_encoded();
            self.window.note_update();
            self.unflushed.add(peer, intake.as_it_came.then(|| update.bytes().clone()));
        }
        if intake.woken {
            // What had waited came from others: the source has not seen it.
            self.unflushed.came_from_several();
        }
        for source in intake.freed {
            self.date_receipts(PeerId(source));
        }
        if intake.refused {
            return Err(Violation::TooMuchWaits);
        }
        self.name_when_durable(peer, &update).await;
        Ok(if intake.parked { Taken::InPart } else { Taken::AsAWhole })
    }

    /// What becomes of an update from a peer that may not write: nothing, but it need not hear that where all is known.
    /// O(blocks and deleted ranges · log).
    async fn read_only(&mut self, peer: PeerId, update: &Update) -> Taken {
        if self.blocks.has_all_of(update, &mut self.work).await {
            self.name_when_durable(peer, update).await;
            return Taken::AsAWhole;
        }
        let known = self.peer(peer);
        known.lacks_refused = true;
        if !mem::replace(&mut known.tried_to_write, true) && known.terms.confirmation != Confirmation::Counted
        {
            self.owe(peer, |owed| owed.denial = true);
        }
        Taken::Refused
    }

    /// Notes that a peer is to hear of a message with an update, if it counts these.
    fn acknowledge(&mut self, peer: PeerId, taken: &Taken, is_counted: bool) {
        if !is_counted || self.peer(peer).terms.confirmation != Confirmation::Counted {
            return;
        }
        if matches!(taken, Taken::Refused) {
            self.peer(peer).receipts.add_refused();
            return self.owe(peer, |_| {});
        }
        self.peer(peer).receipts.add_saved();
        self.date_receipts_unless_parked(peer);
    }

    /// Notes that a peer is to be named the elements of its update, if that is how it hears. O(blocks and deleted ranges · log).
    async fn name_when_durable(&mut self, peer: PeerId, update: &Update) {
        if self.peer(peer).terms.confirmation == Confirmation::ByIds {
            let named = Named::in_update(update, &mut self.work).await;
            self.peer(peer).receipts.add_named(named);
            self.date_receipts_unless_parked(peer);
        }
    }

    /// Takes in an update, and notes what of it is to be logged.
    async fn take_in(&mut self, peer: PeerId, update: &Update, holds: bool) -> Intake {
        let arrival = Arrival { source: Some(peer.0), holds };
        let Self { blocks, trail, work, unlogged, .. } = self;
        if let Unlogged::Several { bytes, source, .. } = unlogged {
            let intake = blocks.take_in(update, arrival, trail.changes(), work).await;
            *bytes += if intake.changed { update.bytes().len() } else { 0 };
            source.take_if(|_| intake.has_of_others);
            return intake;
        }
        let mut changes = Changes::default();
        let intake = blocks.take_in(update, arrival, &mut changes, work).await;
        if intake.changed && intake.as_it_came {
            *unlogged = Unlogged::One(peer, update.bytes().clone());
        } else if intake.changed {
            let merged = Box::pin(blocks.diff_changes_in_slices(&changes, work)).await;
            let source = (!intake.has_of_others).then_some(peer);
            self.append(source, merged, false);
        }
        self.trail.add(changes, &mut self.work).await;
        intake
    }

    /// Refuses an update that would make the document too large. Deletions alone may make it somewhat larger, and may always free
    /// as much as they add. O(bytes of the update), where it could matter.
    pub(super) async fn check_size(&mut self, update: &Update) -> Result<(), Violation> {
        let limit = self.limits.document_bytes;
        let (memory, clients) = (self.blocks.memory(), self.blocks.state_vector().len());
        let might_grow = update.bytes().len().saturating_mul(MOST_GROWTH);
        if memory.saturating_add(might_grow) <= limit && clients + update.runs().len() <= DOCUMENT_CLIENTS {
            return Ok(());
        }
        let growth = Box::pin(self.blocks.growth_in_slices(update, limit, &mut self.work)).await;
        if growth.clients > DOCUMENT_CLIENTS.saturating_sub(clients) {
            return Err(Violation::TooManyClients);
        }
        let most = if growth.blocks == 0 { limit.saturating_add(limit / DELETIONS_SHARE) } else { limit };
        if growth.blocks > limit || growth.net() > most.saturating_sub(memory) {
            return Err(Violation::DocumentTooLarge);
        }
        Ok(())
    }

    /// Asks a peer for what is missing before those updates from it that wait.
    fn ask(&mut self, peer: PeerId) {
        if let Some(asked) = self.peers.get_mut(peer)
            && !std::mem::replace(&mut asked.asked, true)
        {
            self.owe(peer, |owed| owed.step_1 = true);
        }
    }

    async fn take_awareness(&mut self, peer: PeerId, states: &[u8], now: Duration) -> Result<(), Violation> {
        let known = self.peer(peer);
        let speaker = Speaker { peer, came: known.came, begins: !mem::replace(&mut known.spoke, true) };
        let received = self.awareness.receive_in_slices(&speaker, states, now, &mut self.work).await;
        let mut received = received.map_err(Violation::Awareness)?;
        if let Some(what) = received.left_out
            && !mem::replace(&mut self.peer(peer).warned, true)
        {
            self.effects.push_back(Effect::Warn { peer, what });
        }
        self.greet(peer, now);
        let probe = mem::take(&mut received.probe);
        self.effects.extend(probe.into_iter().map(|peer| Effect::Probe { peer }));
        let changed = self.note_renewal(peer, received, now);
        self.unflushed.awareness_came(peer, changed);
        Ok(())
    }

    /// Passes a text of the application on to all other peers that can be sent it. A peer that lags misses it.
    fn pass_on(&mut self, from: PeerId, text: Bytes) -> Result<(), Violation> {
        if text.len() > STATELESS_BYTES {
            return Err(Violation::StatelessTooLarge);
        }
        let hears = |id: PeerId, peer: &Peer| id != from && peer.terms.hears_stateless && peer.keeps_up();
        let to: Vec<_> = self.peers.iter().filter(|(id, peer)| hears(*id, peer)).map(|(id, _)| id).collect();
        self.work.count(self.peers.len());
        if !to.is_empty() {
            self.effects.push_back(Effect::Broadcast { message: Outbound::Stateless(text), to });
        }
        Ok(())
    }

    /// Appends an empty update where nothing was appended yet, if the peer may write.
    fn create(&mut self, peer: PeerId) {
        let is_new = self.sequence == 0 && self.unlogged.is_empty();
        if is_new && self.peer(peer).terms.access == Access::Write {
            self.append(Some(peer), Bytes::from_static(update::EMPTY).into(), false);
        }
    }

    fn take_confirm(&mut self, peer: PeerId, token: &[u8]) -> Result<(), Violation> {
        if token.len() > SYNC_STATUS_BYTES {
            return Err(Violation::SyncStatusTooLarge);
        }
        let known = self.peer(peer);
        if known.receipts.len() >= UNANSWERED_SYNC_STATUSES {
            if !known.was_denied() {
                return Err(Violation::TooManySyncStatuses);
            }
            // It has heard so, and goes on asking. Only the last counts, should it be allowed to write.
            known.receipts.forget_last();
        }
        known.receipts.add_token(token);
        self.work.count_bytes(token.len());
        self.date_receipts_unless_parked(peer);
        Ok(())
    }

    fn date_receipts_unless_parked(&mut self, peer: PeerId) {
        if !self.blocks.parked().waits_for(peer.0) {
            self.date_receipts(peer);
        }
    }

    /// Nothing that a peer sent waits any more: its receipts are due when all that has come is durable. O(receipts · log).
    fn date_receipts(&mut self, id: PeerId) {
        let due = self.sequence + u64::from(!self.unlogged.is_empty());
        let Some(peer) = self.peers.get_mut(id).filter(|peer| peer.is_confirmable()) else { return };
        let dated = peer.receipts.date(due);
        if dated && due <= self.durable {
            self.owe(id, |_| {});
        } else if dated {
            self.due.insert((due, id));
        }
    }
}
