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
mod process;
mod raw;
mod readiness;
mod rooms;
mod shutdown;
mod slow_link;
mod slow_peer;
mod space;
mod tls;
mod tunnel;
mod waiting;
