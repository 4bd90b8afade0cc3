//! What peers send.

use std::mem;
use std::time::Duration;

use bytes::Bytes;

use super::flush::Unlogged;
use super::refusal::is_sound;
use super::violation::Violation;
use super::{Effect, Room};
use crate::awareness::Speaker;
use crate::dialect::MessageError;
use crate::document::blocks::{Arrival, Changes, Intake};
use crate::document::state_vector::StateVector;
use crate::limits::{MAX_RUNS_FROM_PEER, SYNC_STATUS_BYTES, UNANSWERED_SYNC_STATUSES};
use crate::message::Inbound;
use crate::peer::PeerId;
use crate::update::Update;

impl Room {
    /// A message has come from a peer. One that breaks a rule closes its connection. O(bytes of the message and of what it
    /// wakes · log).
    pub async fn receive(&mut self, peer: PeerId, message: Inbound, now: Duration) {
        if !self.peers.contains_key(&peer) {
            return;
        }
        self.work.count(1);
        if let Err(violation) = self.take(peer, message, now).await {
            self.part(peer, violation.into()).await;
        }
    }

    /// A frame has come from a peer that cannot be read: its connection is closed.
    pub async fn refuse(&mut self, peer: PeerId, error: MessageError) {
        if self.peers.contains_key(&peer) {
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
                // What is still missing then it does not have: to ask again would go on for ever.
                self.peer(peer).asked = false;
                self.take_update(peer, update, false, now).await.map(drop)
            }
            Inbound::Update(update) => {
                if self.take_update(peer, update, true, now).await? {
                    self.ask(peer);
                }
                Ok(())
            }
            Inbound::Awareness(states) => self.take_awareness(peer, &states, now).await,
            Inbound::QueryAwareness => {
                self.owe(peer, |owed| owed.awareness = true);
                Ok(())
            }
            Inbound::Offer => {
                self.owe(peer, |owed| owed.step_1 = true);
                Ok(())
            }
            Inbound::Confirm(token) => self.take_confirm(peer, &token),
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

    /// Takes in an update, and says whether a part of it waits for what is missing. `holds`: see [`Arrival`].
    async fn take_update(
        &mut self,
        peer: PeerId,
        update: Bytes,
        holds: bool,
        now: Duration,
    ) -> Result<bool, Violation> {
        let update = match Update::scan_or_locate(update, MAX_RUNS_FROM_PEER, &mut self.work).await {
            Ok(update) => update,
            Err((error, Some(at))) if is_sound(error) => {
                return self.refuse_update(peer, &[at], &Violation::Update(error), now).map(|()| false);
            }
            Err((error, _)) => return Err(error.into()),
        };
        if let Err((refused, violation)) = self.check_update(&update).await {
            return self.refuse_update(peer, &refused, &violation, now).map(|()| false);
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
        if intake.refused { Err(Violation::TooMuchWaits) } else { Ok(intake.parked) }
    }

    /// Takes in an update, and notes what of it is to be logged.
    async fn take_in(&mut self, peer: PeerId, update: &Update, holds: bool) -> Intake {
        let arrival = Arrival { source: Some(peer.0), holds };
        let Self { blocks, trail, work, unlogged, .. } = self;
        if let Unlogged::Several { bytes, .. } = unlogged {
            let intake = blocks.take_in(update, arrival, trail.changes(), work).await;
            *bytes += if intake.changed { update.bytes().len() } else { 0 };
            return intake;
        }
        let mut changes = Changes::default();
        let intake = blocks.take_in(update, arrival, &mut changes, work).await;
        if intake.changed && intake.as_it_came {
            *unlogged = Unlogged::One(peer, update.bytes().clone());
        } else if intake.changed {
            let merged = Box::pin(blocks.diff_changes_in_slices(&changes, work)).await;
            self.append(Some(peer), merged, false);
        }
        self.trail.add(changes, &mut self.work).await;
        intake
    }

    /// Refuses an update that would make the document too large.
    pub(super) async fn check_size(&mut self, update: &Update) -> Result<(), Violation> {
        let room = self.limits.document_bytes.saturating_sub(self.blocks.memory());
        // What is new of an update is counted only where it matters.
        if update.bytes().len() > room {
            let growth = Box::pin(self.blocks.growth_in_slices(update, &mut self.work)).await;
            if growth > room {
                return Err(Violation::DocumentTooLarge);
            }
        }
        Ok(())
    }

    /// Asks a peer for what is missing before those updates from it that wait.
    fn ask(&mut self, peer: PeerId) {
        if let Some(asked) = self.peers.get_mut(&peer)
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

    fn take_confirm(&mut self, peer: PeerId, token: &[u8]) -> Result<(), Violation> {
        if token.len() > SYNC_STATUS_BYTES {
            return Err(Violation::SyncStatusTooLarge);
        }
        if self.peer(peer).receipts.len() >= UNANSWERED_SYNC_STATUSES {
            return Err(Violation::TooManySyncStatuses);
        }
        self.peer(peer).receipts.push_back((None, Bytes::copy_from_slice(token)));
        self.work.count_bytes(token.len());
        if !self.blocks.parked().waits_for(peer.0) {
            self.date_receipts(peer);
        }
        Ok(())
    }

    /// Nothing that a peer sent waits any more: its receipts are due when all that has come is durable. O(receipts · log).
    fn date_receipts(&mut self, id: PeerId) {
        let due = self.sequence + u64::from(!self.unlogged.is_empty());
        // Where something that it sent was refused, not all that has come will be durable.
        let Some(peer) = self.peers.get_mut(&id).filter(|peer| peer.leaves_at.is_none()) else { return };
        let mut dated = false;
        for (undated, _) in peer.receipts.iter_mut().rev().take_while(|(due, _)| due.is_none()) {
            *undated = Some(due);
            dated = true;
        }
        if dated && due <= self.durable {
            self.owe(id, |_| {});
        } else if dated {
            self.due.insert((due, id));
        }
    }
}
