//! A load generator for servers of Yjs documents.
//!
//! One thread plays a whole crowd of editors on non-blocking sockets, so that one core loads a server on another core to its
//! limit. It writes real updates and reads every one that comes back, without integrating it: the clocks that it covers are
//! enough to know how long each delivery took, and that none was lost.
//!
//! It does not play browsers: it does not compress what it sends, doesn't integrate what it receives, and everything happens on one
//! machine.
#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod limits;

pub mod inflate;
pub mod websocket;

pub mod connection;
pub mod dialect;

pub mod crowd;

pub mod ledger;
pub mod schedule;
pub mod updates;

pub mod cores;
pub mod measure;
pub mod process;

pub mod relay;
pub mod servers;

pub mod scenarios;

pub mod figures;
pub mod outcome;

pub mod machine;
pub mod plot;
pub mod results;
pub mod suite;
pub mod timeline;
