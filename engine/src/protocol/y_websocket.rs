//! The dialect of y-websocket, with y-sweet's addition.
//!
//! 0 sync ([`super::sync`]) · 1 awareness (varBuf) · 2 auth (`0, varString reason`: denied; only from the server) ·
//! 3 queryAwareness · 102 SyncStatus (varBuf, sent back as it came: all before it is on disk).
//!
//! Clients up to 3.1 read one message of each frame, so one is sent; several are accepted, as 4.0 sends them.

use bytes::Bytes;

use super::MessageError;
use super::sync::SyncMessage;
use crate::lib0::{Reader, write_var_buf, write_var_uint};

const SYNC: u64 = 0;
const AWARENESS: u64 = 1;
const AUTH: u64 = 2;
const QUERY_AWARENESS: u64 = 3;
const SYNC_STATUS: u64 = 102;

/// Awareness of nobody: fires no event at a client, and keeps its watchdog quiet, which WebSocket pings don't.
pub const KEEP_ALIVE: &[u8] = &[1, 1, 0];

/// A message from a client, as a view of its bytes.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Message<'a> {
    /// Part of the exchange of updates.
    Sync(SyncMessage<'a>),
    /// Awareness states: see [`crate::awareness`].
    Awareness(&'a [u8]),
    /// The sender wants all awareness states.
    QueryAwareness,
    /// The sender wants this back when everything it sent before is on disk.
    SyncStatus(&'a [u8]),
}

impl<'a> Message<'a> {
    /// Reads one message of a frame.
    ///
    /// # Errors
    /// If it is cut short or of a type that clients don't send.
    pub fn read(reader: &mut Reader<'a>) -> Result<Self, MessageError> {
        match reader.var_uint()? {
            SYNC => Ok(Self::Sync(SyncMessage::read(reader)?)),
            AWARENESS => Ok(Self::Awareness(reader.var_buf()?)),
            QUERY_AWARENESS => Ok(Self::QueryAwareness),
            SYNC_STATUS => Ok(Self::SyncStatus(reader.var_buf()?)),
            unknown => Err(MessageError::UnknownType(unknown)),
        }
    }
}

/// Whether a frame's first message brings an update.
pub fn is_update(frame: &[u8]) -> bool {
    let message = Message::read(&mut Reader::new(frame));
    matches!(message, Ok(Message::Sync(SyncMessage::Step2(_) | SyncMessage::Update(_))))
}

/// A frame with one sync message.
pub fn sync_frame(message: &SyncMessage<'_>) -> Bytes {
    let mut frame = Vec::with_capacity(1 + message.encoded_len());
    write_var_uint(&mut frame, SYNC);
    message.write(&mut frame);
    frame.into()
}

/// A frame with awareness states, encoded by [`crate::awareness`].
pub fn awareness_frame(states: &[u8]) -> Bytes {
    buffer_frame(AWARENESS, states)
}

/// A frame that says why the client may not do what it wants. Clients only show it: closing is up to the sender.
pub fn denied_frame(reason: &str) -> Bytes {
    const PERMISSION_DENIED: u64 = 0;
    let mut frame = Vec::with_capacity(4 + reason.len());
    write_var_uint(&mut frame, AUTH);
    write_var_uint(&mut frame, PERMISSION_DENIED);
    write_var_buf(&mut frame, reason.as_bytes());
    frame.into()
}

/// A frame that gives a SyncStatus back.
pub fn sync_status_frame(payload: &[u8]) -> Bytes {
    buffer_frame(SYNC_STATUS, payload)
}

fn buffer_frame(kind: u64, body: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(6 + body.len());
    write_var_uint(&mut frame, kind);
    write_var_buf(&mut frame, body);
    frame.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lib0::ReadError;

    fn read(frame: &[u8]) -> Result<Message<'_>, MessageError> {
        Message::read(&mut Reader::new(frame))
    }

    #[test]
    fn frames_that_clients_send_are_read() {
        assert_eq!(read(&[0, 0, 1, 0]), Ok(Message::Sync(SyncMessage::Step1(&[0]))));
        assert_eq!(read(&[0, 1, 2, 0, 0]), Ok(Message::Sync(SyncMessage::Step2(&[0, 0]))));
        assert_eq!(read(&[0, 2, 2, 0, 0]), Ok(Message::Sync(SyncMessage::Update(&[0, 0]))));
        assert_eq!(read(KEEP_ALIVE), Ok(Message::Awareness(&[0])));
        assert_eq!(read(&[3]), Ok(Message::QueryAwareness));
        assert_eq!(read(&[102, 1, 7]), Ok(Message::SyncStatus(&[7])));
    }

    #[test]
    fn anything_else_is_refused() {
        assert_eq!(read(&[9]), Err(MessageError::UnknownType(9)));
        assert_eq!(read(&[2, 0, 0]), Err(MessageError::UnknownType(2)));
        assert_eq!(read(&[0, 5, 0]), Err(MessageError::UnknownSyncType(5)));
        for cut in [&[][..], &[0], &[0, 0], &[0, 0, 5, 0], &[1, 3, 0]] {
            assert_eq!(read(cut), Err(MessageError::Read(ReadError::UnexpectedEnd)));
        }
    }

    #[test]
    fn frames_are_written_as_clients_read_them() {
        assert_eq!(sync_frame(&SyncMessage::Step1(&[0]))[..], [0, 0, 1, 0]);
        assert_eq!(sync_frame(&SyncMessage::Step2(&[0, 0]))[..], [0, 1, 2, 0, 0]);
        assert_eq!(awareness_frame(&[0])[..], *KEEP_ALIVE);
        assert_eq!(denied_frame("no")[..], [2, 0, 2, b'n', b'o']);
        assert_eq!(sync_status_frame(&[7])[..], [102, 1, 7]);
    }
}
