//! Awareness as clients keep it, written after the behaviour of y-protocols in a browser.
//!
//! A state is replaced by one with a higher clock, and removed by a null with the same clock or a higher one. A client whose
//! own state is removed by another says that it is still there, with the next clock. States that were not renewed for
//! [`AWARENESS_EXPIRY`] are dropped; the own one is renewed after half that time.
//!
//! The encoding is that of [`coscribe_engine::awareness`].

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::lib0::{ReadError, Reader, write_var_buf, write_var_uint};
use coscribe_engine::limits::AWARENESS_EXPIRY;
use coscribe_engine::update::ClientId;

/// A removed state on the wire.
const NULL: &str = "null";

/// A client's state in an encoding.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct State<'a> {
    /// Whose it is.
    pub client: ClientId,
    /// Which of its states it is.
    pub clock: u64,
    /// JSON; `null` where the client is gone.
    pub json: &'a [u8],
}

impl<'a> State<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, ReadError> {
        Ok(Self { client: reader.var_uint()?, clock: reader.var_uint()?, json: reader.var_buf()? })
    }
}

/// Encodes states.
pub fn encode<'a>(states: impl ExactSizeIterator<Item = State<'a>>) -> Vec<u8> {
    let mut out = Vec::new();
    write_var_uint(&mut out, states.len() as u64);
    for State { client, clock, json } in states {
        write_var_uint(&mut out, client);
        write_var_uint(&mut out, clock);
        write_var_buf(&mut out, json);
    }
    out
}

/// Reads encoded states one by one, the first error last.
///
/// # Errors
/// If there is no count.
pub fn decode(encoded: &[u8]) -> Result<impl Iterator<Item = Result<State<'_>, ReadError>>, ReadError> {
    let mut reader = Reader::new(encoded);
    let mut left = reader.var_uint()?;
    Ok(std::iter::from_fn(move || {
        left = left.checked_sub(1)?;
        let state = State::read(&mut reader);
        if state.is_err() {
            left = 0;
        }
        Some(state)
    }))
}

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
        let mut awareness = Self::unseen(client);
        awareness.set_own(Some("{}".to_owned()), now);
        awareness
    }

    /// A client without a state of its own: the others do not see it.
    pub fn unseen(client: ClientId) -> Self {
        Self { client, states: BTreeMap::new(), meta: BTreeMap::new() }
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
        let mut changed = Vec::new();
        for state in decode(encoded)? {
            let State { client, clock, json } = state?;
            let state = String::from_utf8_lossy(json).into_owned();
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
            && old(&self.meta[&self.client], AWARENESS_EXPIRY / 2)
        {
            self.set_own(Some(own), now);
            changed.push(self.client);
        }
        let outdated: Vec<_> = self
            .states
            .keys()
            .filter(|&client| *client != self.client && old(&self.meta[client], AWARENESS_EXPIRY))
            .copied()
            .collect();
        for client in outdated {
            self.states.remove(&client);
            changed.push(client);
        }
        (!changed.is_empty()).then(|| self.encode(changed))
    }

    /// When [`Self::tick`] has something to do. O(states).
    pub fn next_tick(&self) -> Option<Duration> {
        let due = |client: &ClientId| {
            let lasts = if *client == self.client { AWARENESS_EXPIRY / 2 } else { AWARENESS_EXPIRY };
            self.meta[client].updated + lasts
        };
        self.states.keys().map(due).min()
    }

    fn encode(&self, clients: impl IntoIterator<Item = ClientId>) -> Bytes {
        let states: Vec<_> = clients
            .into_iter()
            .map(|client| State {
                client,
                clock: self.meta[&client].clock,
                json: self.states.get(&client).map_or(NULL, String::as_str).as_bytes(),
            })
            .collect();
        encode(states.into_iter()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_read_as_they_were_written() {
        let states = [
            State { client: 300, clock: 7, json: b"{\"x\":1}" },
            State { client: 5, clock: 0, json: NULL.as_bytes() },
        ];
        let encoded = encode(states.into_iter());
        assert_eq!(encoded[..4], [2, 0xac, 2, 7]);
        assert_eq!(decode(&encoded).unwrap().collect::<Result<Vec<_>, _>>().unwrap(), states);
        let cut: Vec<_> = decode(&encoded[..encoded.len() - 1]).unwrap().collect();
        assert_eq!(cut, [Ok(states[0]), Err(ReadError::UnexpectedEnd)]);
    }

    #[test]
    fn a_client_that_is_said_to_be_gone_says_that_it_is_still_there() {
        let mut awareness = ClientAwareness::new(7, Duration::ZERO);
        let gone = encode([State { client: 7, clock: 0, json: NULL.as_bytes() }].into_iter());
        let told = awareness.receive(&gone, Duration::ZERO).unwrap().unwrap();
        assert_eq!(told[..], [1, 7, 1, 2, b'{', b'}']);
        assert_eq!(awareness.own(), Some("{}"));
    }

    #[test]
    fn a_client_that_was_seen_is_not_seen_again_at_the_same_clock() {
        let mut awareness = ClientAwareness::unseen(7);
        let other = encode([State { client: 9, clock: 1, json: b"{}" }].into_iter());
        assert!(awareness.receive(&other, Duration::ZERO).unwrap().is_some());
        awareness.forget_others();
        assert_eq!(awareness.receive(&other, Duration::ZERO), Ok(None));
        assert!(awareness.states().is_empty());
    }
}
