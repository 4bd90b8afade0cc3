//! How dialects frame messages, both ways: pure functions of bytes.

pub mod sync;
pub mod y_websocket;

use crate::lib0::ReadError;

/// Why bytes are not a message.
#[derive(Debug, Copy, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// A primitive could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The frame has no message in it.
    #[error("empty frame")]
    Empty,
    /// The dialect has no such message, or the server does not take it.
    #[error("unknown message type {0}")]
    UnknownType(u64),
    /// There is no such sync message.
    #[error("unknown sync message type {0}")]
    UnknownSyncType(u64),
}
