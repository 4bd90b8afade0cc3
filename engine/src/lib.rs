//! Reads, checks, stores, merges and diffs Yjs updates without running them, and runs a document room as a state
//! machine.
//!
//! Everything here is a value machine: input in, effects out. There is no I/O, no clock, no task and no lock, and
//! nothing is integrated into a document tree: [`blocks::Blocks`] keeps encoded blocks, the state vector that follows
//! from them, and the union of the delete sets. That is enough to say what of an update is new, what a peer lacks, and
//! what must wait for a gap to fill.
//!
//! What it does not do: it does not know what a document says. Whatever needs that (text, JSON) has to run updates, and
//! belongs in a process that may die: that is `coscribe-worker`.
#![forbid(unsafe_code)]

mod json;
pub mod lib0;
pub mod limits;
pub mod rope;
mod rope_reader;
pub mod work;

pub mod update;

pub mod id_set;
pub mod state_vector;

pub mod blocks;
mod changes;
mod chunk;
mod chunks;
pub mod parked;

pub mod awareness;
pub mod dialect;
pub mod message;
pub mod peer;
pub mod pieces;
mod reread;
pub mod room;
