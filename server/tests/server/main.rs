//! The server from outside: the real binary, real sockets, real files.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in what its functions share")]

mod access;
mod admin;
mod bad_input;
mod certificates;
mod client;
mod compression;
mod configuration;
mod damage;
mod descriptors;
mod durability;
mod handshakes;
mod hostile;
mod limits;
mod memory;
mod metrics;
mod observe;
mod packaging;
mod pauses;
mod process;
mod raw;
mod readiness;
mod requests;
mod rooms;
mod same_client;
mod shutdown;
mod slow_link;
mod slow_peer;
mod space;
mod stalled_log;
mod tls;
mod tunnel;
mod waiting;
