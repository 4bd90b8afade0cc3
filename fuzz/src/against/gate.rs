//! Updates that come before those that they build on. Yjs lets them wait, and its servers send them on; yrs shows them at once (and
//! its state vector then claims the missing elements). So they wait here, in front of the replica.

use bytes::Bytes;
use coscribe_engine::dialect::sync::SyncMessage;
use coscribe_engine::dialect::y_websocket::{self, Message};
use coscribe_engine::document::blocks::Blocks;
use coscribe_engine::document::id_set::IdSet;
use coscribe_engine::document::state_vector::StateVector;
use coscribe_engine::lib0::Reader;
use coscribe_engine::update::Update;

use super::stop::Stop;
use crate::gap::has_gap;
use crate::outcome::Oracle;
use crate::replica::Replica;

/// The updates that wait in front of a replica.
#[derive(Debug, Default)]
pub(super) struct Gate {
    waiting: Vec<Update>,
    /// How many updates had to wait.
    pub(super) gaps: usize,
}

impl Gate {
    /// Adds the waiting updates to a document's state: they are not lost, though those that they build on may be.
    pub(super) fn add_to(&self, state_vector: &mut StateVector, delete_set: &mut IdSet) {
        for update in &self.waiting {
            for run in update.runs() {
                let end = run.blocks().map(|block| block.end()).max().unwrap_or_default();
                state_vector.set(run.client(), end.max(state_vector.get(run.client())));
            }
            update.deletions().for_each(|(client, range)| delete_set.insert(client, range, |_| {}));
        }
    }

    /// The connection has ended: the waiting updates come again.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// A frame for a replica, without the updates that have to wait, and with those that need not wait any more. An update before
    /// the server's answer with its state (`synced`) may well build on that answer, and is not counted.
    pub(super) fn pass(
        &mut self,
        replica: &mut dyn Replica,
        frame: &Bytes,
        synced: bool,
    ) -> Result<Bytes, Stop> {
        let mut reader = Reader::new(frame);
        let (mut passed, mut changed) = (Vec::new(), false);
        while !reader.is_empty() {
            let start = reader.position();
            // What is wrong with it is said by the provider.
            let Ok(message) = Message::read(&mut reader) else { return Ok(frame.clone()) };
            let (Message::Sync(SyncMessage::Step2(update)) | Message::Sync(SyncMessage::Update(update))) =
                message
            else {
                passed.extend_from_slice(reader.read_since(start));
                continue;
            };
            let is_early = !synced && matches!(message, Message::Sync(SyncMessage::Update(_)));
            let admitted = self.admit(replica, update, !is_early)?;
            changed |= admitted.is_some();
            let update = admitted.as_deref().unwrap_or(update);
            passed.extend(match message {
                Message::Sync(SyncMessage::Step2(_)) => y_websocket::sync_frame(&SyncMessage::Step2(update)),
                _ => y_websocket::sync_frame(&SyncMessage::Update(update)),
            });
        }
        Ok(if changed { passed.into() } else { frame.clone() })
    }

    /// The update that the replica can take in now; `None` if that is `update` itself.
    fn admit(
        &mut self,
        replica: &mut dyn Replica,
        update: &[u8],
        counts: bool,
    ) -> Result<Option<Bytes>, Stop> {
        let unreadable = |error: &dyn std::fmt::Display| {
            Stop::Broken(Oracle::Refused, format!("the server sent an update that cannot be read: {error}"))
        };
        let update = Update::scan(Bytes::copy_from_slice(update)).map_err(|error| unreadable(&error))?;
        let known = replica.state_vector()?;
        let known = StateVector::decode(&known).map_err(|error| unreadable(&error))?;
        let has_gap = has_gap(&update, &known);
        self.gaps += usize::from(has_gap && counts);
        if !has_gap && self.waiting.is_empty() {
            return Ok(None);
        }
        self.waiting.push(update);
        let mut blocks = Blocks::default();
        blocks.load(&replica.diff(&[0])?).map_err(|error| unreadable(&error))?;
        for update in &self.waiting {
            blocks.admit(update, 0);
        }
        if blocks.parked().is_empty() {
            self.waiting.clear();
        }
        Ok(Some(blocks.diff(&known)))
    }
}
