//! The browser's side of a connection: a provider, held to account by what a server that keeps its promises may send it.
//!
//! It does no I/O: frames come in, frames go out. So it speaks to a simulated server as well as to a real one, in either dialect.

mod either;
mod refusals;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::dialect::MessageError;
use coscribe_engine::document::state_vector::StateVector;
use coscribe_engine::peer::Access;
use coscribe_engine::update::Update;
use coscribe_provider::awareness::ClientAwareness;
use coscribe_provider::receipts::Receipt;

use self::either::{Due, EitherProvider};
pub use self::refusals::Refusals;
use crate::acknowledged::Acknowledged;
use crate::limits;
use crate::replica::{Replica, ReplicaError};

/// Why a frame from the server is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// It is no message.
    #[error("malformed message: {0}")]
    Message(#[from] MessageError),
    /// The replica does not take what is in it.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// An update depends on something that was never sent.
    #[error("{0}")]
    Gap(String),
    /// The provider takes itself for synced, or a change for saved, without a reason.
    #[error("{0}")]
    Early(&'static str),
    /// The server denies access, for this reason.
    #[error("the server denies access: {0}")]
    Denied(String),
}

/// How a provider speaks to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Speech {
    /// As y-websocket.
    YWebsocket {
        /// Whether it asks for receipts: some servers give none.
        asks: bool,
    },
    /// As Hocuspocus.
    Hocuspocus {
        /// The document's address.
        address: Bytes,
        /// The token.
        token: Bytes,
    },
}

/// What is between one replica and its connections, one after the other.
#[derive(Debug)]
pub struct CheckedProvider {
    provider: EitherProvider,
    /// Whether it may be told that it is a reader.
    may_be_reader: bool,
    /// What it was told as a reader on this connection.
    refusals: Refusals,
    /// The replica has waited for something since before this connection: a server that was killed may have lost it, and
    /// whoever has it may bring it later.
    has_waited: bool,
    /// Own updates, the newest last.
    recent: VecDeque<Bytes>,
    /// Updates that were sent on this connection and are not acknowledged, each with its receipt.
    owed: VecDeque<(Receipt, Bytes)>,
    acknowledged: Acknowledged,
}

impl CheckedProvider {
    /// Not connected yet.
    pub fn new(awareness: ClientAwareness, speech: Speech) -> Self {
        Self {
            provider: EitherProvider::new(awareness, speech),
            may_be_reader: false,
            refusals: Refusals::default(),
            has_waited: false,
            recent: VecDeque::new(),
            owed: VecDeque::new(),
            acknowledged: Acknowledged::default(),
        }
    }

    /// Whether the server has answered with its state on this connection.
    pub fn is_synced(&self) -> bool {
        self.provider.is_synced()
    }

    /// Whether the server has acknowledged everything.
    pub fn is_confirmed(&self) -> bool {
        self.provider.is_confirmed()
    }

    /// The awareness states that it knows.
    pub fn awareness(&self) -> &ClientAwareness {
        self.provider.awareness()
    }

    /// What it was told as a reader on this connection.
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// What the server has said of the access, where the dialect says it to everybody.
    pub fn granted(&self) -> Option<Access> {
        self.provider.granted()
    }

    /// Whether the server may tell it that it is a reader, until something else is said. At first it may not.
    pub fn allow_refusals(&mut self, may_be_reader: bool) {
        self.may_be_reader = may_be_reader;
    }

    /// What the server has acknowledged so far, on any connection.
    pub fn acknowledged(&self) -> &Acknowledged {
        &self.acknowledged
    }

    /// The connection is open: gives the frames to send.
    ///
    /// # Errors
    /// If the replica fails.
    pub fn open(&mut self, replica: &mut dyn Replica, now: Duration) -> Result<Vec<Bytes>, ReplicaError> {
        self.has_waited = replica.is_waiting()?;
        self.refusals = Refusals::default();
        self.provider.opened(replica.state_vector()?, now);
        Ok(self.frames())
    }

    /// The connection has ended.
    pub fn close(&mut self) {
        self.provider.closed();
        self.owed.clear();
    }

    /// A frame has come: gives the frames to send.
    ///
    /// # Errors
    /// If it is malformed, the replica refuses what is in it, it depends on what was never sent, or access is denied.
    pub fn receive(
        &mut self,
        replica: &mut dyn Replica,
        frame: Bytes,
        now: Duration,
    ) -> Result<Vec<Bytes>, ProviderError> {
        let mut frames = Vec::new();
        for part in self.provider.parts(frame) {
            self.provider.receive(part?, now)?;
            while let Some(due) = self.provider.poll() {
                self.carry_out(replica, due, &mut frames)?;
            }
        }
        Ok(frames)
    }

    fn carry_out(
        &mut self,
        replica: &mut dyn Replica,
        due: Due,
        frames: &mut Vec<Bytes>,
    ) -> Result<(), ProviderError> {
        match due {
            Due::Send(frame) => frames.push(frame),
            Due::Apply(update) => self.apply(replica, &update)?,
            Due::Answer(known) => {
                let lacking = replica.diff(&known)?;
                let receipt = self.provider.answer(lacking.clone());
                self.owed.extend(receipt.map(|receipt| (receipt, lacking)));
            }
            Due::Durable(receipt) => self.acknowledge(receipt),
            Due::NothingSent => {
                return Err(ProviderError::Early("one change more is acknowledged than was sent"));
            }
            Due::Refused(_) if !self.may_be_reader => {
                return Err(ProviderError::Denied("it refuses an update".to_owned()));
            }
            Due::Refused(receipt) => {
                self.owed.retain(|(owed, _)| *owed != receipt);
                self.refusals.changes += 1;
            }
            Due::ReadOnly(reason) if !self.may_be_reader => return Err(ProviderError::Denied(reason)),
            Due::ReadOnly(_) => self.refusals.is_told = true,
            Due::Writable => self.refusals.is_told = false,
            Due::SyncedEarly => {
                return Err(ProviderError::Early(
                    "all changes are acknowledged before the server has answered with its state",
                ));
            }
            Due::Denied(reason) => return Err(ProviderError::Denied(reason)),
        }
        Ok(())
    }

    fn apply(&mut self, replica: &mut dyn Replica, update: &[u8]) -> Result<(), ProviderError> {
        // What is broadcast before the server has answered may be ahead of what the replica knows.
        let is_synced = self.provider.is_synced();
        if is_synced {
            refuse_gaps(replica, update)?;
        }
        let written = replica.apply(update)?;
        if is_synced {
            let waits = replica.is_waiting()?;
            if waits && !self.has_waited {
                return Err(ProviderError::Gap("after an update the replica waits for something".to_owned()));
            }
            self.has_waited &= waits;
        }
        written.into_iter().for_each(|update| self.note(update));
        Ok(())
    }

    /// The replica has written an update: gives the frames to send, none while there is no connection.
    pub fn write(&mut self, update: Bytes) -> Vec<Bytes> {
        self.note(update);
        self.frames()
    }

    fn note(&mut self, update: Bytes) {
        self.recent.push_back(update.clone());
        if self.recent.len() > limits::RECENT_UPDATES {
            self.recent.pop_front();
        }
        self.put(update);
    }

    /// The replica has written an update that gets lost on its way.
    pub fn lose(&mut self, update: Bytes) {
        self.recent.push_back(update);
    }

    /// Sends an update, whoever wrote it, and asks to be told when it is stored: gives the frames, none while there is no
    /// connection.
    pub fn send(&mut self, update: Bytes) -> Vec<Bytes> {
        self.put(update);
        self.frames()
    }

    fn put(&mut self, update: Bytes) {
        let receipt = self.provider.write(update.clone());
        self.owed.extend(receipt.map(|receipt| (receipt, update)));
    }

    /// Asks again for what it has asked before: who is here, what it lacks, and what is stored. Gives the frames to send,
    /// none while there is no connection.
    ///
    /// # Errors
    /// If the replica fails.
    pub fn ask_again(
        &mut self,
        replica: &mut dyn Replica,
        times: usize,
        now: Duration,
    ) -> Result<Vec<Bytes>, ReplicaError> {
        let known = replica.state_vector()?;
        for turn in 0..if self.provider.is_connected() { times } else { 0 } {
            // Whoever says that it has nothing gets everything.
            self.provider.ask(if turn % 2 == 0 { known.clone() } else { Bytes::from_static(&[0]) }, now);
        }
        Ok(self.frames())
    }

    /// Its own last updates, the newest first.
    pub fn recent(&self) -> impl Iterator<Item = &Bytes> {
        self.recent.iter().rev()
    }

    /// Sets the own awareness state: gives the frames to send, none while there is no connection.
    pub fn set_state(&mut self, state: Option<String>, now: Duration) -> Vec<Bytes> {
        self.provider.set_state(state, now);
        self.frames()
    }

    /// Time has passed: gives the frames to send.
    pub fn tick(&mut self, now: Duration) -> Vec<Bytes> {
        self.provider.tick(now);
        self.frames()
    }

    fn acknowledge(&mut self, receipt: Receipt) {
        while let Some((_, update)) = self.owed.pop_front_if(|(owed, _)| *owed <= receipt) {
            self.acknowledged.add(update);
        }
    }

    /// What the provider sends of its own accord.
    fn frames(&mut self) -> Vec<Bytes> {
        let dues = std::iter::from_fn(|| self.provider.poll());
        let sent = dues.filter_map(|due| match due {
            Due::Send(frame) => Some(frame),
            _ => None,
        });
        sent.collect()
    }
}

/// yrs shows what is behind a gap as if nothing were wrong, so it is looked for before it is applied.
fn refuse_gaps(replica: &mut dyn Replica, update: &[u8]) -> Result<(), ProviderError> {
    let gap = |what: String| Err(ProviderError::Gap(what));
    let Ok(update) = Update::scan(Bytes::copy_from_slice(update)) else {
        return gap("the server sent an update that cannot be read".to_owned());
    };
    let known = StateVector::decode(&replica.state_vector()?).map_err(MessageError::from)?;
    for run in update.runs() {
        if let Some(block) = run.blocks().next()
            && block.id.clock > known.get(run.client())
        {
            let (client, clock, known) = (run.client(), block.id.clock, known.get(run.client()));
            return gap(format!(
                "an update of client {client} starts at clock {clock}, and {known} is known"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
