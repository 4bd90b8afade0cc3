//! Tests that merges converge: in a simulation of replicas, server, disk and faults, which one seed decides; against a
//! running server; and on recorded updates.
//!
//! | Module | |
//! |---|---|
//! | [`limits`] | every bound |
//! | [`scenario`], [`edit`] | a run as data |
//! | [`generate`] | a scenario from a seed |
//! | [`replica`] | an editor's document: yrs, or real Yjs in Node |
//! | [`checked_provider`], [`acknowledged`] | the browser's side of a connection, and the updates that the server must keep |
//! | [`simulation`] | carries out a scenario in simulated time, and checks it |
//! | [`outcome`] | its failure, its coverage and its timeline |
//! | [`scenario_file`], [`corpus`] | scenarios in files |
//! | [`shrink`] | cuts a failing scenario down |
//! | [`report`], [`progress`] | the files about a finding, and the progress of a search |
//! | [`difference`] | where two documents differ, in words |
//! | [`flags`], [`interrupt`] | the command line: values of flags, and Ctrl-C |
//! | [`against`] | carries out scenarios against a running server |
//! | [`trace`] | reads recorded updates in many orders |
//! | [`bytes`] | the targets of cargo-fuzz |
#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod limits;

pub mod edit;
pub mod scenario;

pub mod generate;

pub mod acknowledged;
pub mod checked_provider;
pub mod replica;

pub mod outcome;
pub mod simulation;

pub mod corpus;
pub mod scenario_file;

pub mod progress;
pub mod report;
pub mod shrink;

pub mod difference;
pub mod flags;
mod gap;
pub mod interrupt;
mod serving;

pub mod against;
pub mod trace;

pub mod bytes;
