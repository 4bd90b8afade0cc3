//! A model peer: the updates that it was sent make the room's document, and its acknowledged updates are durable.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use bytes::Bytes;
use coscribe_engine::document::blocks::Blocks;
use coscribe_engine::document::id_set::IdSet;
use coscribe_engine::document::state_vector::StateVector;
use coscribe_engine::lib0::{ReadError, Reader};
use coscribe_engine::message::Inbound;
use coscribe_engine::update::{ClientId, Update};

use crate::serving::messages;

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
    /// Whether it has asked, truly, and is still to be answered.
    pub(super) asked: bool,
    pub(super) lagging: bool,
    /// Whether it has lagged, and is still to be told what it missed.
    pub(super) misses: bool,
    /// What it has sent, where that waits to be sent in one frame.
    pub(super) gathered: Option<Vec<u8>>,
    /// Whether there is a true question in that.
    pub(super) will_have_asked: bool,
    /// Its last frame.
    pub(super) last_frame: Bytes,
    /// The awareness states that it knows of others.
    pub(super) cursors: Cursors,
    /// Clients whose states it has sent itself.
    pub(super) own: BTreeSet<ClientId>,
    sent: Rc<Sent>,
    /// What it wants back, and what must be durable first.
    requests: VecDeque<(Bytes, Rc<Sent>)>,
    /// What was durable when it was last told that something is.
    durable: Rc<Sent>,
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
    /// Whether it gets what is broadcast.
    pub(super) fn keeps_up(&self) -> bool {
        !self.lagging && !self.misses
    }

    /// Remembers what it sends.
    pub(super) fn sends(&mut self, frame: &Bytes) {
        for message in messages(frame) {
            match message {
                Ok(Inbound::Step2(update) | Inbound::Update(update)) => {
                    // What cannot be read closes the connection.
                    if let Ok(update) = Update::scan(update) {
                        Rc::make_mut(&mut self.sent).add(&update);
                    }
                }
                Ok(Inbound::Confirm(token)) => self.requests.push_back((token, Rc::clone(&self.sent))),
                Ok(Inbound::Awareness(states)) => {
                    let states = decode(&states).unwrap_or_default();
                    self.own.extend(states.into_iter().map(|(client, ..)| client));
                }
                Ok(
                    Inbound::Step1(_)
                    | Inbound::QueryAwareness
                    | Inbound::Offer
                    | Inbound::Create
                    | Inbound::Stateless(_),
                )
                | Err(_) => {}
            }
        }
        self.last_frame = frame.clone();
    }

    /// It gets an update that it need not have asked for truly. Gives whether it has all there is, then.
    pub(super) fn is_answered_with(&mut self, update: &[u8]) -> bool {
        let is_for_it = self.asked || self.synced && self.misses;
        if !is_for_it {
            return false;
        }
        self.replica.load(update).expect("an answer has no gap");
        (self.synced, self.asked, self.misses) = (true, false, false);
        true
    }

    /// It is told that what it sent before is durable.
    pub(super) fn is_acknowledged(&mut self, payload: &[u8], durable: &Blocks) {
        let (expected, sent) = self.requests.pop_front().expect("it had asked");
        assert_eq!(expected, payload, "it gets back what it sent, in that order");
        // What is durable stays so.
        if !Rc::ptr_eq(&sent, &self.durable) {
            assert!(sent.is_in(durable), "what is acknowledged is durable");
            self.durable = sent;
        }
    }

    /// Whether it waits for nothing more to be durable.
    pub(super) fn is_answered(&self) -> bool {
        self.requests.is_empty()
    }

    /// It gets awareness states.
    pub(super) fn learns(&mut self, states: &[u8]) {
        let mut told = BTreeSet::new();
        for (client, clock, state) in decode(states).expect("the room's own encoding") {
            assert!(told.insert(client), "of each client once");
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
