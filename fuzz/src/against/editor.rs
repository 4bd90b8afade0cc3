//! A replica's place in a run: its document, its provider, its connection, and what is wrong with that.

use std::time::Duration;

use bytes::Bytes;

use super::gate::Gate;
use super::line::Line;
use crate::awareness::ClientAwareness;
use crate::provider::Provider;
use crate::replica::{History, Replica, ReplicaError};

/// The first byte of a SyncStatus.
const SYNC_STATUS: u8 = 102;

/// Somebody who takes part.
pub(super) struct ConnectedEditor<'a> {
    pub(super) replica: Box<dyn Replica + 'a>,
    pub(super) provider: Provider,
    pub(super) line: Option<Line>,
    /// What it has been sent too early.
    pub(super) gate: Gate,
    /// How long frames are held back, each way.
    pub(super) delay: Duration,
    /// Its next update will not reach the server.
    pub(super) loses_next: bool,
    /// Something that it has not sent, or that did not arrive, is missing at the server, and nobody knows.
    pub(super) has_lost: bool,
    history: History,
}

impl<'a> ConnectedEditor<'a> {
    pub(super) fn new(replica: Box<dyn Replica + 'a>, history: bool, now: Duration) -> Self {
        Self {
            provider: Provider::new(ClientAwareness::new(replica.client(), now)),
            replica,
            line: None,
            gate: Gate::default(),
            delay: Duration::ZERO,
            loses_next: false,
            has_lost: false,
            history: History::new(history),
        }
    }

    /// Puts frames on their way. A server that gives no SyncStatus back is not asked for one.
    pub(super) fn send(&mut self, frames: impl IntoIterator<Item = Bytes>, acknowledges: bool) {
        let Some(line) = &mut self.line else { return };
        for frame in frames {
            if acknowledges || frame.first() != Some(&SYNC_STATUS) {
                line.send(frame);
            }
        }
    }

    /// The connection is over; gives what is left of it.
    pub(super) fn leave(&mut self) -> Option<Line> {
        self.has_lost = false;
        self.gate.clear();
        self.provider.close();
        self.line.take()
    }

    /// Whether it has the server's state, and all that it has sent is acknowledged, if the server does that.
    /// Something may wait for ever for what was lost with a replica that is no more.
    pub(super) fn is_settled(&self, acknowledges: bool) -> bool {
        self.provider.is_synced()
            && (!acknowledges || self.provider.is_acknowledged())
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

    /// Another replica takes the editor.
    pub(super) fn replace(&mut self, replica: Box<dyn Replica + 'a>, now: Duration) {
        let history = self.history.is_wanted();
        let (delay, gate) = (self.delay, std::mem::take(&mut self.gate));
        *self = Self { delay, gate, ..Self::new(replica, history, now) };
    }
}
