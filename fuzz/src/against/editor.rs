//! An editor of a run: its replica, its provider, and its connection with the faults of that.

use std::time::Duration;

use bytes::Bytes;
use coscribe_provider::awareness::ClientAwareness;

use super::gate::Gate;
use super::line::Line;
use crate::checked_provider::{CheckedProvider, Speech};
use crate::replica::{History, Replica, ReplicaError};

/// An editor of a run.
pub(super) struct ConnectedEditor<'a> {
    pub(super) replica: Box<dyn Replica + 'a>,
    pub(super) provider: CheckedProvider,
    pub(super) line: Option<Line>,
    /// Updates that it was sent too early.
    pub(super) gate: Gate,
    /// How long frames are held back, each way.
    pub(super) delay: Duration,
    /// Its next update will not reach the server.
    pub(super) loses_next: bool,
    /// An update that it has not sent, or that did not arrive, is missing at the server, and neither side knows.
    pub(super) has_lost: bool,
    history: History,
}

impl<'a> ConnectedEditor<'a> {
    pub(super) fn new(replica: Box<dyn Replica + 'a>, speech: Speech, history: bool, now: Duration) -> Self {
        let awareness = ClientAwareness::new(replica.client(), now);
        Self {
            provider: CheckedProvider::new(awareness, speech),
            replica,
            line: None,
            gate: Gate::default(),
            delay: Duration::ZERO,
            loses_next: false,
            has_lost: false,
            history: History::new(history),
        }
    }

    /// Puts frames on their way.
    pub(super) fn send(&mut self, frames: Vec<Bytes>) {
        if let Some(line) = &mut self.line {
            frames.into_iter().for_each(|frame| line.send(frame));
        }
    }

    /// Takes the connection for ended, and gives it.
    pub(super) fn leave(&mut self) -> Option<Line> {
        self.has_lost = false;
        self.gate.clear();
        self.provider.close();
        self.line.take()
    }

    /// Whether it has the server's state and all its updates are acknowledged, if the server acknowledges any. Updates that
    /// it holds back do not count: they may wait for ever for others that were lost with a former replica.
    pub(super) fn is_settled(&self) -> bool {
        self.provider.is_synced()
            && self.provider.is_confirmed()
            && self.line.as_ref().is_some_and(Line::is_idle)
    }

    /// Remembers the state before an edit, if the scenario asks for it.
    pub(super) fn remember(&mut self) -> Result<(), ReplicaError> {
        self.history.remember(self.replica.as_mut())
    }

    /// The state before so many edits, or the oldest that is remembered.
    pub(super) fn former(&self, edits: usize) -> Option<Bytes> {
        self.history.before(edits)
    }

    /// The editor goes on with another replica.
    pub(super) fn replace(&mut self, replica: Box<dyn Replica + 'a>, speech: Speech, now: Duration) {
        let history = self.history.is_wanted();
        let (delay, gate) = (self.delay, std::mem::take(&mut self.gate));
        *self = Self { delay, gate, ..Self::new(replica, speech, history, now) };
    }
}
