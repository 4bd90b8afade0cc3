//! What is known to be stored: the server has given a receipt for it.

use bytes::Bytes;
use coscribe_engine::document::id_set::IdSet;
use coscribe_engine::document::state_vector::StateVector;
use coscribe_engine::update::Update;

/// What a server must not lose.
#[derive(Debug, Clone, Default)]
pub struct Acknowledged {
    /// Elements up to these clocks.
    pub state_vector: StateVector,
    /// Deletions.
    pub delete_set: IdSet,
}

impl Acknowledged {
    /// Adds what is in an update.
    pub fn add(&mut self, update: Bytes) {
        let Ok(update) = Update::scan(update) else { return };
        for run in update.runs() {
            for block in run.blocks() {
                self.state_vector.set(run.client(), block.end().max(self.state_vector.get(run.client())));
            }
        }
        for (client, range) in update.deletions() {
            self.delete_set.insert(client, range, |_| {});
        }
    }

    /// Adds what was acknowledged to somebody else.
    pub fn extend(&mut self, other: &Self) {
        for (client, clock) in other.state_vector.iter() {
            self.state_vector.set(client, clock.max(self.state_vector.get(client)));
        }
        self.delete_set.extend(&other.delete_set);
    }

    /// The first thing that a document with this state vector and delete set lacks, in words.
    pub fn missing_in(&self, state_vector: &StateVector, delete_set: &IdSet) -> Option<String> {
        for (client, clock) in self.state_vector.iter() {
            let there = state_vector.get(client);
            if there < clock {
                return Some(format!("client {client} up to clock {clock}; up to {there} is there"));
            }
        }
        let mut all = delete_set.clone();
        for (client, range) in self.delete_set.iter() {
            let mut lost = None;
            all.insert(client, range, |part| lost = Some(part));
            if let Some(lost) = lost {
                return Some(format!("the deletion of {lost:?} of client {client}"));
            }
        }
        None
    }
}
