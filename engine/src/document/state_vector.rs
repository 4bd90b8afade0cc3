//! State vectors: how many elements of each client are known.
//!
//! Encoded as in Yjs: `numClients, (client, clock)*`. A state vector says nothing about deletions.

use std::collections::BTreeMap;

use crate::lib0::{ReadError, Reader, write_var_uint};
use crate::limits::{MAX_CLOCK, MAX_STATE_VECTOR_CLIENTS};
use crate::update::{ClientId, Clock, Id};
use crate::work::{Work, discard, finish};

/// For each client, the clock after the last element that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StateVector(BTreeMap<ClientId, Clock>);

impl StateVector {
    /// Reads an encoded state vector.
    ///
    /// # Errors
    /// If it is cut short, claims more entries than it has, or has more than [`MAX_STATE_VECTOR_CLIENTS`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ReadError> {
        let mut reader = Reader::new(bytes);
        let clients = reader.count(2)?;
        if clients > MAX_STATE_VECTOR_CLIENTS {
            return Err(ReadError::NumberOutOfRange);
        }
        let mut state = Self::default();
        for _ in 0..clients {
            let client = reader.var_uint()?;
            // A peer that claims to know more than is possible is told nothing, as it asks.
            let clock = Clock::try_from(reader.var_uint()?).map_or(MAX_CLOCK, |clock| clock.min(MAX_CLOCK));
            state.set(client, clock);
        }
        Ok(state)
    }

    /// The encoded state vector, clients from high to low as Yjs writes them.
    pub fn encode(&self) -> Vec<u8> {
        finish(self.encode_in_slices(&mut Work::default()))
    }

    /// Reads those entries of an encoded state vector whose clients `document` has, with pauses. O(bytes · log clients).
    ///
    /// # Errors
    /// If it is cut short or claims more entries than it has.
    pub(crate) async fn decode_for(
        bytes: &[u8],
        document: &Self,
        work: &mut Work,
    ) -> Result<Self, ReadError> {
        let mut reader = Reader::new(bytes);
        let mut state = Self::default();
        for _ in 0..reader.count(2)? {
            let (client, clock) = (reader.var_uint()?, reader.var_uint()?);
            if document.0.contains_key(&client) {
                // A peer that claims to know more than is possible is told nothing, as it asks.
                let clock = Clock::try_from(clock).map_or(MAX_CLOCK, |clock| clock.min(MAX_CLOCK));
                state.set(client, clock);
            }
            work.count(4);
            work.pause().await;
        }
        Ok(state)
    }

    /// The lower of the two clocks of each client. O(clients of the smaller vector · log).
    pub(crate) async fn lower_of(self, other: Self, work: &mut Work) -> Self {
        let (smaller, larger) = if self.len() < other.len() { (self, other) } else { (other, self) };
        let mut lower = Self::default();
        for (client, clock) in smaller.iter() {
            lower.set(client, clock.min(larger.get(client)));
            work.count(4);
            work.pause().await;
        }
        smaller.discard(work).await;
        larger.discard(work).await;
        lower
    }

    /// Drops it, with pauses. O(clients).
    pub(crate) async fn discard(self, work: &mut Work) {
        discard(self.0, work).await;
    }

    /// Lowers the clock of `client` to `clock`, if it is higher.
    pub(crate) fn lower(&mut self, client: ClientId, clock: Clock) {
        if clock == 0 {
            self.0.remove(&client);
        } else if let Some(known) = self.0.get_mut(&client) {
            *known = clock.min(*known);
        }
    }

    /// The same as [`Self::encode`], with pauses. O(clients).
    pub(crate) async fn encode_in_slices(&self, work: &mut Work) -> Vec<u8> {
        let mut out = Vec::new();
        write_var_uint(&mut out, self.0.len() as u64);
        for (&client, &clock) in self.0.iter().rev() {
            write_var_uint(&mut out, client);
            write_var_uint(&mut out, clock.into());
            work.count(1);
            work.pause().await;
        }
        out
    }

    /// The clock after the last known element of `client`; 0 if none is known.
    pub fn get(&self, client: ClientId) -> Clock {
        self.0.get(&client).copied().unwrap_or(0)
    }

    /// Says that all elements of `client` before `clock` are known.
    pub fn set(&mut self, client: ClientId, clock: Clock) {
        if clock > 0 {
            self.0.insert(client, clock);
        }
    }

    /// Whether the element `id` is known.
    pub fn contains(&self, id: Id) -> bool {
        id.clock < self.get(id.client)
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many clients are known.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The first known client from this one on, and its clock. O(log clients).
    pub(crate) fn first_from(&self, client: ClientId) -> Option<(ClientId, Clock)> {
        self.0.range(client..).next().map(|(&client, &clock)| (client, clock))
    }

    /// Clients and clocks, clients from low to high.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (ClientId, Clock)> + Clone {
        self.0.iter().map(|(&client, &clock)| (client, clock))
    }
}

impl FromIterator<(ClientId, Clock)> for StateVector {
    fn from_iter<T: IntoIterator<Item = (ClientId, Clock)>>(entries: T) -> Self {
        let mut state = Self::default();
        for (client, clock) in entries {
            state.set(client, clock);
        }
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_as_it_was_written() {
        let state: StateVector = [(1, 5), (u64::from(u32::MAX), 7), (300, 128)].into_iter().collect();
        assert_eq!(StateVector::decode(&state.encode()), Ok(state));
        assert_eq!(StateVector::decode(&[0]), Ok(StateVector::default()));
    }

    #[test]
    fn cannot_claim_more_than_it_has() {
        assert_eq!(StateVector::decode(&[0xff, 0xff, 0xff, 0xff, 1]), Err(ReadError::CountExceedsInput));
        assert_eq!(StateVector::decode(&[]), Err(ReadError::UnexpectedEnd));
        assert_eq!(StateVector::decode(&[1, 5]), Err(ReadError::CountExceedsInput));
    }
}
