//! Awareness as clients keep it, written after the behaviour of y-protocols in a browser.
//!
//! A state is replaced by one with a higher clock, and removed by a null with the same clock or a higher one. A client whose
//! own state is removed by another says that it is still there, with the next clock. States that were not renewed for
//! [`OUTDATED`] are dropped; the own one is renewed after half that time.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::lib0::{ReadError, Reader, write_var_buf, write_var_uint};
use coscribe_engine::update::ClientId;

/// How long a state counts without being renewed.
pub const OUTDATED: Duration = Duration::from_secs(30);
/// A removed state on the wire.
const NULL: &str = "null";

#[derive(Debug, Clone)]
struct Meta {
    clock: u64,
    updated: Duration,
}

/// The states that one client knows, and its own.
#[derive(Debug, Clone)]
pub struct ClientAwareness {
    client: ClientId,
    states: BTreeMap<ClientId, String>,
    /// Clocks of all clients seen so far, also of clients that are gone.
    meta: BTreeMap<ClientId, Meta>,
}

impl ClientAwareness {
    /// Only the client itself, with an empty state.
    pub fn new(client: ClientId, now: Duration) -> Self {
        let mut awareness = Self { client, states: BTreeMap::new(), meta: BTreeMap::new() };
        awareness.set_own(Some("{}".to_owned()), now);
        awareness
    }

    /// Sets the own state, or takes it away; gives the message about it.
    pub fn set_own(&mut self, state: Option<String>, now: Duration) -> Bytes {
        let clock = self.meta.get(&self.client).map_or(0, |meta| meta.clock + 1);
        self.meta.insert(self.client, Meta { clock, updated: now });
        match state {
            Some(state) => self.states.insert(self.client, state),
            None => self.states.remove(&self.client),
        };
        self.encode([self.client])
    }

    /// The own state.
    pub fn own(&self) -> Option<&str> {
        self.states.get(&self.client).map(String::as_str)
    }

    /// All known states.
    pub fn states(&self) -> &BTreeMap<ClientId, String> {
        &self.states
    }

    /// The message for a connection that opens: the own state, if there is one.
    pub fn announce(&self) -> Option<Bytes> {
        self.own().map(|_| self.encode([self.client]))
    }

    /// The connection has ended: the others are not seen any more.
    pub fn forget_others(&mut self) {
        let own = self.client;
        self.states.retain(|&client, _| client == own);
    }

    /// Takes in states; gives the message about all changed states, which clients send also for states that are not their own.
    ///
    /// # Errors
    /// If the bytes are no awareness states.
    pub fn receive(&mut self, encoded: &[u8], now: Duration) -> Result<Option<Bytes>, ReadError> {
        let mut reader = Reader::new(encoded);
        let mut changed = Vec::new();
        for _ in 0..reader.var_uint()? {
            let (client, clock) = (reader.var_uint()?, reader.var_uint()?);
            let state = String::from_utf8_lossy(reader.var_buf()?).into_owned();
            if self.receive_state(client, clock, state, now) {
                changed.push(client);
            }
        }
        Ok((!changed.is_empty()).then(|| self.encode(changed)))
    }

    fn receive_state(&mut self, client: ClientId, mut clock: u64, state: String, now: Duration) -> bool {
        let known = self.meta.get(&client).map(|meta| meta.clock);
        let current = known.unwrap_or(0);
        let removes = state == NULL;
        if clock < current || (clock == current && !(removes && self.states.contains_key(&client))) {
            // A first state at clock 0 is ignored as well, as y-protocols does.
            return false;
        }
        if !removes {
            self.states.insert(client, state);
        } else if client == self.client && self.states.contains_key(&client) {
            clock += 1;
        } else {
            self.states.remove(&client);
        }
        self.meta.insert(client, Meta { clock, updated: now });
        known.is_some() || !removes
    }

    /// Time has passed: gives the message about a renewed own state, and about states that nobody renews.
    pub fn tick(&mut self, now: Duration) -> Option<Bytes> {
        let mut changed = Vec::new();
        let old = |meta: &Meta, age: Duration| now.saturating_sub(meta.updated) >= age;
        if let Some(own) = self.own().map(str::to_owned)
            && old(&self.meta[&self.client], OUTDATED / 2)
        {
            self.set_own(Some(own), now);
            changed.push(self.client);
        }
        let outdated: Vec<_> = self
            .states
            .keys()
            .filter(|&client| *client != self.client && old(&self.meta[client], OUTDATED))
            .copied()
            .collect();
        for client in outdated {
            self.states.remove(&client);
            changed.push(client);
        }
        (!changed.is_empty()).then(|| self.encode(changed))
    }

    fn encode(&self, clients: impl IntoIterator<Item = ClientId>) -> Bytes {
        let clients: Vec<_> = clients.into_iter().collect();
        let mut out = Vec::new();
        write_var_uint(&mut out, clients.len() as u64);
        for client in clients {
            write_var_uint(&mut out, client);
            write_var_uint(&mut out, self.meta[&client].clock);
            write_var_buf(&mut out, self.states.get(&client).map_or(NULL, String::as_str).as_bytes());
        }
        out.into()
    }
}
