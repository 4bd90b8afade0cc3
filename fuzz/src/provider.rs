//! The browser's side of a connection, as y-websocket does it: what is sent when, and what is done with what comes.
//!
//! It does no I/O: frames come in, frames go out. So it speaks to a simulated server as well as to a real one.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::dialect::MessageError;
use coscribe_engine::dialect::sync::SyncMessage;
use coscribe_engine::dialect::y_websocket::{self, Message};
use coscribe_engine::document::id_set::IdSet;
use coscribe_engine::document::state_vector::StateVector;
use coscribe_engine::lib0::Reader;
use coscribe_engine::update::Update;

use crate::awareness::ClientAwareness;
use crate::replica::{Replica, ReplicaError};

/// How many of its own updates a provider remembers, to send them again.
const RECENT: usize = 8;

/// A frame that asks who is here.
const QUERY_AWARENESS: &[u8] = &[3];

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
}

/// What is known to be stored: the server has said so.
#[derive(Debug, Clone, Default)]
pub struct Acknowledged {
    /// Elements up to these clocks.
    pub state_vector: StateVector,
    /// Deletions.
    pub delete_set: IdSet,
}

/// One replica's side of its connections, one after the other.
#[derive(Debug)]
pub struct Provider {
    awareness: ClientAwareness,
    connected: bool,
    /// The server has answered with what it has.
    synced: bool,
    /// The replica has waited for something since before this connection: a server that was killed may have lost it, and
    /// whoever has it may bring it later.
    has_waited: bool,
    /// Own updates, the newest last.
    recent: VecDeque<Bytes>,
    /// What was sent on this connection since the last SyncStatus.
    sent: Vec<Bytes>,
    /// SyncStatus messages without an answer, and what was sent between the one before and each.
    asked: VecDeque<(u64, Vec<Bytes>)>,
    next_status: u64,
    acknowledged: Acknowledged,
}

impl Provider {
    /// Not connected yet.
    pub fn new(awareness: ClientAwareness) -> Self {
        Self {
            awareness,
            connected: false,
            synced: false,
            has_waited: false,
            recent: VecDeque::new(),
            sent: Vec::new(),
            asked: VecDeque::new(),
            next_status: 1,
            acknowledged: Acknowledged::default(),
        }
    }

    /// The awareness states that it knows.
    pub fn awareness(&self) -> &ClientAwareness {
        &self.awareness
    }

    /// Whether there is a connection.
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// Whether the server has said on this connection what it has.
    pub fn is_synced(&self) -> bool {
        self.synced
    }

    /// Whether everything that was sent with a request to be told has been acknowledged.
    pub fn is_acknowledged(&self) -> bool {
        self.asked.is_empty()
    }

    /// What the server has acknowledged so far, on any connection.
    pub fn acknowledged(&self) -> &Acknowledged {
        &self.acknowledged
    }

    /// The connection is open: gives the frames to send.
    ///
    /// # Errors
    /// If the replica fails.
    pub fn open(&mut self, replica: &mut dyn Replica) -> Result<Vec<Bytes>, ProviderError> {
        (self.connected, self.synced) = (true, false);
        self.has_waited = replica.is_waiting()?;
        let state = replica.state_vector()?;
        let mut frames = vec![y_websocket::sync_frame(&SyncMessage::Step1(&state))];
        frames.extend(self.awareness.announce().map(|states| y_websocket::awareness_frame(&states)));
        Ok(frames)
    }

    /// The connection has ended.
    pub fn close(&mut self) {
        (self.connected, self.synced) = (false, false);
        self.sent.clear();
        self.asked.clear();
        self.awareness.forget_others();
    }

    /// A frame has come: gives the frames to send.
    ///
    /// # Errors
    /// If it is malformed, the replica refuses what is in it, or it depends on what was never sent.
    pub fn receive(
        &mut self,
        replica: &mut dyn Replica,
        frame: &[u8],
        now: Duration,
    ) -> Result<Vec<Bytes>, ProviderError> {
        let mut reader = Reader::new(frame);
        let mut frames = Vec::new();
        while !reader.is_empty() {
            match Message::read(&mut reader)? {
                Message::Sync(SyncMessage::Step1(known)) => {
                    let lacking = replica.diff(known)?;
                    frames.push(y_websocket::sync_frame(&SyncMessage::Step2(&lacking)));
                    self.sent.push(lacking);
                    frames.extend(self.ask());
                }
                Message::Sync(SyncMessage::Step2(update)) => {
                    self.synced = true;
                    frames.extend(self.apply(replica, update)?);
                }
                Message::Sync(SyncMessage::Update(update)) => frames.extend(self.apply(replica, update)?),
                Message::Awareness(states) => {
                    let told = self.awareness.receive(states, now).map_err(MessageError::from)?;
                    frames.extend(told.map(|states| y_websocket::awareness_frame(&states)));
                }
                Message::SyncStatus(payload) => self.acknowledge(payload),
                Message::QueryAwareness => {}
            }
        }
        Ok(frames)
    }

    fn apply(&mut self, replica: &mut dyn Replica, update: &[u8]) -> Result<Vec<Bytes>, ProviderError> {
        // What is broadcast before the server has answered may be ahead of what the replica knows.
        if self.synced {
            refuse_gaps(replica, update)?;
        }
        let written = replica.apply(update)?;
        if self.synced {
            let waits = replica.is_waiting()?;
            if waits && !self.has_waited {
                return Err(ProviderError::Gap("after an update the replica waits for something".to_owned()));
            }
            self.has_waited &= waits;
        }
        Ok(written.into_iter().flat_map(|update| self.write(update)).collect())
    }

    /// The replica has written an update: gives the frames to send, none while there is no connection.
    pub fn write(&mut self, update: Bytes) -> Vec<Bytes> {
        self.recent.push_back(update.clone());
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        if self.connected { self.send(update) } else { Vec::new() }
    }

    /// The replica has written an update that gets lost on its way.
    pub fn lose(&mut self, update: Bytes) {
        self.recent.push_back(update);
    }

    /// Sends an update, whoever wrote it, and asks to be told when it is stored.
    pub fn send(&mut self, update: Bytes) -> Vec<Bytes> {
        let frame = y_websocket::sync_frame(&SyncMessage::Update(&update));
        self.sent.push(update);
        [frame].into_iter().chain(self.ask()).collect()
    }

    /// Asks again for what it has asked before: who is here, what it lacks, and what is stored. Gives the frames to send,
    /// none while there is no connection.
    ///
    /// # Errors
    /// If the replica fails.
    pub fn ask_again(&mut self, replica: &mut dyn Replica, times: usize) -> Result<Vec<Bytes>, ReplicaError> {
        let mut frames = Vec::new();
        let known = replica.state_vector()?;
        for turn in 0..if self.connected { times } else { 0 } {
            frames.push(Bytes::from_static(QUERY_AWARENESS));
            // Whoever says that it has nothing gets everything.
            let known = if turn % 2 == 0 { &known[..] } else { &[0] };
            frames.push(y_websocket::sync_frame(&SyncMessage::Step1(known)));
            frames.extend(self.ask());
        }
        Ok(frames)
    }

    /// Its own last updates, the newest first.
    pub fn recent(&self) -> impl Iterator<Item = &Bytes> {
        self.recent.iter().rev()
    }

    /// Sets the own awareness state: gives the frame to send, if there is a connection.
    pub fn set_state(&mut self, state: Option<String>, now: Duration) -> Option<Bytes> {
        let told = self.awareness.set_own(state, now);
        self.connected.then(|| y_websocket::awareness_frame(&told))
    }

    /// Time has passed: gives the frame to send, if there is one.
    pub fn tick(&mut self, now: Duration) -> Option<Bytes> {
        let told = self.awareness.tick(now)?;
        self.connected.then(|| y_websocket::awareness_frame(&told))
    }

    /// Asks to be told when all that was sent so far is stored.
    fn ask(&mut self) -> Option<Bytes> {
        let status = self.next_status;
        self.next_status += 1;
        self.asked.push_back((status, std::mem::take(&mut self.sent)));
        Some(y_websocket::sync_status_frame(&status.to_le_bytes()))
    }

    fn acknowledge(&mut self, payload: &[u8]) {
        let Ok(status) = payload.try_into().map(u64::from_le_bytes) else { return };
        while let Some((_, updates)) = self.asked.pop_front_if(|(asked, _)| *asked <= status) {
            for update in updates {
                self.acknowledged.add(update);
            }
        }
    }
}

impl Acknowledged {
    fn add(&mut self, update: Bytes) {
        let Ok(update) = Update::scan(update) else { return };
        for run in update.runs() {
            for block in run.blocks() {
                self.state_vector.set(run.client(), block.end().max(self.state_vector.get(run.client())));
            }
        }
        for (client, range) in update.deletions() {
            self.delete_set.insert(client, range, |_| {});
        }
    }

    /// Adds what was acknowledged to somebody else.
    pub fn extend(&mut self, other: &Self) {
        for (client, clock) in other.state_vector.iter() {
            self.state_vector.set(client, clock.max(self.state_vector.get(client)));
        }
        self.delete_set.extend(&other.delete_set);
    }

    /// The first thing that a document with this state vector and delete set lacks, in words.
    pub fn missing_in(&self, state_vector: &StateVector, delete_set: &IdSet) -> Option<String> {
        for (client, clock) in self.state_vector.iter() {
            let there = state_vector.get(client);
            if there < clock {
                return Some(format!("client {client} up to clock {clock}; up to {there} is there"));
            }
        }
        let mut all = delete_set.clone();
        for (client, range) in self.delete_set.iter() {
            let mut lost = None;
            all.insert(client, range, |part| lost = Some(part));
            if let Some(lost) = lost {
                return Some(format!("the deletion of {lost:?} of client {client}"));
            }
        }
        None
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
