//! A replica: one editor's document, whatever runs it.

mod node;
mod yrs;

use bytes::Bytes;
use coscribe_engine::document::id_set::IdSet;
use coscribe_engine::document::state_vector::StateVector;
use coscribe_engine::update::ClientId;
use serde::Serialize;
use serde_json::{Map, Value};

pub use self::node::{FOLDER_VARIABLE, NodeError, NodeProcess, NodeReplica};
pub use self::yrs::YrsReplica;
pub(crate) use self::yrs::value;
use crate::edit::Edit;

/// What a document shows, and what it is made of. Two replicas that have seen the same are equal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct View {
    /// The content of each root by its name. A text is its delta; a map and an array are JSON; an XML fragment is the list of
    /// its nodes. What JSON has no word for is an object with one tag: `$text` (delta), `$element` (name, attributes,
    /// children), `$xmlText` (delta), `$document` (guid), `$binary` (bytes).
    pub content: Value,
    /// The next clock of each client.
    #[serde(skip)]
    pub state_vector: StateVector,
    /// What is deleted.
    #[serde(skip)]
    pub delete_set: IdSet,
}

/// Why a replica could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// It takes the bytes for no update, or fails on it.
    #[error("an update was refused: {0}")]
    Refused(String),
    /// The process that it runs in does not answer as it should.
    #[error("the replica's process: {0}")]
    Process(String),
}

/// One editor's document.
pub trait Replica {
    /// Its client id.
    fn client(&self) -> ClientId;

    /// Carries out an edit; gives the updates that it makes, none if it changed nothing.
    ///
    /// # Errors
    /// If the process that it runs in fails.
    fn edit(&mut self, edit: &Edit) -> Result<Vec<Bytes>, ReplicaError>;

    /// Takes in an update from the server; gives the updates that this makes the replica itself write (Yjs deletes formats
    /// that have become redundant).
    ///
    /// # Errors
    /// If it is refused.
    fn apply(&mut self, update: &[u8]) -> Result<Vec<Bytes>, ReplicaError>;

    /// Its encoded state vector.
    ///
    /// # Errors
    /// If the process that it runs in fails.
    fn state_vector(&mut self) -> Result<Bytes, ReplicaError>;

    /// What somebody with this encoded state vector lacks, as an update.
    ///
    /// # Errors
    /// If the state vector is refused.
    fn diff(&mut self, known: &[u8]) -> Result<Bytes, ReplicaError>;

    /// What it shows.
    ///
    /// # Errors
    /// If the process that it runs in fails.
    fn view(&mut self) -> Result<View, ReplicaError>;

    /// Whether something that it has received waits for what is missing.
    ///
    /// # Errors
    /// If the process that it runs in fails.
    fn is_waiting(&mut self) -> Result<bool, ReplicaError>;
}

/// Appends a chunk to a delta; text joins the chunk before if that has the same formats. Where texts are cut otherwise depends
/// on which formats were once set and taken away, and implementations differ in that.
pub(crate) fn push_chunk(delta: &mut Vec<Value>, chunk: Map<String, Value>) {
    if let (Some(Value::Object(last)), Some(Value::String(text))) = (delta.last_mut(), chunk.get("insert"))
        && last.get("attributes") == chunk.get("attributes")
        && let Some(Value::String(before)) = last.get_mut("insert")
    {
        before.push_str(text);
        return;
    }
    delta.push(Value::Object(chunk));
}
