//! The interface of all replicas.

use bytes::Bytes;
use coscribe_engine::update::ClientId;

use super::view::View;
use crate::edit::Edit;

/// Why a replica could not answer a request.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// It cannot read the update, or fails on it.
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

    /// Takes in an update from the server; gives the updates that the replica writes in turn (Yjs deletes formats that have
    /// become redundant).
    ///
    /// # Errors
    /// If it is refused.
    fn apply(&mut self, update: &[u8]) -> Result<Vec<Bytes>, ReplicaError>;

    /// Its encoded state vector.
    ///
    /// # Errors
    /// If the process that it runs in fails.
    fn state_vector(&mut self) -> Result<Bytes, ReplicaError>;

    /// The update that a replica with this encoded state vector lacks.
    ///
    /// # Errors
    /// If the state vector is refused.
    fn diff(&mut self, known: &[u8]) -> Result<Bytes, ReplicaError>;

    /// Its view.
    ///
    /// # Errors
    /// If the process that it runs in fails.
    fn view(&mut self) -> Result<View, ReplicaError>;

    /// Whether an update that it has received waits for missing ones.
    ///
    /// # Errors
    /// If the process that it runs in fails.
    fn is_waiting(&mut self) -> Result<bool, ReplicaError>;
}
