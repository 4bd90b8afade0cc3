//! Why a connection ends, and the close code and words for its peer.

use std::borrow::Cow;

use tungstenite::Error;
use tungstenite::error::ProtocolError;

use crate::inflate::InflateError;

// Close codes for a peer that breaks the protocol itself (RFC 6455, section 7.4.1).

/// The peer does not speak WebSocket.
pub const PROTOCOL_ERROR: u16 = 1002;
/// The content of a message is damaged.
pub const INVALID_PAYLOAD: u16 = 1007;
/// A message is larger than any may be.
pub const TOO_LARGE: u16 = 1009;

/// The content of a Close frame.
#[derive(Clone, Debug)]
pub struct Close {
    /// The code (RFC 6455, section 7.4).
    pub code: u16,
    /// The reason in words. It is cut off where it is longer than a Close frame can hold: after 123 bytes.
    pub reason: Cow<'static, str>,
}

/// How a connection ended.
#[derive(Debug)]
pub enum End {
    /// The stream is at its end or broken.
    Gone,
    /// The peer sent a Close frame.
    ByPeer,
    /// We want it to end.
    ByUs(Close),
}

impl End {
    fn by_us(code: u16, reason: &'static str) -> End {
        End::ByUs(Close { code, reason: reason.into() })
    }

    /// The end of a connection after an error while reading or writing.
    pub fn after(error: &Error) -> End {
        match error {
            Error::ConnectionClosed | Error::AlreadyClosed => End::ByPeer,
            Error::Capacity(_) => End::by_us(TOO_LARGE, "the message is too large"),
            Error::Utf8(_) => End::by_us(INVALID_PAYLOAD, "text that is not UTF-8"),
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => End::Gone,
            Error::Protocol(_) => End::by_us(PROTOCOL_ERROR, "this is not the WebSocket protocol"),
            Error::Io(error) => match error.get_ref().and_then(|error| error.downcast_ref()) {
                Some(InflateError::TooLarge) => End::by_us(TOO_LARGE, "the message is too large"),
                Some(InflateError::Damaged) => {
                    End::by_us(INVALID_PAYLOAD, "the message cannot be decompressed")
                }
                Some(InflateError::Interleaved) => {
                    End::by_us(PROTOCOL_ERROR, "this is not the WebSocket protocol")
                }
                None => End::Gone,
            },
            // Not by their Debug form: for some errors it has the message in it.
            _ => End::Gone,
        }
    }
}
