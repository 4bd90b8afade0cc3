//! How dialects frame messages, both ways: pure functions of bytes.

pub mod hocuspocus;
pub mod sync;
pub mod y_websocket;

use crate::lib0::{ReadError, write_var_uint};
use crate::limits::ROPE_BYTES;
use crate::peer::Access;
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
    /// A token is not UTF-8.
    #[error("the token is not UTF-8")]
    Token,
    /// A text is not UTF-8.
    #[error("the text is not UTF-8")]
    Text,
}

/// The scope of a client that may only read.
const READ_ONLY: &str = "readonly";
/// The scope of a client that may write.
const READ_WRITE: &str = "read-write";

/// The word for an access.
fn scope_of(access: Access) -> &'static str {
    match access {
        Access::Read => READ_ONLY,
        Access::Write => READ_WRITE,
    }
}

/// The access that a word stands for. As clients have it, every other word means that they may write.
fn access_of(scope: &str) -> Access {
    if scope == READ_ONLY { Access::Read } else { Access::Write }
}

/// A frame of some bytes and one buffer, whose memory it shares where it is large.
fn rope_frame(head: Vec<u8>, buffer: &Rope) -> Rope {
    let mut frame = RopeWriter::new(buffer.len() > ROPE_BYTES);
    frame.tail().extend(head);
    write_var_uint(frame.tail(), buffer.len() as u64);
    frame.append(buffer);
    frame.finish()
}
