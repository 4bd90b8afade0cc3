//! The states of a replica before its last edits: a replica can fall back to one of them.

use std::collections::VecDeque;

use bytes::Bytes;

use super::interface::{Replica, ReplicaError};
use crate::limits;

/// States before the last edits, the oldest first; none unless the scenario asks for them, since each costs time.
#[derive(Debug)]
pub(crate) struct History {
    states: Option<VecDeque<Bytes>>,
}

impl History {
    /// A history without states, which remembers them if `wanted`.
    pub(crate) fn new(wanted: bool) -> Self {
        Self { states: wanted.then(VecDeque::new) }
    }

    /// Whether states are remembered.
    pub(crate) fn is_wanted(&self) -> bool {
        self.states.is_some()
    }

    /// Remembers the state of a replica before an edit.
    ///
    /// # Errors
    /// If the process that the replica runs in fails.
    pub(crate) fn remember(&mut self, replica: &mut dyn Replica) -> Result<(), ReplicaError> {
        if let Some(states) = &mut self.states {
            states.push_back(replica.diff(&[0])?);
            if states.len() > limits::HISTORY_STATES {
                states.pop_front();
            }
        }
        Ok(())
    }

    /// The state before so many edits, or the oldest that is remembered.
    pub(crate) fn before(&self, edits: usize) -> Option<Bytes> {
        let states = self.states.as_ref()?;
        states.get(states.len().saturating_sub(edits)).cloned()
    }

    /// Forgets all states.
    pub(crate) fn clear(&mut self) {
        if let Some(states) = &mut self.states {
            states.clear();
        }
    }
}
