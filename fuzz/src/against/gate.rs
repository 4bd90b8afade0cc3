//! Updates that come before those that they build on. Yjs lets them wait, and its servers send them on; yrs shows them at once (and
//! its state vector then claims the missing elements). So they wait here, in front of the replica.

use bytes::Bytes;
use coscribe_engine::dialect::hocuspocus::{self, Answer, Reply};
use coscribe_engine::dialect::y_websocket::{self, Replies};
use coscribe_engine::document::blocks::Blocks;
use coscribe_engine::document::id_set::IdSet;
use coscribe_engine::document::state_vector::StateVector;
use coscribe_engine::message::Outbound;
use coscribe_engine::update::Update;

use super::stop::Stop;
use crate::gap::has_gap;
use crate::outcome::Oracle;
use crate::replica::Replica;
use crate::scenario::Dialect;

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
        dialect: Dialect,
        synced: bool,
    ) -> Result<Bytes, Stop> {
        match dialect {
            Dialect::YWebsocket => self.pass_messages(replica, frame, synced),
            Dialect::Hocuspocus => self.pass_reply(replica, frame, synced),
        }
    }

    fn pass_messages(
        &mut self,
        replica: &mut dyn Replica,
        frame: &Bytes,
        synced: bool,
    ) -> Result<Bytes, Stop> {
        let (mut passed, mut changed) = (Vec::new(), false);
        for message in Replies::of(frame.clone()) {
            // What is wrong with it is said by the provider.
            let Ok(mut message) = message else { return Ok(frame.clone()) };
            changed |= self.pass_message(replica, &mut message, synced)?;
            passed.extend(y_websocket::encode(&message).iter().flat_map(|frame| frame.to_bytes()));
        }
        Ok(if changed { passed.into() } else { frame.clone() })
    }

    fn pass_reply(&mut self, replica: &mut dyn Replica, frame: &Bytes, synced: bool) -> Result<Bytes, Stop> {
        let Ok(Some(Reply::Addressed { address, answer: Answer::Say(mut message) })) = Reply::read(frame)
        else {
            return Ok(frame.clone());
        };
        let changed = self.pass_message(replica, &mut message, synced)?;
        let passed = hocuspocus::encode(&address, &message).filter(|_| changed);
        Ok(passed.map_or_else(|| frame.clone(), |frame| frame.to_bytes()))
    }

    /// Replaces the update of a message by the one that the replica can take in now. Gives whether that is another.
    fn pass_message(
        &mut self,
        replica: &mut dyn Replica,
        message: &mut Outbound,
        synced: bool,
    ) -> Result<bool, Stop> {
        let counts = synced || matches!(message, Outbound::Step2(_));
        let (Outbound::Step2(update) | Outbound::Update(update)) = message else { return Ok(false) };
        let admitted = self.admit(replica, update.to_bytes(), counts)?;
        let changed = admitted.is_some();
        if let Some(admitted) = admitted {
            *update = admitted.into();
        }
        Ok(changed)
    }

    /// The update that the replica can take in now; `None` if that is `update` itself.
    fn admit(
        &mut self,
        replica: &mut dyn Replica,
        update: Bytes,
        counts: bool,
    ) -> Result<Option<Bytes>, Stop> {
        let unreadable = |error: &dyn std::fmt::Display| {
            Stop::Broken(Oracle::Refused, format!("the server sent an update that cannot be read: {error}"))
        };
        let update = Update::scan(update).map_err(|error| unreadable(&error))?;
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
