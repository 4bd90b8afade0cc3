//! What a room wants done, carried out: its messages go to outboxes, its records to the journal.

use std::sync::Arc;
use std::time::Instant;

use coscribe_engine::message::Outbound;
use coscribe_engine::room::{Effect, PeerId};
use coscribe_engine::rope::Rope;
use tracing::{debug, warn};

use super::outbox::Queued;
use super::shared::Shared;
use super::shown;
use super::task::RoomTask;
use crate::journal::Append;
use crate::limits::UNSTORED_BYTES;
use crate::observe::Span;

impl RoomTask {
    /// Carries out what the room wants done.
    pub(super) async fn apply(&mut self) {
        while let Some(effect) = self.room.poll_effect() {
            match effect {
                Effect::Send { peer, message, version } => self.send(peer, message, version),
                Effect::Broadcast { message, to } => self.broadcast(message, &to),
                Effect::Append { sequence, update, source, waits } => {
                    if !waits {
                        self.full_state = None;
                        self.door.rooms.metrics.updates_received.inc();
                    }
                    let span = self.spans.append(source, sequence, update.len());
                    let subject = self.subject_of(source);
                    self.append(sequence, update, subject, waits, span).await;
                }
                Effect::Probe { peer } => {
                    if let Some(place) = self.door.peers.get(peer) {
                        place.outbox.probe();
                    }
                }
                Effect::Warn { peer, what } => {
                    warn!(document = shown(&self.door.name), peer = peer.0, "{what}");
                }
                Effect::Part { peer, parting } => {
                    if let Some(place) = self.door.peers.remove(peer) {
                        place.outbox.part(parting);
                    }
                }
            }
        }
    }

    /// The subject of a record's source; empty where it has none.
    fn subject_of(&self, source: Option<PeerId>) -> Arc<str> {
        let place = source.and_then(|peer| self.door.peers.get(peer));
        place.map_or_else(Arc::default, |place| Arc::clone(&place.subject))
    }

    /// Hands a record to the journal as soon as there is space for it. What is larger than all of it takes all of it.
    async fn append(&mut self, sequence: u64, update: Rope, subject: Arc<str>, waits: bool, span: Span) {
        let bytes = Append::record_bytes(&self.door.name, &subject, &update);
        self.life.appended(bytes);
        let cost = u32::try_from(bytes).unwrap_or(UNSTORED_BYTES).min(UNSTORED_BYTES);
        let Ok(space) = Arc::clone(&self.unstored).acquire_many_owned(cost).await else { return };
        self.door.rooms.journal.append(Append {
            name: self.door.name.clone(),
            sequence,
            update,
            waits,
            subject,
            epoch: self.life.epoch(),
            fate: Arc::clone(&self.fate),
            span,
            _space: space,
        });
    }

    fn broadcast(&mut self, message: Outbound, to: &[PeerId]) {
        let start = Instant::now();
        let metrics = &self.door.rooms.metrics;
        metrics.flush_bytes.observe(message.len() as f64);
        let mut span = Span::default();
        if matches!(message, Outbound::Update(_)) {
            span = self.spans.flush(message.len(), to.len());
            metrics.updates_sent.inc_by(to.len() as u64);
        }
        let message = Shared::new(message, to.len(), &self.door.mailbox.account);
        for &peer in to {
            self.push(peer, Arc::clone(&message), false);
        }
        span.end();
        self.fan_out += start.elapsed();
    }

    fn send(&mut self, peer: PeerId, message: Outbound, version: Option<u64>) {
        let account = &self.door.mailbox.account;
        let Some(version) = version else {
            let message = Shared::new(message, 1, account);
            return self.push(peer, message, true);
        };
        let same = self.full_state.take().filter(|(last, _)| *last == version);
        let (_, message) =
            self.full_state.insert(same.unwrap_or_else(|| (version, Shared::new(message, 1, account))));
        let message = Arc::clone(message);
        self.push(peer, message, true);
    }

    fn push(&mut self, peer: PeerId, message: Arc<Shared>, is_answer: bool) {
        let Some(place) = self.door.peers.get(peer) else { return };
        if place.outbox.push(Queued { message, is_answer }) {
            debug!(document = shown(&self.door.name), peer = peer.0, "lagging");
            self.room.stalled(peer);
        }
    }
}
