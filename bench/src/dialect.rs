//! How editors frame their messages: the dialect of y-websocket, and Hocuspocus's, which puts the document's name
//! before each message.
//!
//! Both have the same numbers for sync messages, awareness and access, so that a dialect is a prefix and an opening.

use clap::ValueEnum;
use coscribe_engine::dialect::MessageError;
use coscribe_engine::dialect::sync::SyncMessage;
use coscribe_engine::dialect::y_websocket::{AUTH, AWARENESS, Message, SYNC, SYNC_STATUS};
use coscribe_engine::lib0::{ReadError, Reader, write_var_buf, write_var_uint};
use coscribe_provider::awareness::{State, encode};
use serde::Serialize;

/// In a message about access, from a Hocuspocus provider: a token follows.
const TOKEN: u64 = 0;
/// The version that a Hocuspocus provider names when it logs in.
const PROVIDER_VERSION: &str = "4.7.0";

/// The dialect that a server speaks.
#[derive(Debug, Copy, Clone, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// y-websocket's, which y-sweet and coscribe speak too.
    YWebsocket,
    /// Hocuspocus'.
    Hocuspocus,
    /// Frames of y-websocket, to a relay that answers nothing: no greeting.
    Relay,
}

/// A message from a server.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// The server asks for what it lacks: the state vector of what it has.
    Step1(&'a [u8]),
    /// An update with what we lacked.
    Step2(&'a [u8]),
    /// A new update.
    Update(&'a [u8]),
    /// Awareness states.
    Awareness(&'a [u8]),
    /// What came from us with [`confirm`]: everything that was sent before it is on disk. Only servers of y-websocket's dialect
    /// send it.
    Confirmed(&'a [u8]),
    /// Something that says nothing about the document.
    Other,
}

impl Dialect {
    /// What each message of a connection to this document starts with.
    pub fn prefix(self, document: &str) -> Vec<u8> {
        let mut prefix = Vec::new();
        if self == Self::Hocuspocus {
            write_var_buf(&mut prefix, document.as_bytes());
        }
        prefix
    }

    /// What a provider sends when its socket opens: its login, an empty state vector, and its awareness.
    pub fn opening(self, prefix: &[u8], client: u64) -> Vec<Vec<u8>> {
        if self == Self::Relay {
            return Vec::new();
        }
        let mut opening = Vec::from_iter(self.login(prefix, ""));
        opening.push(sync(prefix, SyncMessage::Step1(&[0])));
        opening.push(awareness(prefix, [State { client, clock: 1, json: b"{}" }].into_iter()));
        opening
    }

    /// The login with a token that a server wants before it listens to anything else, if it wants one.
    pub fn login(self, prefix: &[u8], token: &str) -> Option<Vec<u8>> {
        (self == Self::Hocuspocus).then(|| {
            let mut login = prefix.to_vec();
            write_var_uint(&mut login, AUTH);
            write_var_uint(&mut login, TOKEN);
            write_var_buf(&mut login, token.as_bytes());
            write_var_buf(&mut login, PROVIDER_VERSION.as_bytes());
            login
        })
    }

    /// Reads one message. A message of another document can only be the server's mistake.
    ///
    /// # Errors
    /// If it is cut short.
    pub fn read<'a>(self, prefix: &[u8], payload: &'a [u8]) -> Result<Incoming<'a>, ReadError> {
        let Some(message) = payload.strip_prefix(prefix) else { return Ok(Incoming::Other) };
        match Message::read(&mut Reader::new(message)) {
            Ok(Message::Sync(SyncMessage::Step1(vector))) => Ok(Incoming::Step1(vector)),
            Ok(Message::Sync(SyncMessage::Step2(update))) => Ok(Incoming::Step2(update)),
            Ok(Message::Sync(SyncMessage::Update(update))) => Ok(Incoming::Update(update)),
            Ok(Message::Awareness(states)) => Ok(Incoming::Awareness(states)),
            Ok(Message::SyncStatus(payload)) => Ok(Incoming::Confirmed(payload)),
            Err(MessageError::Read(error)) => Err(error),
            _ => Ok(Incoming::Other),
        }
    }
}

/// The answer to a SyncStep1 of a peer that lacks nothing.
pub fn nothing_lacking(prefix: &[u8]) -> Vec<u8> {
    sync(prefix, SyncMessage::Step2(&[0, 0]))
}

/// A message with an update.
pub fn update(prefix: &[u8], update: &[u8]) -> Vec<u8> {
    sync(prefix, SyncMessage::Update(update))
}

/// What the server is to send back when everything before it is on disk.
pub fn confirm(prefix: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut message = prefix.to_vec();
    write_var_uint(&mut message, SYNC_STATUS);
    write_var_buf(&mut message, payload);
    message
}

/// A message with awareness states.
pub fn awareness<'a>(prefix: &[u8], states: impl ExactSizeIterator<Item = State<'a>>) -> Vec<u8> {
    let mut message = prefix.to_vec();
    write_var_uint(&mut message, AWARENESS);
    write_var_buf(&mut message, &encode(states));
    message
}

fn sync(prefix: &[u8], body: SyncMessage<'_>) -> Vec<u8> {
    let mut message = Vec::with_capacity(prefix.len() + 1 + body.encoded_len());
    message.extend_from_slice(prefix);
    write_var_uint(&mut message, SYNC);
    body.write(&mut message);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_y_websocket_client_opens_with_its_state_vector_and_awareness() {
        let opening = Dialect::YWebsocket.opening(&[], 5);
        assert_eq!(opening, [vec![0, 0, 1, 0], vec![1, 6, 1, 5, 1, 2, b'{', b'}']]);
        assert_eq!(nothing_lacking(&[]), [0, 1, 2, 0, 0]);
        assert!(Dialect::Relay.opening(&[], 5).is_empty());
    }

    #[test]
    fn a_hocuspocus_client_logs_in_first_and_names_the_document_each_time() {
        let prefix = Dialect::Hocuspocus.prefix("d");
        let opening = Dialect::Hocuspocus.opening(&prefix, 5);
        assert_eq!(opening[0], [b"\x01d\x02\x00\x00\x05".as_slice(), b"4.7.0"].concat());
        assert_eq!(opening[1], b"\x01d\x00\x00\x01\x00");
        assert_eq!(Dialect::Hocuspocus.read(&prefix, b"\x01d\x00\x00\x01\x00"), Ok(Incoming::Step1(&[0])));
        assert_eq!(Dialect::Hocuspocus.read(&prefix, b"\x01e\x00\x00\x01\x00"), Ok(Incoming::Other));
    }

    #[test]
    fn messages_are_told_apart() {
        let read = |payload| Dialect::YWebsocket.read(&[], payload);
        assert_eq!(read(&[0, 1, 2, 8, 9]), Ok(Incoming::Step2(&[8, 9])));
        assert_eq!(read(&[0, 2, 2, 8, 9]), Ok(Incoming::Update(&[8, 9])));
        assert_eq!(read(&[1, 1, 0]), Ok(Incoming::Awareness(&[0])));
        let confirm = confirm(&[], &[3]);
        assert_eq!(read(&confirm), Ok(Incoming::Confirmed(&[3])));
        assert_eq!(read(&[77]), Ok(Incoming::Other));
        assert_eq!(read(&[0, 2, 2, 8]), Err(ReadError::UnexpectedEnd));
    }
}
