//! From the network to connections: listening, TLS, requests and handshakes.

mod callers;
pub(crate) mod descriptors;
pub(crate) mod listener;
pub(crate) mod server;
pub(crate) mod tls;
pub(crate) mod upgrade;
