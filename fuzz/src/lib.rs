//! Tests that merges converge: in a simulation of replicas, server, disk and faults, which one seed decides; against a
//! running server; and on recorded updates.
//!
//! | Module | |
//! |---|---|
//! | [`scenario`], [`edit`] | a run as data |
//! | [`generate`] | a scenario from a seed |
//! | [`replica`] | an editor's document: yrs, or real Yjs in Node |
//! | [`editor`], [`acknowledged`] | the browser's side of a connection, and what the server must keep |
//! | [`simulation`] | carries out a scenario in simulated time, and checks it |
//! | [`outcome`] | what it came to |
//! | [`case`], [`corpus`] | scenarios in files |
//! | [`shrink`] | cuts a failing scenario down |
//! | [`report`], [`progress`] | what is told of runs |
//! | [`difference`] | where two documents differ, in words |
//! | [`flags`], [`interrupt`] | the command line: values of flags, and Ctrl-C |
//! | [`against`] | carries out scenarios against a running server |
//! | [`trace`] | reads recorded updates in many orders |
//! | [`bytes`] | what cargo-fuzz feeds with arbitrary bytes |
#![forbid(unsafe_code)]

pub mod edit;
pub mod scenario;

pub mod generate;

pub mod acknowledged;
pub mod editor;
pub mod replica;

pub mod outcome;
pub mod simulation;

pub mod case;
pub mod corpus;
pub mod progress;
pub mod report;
pub mod shrink;

pub mod difference;
pub mod flags;
mod frame;
mod gap;
pub mod interrupt;

pub mod against;
pub mod trace;

pub mod bytes;
