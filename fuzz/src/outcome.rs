//! The outcome of a run: its failure, its coverage, and the timeline of its messages.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The result of one run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The first promise that was broken.
    pub failure: Option<Failure>,
    /// The kinds of events and faults that were tried.
    pub coverage: Coverage,
    /// The messages and events by time; empty unless it was asked for.
    pub timeline: Timeline,
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The promise.
    pub oracle: Oracle,
    /// The step of the scenario at which it broke; the number of steps if it broke in the last heal.
    pub step: usize,
    /// Simulated milliseconds since the start.
    pub time: u64,
    /// How it is broken, in words.
    pub detail: String,
}

/// A promise that is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Oracle {
    /// All replicas show the same content.
    Content,
    /// All replicas have the same state vector.
    StateVector,
    /// All replicas have the same delete set.
    DeleteSet,
    /// The server's blocks make the same document, in yrs and in Yjs.
    ServerDocument,
    /// The stored state makes the same document.
    Stored,
    /// Decoding and encoding a state changes nothing.
    Reencoding,
    /// No update is parked when all messages have arrived.
    Waiting,
    /// The server sends no update that depends on elements which the receiver lacks.
    Gap,
    /// Acknowledged updates survive.
    Acknowledged,
    /// No provider takes itself for synced before it has the server's state, or is told of more saved changes than it has sent.
    Early,
    /// Every replica sees the awareness states of the connected ones, and no others.
    Awareness,
    /// A reader changes nothing, is told so in the words of its dialect, and sees everybody.
    Access,
    /// Messages and flushes come to an end.
    Rest,
    /// The server closes no connection, and no replica refuses a message.
    Refused,
    /// The store opens, and documents can be read.
    Store,
    /// Nothing panics.
    Panic,
}

/// The kinds of events that were tried, and the faults under which they were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Edits that were carried out.
    pub edits: usize,
    /// Kinds of events with each kind of fault, or of a change of access, that had happened since the last heal.
    pub pairs: BTreeSet<(&'static str, &'static str)>,
}

/// The messages and events of a run by time, for a drawing. Lane 0 is the server, lane `n` + 1 is replica `n`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Timeline {
    /// Messages, in the order in which they were sent.
    pub messages: Vec<Message>,
    /// Everything else, in the order of time.
    pub marks: Vec<Mark>,
}

/// A message between a replica and the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// The lane that sent it.
    pub from: usize,
    /// The lane that it is for.
    pub to: usize,
    /// When, in simulated microseconds.
    pub sent: u64,
    /// When the receiver took it in; `None` if it was lost.
    pub arrived: Option<u64>,
    /// Its kind: `SyncStep1`, `update`, …
    pub label: &'static str,
    /// Its size in bytes.
    pub bytes: usize,
}

/// An event on a lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// When, in simulated microseconds.
    pub time: u64,
    /// The lane.
    pub lane: usize,
    /// Its kind.
    pub kind: MarkKind,
    /// Its words.
    pub label: String,
}

/// The kind of a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum MarkKind {
    /// A replica edited, or moved its cursor.
    Edit,
    /// A fault, or a change of access.
    Fault,
    /// A heal.
    Heal,
    /// The failure.
    Failure,
}

impl Coverage {
    /// Adds the coverage of another run.
    pub fn extend(&mut self, other: &Self) {
        self.edits += other.edits;
        self.pairs.extend(&other.pairs);
    }
}

impl fmt::Display for Oracle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Content => "replicas show different content",
            Self::StateVector => "replicas have different state vectors",
            Self::DeleteSet => "replicas have different delete sets",
            Self::ServerDocument => "the server's document differs",
            Self::Stored => "what is stored differs",
            Self::Reencoding => "encoding again changes the document",
            Self::Waiting => "something waits for a gap to fill for ever",
            Self::Gap => "an update was sent with a gap before it",
            Self::Acknowledged => "something acknowledged was lost",
            Self::Early => "a provider is told too early that it is up to date",
            Self::Awareness => "awareness differs",
            Self::Access => "a reader is not treated as one",
            Self::Rest => "it does not come to rest",
            Self::Refused => "something was refused",
            Self::Store => "the store cannot be read",
            Self::Panic => "a panic",
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { oracle, step, time, detail } = self;
        write!(f, "{oracle}, after step {step} at {time} ms: {detail}")
    }
}
