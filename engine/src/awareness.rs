//! Awareness: who is here and where their cursors are. Never stored.
//!
//! Encoded as in y-protocols: `count, (client, clock, varString JSON or "null")*`. A state counts if its clock is
//! higher than the known one, or equal and the state is null. A state belongs to the peer that introduced its client
//! id: no other peer can change it, and it goes when that peer goes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use crate::lib0::{ReadError, Reader, write_var_uint};
use crate::limits::{AWARENESS_CLIENTS_PER_PEER, AWARENESS_REMOVED, AWARENESS_STATE_BYTES, ROPE_BYTES};
use crate::peer::PeerId;
use crate::rope::{Rope, RopeWriter};
use crate::update::ClientId;
use crate::work::{Work, finish};

/// How long a state lives that its owner does not renew. Clients renew every 15 s.
pub const EXPIRY: Duration = Duration::from_secs(30);

/// The state of a client that has left.
const NULL: &[u8] = b"null";

/// Why awareness was not accepted.
#[derive(Debug, Copy, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AwarenessError {
    /// The bytes are not awareness states.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A state is larger than [`AWARENESS_STATE_BYTES`].
    #[error("awareness state too large")]
    StateTooLarge,
    /// A peer speaks for more than [`AWARENESS_CLIENTS_PER_PEER`] clients.
    #[error("too many awareness clients")]
    TooManyClients,
}

/// What awareness from a peer changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Clients whose state is new.
    pub changed: BTreeSet<ClientId>,
    /// Clients of the sender that the others would not see, because they know them as gone at this clock or a later
    /// one. Sending them their own removal makes them announce themselves with a higher clock.
    pub unseen: BTreeSet<ClientId>,
}

#[derive(Debug)]
struct State {
    clock: u64,
    json: Bytes,
    owner: PeerId,
    renewed: Duration,
}

/// The awareness states of a room.
#[derive(Debug, Default)]
pub struct Awareness {
    states: BTreeMap<ClientId, State>,
    /// The clients of each peer that has any.
    owned: BTreeMap<PeerId, BTreeSet<ClientId>>,
    /// The clients by when they were last renewed.
    renewals: BTreeSet<(Duration, ClientId)>,
    /// Clients that have left: the clock at which the others know them as gone, and the number of the removal.
    removed: BTreeMap<ClientId, (u64, u64)>,
    /// The same clients by the number of their removal.
    removals: BTreeMap<u64, ClientId>,
    next_removal: u64,
}

impl Awareness {
    /// Takes in encoded states from a peer. O(bytes · log clients).
    ///
    /// # Errors
    /// If the bytes are malformed or over a limit; then nothing was taken in.
    pub fn receive(
        &mut self,
        peer: PeerId,
        encoded: &[u8],
        now: Duration,
    ) -> Result<Received, AwarenessError> {
        finish(self.receive_in_slices(peer, encoded, now, &mut Work::default()))
    }

    /// The same, with pauses.
    pub(crate) async fn receive_in_slices(
        &mut self,
        peer: PeerId,
        encoded: &[u8],
        now: Duration,
        work: &mut Work,
    ) -> Result<Received, AwarenessError> {
        self.check(peer, encoded, work).await?;
        let mut reader = Reader::new(encoded);
        let mut received = Received::default();
        for _ in 0..reader.var_uint()? {
            let incoming = Incoming::read(&mut reader)?;
            work.count(4);
            self.receive_state(peer, &incoming, now, &mut received, work);
            work.pause().await;
        }
        Ok(received)
    }

    /// Checks states that a peer has sent before any of them is taken in.
    async fn check(&self, peer: PeerId, encoded: &[u8], work: &mut Work) -> Result<(), AwarenessError> {
        let mut reader = Reader::new(encoded);
        let mut introduced = BTreeSet::new();
        let owned = self.owned.get(&peer).map_or(0, BTreeSet::len);
        // A client, a clock and a string of at least one character with its length.
        for _ in 0..reader.count(4)? {
            let incoming = Incoming::read(&mut reader)?;
            if incoming.json.len() > AWARENESS_STATE_BYTES {
                return Err(AwarenessError::StateTooLarge);
            }
            crate::lib0::check_json(crate::lib0::check_utf8(incoming.json)?)?;
            if self.introduces(&incoming) {
                introduced.insert(incoming.client);
            }
            if introduced.len() + owned > AWARENESS_CLIENTS_PER_PEER && !introduced.is_empty() {
                return Err(AwarenessError::TooManyClients);
            }
            // Byte by byte takes several times as long as a copy.
            work.count_bytes(8 * incoming.json.len());
            work.pause().await;
        }
        Ok(())
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
        peer: PeerId,
        incoming: &Incoming<'_>,
        now: Duration,
        received: &mut Received,
        work: &mut Work,
    ) {
        let &Incoming { client, clock, json } = incoming;
        let leaves = json == NULL;
        match self.states.get(&client) {
            Some(known) if known.owner != peer => return,
            Some(known) if clock > known.clock || (leaves && clock == known.clock) => {}
            Some(_) => return,
            None if leaves => return,
            None if self.is_past(client, clock) => {
                received.unseen.insert(client);
                return;
            }
            None => {}
        }
        if leaves {
            self.remove(client, clock);
        } else {
            work.count_bytes(json.len());
            let json = Bytes::copy_from_slice(json);
            self.put(client, State { clock, json, owner: peer, renewed: now });
        }
        received.changed.insert(client);
        received.unseen.remove(&client);
    }

    /// Removes the states of a peer that has gone; gives their clients. O(these · log clients).
    pub fn leave(&mut self, peer: PeerId) -> Vec<ClientId> {
        let leaving = self.owned.get(&peer).into_iter().flatten().copied().collect();
        self.remove_all(leaving)
    }

    /// Removes states that were not renewed in time; gives their clients. O(these · log clients).
    pub fn expire(&mut self, now: Duration) -> Vec<ClientId> {
        let expired = |&&(renewed, _): &&(Duration, ClientId)| now.saturating_sub(renewed) > EXPIRY;
        let leaving = self.renewals.iter().take_while(expired).map(|&(_, client)| client).collect();
        self.remove_all(leaving)
    }

    /// Whether nobody is here.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// Whether a client is here.
    pub fn has(&self, client: ClientId) -> bool {
        self.states.contains_key(&client)
    }

    /// All clients that are here.
    pub fn clients(&self) -> impl Iterator<Item = ClientId> {
        self.states.keys().copied()
    }

    /// How many states were ever removed: a mark for [`Awareness::removed_since`].
    pub fn removals(&self) -> u64 {
        self.next_removal
    }

    /// Clients that have left since there had been so many removals, and have not come back. Of very many the first are
    /// forgotten.
    pub fn removed_since(&self, removals: u64) -> impl Iterator<Item = ClientId> {
        self.removals.range(removals..).map(|(_, &client)| client)
    }

    /// Encodes the states of some clients; those who have left are null. O(clients · log and bytes).
    pub fn encode(&self, clients: impl ExactSizeIterator<Item = ClientId>) -> Vec<u8> {
        let clients: Vec<_> = clients.collect();
        finish(self.encode_in_slices(&clients, &mut Work::default())).to_bytes().into()
    }

    /// The same, with pauses; where there is much, long states are shared.
    pub(crate) async fn encode_in_slices(&self, clients: &[ClientId], work: &mut Work) -> Rope {
        let mut bytes = 0;
        for client in clients {
            bytes += self.states.get(client).map_or(0, |state| state.json.len());
            work.count(2);
            work.pause().await;
        }
        let mut out = RopeWriter::new(bytes > ROPE_BYTES);
        write_var_uint(out.tail(), clients.len() as u64);
        for &client in clients {
            let (clock, json) = match self.states.get(&client) {
                Some(state) => (state.clock, &state.json),
                None => (self.removed.get(&client).map_or(0, |&(clock, _)| clock), &Bytes::from_static(NULL)),
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

    fn remove_all(&mut self, clients: Vec<ClientId>) -> Vec<ClientId> {
        for client in &clients {
            let clock = self.states.get(client).map_or(0, |state| state.clock);
            self.remove(*client, clock);
        }
        clients
    }

    fn put(&mut self, client: ClientId, state: State) {
        self.forget_removal(client);
        self.owned.entry(state.owner).or_default().insert(client);
        // Its owner is the same: nobody else can change it.
        if let Some(before) = self.states.get(&client) {
            self.renewals.remove(&(before.renewed, client));
        }
        self.renewals.insert((state.renewed, client));
        self.states.insert(client, state);
    }

    fn take(&mut self, client: ClientId) {
        let Some(state) = self.states.remove(&client) else { return };
        self.renewals.remove(&(state.renewed, client));
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
        self.forget_removal(client);
        self.removed.insert(client, (clock, self.next_removal));
        self.removals.insert(self.next_removal, client);
        self.next_removal += 1;
        if self.removals.len() > AWARENESS_REMOVED
            && let Some((_, oldest)) = self.removals.pop_first()
        {
            self.removed.remove(&oldest);
        }
    }

    fn forget_removal(&mut self, client: ClientId) {
        if let Some((_, number)) = self.removed.remove(&client) {
            self.removals.remove(&number);
        }
    }
}

/// A state as it comes.
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
