//! What a run came to: what was wrong, what was tried, and what went where.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The result of one run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The first thing that was wrong.
    pub failure: Option<Failure>,
    /// What was tried.
    pub coverage: Coverage,
    /// What went where and when; empty unless it was asked for.
    pub timeline: Timeline,
}

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Which promise is broken.
    pub oracle: Oracle,
    /// Which step of the scenario was the last one; their number if it was what follows the last one.
    pub step: usize,
    /// Simulated milliseconds since the start.
    pub time: u64,
    /// What exactly, in words.
    pub detail: String,
}

/// A promise that is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Oracle {
    /// All replicas show the same.
    Content,
    /// All replicas have the same state vector.
    StateVector,
    /// All replicas have the same delete set.
    DeleteSet,
    /// The server's blocks make the same document, in yrs and in Yjs.
    ServerDocument,
    /// What is stored makes the same document.
    Stored,
    /// Decoding and encoding a state changes nothing.
    Reencoding,
    /// Nothing waits for a gap to fill when all is quiet.
    Waiting,
    /// What the server sends depends on nothing that the receiver does not have.
    Gap,
    /// What was acknowledged survives.
    Acknowledged,
    /// Everybody sees the awareness states of those who are here, and no others.
    Awareness,
    /// Everything comes to rest.
    Rest,
    /// No connection is closed by the server, and no replica refuses what it is sent.
    Refused,
    /// The store opens, and documents can be read.
    Store,
    /// Nothing panics.
    Panic,
}

/// Which kinds of events were tried, and under which faults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Edits that were carried out.
    pub edits: usize,
    /// Kinds of events with each kind of fault that had happened since the last heal.
    pub pairs: BTreeSet<(&'static str, &'static str)>,
}

/// What went where and when, for a drawing. Lane 0 is the server, lane `n` + 1 is replica `n`.
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
    /// When it was taken in; `None` if it was lost.
    pub arrived: Option<u64>,
    /// What it is: `SyncStep1`, `update`, …
    pub label: &'static str,
    /// Its size in bytes.
    pub bytes: usize,
}

/// Something on a lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// When, in simulated microseconds.
    pub time: u64,
    /// Where.
    pub lane: usize,
    /// What kind.
    pub kind: MarkKind,
    /// What, in words.
    pub label: String,
}

/// What kind of mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum MarkKind {
    /// Somebody edited, or moved a cursor.
    Edit,
    /// A fault.
    Fault,
    /// A heal.
    Heal,
    /// The failure.
    Failure,
}

impl Coverage {
    /// Adds what another run tried.
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
            Self::Awareness => "awareness differs",
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
