//! How dialects frame messages, both ways: pure functions of bytes.

pub mod hocuspocus;
pub mod sync;
pub mod y_websocket;

use crate::lib0::{ReadError, write_var_uint};
use crate::limits::ROPE_BYTES;
use crate::rope::{Rope, RopeWriter};

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
    /// There is no such auth message, or clients do not send it.
    #[error("unknown auth message type {0}")]
    UnknownAuthType(u64),
    /// A frame's address is not UTF-8.
    #[error("the address is not UTF-8")]
    Address,
    /// A text is not UTF-8.
    #[error("the text is not UTF-8")]
    Text,
}

/// A frame of some bytes and one buffer, whose memory it shares where it is large.
fn rope_frame(head: Vec<u8>, buffer: &Rope) -> Rope {
    let mut frame = RopeWriter::new(buffer.len() > ROPE_BYTES);
    frame.tail().extend(head);
    write_var_uint(frame.tail(), buffer.len() as u64);
    frame.append(buffer);
    frame.finish()
}
