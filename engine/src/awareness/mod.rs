//! Awareness: the people who are here, and their cursors. Never stored.
//!
//! Encoded as in y-protocols: `count, (client, clock, varString JSON or "null")*`. A state counts if its clock is
//! higher than the known one, or equal and the state is null. A state belongs to the peer that introduced its client
//! id: no other peer can change it, and it goes when that peer goes. A newer peer with a higher clock may claim it, and gets
//! it if the owner gives no sign of life (`claims.rs`).
//!
//! Clients ignore a state at a clock that they know, even after they have dropped the state with their connection. So each
//! state has the moment at which its clock last rose, and each client that left has the moment at which it left. A client that
//! is back sees the states that rose after it left.

mod claims;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use self::claims::Claims;
use crate::lib0::{ReadError, Reader, write_var_uint};
use crate::limits::{
    AWARENESS_BYTES, AWARENESS_BYTES_PER_PEER, AWARENESS_CLIENTS_PER_PEER, AWARENESS_EXPIRY,
    AWARENESS_REMOVED, AWARENESS_STATE_BYTES, AWARENESS_TOLD, ROPE_BYTES,
};
use crate::peer::PeerId;
use crate::rope::{Rope, RopeWriter};
use crate::seldom::Seldom;
use crate::update::ClientId;
use crate::work::{Work, finish};

/// Counts rises of clocks and removals in one room. 0 comes before all of them: states may have been seen before the room was
/// opened, or before the removals that it has forgotten.
pub type Moment = u64;

/// The state of a client that has left.
const NULL: &[u8] = b"null";

/// What a client costs beside the bytes of its state: its places in the maps.
const ENTRY_BYTES: usize = 256;

/// The connection that awareness comes from.
#[derive(Debug, Copy, Clone)]
pub struct Speaker {
    /// The connection.
    pub peer: PeerId,
    /// When it was opened.
    pub came: Duration,
    /// Whether this is its first awareness message: clients begin with their own state.
    pub begins: bool,
}

/// The result of awareness from a peer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Clients whose state is new.
    pub changed: BTreeSet<ClientId>,
    /// Clients whose clock has risen while their state stayed the same, and everybody has heard of it a moment ago.
    pub renewed: BTreeSet<ClientId>,
    /// Clients of the sender that the others would not see, because they know them as gone at this clock or a later one. Such a
    /// client that is sent its own removal announces itself with a higher clock.
    pub unseen: BTreeSet<ClientId>,
    /// Peers that are to give a sign of life, because the sender claims their clients.
    pub probe: BTreeSet<PeerId>,
    /// The moment up to which the sender may know clocks, if it spoke for a client of its own.
    pub knows: Option<Moment>,
    /// What was over a limit and left out, in words.
    pub left_out: Option<&'static str>,
}

/// The result of [`Awareness::settle`].
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Clients whose state is new.
    pub changed: Vec<ClientId>,
    /// Peers that are to give a sign of life.
    pub probe: BTreeSet<PeerId>,
}

#[derive(Debug)]
struct State {
    clock: u64,
    json: Bytes,
    owner: PeerId,
    renewed: Duration,
    /// When the clock last rose; 0 if it is the first one, which others may have seen before the room was opened.
    risen: Moment,
    /// When the state was last broadcast.
    told: Duration,
}

/// The awareness states of a room.
#[derive(Debug, Default)]
pub struct Awareness {
    states: BTreeMap<ClientId, State>,
    /// The clients of each peer that has any.
    owned: BTreeMap<PeerId, BTreeSet<ClientId>>,
    /// The clients by when they were last renewed.
    renewals: BTreeSet<(Duration, ClientId)>,
    /// The clients by when their clock last rose.
    rises: BTreeSet<(Moment, ClientId)>,
    claims: Seldom<Claims>,
    /// Clients that have left: the clock at which the others know them as gone, and the moment at which they left.
    removed: BTreeMap<ClientId, (u64, Moment)>,
    /// The same clients by the moment at which they left.
    removals: BTreeMap<Moment, ClientId>,
    /// The last removal that was forgotten.
    forgotten: Moment,
    /// The last moment that was given to a rise or a removal.
    moment: Moment,
    /// Bytes of all states.
    bytes: usize,
}

impl Awareness {
    /// Takes in encoded states from a peer. O(bytes · log clients). A state that is over a limit is left out: the others see
    /// the client's last state that was not, or nothing.
    ///
    /// # Errors
    /// If the bytes are malformed; then nothing was taken in.
    pub fn receive(
        &mut self,
        speaker: &Speaker,
        encoded: &[u8],
        now: Duration,
    ) -> Result<Received, ReadError> {
        finish(self.receive_in_slices(speaker, encoded, now, &mut Work::default()))
    }

    /// The same, with pauses.
    pub(crate) async fn receive_in_slices(
        &mut self,
        speaker: &Speaker,
        encoded: &[u8],
        now: Duration,
        work: &mut Work,
    ) -> Result<Received, ReadError> {
        Self::check(encoded, work).await?;
        let mut reader = Reader::new(encoded);
        let mut received = Received::default();
        let count = reader.var_uint()?;
        let speaker = &Speaker { begins: speaker.begins && count == 1, ..*speaker };
        for _ in 0..count {
            let incoming = Incoming::read(&mut reader)?;
            work.count(4);
            if let Some(excess) = self.excess(speaker.peer, &incoming) {
                received.left_out = Some(excess);
                self.renew_as_it_was(speaker, &incoming, now, &mut received, work);
            } else {
                self.receive_state(speaker, &incoming, now, &mut received, work);
            }
            work.pause().await;
        }
        Ok(received)
    }

    /// Checks states that a peer has sent before any of them is taken in.
    async fn check(encoded: &[u8], work: &mut Work) -> Result<(), ReadError> {
        let mut reader = Reader::new(encoded);
        // A client, a clock, and a string of at least one character with its length.
        for _ in 0..reader.count(4)? {
            let incoming = Incoming::read(&mut reader)?;
            crate::lib0::check_json(crate::lib0::check_utf8(incoming.json)?)?;
            // Byte by byte takes several times as long as a copy.
            work.count_bytes(8 * incoming.json.len());
            work.pause().await;
        }
        Ok(())
    }

    /// The limit that a state is over, in words. O(clients of the peer · log clients) for a long one.
    fn excess(&self, peer: PeerId, incoming: &Incoming<'_>) -> Option<&'static str> {
        let bytes = incoming.json.len();
        if bytes > AWARENESS_STATE_BYTES {
            return Some("an awareness state that is too large is left out");
        }
        if self.introduces(incoming) && self.speaks_for(peer) >= AWARENESS_CLIENTS_PER_PEER {
            return Some("awareness of too many clients on one connection is left out");
        }
        // As many shorter ones as one connection may have are within its limit.
        let is_long = bytes > AWARENESS_BYTES_PER_PEER / AWARENESS_CLIENTS_PER_PEER;
        if is_long && bytes + self.bytes_of(peer, incoming.client) > AWARENESS_BYTES_PER_PEER {
            return Some("awareness states that are too large together are left out");
        }
        let known = self.states.get(&incoming.client).map_or(0, |state| state.json.len());
        if bytes > known && self.bytes + self.claims.bytes() + bytes - known > AWARENESS_BYTES {
            return Some("the document has too much awareness: a state is left out");
        }
        None
    }

    /// Bytes of the states of a peer, but for that of one client.
    fn bytes_of(&self, peer: PeerId, but: ClientId) -> usize {
        let others = self.owned.get(&peer).into_iter().flatten().filter(|&&client| client != but);
        others.filter_map(|client| self.states.get(client)).map(|state| state.json.len()).sum()
    }

    /// Renews the last state of a client whose new one is over a limit. The owner goes on from the new clock, so the others are
    /// told the last state under that clock. The owner knows the clock, and keeps its own state.
    fn renew_as_it_was(
        &mut self,
        speaker: &Speaker,
        incoming: &Incoming<'_>,
        now: Duration,
        received: &mut Received,
        work: &mut Work,
    ) {
        let known = self.states.get(&incoming.client).filter(|known| known.owner == speaker.peer);
        if let Some(json) = known.map(|known| known.json.clone()) {
            let as_it_was = Incoming { json: &json, ..*incoming };
            self.receive_state(speaker, &as_it_was, now, received, work);
        }
    }

    fn introduces(&self, incoming: &Incoming<'_>) -> bool {
        let Incoming { client, clock, json } = incoming;
        *json != NULL && !self.states.contains_key(client) && !self.is_past(*client, *clock)
    }

    /// Whether the client is known to have left at this clock or a later one.
    fn is_past(&self, client: ClientId, clock: u64) -> bool {
        self.removed.get(&client).is_some_and(|&(removed, _)| clock <= removed)
    }

    fn receive_state(
        &mut self,
        speaker: &Speaker,
        incoming: &Incoming<'_>,
        now: Duration,
        received: &mut Received,
        work: &mut Work,
    ) {
        let &Incoming { client, clock, json } = incoming;
        let leaves = json == NULL;
        match self.states.get(&client) {
            Some(known) if known.owner != speaker.peer => {
                work.count_bytes(json.len());
                return self.claim(speaker, incoming, now, received);
            }
            Some(known) if clock > known.clock || (leaves && clock == known.clock) => {}
            Some(_) => return,
            None if leaves => return,
            None if self.is_past(client, clock) => {
                received.knows = received.knows.max(Some(self.left(client)));
                received.unseen.insert(client);
                return;
            }
            None => received.knows = received.knows.max(Some(self.left(client))),
        }
        received.changed.insert(client);
        received.unseen.remove(&client);
        if leaves {
            self.remove(client, clock);
        } else {
            work.count_bytes(json.len());
            self.take_state(speaker.peer, incoming, now, received);
        }
    }

    /// Takes a state of a client that belongs to the peer, or to nobody.
    fn take_state(&mut self, peer: PeerId, incoming: &Incoming<'_>, now: Duration, received: &mut Received) {
        let &Incoming { client, clock, json } = incoming;
        let known = self.states.get(&client);
        let told = match known {
            // Until its clock has risen, somebody may not see it.
            Some(known)
                if known.risen > 0
                    && known.json == json
                    && now.saturating_sub(known.told) < AWARENESS_TOLD =>
            {
                received.changed.remove(&client);
                received.renewed.insert(client);
                known.told
            }
            _ => now,
        };
        let is_higher = known.is_some() || self.removed.contains_key(&client);
        let risen = if is_higher { self.next_moment() } else { 0 };
        let json = Bytes::copy_from_slice(json);
        if let Some(claims) = self.claims.changed() {
            claims.outrun(client, clock);
        }
        self.put(client, State { clock, json, owner: peer, renewed: now, risen, told });
    }

    /// When a client was last seen to leave.
    fn left(&self, client: ClientId) -> Moment {
        self.removed.get(&client).map_or(self.forgotten, |&(_, moment)| moment)
    }

    fn next_moment(&mut self) -> Moment {
        self.moment += 1;
        self.moment
    }

    /// How many clients a peer speaks for, or may speak for again.
    fn speaks_for(&self, peer: PeerId) -> usize {
        self.owned.get(&peer).map_or(0, BTreeSet::len) + self.claims.lost(peer)
    }

    /// Removes the states of a peer that has gone, or gives them to the peers that claim them; gives their clients. O(its
    /// clients · log clients).
    pub fn leave(&mut self, peer: PeerId) -> Vec<ClientId> {
        if let Some(claims) = self.claims.changed() {
            claims.forget(peer);
        }
        let leaving: Vec<_> = self.owned.get(&peer).into_iter().flatten().copied().collect();
        for &client in &leaving {
            if !self.hand_over(client) {
                let clock = self.states.get(&client).map_or(0, |state| state.clock);
                self.remove(client, clock);
            }
        }
        leaving
    }

    /// Removes states that were not renewed in time, or gives them to the peers that claim them; gives their clients. O(these
    /// clients · log clients).
    pub fn expire(&mut self, now: Duration) -> Vec<ClientId> {
        let expired = |&&(renewed, _): &&(Duration, ClientId)| now.saturating_sub(renewed) > AWARENESS_EXPIRY;
        let leaving: Vec<_> = self.renewals.iter().take_while(expired).map(|&(_, client)| client).collect();
        for &client in &leaving {
            if !self.claims.is_asked(client) {
                self.drop_claim(client);
            }
            self.take_from_owner(client);
        }
        leaving
    }

    /// Whether nobody is here.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// About how many bytes of memory it takes.
    pub fn memory(&self) -> usize {
        let entries = self.states.len() + self.removed.len();
        self.bytes + self.claims.bytes() + entries * ENTRY_BYTES
    }

    /// Whether a client is here.
    pub fn has(&self, client: ClientId) -> bool {
        self.states.contains_key(&client)
    }

    /// The peer that the state of a client belongs to.
    pub fn owner(&self, client: ClientId) -> Option<PeerId> {
        self.states.get(&client).map(|state| state.owner)
    }

    /// All clients that are here.
    pub fn clients(&self) -> impl Iterator<Item = ClientId> {
        self.states.keys().copied()
    }

    /// The last moment.
    pub fn moment(&self) -> Moment {
        self.moment
    }

    /// Clients that have left after a moment, and have not come back. If there are very many, the first are forgotten.
    pub fn removed_since(&self, moment: Moment) -> impl Iterator<Item = ClientId> {
        self.removals.range(moment + 1..).map(|(_, &client)| client)
    }

    /// The clients, with their owners, that a peer does not see if it knows clocks up to a moment.
    pub fn known_at(&self, moment: Moment) -> impl Iterator<Item = (PeerId, ClientId)> {
        let owned = |&(_, client): &(Moment, ClientId)| Some((self.owner(client)?, client));
        self.rises.range(..=(moment, ClientId::MAX)).filter_map(owned)
    }

    /// Encodes the states of some clients; clients that have left are null. O(clients · log, and bytes).
    pub fn encode(&self, clients: impl ExactSizeIterator<Item = ClientId>) -> Vec<u8> {
        let clients: Vec<_> = clients.collect();
        finish(self.encode_in_slices(&clients, &BTreeSet::new(), &mut Work::default())).to_bytes().into()
    }

    /// The same, with pauses. Long states are shared if there are many bytes. Clients in `as_gone` are encoded as gone at their
    /// present clock: a client that is here and hears this of itself announces itself with a higher clock.
    pub(crate) async fn encode_in_slices(
        &self,
        clients: &[ClientId],
        as_gone: &BTreeSet<ClientId>,
        work: &mut Work,
    ) -> Rope {
        let mut bytes = 0;
        for client in clients {
            bytes += self.states.get(client).map_or(0, |state| state.json.len());
            work.count(2);
            work.pause().await;
        }
        let mut out = RopeWriter::new(bytes > ROPE_BYTES);
        write_var_uint(out.tail(), clients.len() as u64);
        for &client in clients {
            let null = &Bytes::from_static(NULL);
            let (clock, json) = match self.states.get(&client) {
                Some(state) if as_gone.contains(&client) => (state.clock, null),
                Some(state) => (state.clock, &state.json),
                None => (self.removed.get(&client).map_or(0, |&(clock, _)| clock), null),
            };
            write_var_uint(out.tail(), client);
            write_var_uint(out.tail(), clock);
            write_var_uint(out.tail(), json.len() as u64);
            out.share(json);
            work.count_bytes(json.len());
            work.count(4);
            work.pause().await;
        }
        out.finish()
    }

    fn put(&mut self, client: ClientId, state: State) {
        self.forget_removal(client);
        self.take(client);
        self.owned.entry(state.owner).or_default().insert(client);
        self.renewals.insert((state.renewed, client));
        self.rises.insert((state.risen, client));
        self.bytes += state.json.len();
        self.states.insert(client, state);
    }

    fn take(&mut self, client: ClientId) {
        let Some(state) = self.states.remove(&client) else { return };
        self.bytes -= state.json.len();
        self.renewals.remove(&(state.renewed, client));
        self.rises.remove(&(state.risen, client));
        if let Some(clients) = self.owned.get_mut(&state.owner) {
            clients.remove(&client);
            if clients.is_empty() {
                self.owned.remove(&state.owner);
            }
        }
    }

    /// Removes a state and remembers its clock, at which the others now know it as gone.
    fn remove(&mut self, client: ClientId, clock: u64) {
        self.take(client);
        self.drop_claim(client);
        self.forget_removal(client);
        let moment = self.next_moment();
        self.removed.insert(client, (clock, moment));
        self.removals.insert(moment, client);
        if self.removals.len() > AWARENESS_REMOVED
            && let Some((forgotten, oldest)) = self.removals.pop_first()
        {
            self.removed.remove(&oldest);
            self.forgotten = forgotten;
        }
    }

    fn forget_removal(&mut self, client: ClientId) {
        if let Some((_, moment)) = self.removed.remove(&client) {
            self.removals.remove(&moment);
        }
    }
}

/// An encoded state.
struct Incoming<'a> {
    client: ClientId,
    clock: u64,
    json: &'a [u8],
}

impl<'a> Incoming<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, ReadError> {
        Ok(Self { client: reader.var_uint()?, clock: reader.var_uint()?, json: reader.var_buf()? })
    }
}
