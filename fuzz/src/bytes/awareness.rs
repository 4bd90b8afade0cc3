//! Awareness under whatever several peers send: a state is changed by its owner only, clocks never go back, what is
//! refused changes nothing, and what is encoded can be received. A room that hears the same does no more than it may.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::awareness::{Awareness, EXPIRY, Received};
use coscribe_engine::lib0::{ReadError, Reader, write_var_buf, write_var_uint};
use coscribe_engine::limits::AWARENESS_CLIENTS_PER_PEER;
use coscribe_engine::peer::PeerId;
use coscribe_engine::protocol::y_websocket::awareness_frame;
use coscribe_engine::update::ClientId;

use super::allocation::{Limit, bounded};
use super::rounds;

/// The shortest state has 4 bytes, and takes some hundred bytes in a map, parts of which are empty.
const RECEIVE: Limit = Limit { peak: 96, sum: 192 };

/// States that are often sent.
const STATES: [&str; 4] = ["null", "{}", "{\"user\":{\"name\":\"ann\"}}", "no JSON"];

/// Takes `data` as what peers do, one step after another.
pub fn awareness(data: &[u8]) {
    let mut reader = Reader::new(data);
    let mut stage = Stage::default();
    while !reader.is_empty() && stage.read_step(&mut reader).is_ok() {
        stage.check_encoding();
    }
    rounds::check(None, &stage.said);
}

/// What others know of a client: its clock, and its state as JSON, which is `null` when it is gone.
type Seen = BTreeMap<ClientId, (u64, String)>;

#[derive(Debug, Default)]
struct Stage {
    awareness: Awareness,
    now: Duration,
    /// Clients that were ever here, and what is known of them.
    seen: Seen,
    /// What came from whom, as frames.
    said: Vec<(PeerId, Bytes)>,
    /// Who introduced the clients that are here, and when they were last heard of.
    owners: BTreeMap<ClientId, (PeerId, Duration)>,
}

impl Stage {
    fn read_step(&mut self, reader: &mut Reader<'_>) -> Result<(), ReadError> {
        let step = reader.u8()?;
        let peer = PeerId(u64::from(step >> 4) % 3 + 1);
        match step % 4 {
            0 => self.receive(peer, reader.var_buf()?),
            1 => {
                let states = read_states(reader)?;
                self.receive(peer, &states);
            }
            2 => {
                let left = self.awareness.leave(peer);
                self.remove(&left, |owner, _| owner == peer);
            }
            _ => {
                self.now += Duration::from_millis(250 * u64::from(reader.u8()?));
                let now = self.now;
                let expired = self.awareness.expire(now);
                self.remove(&expired, |_, renewed| now - renewed > EXPIRY);
            }
        }
        Ok(())
    }

    fn receive(&mut self, peer: PeerId, states: &[u8]) {
        self.said.push((peer, awareness_frame(states)));
        let (awareness, now) = (&mut self.awareness, self.now);
        let received = bounded(states.len(), RECEIVE, || awareness.receive(peer, states, now));
        let Ok(received) = received else {
            assert_eq!(self.look(self.seen.keys()), self.seen, "what is refused changes nothing");
            return self.check_owners();
        };
        let seen = self.look(self.seen.keys().chain(&received.changed));
        let before = std::mem::replace(&mut self.seen, seen);
        self.check_received(peer, &received, &before);
        let owned = self.owners.values().filter(|(owner, _)| *owner == peer).count();
        assert!(owned <= AWARENESS_CLIENTS_PER_PEER, "{peer:?} speaks for {owned} clients");
    }

    fn check_received(&mut self, peer: PeerId, received: &Received, before: &Seen) {
        for (client, now) in &self.seen {
            let Some(before) = before.get(client) else { continue };
            let (clock, state) = now;
            assert!(*clock >= before.0, "the clock of {client} goes from {} to {clock}", before.0);
            assert!(now == before || received.changed.contains(client), "{client} has changed");
            assert!(now == before || *clock > before.0 || state == "null", "{client} changes at its clock");
        }
        for client in &received.changed {
            let owner = self.owners.get(client).map_or(peer, |(owner, _)| *owner);
            assert_eq!(owner, peer, "only its owner changes {client}");
            if self.seen[client].1 == "null" {
                self.owners.remove(client);
            } else {
                self.owners.insert(*client, (peer, self.now));
            }
        }
        for client in &received.unseen {
            assert!(self.seen.contains_key(client), "only of a client that was here");
        }
        self.check_owners();
    }

    /// These clients are gone now: just those that had to go.
    fn remove(&mut self, gone: &[ClientId], must_go: impl Fn(PeerId, Duration) -> bool) {
        let go = self.owners.extract_if(.., |_, (owner, renewed)| must_go(*owner, *renewed));
        let go: Vec<_> = go.map(|(client, _)| client).collect();
        let mut gone = gone.to_vec();
        gone.sort_unstable();
        assert_eq!(gone, go, "each once");
        for client in go {
            self.seen.entry(client).and_modify(|(_, state)| "null".clone_into(state));
        }
        assert_eq!(self.look(self.seen.keys()), self.seen, "the others stay as they are");
        self.check_owners();
    }

    fn check_owners(&self) {
        assert!(self.awareness.clients().eq(self.owners.keys().copied()), "who is here was introduced");
        assert_eq!(self.awareness.is_empty(), self.owners.is_empty());
    }

    /// What is known of these clients.
    fn look<'a>(&self, clients: impl Iterator<Item = &'a ClientId>) -> Seen {
        let clients: BTreeSet<_> = clients.copied().collect();
        let encoded = self.awareness.encode(clients.into_iter());
        let states = decode(&encoded).expect("what is encoded can be read");
        states.into_iter().map(|(client, clock, state)| (client, (clock, state.to_owned()))).collect()
    }

    /// Whoever receives all states has the same.
    fn check_encoding(&self) {
        let mut copy = Awareness::default();
        let clients: Vec<_> = self.awareness.clients().collect();
        for (number, some) in (1..).zip(clients.chunks(AWARENESS_CLIENTS_PER_PEER)) {
            let encoded = self.awareness.encode(some.iter().copied());
            let received = copy.receive(PeerId(number), &encoded, self.now).expect("its own encoding");
            assert!(received.changed.iter().eq(some) && received.unseen.is_empty(), "all of it is new");
        }
        let all = |awareness: &Awareness| awareness.encode(clients.iter().copied());
        assert_eq!(all(&copy), all(&self.awareness));
    }
}

/// Reads what states to send, and encodes them.
fn read_states(reader: &mut Reader<'_>) -> Result<Vec<u8>, ReadError> {
    let count = reader.u8()? % 4;
    let mut states = vec![count];
    for _ in 0..count {
        let (client, clock, state) = (reader.u8()?, reader.u8()?, reader.u8()?);
        write_var_uint(&mut states, (client % 8).into());
        write_var_uint(&mut states, clock.into());
        write_var_buf(&mut states, STATES[usize::from(state) % STATES.len()].as_bytes());
    }
    Ok(states)
}

fn decode(encoded: &[u8]) -> Result<Vec<(ClientId, u64, &str)>, ReadError> {
    let mut reader = Reader::new(encoded);
    let count = reader.count(3)?;
    (0..count).map(|_| Ok((reader.var_uint()?, reader.var_uint()?, reader.var_string()?))).collect()
}
