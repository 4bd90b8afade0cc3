//! A document: its blocks, its state vector, its deletions, and the updates that wait for a gap to fill.

pub mod id_set;
pub mod state_vector;

pub(crate) mod changes;
mod chunk;
mod chunks;
pub mod parked;

pub mod blocks;
pub(crate) mod read_back;
