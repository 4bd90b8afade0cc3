//! A peer as it should be: what it was sent makes the room's document, and what it was told is durable is.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use coscribe_engine::blocks::Blocks;
use coscribe_engine::id_set::IdSet;
use coscribe_engine::lib0::{ReadError, Reader};
use coscribe_engine::protocol::sync::SyncMessage;
use coscribe_engine::protocol::y_websocket::Message;
use coscribe_engine::state_vector::StateVector;
use coscribe_engine::update::{ClientId, Update};

/// All that a peer has sent, whether the room could take it in or not.
#[derive(Debug, Clone, Default)]
pub(super) struct Sent {
    state_vector: StateVector,
    deletions: IdSet,
}

/// States by client: clock, and JSON that is `null` when it is gone.
pub(super) type Cursors = BTreeMap<ClientId, (u64, String)>;

#[derive(Debug, Default)]
pub(super) struct Peer {
    /// What it has of the document.
    pub(super) replica: Blocks,
    /// Whether it has got all that there was when it asked, so that from then on it misses nothing.
    pub(super) synced: bool,
    /// Whether it asked while it was lagging.
    pub(super) asked: bool,
    pub(super) lagging: bool,
    /// The awareness states that it knows of others.
    pub(super) cursors: Cursors,
    /// Clients whose states it has sent itself.
    pub(super) own: BTreeSet<ClientId>,
    sent: Sent,
    /// What it wants back, and what must be durable first.
    requests: VecDeque<(Vec<u8>, Sent)>,
}

impl Sent {
    fn add(&mut self, update: &Update) {
        for run in update.runs() {
            let end = run.blocks().last().map_or(0, |block| block.end());
            let client = run.client();
            self.state_vector.set(client, end.max(self.state_vector.get(client)));
        }
        update.deletions().for_each(|(client, range)| self.deletions.insert(client, range, |_| {}));
    }

    /// Whether a document has all of it.
    fn is_in(&self, blocks: &Blocks) -> bool {
        let mut union = blocks.delete_set().clone();
        union.extend(&self.deletions);
        let known = |(client, clock)| blocks.state_vector().get(client) >= clock;
        self.state_vector.iter().all(known) && union == *blocks.delete_set()
    }
}

impl Peer {
    /// Remembers what it sends.
    pub(super) fn sends(&mut self, frame: &Bytes) {
        let mut reader = Reader::new(frame);
        while let Ok(message) = Message::read(&mut reader) {
            match message {
                Message::Sync(SyncMessage::Step2(update) | SyncMessage::Update(update)) => {
                    // What cannot be read closes the connection.
                    if let Ok(update) = Update::scan(frame.slice_ref(update)) {
                        self.sent.add(&update);
                    }
                }
                Message::SyncStatus(payload) => {
                    self.requests.push_back((payload.to_vec(), self.sent.clone()))
                }
                Message::Awareness(states) => {
                    self.own
                        .extend(decode(states).unwrap_or_default().into_iter().map(|(client, ..)| client));
                }
                Message::Sync(SyncMessage::Step1(_)) | Message::QueryAwareness => {}
            }
        }
    }

    /// It is told that what it sent before is durable.
    pub(super) fn is_acknowledged(&mut self, payload: &[u8], durable: &Blocks) {
        let (expected, sent) = self.requests.pop_front().expect("it had asked");
        assert_eq!(expected, payload, "it gets back what it sent, in that order");
        assert!(sent.is_in(durable), "what is acknowledged is durable");
    }

    /// Whether it waits for nothing more to be durable.
    pub(super) fn is_answered(&self) -> bool {
        self.requests.is_empty()
    }

    /// It gets awareness states.
    pub(super) fn learns(&mut self, states: &[u8]) {
        for (client, clock, state) in decode(states).expect("the room's own encoding") {
            let known = self.cursors.get(&client);
            if known.is_none_or(|(known, _)| clock > *known || clock == *known && state == "null") {
                self.cursors.insert(client, (clock, state.to_owned()));
            }
        }
    }

    /// The states of others that are not gone.
    pub(super) fn sees(&self) -> Cursors {
        let mut cursors = self.cursors.clone();
        cursors.retain(|client, (_, state)| !self.own.contains(client) && state != "null");
        cursors
    }
}

fn decode(states: &[u8]) -> Result<Vec<(ClientId, u64, &str)>, ReadError> {
    let mut reader = Reader::new(states);
    let count = reader.count(3)?;
    (0..count).map(|_| Ok((reader.var_uint()?, reader.var_uint()?, reader.var_string()?))).collect()
}
