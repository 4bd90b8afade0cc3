//! WebSockets: the upgrade, the socket's signs of life, what waits to be sent, and the connection that ties them together.

pub(crate) mod connection;
pub(crate) mod outbox;
mod socket;
pub(crate) mod upgrade;
