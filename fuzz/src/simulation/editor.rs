//! An editor of the simulation: its replica, its provider, and its connection with the faults of that.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::room::PeerId;
use coscribe_engine::update::ClientId;
use coscribe_provider::awareness::ClientAwareness;

use crate::checked_provider::{CheckedProvider, Speech};
use crate::replica::{History, Replica, ReplicaError};
use crate::scenario::{Access, Dialect};

/// An editor of a run.
pub(super) struct SimulatedEditor<'a> {
    pub(super) replica: Box<dyn Replica + 'a>,
    pub(super) provider: CheckedProvider,
    pub(super) dialect: Dialect,
    /// What it may do with the document.
    pub(super) access: Access,
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
    /// Messages that wait to leave in one frame, and how many it is to have.
    pub(super) gathered: Option<(usize, Vec<Bytes>)>,
    /// One of its updates has not reached the server, and neither side knows.
    pub(super) has_lost: bool,
    history: History,
}

/// A connection.
pub(super) struct Link {
    pub(super) peer: PeerId,
    /// Frames that wait because the replica does not read.
    pub(super) outbox: VecDeque<Bytes>,
    pub(super) outbox_bytes: usize,
    /// Whether the room knows that it does not read.
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

impl<'a> SimulatedEditor<'a> {
    pub(super) fn new(
        replica: Box<dyn Replica + 'a>,
        (dialect, access): (Dialect, Access),
        latency: Duration,
        history: bool,
    ) -> Self {
        Self {
            provider: provider(replica.client(), dialect, Duration::ZERO),
            dialect,
            access,
            replica,
            link: None,
            latency,
            stalled: false,
            cut: false,
            loses_next: false,
            gathered: None,
            has_lost: false,
            history: History::new(history),
        }
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
    pub(super) fn replace(&mut self, replica: Box<dyn Replica + 'a>, now: Duration) {
        self.provider = provider(replica.client(), self.dialect, now);
        self.replica = replica;
        (self.loses_next, self.has_lost, self.gathered) = (false, false, None);
        self.history.clear();
    }
}

fn provider(client: ClientId, dialect: Dialect, now: Duration) -> CheckedProvider {
    let speech = match dialect {
        Dialect::YWebsocket => Speech::YWebsocket { asks: true },
        Dialect::Hocuspocus => {
            let address = format!("document\0{client}").into();
            Speech::Hocuspocus { address, token: Bytes::new() }
        }
    };
    CheckedProvider::new(ClientAwareness::new(client, now), speech)
}
