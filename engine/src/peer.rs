//! The number of a connection in its room.

/// One connection as its room sees it. Never reused while a room lives, and never 0.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u64);
