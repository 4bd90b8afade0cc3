//! Awareness under any messages of several peers: only its owner changes a state, and another peer owns it only after the owner is
//! gone or silent; clocks never go back, refused messages change nothing, and encoded states can be received. A room that gets
//! the same messages does no more than it may.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::awareness::{Awareness, Received, Speaker};
use coscribe_engine::dialect::y_websocket::awareness_frame;
use coscribe_engine::lib0::{ReadError, Reader, write_var_buf, write_var_uint};
use coscribe_engine::limits::AWARENESS_CLIENTS_PER_PEER;
use coscribe_engine::limits::AWARENESS_EXPIRY;
use coscribe_engine::peer::PeerId;
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
    /// Whom the clients that are here belong to, and when they were last heard of, where that is known.
    owners: BTreeMap<ClientId, (PeerId, Option<Duration>)>,
    /// When the peers have come.
    came: BTreeMap<PeerId, Duration>,
    /// Who has spoken for which clients.
    spoken: BTreeSet<(PeerId, ClientId)>,
    /// When each peer was first asked for the sign of life that it has not given.
    asked: BTreeMap<PeerId, Duration>,
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
            2 if step & 4 != 0 => self.hear_of(peer),
            2 => self.leave(peer),
            _ => {
                self.now += Duration::from_millis(250 * u64::from(reader.u8()?));
                let now = self.now;
                self.settle();
                let expired = self.awareness.expire(now);
                let asked = self.asked.clone();
                let kept = self.hand_over(&expired, |owner| asked.contains_key(&owner));
                let expired: Vec<_> = expired.into_iter().filter(|client| !kept.contains(client)).collect();
                self.remove(&expired, |_, renewed| renewed.map(|renewed| now - renewed > AWARENESS_EXPIRY));
            }
        }
        Ok(())
    }

    fn receive(&mut self, peer: PeerId, states: &[u8]) {
        self.said.push((peer, awareness_frame(states)));
        let (awareness, now) = (&mut self.awareness, self.now);
        let speaker =
            Speaker { peer, came: self.came.get(&peer).copied().unwrap_or_default(), begins: false };
        let received = bounded(states.len(), RECEIVE, || awareness.receive(&speaker, states, now));
        let Ok(received) = received else {
            assert_eq!(self.look(self.seen.keys()), self.seen, "what is refused changes nothing");
            return self.check_owners();
        };
        let seen = self.look(self.seen.keys().chain(&received.changed));
        let before = std::mem::replace(&mut self.seen, seen);
        self.spoken.extend(decode(states).into_iter().flatten().map(|(client, ..)| (peer, client)));
        for owner in &received.probe {
            assert!(*owner != peer && self.owners.values().any(|(of, _)| of == owner));
            self.asked.entry(*owner).or_insert(now);
        }
        self.check_received(peer, &received, &before);
        let owned = self.owners.values().filter(|(owner, _)| *owner == peer).count();
        assert!(owned <= AWARENESS_CLIENTS_PER_PEER, "{peer:?} speaks for {owned} clients");
    }

    fn check_received(&mut self, peer: PeerId, received: &Received, before: &Seen) {
        for (client, now) in &self.seen {
            let Some(before) = before.get(client) else { continue };
            let (clock, state) = now;
            assert!(*clock >= before.0, "the clock of {client} goes from {} to {clock}", before.0);
            assert!(
                now == before || received.changed.contains(client) || received.renewed.contains(client),
                "{client} has changed"
            );
            assert!(now == before || *clock > before.0 || state == "null", "{client} changes at its clock");
        }
        for client in received.changed.union(&received.renewed) {
            let owner = self.owners.get(client).map_or(peer, |(owner, _)| *owner);
            assert_eq!(owner, peer, "only its owner changes {client}");
            if self.seen[client].1 == "null" {
                self.owners.remove(client);
            } else {
                self.owners.insert(*client, (peer, Some(self.now)));
            }
        }
        for client in &received.unseen {
            assert!(self.seen.contains_key(client), "only of a client that was here");
        }
        self.check_owners();
    }

    /// A peer goes, and comes again when it next speaks.
    fn leave(&mut self, peer: PeerId) {
        let left = self.awareness.leave(peer);
        self.came.insert(peer, self.now);
        self.asked.remove(&peer);
        self.spoken.retain(|(speaker, _)| *speaker != peer);
        let kept = self.hand_over(&left, |owner| owner == peer);
        let gone: Vec<_> = left.into_iter().filter(|client| !kept.contains(client)).collect();
        self.remove(&gone, |owner, _| Some(owner == peer));
    }

    /// Claims are settled against those who were asked and are silent.
    fn settle(&mut self) {
        let (asked, now) = (self.asked.clone(), self.now);
        let settled = self.awareness.settle(now);
        let silent = |owner| asked.get(&owner).is_some_and(|&since| now - since >= Duration::from_secs(1));
        let kept = self.hand_over(&settled.changed, silent);
        let gone: Vec<_> = settled.changed.into_iter().filter(|client| !kept.contains(client)).collect();
        self.remove(&gone, |owner, _| if silent(owner) { None } else { Some(false) });
        for owner in settled.probe {
            self.asked.entry(owner).or_insert(now);
        }
    }

    /// A peer gives a sign of life.
    fn hear_of(&mut self, peer: PeerId) {
        self.asked.remove(&peer);
        for client in self.awareness.alive(peer, self.now) {
            assert!(self.spoken.contains(&(peer, client)), "it gets back what it had");
            self.owners.insert(client, (peer, None));
        }
        assert_eq!(self.look(self.seen.keys()), self.seen, "for others nothing changes");
        self.check_owners();
    }

    /// Of these clients, gives those that belong to others now, who had spoken for them.
    fn hand_over(&mut self, clients: &[ClientId], loses: impl Fn(PeerId) -> bool) -> BTreeSet<ClientId> {
        let mut kept = BTreeSet::new();
        for &client in clients {
            let (before, _) = self.owners[&client];
            if let Some(owner) = self.awareness.owner(client) {
                assert!(loses(before), "{before:?} is neither gone nor silent");
                assert!(
                    owner != before && self.spoken.contains(&(owner, client)),
                    "{owner:?} has claimed it"
                );
                self.owners.insert(client, (owner, None));
                kept.insert(client);
            }
        }
        let seen = self.look(kept.iter());
        for (client, state) in seen {
            assert!(state.0 > self.seen[&client].0 && state.1 != "null", "it is seen");
            self.seen.insert(client, state);
        }
        kept
    }

    /// These clients are gone now: just those that had to go, or of which that is not known.
    fn remove(&mut self, gone: &[ClientId], must_go: impl Fn(PeerId, Option<Duration>) -> Option<bool>) {
        let goes = |client: &ClientId, (owner, renewed): &mut (PeerId, Option<Duration>)| {
            must_go(*owner, *renewed).unwrap_or_else(|| gone.contains(client))
        };
        let go = self.owners.extract_if(.., goes);
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

    /// A peer that receives all states has the same.
    fn check_encoding(&self) {
        let mut copy = Awareness::default();
        let clients: Vec<_> = self.awareness.clients().collect();
        for (number, some) in (1..).zip(clients.chunks(AWARENESS_CLIENTS_PER_PEER)) {
            let encoded = self.awareness.encode(some.iter().copied());
            let speaker = Speaker { peer: PeerId(number), came: self.now, begins: false };
            let received = copy.receive(&speaker, &encoded, self.now).expect("its own encoding");
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
