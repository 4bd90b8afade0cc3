//! A replica's place in a run: its document, its editor, its connection, and what is wrong with that.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use coscribe_provider::awareness::ClientAwareness;

use super::gaps::Gate;
use super::line::Line;
use crate::editor::Editor;
use crate::replica::{Replica, ReplicaError};

/// How many of its former states a replica can be replaced by.
const HISTORY: usize = 8;

/// Somebody who takes part.
pub(super) struct Seat<'a> {
    pub(super) replica: Box<dyn Replica + 'a>,
    pub(super) editor: Editor,
    pub(super) line: Option<Line>,
    /// What it has been sent too early.
    pub(super) gate: Gate,
    /// How long frames are held back, each way.
    pub(super) delay: Duration,
    /// Its next update will not reach the server.
    pub(super) loses_next: bool,
    /// Something that it has not sent, or that did not arrive, is missing at the server, and nobody knows.
    pub(super) has_lost: bool,
    /// States before its last edits, the oldest first; kept only if the scenario asks for them.
    history: Option<VecDeque<Bytes>>,
}

impl<'a> Seat<'a> {
    /// Asks for receipts if the server `acknowledges` what it has stored.
    pub(super) fn new(
        replica: Box<dyn Replica + 'a>,
        acknowledges: bool,
        history: bool,
        now: Duration,
    ) -> Self {
        let editor = Editor::new(ClientAwareness::new(replica.client(), now));
        Self {
            editor: editor.with_receipts(acknowledges),
            replica,
            line: None,
            gate: Gate::default(),
            delay: Duration::ZERO,
            loses_next: false,
            has_lost: false,
            history: history.then(VecDeque::new),
        }
    }

    /// Puts frames on their way.
    pub(super) fn send(&mut self, frames: Vec<Bytes>) {
        if let Some(line) = &mut self.line {
            frames.into_iter().for_each(|frame| line.send(frame));
        }
    }

    /// The connection is over; gives what is left of it.
    pub(super) fn leave(&mut self) -> Option<Line> {
        self.has_lost = false;
        self.gate.clear();
        self.editor.close();
        self.line.take()
    }

    /// Whether it has the server's state, and all that it has sent is acknowledged, if the server does that.
    /// Something may wait for ever for what was lost with a replica that is no more.
    pub(super) fn is_settled(&self) -> bool {
        self.editor.provider().is_synced()
            && self.editor.provider().is_confirmed()
            && self.line.as_ref().is_some_and(Line::is_idle)
    }

    /// Remembers the state before an edit, if the scenario asks for it.
    pub(super) fn remember(&mut self) -> Result<(), ReplicaError> {
        if let Some(history) = &mut self.history {
            history.push_back(self.replica.diff(&[0])?);
            if history.len() > HISTORY {
                history.pop_front();
            }
        }
        Ok(())
    }

    /// The state before so many edits, or the oldest that is known.
    pub(super) fn former(&self, edits: usize) -> Option<Bytes> {
        let history = self.history.as_ref()?;
        history.get(history.len().saturating_sub(edits)).cloned()
    }

    /// Another replica takes the place.
    pub(super) fn replace(&mut self, replica: Box<dyn Replica + 'a>, acknowledges: bool, now: Duration) {
        let history = self.history.is_some();
        let (delay, gate) = (self.delay, std::mem::take(&mut self.gate));
        *self = Self { delay, gate, ..Self::new(replica, acknowledges, history, now) };
    }
}
