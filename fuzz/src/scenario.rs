//! A run as data: its replicas, and the events that happen to them, with their times. The same scenario always gives the same
//! run, to the byte; only yrs may undo several edits in another order.

use std::fmt;

use coscribe_terminal::counted;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::edit::Edit;

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scenario {
    /// Decides everything that the steps leave open: client ids, delays, which unsynced bytes a crash leaves.
    pub seed: u64,
    /// The kind of each replica; steps name replicas by their index here.
    pub replicas: Vec<Kind>,
    /// The dialect of each replica's provider; y-websocket for those beyond the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dialects: Vec<Dialect>,
    /// What each replica may do at first; those beyond the end may write.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub access: Vec<Access>,
    /// The events, in their order. After the last one everything is healed and compared once more.
    pub steps: Vec<Step>,
}

/// The library that a replica runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// A document of yrs.
    Yrs,
    /// A document of real Yjs, in Node.
    Yjs,
}

/// The dialect that a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Dialect {
    /// That of y-websocket.
    #[default]
    YWebsocket,
    /// That of Hocuspocus.
    Hocuspocus,
}

/// What a replica may do with the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Access {
    /// It is a reader. It edits all the same, and the server is to refuse that.
    Read,
    /// It may write.
    #[default]
    Write,
}

impl From<Access> for coscribe_engine::peer::Access {
    fn from(access: Access) -> Self {
        match access {
            Access::Read => Self::Read,
            Access::Write => Self::Write,
        }
    }
}

/// One event, and the pause before it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Milliseconds after the step before it.
    #[serde(skip_serializing_if = "is_zero")]
    pub after: u32,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}

/// As serde would do it, but a misspelt field is an error: serde cannot do that with flattened fields.
impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Map::deserialize(deserializer)?;
        let after = fields.remove("after").map_or(Ok(0), u32::deserialize).map_err(D::Error::custom)?;
        let event = Event::deserialize(Value::Object(fields)).map_err(D::Error::custom)?;
        Ok(Self { after, event })
    }
}

/// An event. Indices of replicas are taken modulo their number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Event {
    /// A replica edits.
    Edit {
        /// The replica.
        replica: usize,
        /// The edit.
        edit: Edit,
    },
    /// A replica moves its cursor: its awareness state is this number; `None` removes the state.
    Cursor {
        /// The replica.
        replica: usize,
        /// The number.
        state: Option<u32>,
    },
    /// The next messages of a replica leave in one frame.
    Gather {
        /// The replica.
        replica: usize,
        /// How many.
        messages: usize,
    },
    /// A replica repeats all its questions in one frame: for missing updates, for awareness, and for the SyncStatus.
    Ask {
        /// The replica.
        replica: usize,
        /// How often.
        times: usize,
    },
    /// A replica may do something else with the document from now on: on its connection, and on those that follow.
    Access {
        /// The replica.
        replica: usize,
        /// What it may do.
        access: Access,
    },
    /// All replicas connect and read until nothing is on its way. Then all may write, and when that has come to
    /// rest too, everything is compared.
    Heal,
    /// A fault.
    Fault(Fault),
}

/// A fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fault {
    /// A connection ends, and both ends know. The replica goes on offline.
    Disconnect(usize),
    /// A replica connects again, if it is not connected.
    Connect(usize),
    /// Nothing passes any more between these replicas and the server, and neither side knows: messages are lost.
    Partition(Vec<usize>),
    /// The replicas behind a partition notice it, and connect again.
    Rejoin,
    /// From now on a replica's messages take this many milliseconds, each way.
    Delay(usize, u32),
    /// A replica stops reading.
    Stall(usize),
    /// It reads again.
    Resume(usize),
    /// A replica sends its last updates again, the newest first: as many as this.
    Duplicate(usize, usize),
    /// The second replica gets the first one's updates past the server, as tabs of one browser do. Its next updates may reach
    /// the server before those that they build on.
    Overtake(usize, usize),
    /// The next update of a replica never reaches the server: there is a gap before later ones.
    Lose(usize),
    /// The server stops without warning, and starts again.
    Crash(Crash),
    /// The document is checkpointed: a snapshot takes the place of its log.
    Checkpoint,
    /// All connections end, and the document is closed and opened again.
    Evict,
    /// For so many milliseconds the disk is full, and nothing is stored.
    Full(u32),
    /// A replica falls back to its state of so many edits ago, as a new client: a browser profile from a backup.
    Restore(usize, usize),
}

/// How the server stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Crash {
    /// Whether the machine loses power: any unsynced bytes may be lost. Otherwise only the process is killed, and all written
    /// bytes are there.
    pub power: bool,
    /// The work that it interrupts.
    pub during: During,
}

/// The work of the server when it stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum During {
    /// Nothing: updates wait to be written.
    Nothing,
    /// Updates are written to the log and not yet synced.
    Append,
    /// A checkpoint, before this step of it (modulo their number).
    Checkpoint(u8),
}

impl Event {
    /// The kind of the event, for the coverage.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Edit { edit, .. } => edit.kind(),
            Self::Cursor { state: Some(_), .. } => "cursor",
            Self::Cursor { state: None, .. } => "cursor taken away",
            Self::Gather { .. } => "gather",
            Self::Ask { .. } => "ask",
            Self::Access { access: Access::Read, .. } => "read only",
            Self::Access { access: Access::Write, .. } => "may write",
            Self::Heal => "heal",
            Self::Fault(fault) => fault.kind(),
        }
    }
}

impl Fault {
    /// The kind of the fault, for the coverage.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Disconnect(_) => "disconnect",
            Self::Connect(_) => "connect",
            Self::Partition(_) => "partition",
            Self::Rejoin => "rejoin",
            Self::Delay(..) => "delay",
            Self::Stall(_) => "stall",
            Self::Resume(_) => "resume",
            Self::Duplicate(..) => "duplicate",
            Self::Overtake(..) => "overtake",
            Self::Lose(_) => "lose",
            Self::Crash(crash) => crash.kind(),
            Self::Checkpoint => "checkpoint",
            Self::Evict => "evict",
            Self::Full(_) => "full disk",
            Self::Restore(..) => "restore",
        }
    }
}

impl Crash {
    fn kind(self) -> &'static str {
        match (self.power, self.during) {
            (true, During::Nothing) => "power loss",
            (true, During::Append) => "power loss during append",
            (true, During::Checkpoint(_)) => "power loss during checkpoint",
            (false, During::Nothing) => "kill",
            (false, During::Append) => "kill during append",
            (false, During::Checkpoint(_)) => "kill during checkpoint",
        }
    }
}

impl Scenario {
    /// The dialect of a replica's provider.
    pub fn dialect(&self, replica: usize) -> Dialect {
        self.dialects.get(replica).copied().unwrap_or_default()
    }

    /// What a replica may do at first.
    pub fn access(&self, replica: usize) -> Access {
        self.access.get(replica).copied().unwrap_or_default()
    }

    /// How many edits it has.
    pub fn edits(&self) -> usize {
        self.steps.iter().filter(|step| matches!(step.event, Event::Edit { .. })).count()
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (replicas, steps) = (counted(self.replicas.len(), "replica"), counted(self.steps.len(), "step"));
        write!(f, "seed {}: {replicas}, {steps}, {} of them edits", self.seed, self.edits())
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}
