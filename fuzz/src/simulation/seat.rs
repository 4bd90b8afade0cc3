//! A replica's place in the simulation: its document, its editor, and what is wrong with its connection.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::room::PeerId;
use coscribe_engine::update::ClientId;
use coscribe_provider::awareness::ClientAwareness;

use crate::editor::Editor;
use crate::replica::Replica;

/// How many of its former states a replica can be replaced by.
const HISTORY: usize = 8;

/// Somebody who takes part.
pub(super) struct Seat<'a> {
    pub(super) replica: Box<dyn Replica + 'a>,
    pub(super) editor: Editor,
    /// The connection as the server knows it.
    pub(super) link: Option<Link>,
    /// How long a message takes, each way.
    pub(super) latency: Duration,
    /// It does not read.
    pub(super) stalled: bool,
    /// Nothing passes between it and the server.
    pub(super) cut: bool,
    /// Its next update will not reach the server.
    pub(super) loses_next: bool,
    /// Messages that are to leave in one frame, and how many they are to be.
    pub(super) gathered: Option<(usize, Vec<Bytes>)>,
    /// Something it has sent has not reached the server, and nobody knows.
    pub(super) has_lost: bool,
    /// States before its last edits, the oldest first; kept only if the scenario asks for them.
    history: Option<VecDeque<Bytes>>,
}

/// A connection.
pub(super) struct Link {
    pub(super) peer: PeerId,
    /// What waits because the replica does not read.
    pub(super) outbox: VecDeque<Bytes>,
    pub(super) outbox_bytes: usize,
    /// The room was told that it does not read.
    pub(super) lagging: bool,
    /// When the last message that is on its way arrives, to the server and to the replica: a connection keeps the order.
    pub(super) arrives: [Duration; 2],
}

impl Link {
    pub(super) fn new(peer: PeerId, now: Duration) -> Self {
        Self { peer, outbox: VecDeque::new(), outbox_bytes: 0, lagging: false, arrives: [now; 2] }
    }

    /// Queues a frame.
    pub(super) fn push(&mut self, frame: Bytes) {
        self.outbox_bytes += frame.len();
        self.outbox.push_back(frame);
    }

    /// Takes all that is queued.
    pub(super) fn take(&mut self) -> VecDeque<Bytes> {
        self.outbox_bytes = 0;
        std::mem::take(&mut self.outbox)
    }
}

impl<'a> Seat<'a> {
    pub(super) fn new(replica: Box<dyn Replica + 'a>, latency: Duration, history: bool) -> Self {
        Self {
            editor: editor(replica.client(), Duration::ZERO),
            replica,
            link: None,
            latency,
            stalled: false,
            cut: false,
            loses_next: false,
            gathered: None,
            has_lost: false,
            history: history.then(VecDeque::new),
        }
    }

    /// Remembers the state before an edit, if the scenario asks for it.
    pub(super) fn remember(&mut self) -> Result<(), crate::replica::ReplicaError> {
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
    pub(super) fn replace(&mut self, replica: Box<dyn Replica + 'a>, now: Duration) {
        self.editor = editor(replica.client(), now);
        self.replica = replica;
        (self.loses_next, self.has_lost, self.gathered) = (false, false, None);
        if let Some(history) = &mut self.history {
            history.clear();
        }
    }
}

fn editor(client: ClientId, now: Duration) -> Editor {
    Editor::new(ClientAwareness::new(client, now))
}
