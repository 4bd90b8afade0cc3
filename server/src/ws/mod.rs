//! WebSockets: the handshake and what it negotiates, frames and their compression, whatever is said in them.

pub(crate) mod deflate;
pub(crate) mod echo;
pub(crate) mod extensions;
mod fragments;
pub(crate) mod handshake;
mod inflate;
pub(crate) mod large;
mod permit;
mod socket;
pub(crate) mod transport;
mod yielding;
