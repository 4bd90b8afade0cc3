//! Awareness: who is here and where their cursors are. Never stored.
//!
//! Encoded as in y-protocols: `count, (client, clock, varString JSON or "null")*`. A state counts if its clock is
//! higher than the known one, or equal and the state is null. A state belongs to the peer that introduced its client
//! id: no other peer can change it, and it goes when that peer goes.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::lib0::{ReadError, Reader, write_var_buf, write_var_uint};
use crate::limits::{AWARENESS_CLIENTS_PER_PEER, AWARENESS_REMOVED, AWARENESS_STATE_BYTES};
use crate::peer::PeerId;
use crate::update::ClientId;

/// How long a state lives that its owner does not renew. Clients renew every 15 s.
pub const EXPIRY: Duration = Duration::from_secs(30);

/// The state of a client that has left.
const NULL: &str = "null";

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
    pub changed: Vec<ClientId>,
    /// Clients of the sender that the others would not see, because they know them as gone at this clock or a later
    /// one. Sending them their own removal makes them announce themselves with a higher clock.
    pub unseen: Vec<ClientId>,
}

#[derive(Debug)]
struct State {
    clock: u64,
    json: Box<str>,
    owner: PeerId,
    renewed: Duration,
}

/// The awareness states of a room.
#[derive(Debug, Default)]
pub struct Awareness {
    states: BTreeMap<ClientId, State>,
    /// Clients that have left: the clock at which the others know them as gone, and the number of the removal.
    removed: BTreeMap<ClientId, (u64, u64)>,
    /// The same clients by the number of their removal.
    removals: BTreeMap<u64, ClientId>,
    next_removal: u64,
}

impl Awareness {
    /// Takes in encoded states from a peer.
    ///
    /// # Errors
    /// If the bytes are malformed or over a limit; then nothing was taken in.
    pub fn receive(
        &mut self,
        peer: PeerId,
        encoded: &[u8],
        now: Duration,
    ) -> Result<Received, AwarenessError> {
        let incoming = decode(encoded)?;
        let introduced = incoming.iter().filter(|(client, state)| self.introduces(*client, state)).count();
        let owned = || self.states.values().filter(|state| state.owner == peer).count();
        if introduced > 0 && introduced + owned() > AWARENESS_CLIENTS_PER_PEER {
            return Err(AwarenessError::TooManyClients);
        }
        let mut received = Received::default();
        for (client, Incoming { clock, json }) in incoming {
            let state = State { clock, json: json.into(), owner: peer, renewed: now };
            self.receive_state(peer, client, state, &mut received);
        }
        Ok(received)
    }

    fn introduces(&self, client: ClientId, state: &Incoming<'_>) -> bool {
        state.json != NULL && !self.states.contains_key(&client) && !self.is_past(client, state.clock)
    }

    /// Whether the client is known to have left at this clock or a later one.
    fn is_past(&self, client: ClientId, clock: u64) -> bool {
        self.removed.get(&client).is_some_and(|&(removed, _)| clock <= removed)
    }

    fn receive_state(&mut self, peer: PeerId, client: ClientId, state: State, received: &mut Received) {
        let leaves = *state.json == *NULL;
        match self.states.get(&client) {
            Some(known) if known.owner != peer => return,
            Some(known) if state.clock > known.clock || (leaves && state.clock == known.clock) => {}
            Some(_) => return,
            None if leaves => return,
            None if self.is_past(client, state.clock) => {
                received.unseen.push(client);
                return;
            }
            None => {}
        }
        if leaves {
            self.remove(client, state.clock);
        } else {
            self.forget_removal(client);
            self.states.insert(client, state);
        }
        received.changed.push(client);
    }

    /// Removes the states of a peer that has gone; gives their clients.
    pub fn leave(&mut self, peer: PeerId) -> Vec<ClientId> {
        self.remove_where(|state| state.owner == peer)
    }

    /// Removes states that were not renewed in time; gives their clients.
    pub fn expire(&mut self, now: Duration) -> Vec<ClientId> {
        self.remove_where(|state| now.saturating_sub(state.renewed) > EXPIRY)
    }

    /// Whether nobody is here.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
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

    /// Encodes the states of some clients; those who have left are null.
    pub fn encode(&self, clients: impl ExactSizeIterator<Item = ClientId>) -> Vec<u8> {
        let mut out = Vec::with_capacity(1 + clients.len() * 64);
        write_var_uint(&mut out, clients.len() as u64);
        for client in clients {
            let (clock, json) = match self.states.get(&client) {
                Some(state) => (state.clock, &*state.json),
                None => (self.removed.get(&client).map_or(0, |&(clock, _)| clock), NULL),
            };
            write_var_uint(&mut out, client);
            write_var_uint(&mut out, clock);
            write_var_buf(&mut out, json.as_bytes());
        }
        out
    }

    fn remove_where(&mut self, gone: impl Fn(&State) -> bool) -> Vec<ClientId> {
        let leaving = self.states.iter().filter(|(_, state)| gone(state));
        let leaving: Vec<_> = leaving.map(|(&client, state)| (client, state.clock)).collect();
        leaving
            .into_iter()
            .map(|(client, clock)| {
                self.remove(client, clock);
                client
            })
            .collect()
    }

    /// Removes a state and remembers its clock, at which the others now know it as gone.
    fn remove(&mut self, client: ClientId, clock: u64) {
        self.states.remove(&client);
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
    clock: u64,
    json: &'a str,
}

fn decode(encoded: &[u8]) -> Result<Vec<(ClientId, Incoming<'_>)>, AwarenessError> {
    let mut reader = Reader::new(encoded);
    // A client, a clock and a string of at least one character with its length.
    let count = reader.count(4)?;
    let mut states = Vec::with_capacity(count);
    for _ in 0..count {
        let (client, clock) = (reader.var_uint()?, reader.var_uint()?);
        let json = reader.var_json()?;
        if json.len() > AWARENESS_STATE_BYTES {
            return Err(AwarenessError::StateTooLarge);
        }
        states.push((client, Incoming { clock, json }));
    }
    Ok(states)
}
