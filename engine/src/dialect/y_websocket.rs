//! The dialect of y-websocket, with y-sweet's addition.
//!
//! 0 sync ([`super::sync`]) · 1 awareness (varBuf) · 2 auth · 3 queryAwareness ·
//! 102 SyncStatus (varBuf, sent back as it came: all before it is on disk).
//!
//! Auth is `0, varString reason` to clients (denied; unmodified ones print it), `1, varString token` from clients (a new token
//! for the document that is open), and `2, varString scope` to clients (`read-write` or `readonly`, from now on). Only the first
//! is y-websocket's own. A client that may not write any more hears the first, so that unmodified ones say so.
//!
//! Clients up to 3.1 read one message of each frame, so one is sent; several are accepted, as 4.0 sends them.
//!
//! A server reads [`Messages`] and writes with [`encode`]; a client reads [`Replies`] and writes with [`encode_request`].

use std::str::from_utf8;

use bytes::Bytes;

use super::sync::{self, SyncMessage};
use super::{MessageError, access_of, rope_frame, scope_of};
use crate::lib0::{Reader, write_var_buf, write_var_uint};
use crate::message::{Inbound, Outbound};
use crate::peer::Access;
use crate::rope::Rope;

/// The number of sync messages.
pub const SYNC: u64 = 0;
/// The number of awareness states.
pub const AWARENESS: u64 = 1;
/// The number of messages about access.
pub const AUTH: u64 = 2;
/// The number of what is sent back when all before it is on disk.
pub const SYNC_STATUS: u64 = 102;
const QUERY_AWARENESS: u64 = 3;

const AUTH_DENIED: u64 = 0;
const AUTH_TOKEN: u64 = 1;
const AUTH_SCOPE: u64 = 2;

/// What a client hears that may not write any more.
const READ_FROM_NOW_ON: &str = "you may only read this document from now on";

/// Awareness of nobody: fires no event at a client, and keeps its watchdog quiet, which WebSocket pings don't.
pub const KEEP_ALIVE: &[u8] = &[1, 1, 0];

/// A keep-alive of about so many bytes: what follows the number of states, 0, is not read.
pub fn padded_keep_alive(bytes: usize) -> Bytes {
    buffer_frame(AWARENESS, &vec![0; bytes.max(1)])
}

/// What each client wants when it comes, without saying so: to be asked for what the room lacks, and to hear who is here.
pub static GREETING: [Inbound; 2] = [Inbound::Offer, Inbound::QueryAwareness];

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
    /// The sender has a new token, which is UTF-8.
    Token(&'a [u8]),
}

/// A message from a client, for the room or for the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Something for the room.
    Say(Inbound),
    /// A new token of the client, which is UTF-8.
    Token(Bytes),
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
            AUTH => Self::read_auth(reader),
            QUERY_AWARENESS => Ok(Self::QueryAwareness),
            SYNC_STATUS => Ok(Self::SyncStatus(reader.var_buf()?)),
            unknown => Err(MessageError::UnknownType(unknown)),
        }
    }

    fn read_auth(reader: &mut Reader<'a>) -> Result<Self, MessageError> {
        match reader.var_uint()? {
            AUTH_TOKEN => {
                let token = reader.var_buf()?;
                from_utf8(token).map_err(|_| MessageError::Token)?;
                Ok(Self::Token(token))
            }
            unknown => Err(MessageError::UnknownAuthType(unknown)),
        }
    }

    /// The message as a part of the frame that it was read from.
    fn request(self, frame: &Bytes) -> Request {
        Request::Say(match self {
            Self::Sync(message) => message.inbound(frame),
            Self::Awareness(states) => Inbound::Awareness(frame.slice_ref(states)),
            Self::QueryAwareness => Inbound::QueryAwareness,
            Self::SyncStatus(payload) => Inbound::Confirm(frame.slice_ref(payload)),
            Self::Token(token) => return Request::Token(frame.slice_ref(token)),
        })
    }
}

/// The messages of a frame from a client, one after the other. A frame without any is an error, and after an error nothing
/// comes.
#[derive(Debug)]
pub struct Messages {
    frame: Bytes,
    at: usize,
    ended: bool,
}

impl Messages {
    /// The messages of this frame.
    pub fn of(frame: Bytes) -> Self {
        Self { frame, at: 0, ended: false }
    }

    /// How many bytes of the frame have been read.
    pub fn position(&self) -> usize {
        self.at
    }

    /// How many bytes of the frame are left.
    pub fn rest(&self) -> usize {
        self.frame.len() - self.at
    }

    /// Whether nothing comes any more.
    pub fn is_at_end(&self) -> bool {
        self.ended
    }
}

impl Iterator for Messages {
    type Item = Result<Request, MessageError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let mut reader = Reader::new(&self.frame[self.at..]);
        let message = match Message::read(&mut reader) {
            _ if self.frame.is_empty() => Err(MessageError::Empty),
            message => message,
        };
        self.at += reader.position();
        self.ended = message.is_err() || self.at == self.frame.len();
        Some(message.map(|message| message.request(&self.frame)))
    }
}

/// The messages of a frame from a server, as a client takes them: what it does not know ends the frame without an error.
/// After an error nothing comes.
#[derive(Debug)]
pub struct Replies {
    frame: Bytes,
    at: usize,
}

impl Replies {
    /// The messages of this frame.
    pub fn of(frame: Bytes) -> Self {
        Self { frame, at: 0 }
    }
}

impl Iterator for Replies {
    type Item = Result<Outbound, MessageError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut reader = Reader::new(&self.frame[self.at..]);
        if reader.is_empty() {
            return None;
        }
        let reply = read_reply(&mut reader, &self.frame).transpose();
        self.at = match reply {
            Some(Ok(_)) => self.at + reader.position(),
            _ => self.frame.len(),
        };
        reply
    }
}

/// Reads one message of a frame from a server; `None` if clients don't know its type.
fn read_reply(reader: &mut Reader<'_>, frame: &Bytes) -> Result<Option<Outbound>, MessageError> {
    let mut after_type = reader.clone();
    if after_type.var_uint()? == AUTH {
        *reader = after_type;
        return Ok(match (reader.var_uint()?, reader.var_string()?) {
            (AUTH_DENIED, reason) => Some(Outbound::Denied(reason.to_owned().into())),
            (AUTH_SCOPE, scope) => Some(Outbound::Access(access_of(scope))),
            _ => None,
        });
    }
    Ok(Some(match Message::read(reader) {
        Ok(Message::Sync(message)) => message.outbound(frame),
        Ok(Message::Awareness(states)) => Outbound::Awareness(frame.slice_ref(states).into()),
        Ok(Message::SyncStatus(token)) => Outbound::Confirmed(frame.slice_ref(token)),
        Ok(Message::QueryAwareness) => Outbound::QueryAwareness,
        // A token is for servers.
        Ok(Message::Token(_)) | Err(MessageError::UnknownType(_)) => return Ok(None),
        Err(error) => return Err(error),
    }))
}

/// The frame of a client's message, if the dialect has any.
pub fn encode_request(request: &Request) -> Option<Bytes> {
    match request {
        Request::Say(message) => encode_inbound(message),
        Request::Token(token) => Some(auth_frame(AUTH_TOKEN, token)),
    }
}

/// The frame of a message to a room, if the dialect has any: an offer is made by connecting.
pub fn encode_inbound(message: &Inbound) -> Option<Bytes> {
    Some(match message {
        Inbound::Step1(known) => sync_frame(&SyncMessage::Step1(known)),
        Inbound::Step2(update) => sync_frame(&SyncMessage::Step2(update)),
        Inbound::Update(update) => sync_frame(&SyncMessage::Update(update)),
        Inbound::Awareness(states) => awareness_frame(states),
        Inbound::QueryAwareness => query_awareness_frame(),
        Inbound::Confirm(token) => sync_status_frame(token),
        Inbound::Offer | Inbound::Create | Inbound::Stateless(_) => return None,
    })
}

/// The frame of a message to clients, if the dialect has any. It shares the memory of what is large in it.
pub fn encode(message: &Outbound) -> Option<Rope> {
    Some(match message {
        Outbound::Step1(known) => sync_frame(&SyncMessage::Step1(known)).into(),
        Outbound::Step2(update) => rope_frame(head(&[SYNC, sync::STEP_2]), update),
        Outbound::Update(update) => rope_frame(head(&[SYNC, sync::UPDATE]), update),
        Outbound::Awareness(states) => rope_frame(head(&[AWARENESS]), states),
        Outbound::Confirmed(token) => sync_status_frame(token).into(),
        Outbound::Denied(reason) => denied_frame(reason).into(),
        Outbound::Access(Access::Read) => denied_frame(READ_FROM_NOW_ON).into(),
        Outbound::Access(Access::Write) => scope_frame(Access::Write).into(),
        Outbound::QueryAwareness => head(&[QUERY_AWARENESS]).into(),
        Outbound::Saved(_) | Outbound::Stateless(_) => return None,
    })
}

fn head(numbers: &[u64]) -> Vec<u8> {
    let mut head = Vec::new();
    numbers.iter().for_each(|&number| write_var_uint(&mut head, number));
    head
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

/// A frame that asks for all awareness states.
fn query_awareness_frame() -> Bytes {
    let mut frame = Vec::with_capacity(1);
    write_var_uint(&mut frame, QUERY_AWARENESS);
    frame.into()
}

/// A frame that gives a SyncStatus back.
pub fn sync_status_frame(payload: &[u8]) -> Bytes {
    buffer_frame(SYNC_STATUS, payload)
}

fn denied_frame(reason: &str) -> Bytes {
    auth_frame(AUTH_DENIED, reason.as_bytes())
}

fn scope_frame(access: Access) -> Bytes {
    auth_frame(AUTH_SCOPE, scope_of(access).as_bytes())
}

fn auth_frame(kind: u64, text: &[u8]) -> Bytes {
    let mut frame = head(&[AUTH, kind]);
    write_var_buf(&mut frame, text);
    frame.into()
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
        assert_eq!(read(b"\x02\x01\x03tok"), Ok(Message::Token(b"tok")));
    }

    #[test]
    fn anything_else_is_refused() {
        assert_eq!(read(&[9]), Err(MessageError::UnknownType(9)));
        assert_eq!(read(&[2, 0, 0]), Err(MessageError::UnknownAuthType(0)));
        assert_eq!(read(&[2, 2, 0]), Err(MessageError::UnknownAuthType(2)));
        assert_eq!(read(&[2, 1, 1, 0xff]), Err(MessageError::Token));
        assert_eq!(read(&[0, 5, 0]), Err(MessageError::UnknownSyncType(5)));
        for cut in [&[][..], &[0], &[0, 0], &[0, 0, 5, 0], &[1, 3, 0], &[2], &[2, 1, 3, b't']] {
            assert_eq!(read(cut), Err(MessageError::Read(ReadError::UnexpectedEnd)));
        }
    }

    #[test]
    fn a_frame_may_have_many_messages() {
        let frame = Bytes::from_static(&[3, 102, 1, 7, 2, 1, 1, b't', 0, 2, 2, 0, 0, 3]);
        let messages: Vec<_> =
            Messages::of(frame.clone()).collect::<Result<_, _>>().expect("all can be read");
        let (token, update) = (Bytes::from_static(&[7]), Bytes::from_static(&[0, 0]));
        let (confirm, update) =
            (Request::Say(Inbound::Confirm(token)), Request::Say(Inbound::Update(update)));
        let (query, token) =
            (Request::Say(Inbound::QueryAwareness), Request::Token(Bytes::from_static(b"t")));
        assert_eq!(messages, [query.clone(), confirm, token, update, query]);
        let mut some = Messages::of(frame);
        assert_eq!(some.by_ref().take(2).count(), 2);
        assert!(some.position() == 4 && !some.is_at_end());
        assert_eq!(some.by_ref().count(), 3);
        assert!(some.position() == 14 && some.is_at_end());
    }

    #[test]
    fn nothing_is_read_after_what_cannot_be() {
        assert_eq!(Messages::of(Bytes::new()).collect::<Vec<_>>(), [Err(MessageError::Empty)]);
        let frame = Bytes::from_static(&[3, 9, 3, 3]);
        let expected = [Ok(Request::Say(Inbound::QueryAwareness)), Err(MessageError::UnknownType(9))];
        assert_eq!(Messages::of(frame).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn frames_are_written_as_clients_read_them() {
        let (token, update) = (Bytes::from_static(&[7]), Rope::from(vec![0, 0]));
        for (message, frame) in [
            (Outbound::Step1(Bytes::from_static(&[0])), &[0, 0, 1, 0][..]),
            (Outbound::Step2(update.clone()), &[0, 1, 2, 0, 0]),
            (Outbound::Update(update), &[0, 2, 2, 0, 0]),
            (Outbound::Awareness(vec![0].into()), KEEP_ALIVE),
            (Outbound::Confirmed(token), &[102, 1, 7]),
            (Outbound::Denied("no".into()), &[2, 0, 2, b'n', b'o']),
            (Outbound::Access(Access::Write), b"\x02\x02\x0aread-write"),
        ] {
            let written = encode(&message).expect("the dialect has it").to_bytes();
            assert_eq!(written[..], *frame);
            assert_eq!(Replies::of(written).collect::<Vec<_>>(), [Ok(message)]);
        }
        assert_eq!(encode(&Outbound::Saved(true)), None);
    }

    #[test]
    fn a_client_that_may_not_write_any_more_hears_it_as_unmodified_ones_print_it() {
        let frame = encode(&Outbound::Access(Access::Read)).expect("the dialect has it").to_bytes();
        assert_eq!(frame[..], *b"\x02\x00\x2byou may only read this document from now on");
        let denied = Outbound::Denied(READ_FROM_NOW_ON.into());
        assert_eq!(Replies::of(frame).collect::<Vec<_>>(), [Ok(denied)]);
        let scope = Replies::of(Bytes::from_static(b"\x02\x02\x08readonly"));
        assert_eq!(scope.collect::<Vec<_>>(), [Ok(Outbound::Access(Access::Read))]);
    }

    #[test]
    fn frames_of_clients_are_written_as_servers_read_them() {
        let (token, update) = (Bytes::from_static(&[7]), Bytes::from_static(&[0, 0]));
        for (message, frame) in [
            (Request::Say(Inbound::Step1(Bytes::from_static(&[0]))), &[0, 0, 1, 0][..]),
            (Request::Say(Inbound::Step2(update.clone())), &[0, 1, 2, 0, 0]),
            (Request::Say(Inbound::Update(update)), &[0, 2, 2, 0, 0]),
            (Request::Say(Inbound::Awareness(Bytes::from_static(&[0]))), KEEP_ALIVE),
            (Request::Say(Inbound::QueryAwareness), &[3]),
            (Request::Say(Inbound::Confirm(token)), &[102, 1, 7]),
            (Request::Token(Bytes::from_static(b"tok")), b"\x02\x01\x03tok"),
        ] {
            let written = encode_request(&message).expect("it has a frame");
            assert_eq!(written[..], *frame);
            assert_eq!(Messages::of(written).collect::<Vec<_>>(), [Ok(message)]);
        }
        assert_eq!(encode_request(&Request::Say(Inbound::Offer)), None);
    }

    #[test]
    fn a_client_ignores_the_rest_of_a_frame_behind_what_it_does_not_know() {
        let read = |frame: &'static [u8]| Replies::of(Bytes::from_static(frame)).collect::<Vec<_>>();
        let keep_alive = || Ok(Outbound::Awareness(vec![0].into()));
        assert_eq!(read(&[1, 1, 0, 1, 1, 0]), [keep_alive(), keep_alive()]);
        assert_eq!(read(&[1, 1, 0, 9, 1, 1, 0]), [keep_alive()]);
        assert_eq!(read(&[3, 1, 1, 0]), [Ok(Outbound::QueryAwareness), keep_alive()]);
        assert_eq!(read(&[2, 1, 1, b't', 1, 1, 0]), []);
        assert_eq!(read(&[]), []);
        assert_eq!(read(&[0, 5, 0, 1, 1, 0]), [Err(MessageError::UnknownSyncType(5))]);
        assert_eq!(read(&[2, 0, 9]), [Err(MessageError::Read(ReadError::UnexpectedEnd))]);
    }
}
