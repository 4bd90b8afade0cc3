//! From the network to connections: listening, requests and handshakes.

pub(crate) mod listener;
pub(crate) mod server;
pub(crate) mod upgrade;
