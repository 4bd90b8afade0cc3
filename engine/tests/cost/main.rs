//! The cost of messages, counted in steps of the engine's own loops and in bytes: it is in proportion to the bytes that a peer
//! has sent and is sent, whatever is in them. Each of these was found by attacking a server.

mod answers;
mod content;
mod deletions;
mod forged;
mod meter;
mod sharing;
mod size;
mod waiting;
