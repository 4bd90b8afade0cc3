//! From the network to connections: listening, requests, handshakes, and how many connections there may be.

pub(crate) mod connections;
pub(crate) mod listener;
mod upgrade;
