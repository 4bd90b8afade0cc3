//! WebSockets: the upgrade and what it negotiates, frames and their compression, what waits to be sent, and the connection
//! that ties them together.

pub(crate) mod connection;
pub(crate) mod deflate;
mod delivery;
pub(crate) mod echo;
mod extensions;
mod fragments;
mod freed;
mod inflate;
pub(crate) mod large;
pub(crate) mod outbox;
pub(crate) mod pace;
mod permit;
mod socket;
mod transport;
pub(crate) mod upgrade;
mod yielding;
