//! Reads, checks, stores, merges and diffs Yjs updates without running them, and runs a document room as a state
//! machine.
//!
//! Everything here is a value machine: input in, effects out. There is no I/O, no clock, no task and no lock, and
//! nothing is integrated into a document tree. [`document::blocks::Blocks`] keeps encoded blocks, their state vector, and the
//! union of the delete sets. That is enough to say which part of an update is new, what a peer lacks, and which blocks must
//! wait for a gap to fill.
//!
//! What it does not do: it does not know what a document says. Text and JSON need updates to be run, and that belongs in a
//! process that may die: `coscribe-worker`.
#![forbid(unsafe_code)]

pub mod lib0;
pub mod limits;
pub mod rope;
mod seldom;
pub mod work;

pub mod update;

pub mod document;

pub mod awareness;
pub mod dialect;
pub mod message;
pub mod peer;
pub mod room;
