//! The dialect of Hocuspocus' providers, versions 2 to 4: many documents on one socket.
//!
//! Each frame is one message: `varString address, varUint type, payload`. The address is the document's name, or
//! `name\0session` where several providers have one document open on one socket. A reply has the address as it came.
//!
//! | Type | Message | Payload |
//! |---|---|---|
//! | 0 | sync | as in [`super::sync`] |
//! | 1 | awareness | varBuf |
//! | 2 | auth | from clients `0, varString token`, and from version 4 on `varString version`; to clients `0` (the token is wanted again), `1, varString reason` (denied), `2, varString scope` (granted) |
//! | 3 | queryAwareness | |
//! | 5 | stateless | varString |
//! | 7 | close | to clients varString reason |
//! | 8 | syncStatus | to clients varInt: 1 where one more sync message with an update is saved, 0 where it was refused |
//! | 9, 10 | ping, pong | without an address |
//!
//! Clients count their messages with an update, and take themselves for synced when the count is 0: each of these gets exactly
//! one syncStatus. An answer to a SyncStep1 is in the count only where that followed a SyncStep1 of the client.
//!
//! A server reads a [`Frame`] and writes with [`encode`] and its likes; a client reads a [`Reply`] and writes with
//! [`encode_request`].

use std::str::from_utf8;

use bytes::Bytes;

use super::sync::{self, SyncMessage};
use super::{MessageError, access_of, rope_frame, scope_of};
use crate::lib0::{Reader, write_var_buf, write_var_uint};
use crate::message::{Inbound, Outbound};
use crate::peer::{Access, Confirmation, Terms};
use crate::rope::Rope;

const SYNC: u64 = 0;
const AWARENESS: u64 = 1;
const AUTH: u64 = 2;
const QUERY_AWARENESS: u64 = 3;
const STATELESS: u64 = 5;
const CLOSE: u64 = 7;
const SYNC_STATUS: u64 = 8;
const PING: u8 = 9;

const AUTH_TOKEN: u64 = 0;
const AUTH_DENIED: u64 = 1;
const AUTH_GRANTED: u64 = 2;

/// The version that clients of ours tell: that of the provider that they behave like.
const VERSION: &str = "4.8.0";

/// The answer to a ping.
pub const PONG: &[u8] = &[10];

/// What each client wants when a document is opened, without saying so: to hear who is here.
pub static GREETING: [Inbound; 1] = [Inbound::QueryAwareness];

/// A frame from a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The client wants a [`PONG`].
    Ping,
    /// The answer to a ping.
    Pong,
    /// A message for one document.
    Addressed {
        /// The document's name, or `name\0session`: UTF-8.
        address: Bytes,
        /// The message; an error where only the address can be read.
        request: Result<Request, MessageError>,
    },
}

/// A message for one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// The client says who it is, and wants the document opened.
    Auth {
        /// Whatever the application issued; empty where there is none.
        token: Bytes,
        /// Whether the client has told its version, which those before 4 don't.
        tells_version: bool,
    },
    /// It needs the document no more.
    Close,
    /// Something for the room, after another thing that it wants without saying so.
    Say(Option<Inbound>, Inbound),
}

impl Frame {
    /// Reads a frame. O(bytes of the address).
    ///
    /// # Errors
    /// If its address cannot be read.
    pub fn read(frame: &Bytes) -> Result<Self, MessageError> {
        match frame[..] {
            [] => return Err(MessageError::Empty),
            [PING] => return Ok(Self::Ping),
            [byte] if byte == PONG[0] => return Ok(Self::Pong),
            _ => {}
        }
        let mut reader = Reader::new(frame);
        let address = reader.var_buf()?;
        if from_utf8(address).is_err() {
            return Err(MessageError::Address);
        }
        let request = Request::read(&mut reader, frame);
        Ok(Self::Addressed { address: frame.slice_ref(address), request })
    }
}

impl Request {
    fn read(reader: &mut Reader<'_>, frame: &Bytes) -> Result<Self, MessageError> {
        Ok(match reader.var_uint()? {
            SYNC => match SyncMessage::read(reader)?.inbound(frame) {
                question @ Inbound::Step1(_) => Self::Say(Some(Inbound::Offer), question),
                update => Self::Say(None, update),
            },
            AWARENESS => Self::Say(None, Inbound::Awareness(frame.slice_ref(reader.var_buf()?))),
            AUTH => Self::read_auth(reader, frame)?,
            QUERY_AWARENESS => Self::Say(None, Inbound::QueryAwareness),
            STATELESS => {
                let text = reader.var_buf()?;
                from_utf8(text).map_err(|_| MessageError::Text)?;
                Self::Say(None, Inbound::Stateless(frame.slice_ref(text)))
            }
            CLOSE => Self::Close,
            unknown => return Err(MessageError::UnknownType(unknown)),
        })
    }

    fn read_auth(reader: &mut Reader<'_>, frame: &Bytes) -> Result<Self, MessageError> {
        match reader.var_uint()? {
            AUTH_TOKEN => {
                let token = frame.slice_ref(reader.var_buf()?);
                Ok(Self::Auth { token, tells_version: reader.position() < frame.len() })
            }
            unknown => Err(MessageError::UnknownAuthType(unknown)),
        }
    }
}

/// A frame from a server, as a client reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The server wants a [`PONG`].
    Ping,
    /// About one document.
    Addressed {
        /// The address as the client wrote it: UTF-8.
        address: Bytes,
        /// The message.
        answer: Answer,
    },
}

/// A message of a server about one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The client is to send its token once more.
    TokenWanted,
    /// The document is the client's, with this access.
    Granted(Access),
    /// The document is refused, for this reason.
    Denied(String),
    /// The server has closed the document, for this reason. The socket stays.
    Closed(String),
    /// Something of the room.
    Say(Outbound),
}

impl Reply {
    /// Reads a frame; `None` if clients don't know its type. O(bytes of the frame).
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(frame: &Bytes) -> Result<Option<Self>, MessageError> {
        match frame[..] {
            [] => return Err(MessageError::Empty),
            [PING] => return Ok(Some(Self::Ping)),
            _ => {}
        }
        let mut reader = Reader::new(frame);
        let address = reader.var_buf()?;
        if from_utf8(address).is_err() {
            return Err(MessageError::Address);
        }
        let address = frame.slice_ref(address);
        Ok(Answer::read(&mut reader, frame)?.map(|answer| Self::Addressed { address, answer }))
    }
}

impl Answer {
    fn read(reader: &mut Reader<'_>, frame: &Bytes) -> Result<Option<Self>, MessageError> {
        Ok(Some(match reader.var_uint()? {
            SYNC => Self::Say(SyncMessage::read(reader)?.outbound(frame)),
            AWARENESS => Self::Say(Outbound::Awareness(frame.slice_ref(reader.var_buf()?).into())),
            AUTH => Self::read_auth(reader)?,
            QUERY_AWARENESS => Self::Say(Outbound::QueryAwareness),
            STATELESS => Self::Say(Outbound::Stateless(frame.slice_ref(reader.var_string()?.as_bytes()))),
            CLOSE => Self::Closed(reader.var_string()?.to_owned()),
            // A varInt, of which 1 is written as 1.
            SYNC_STATUS => Self::Say(Outbound::Saved(reader.u8()? == 1)),
            _ => return Ok(None),
        }))
    }

    fn read_auth(reader: &mut Reader<'_>) -> Result<Self, MessageError> {
        Ok(match reader.var_uint()? {
            AUTH_TOKEN => Self::TokenWanted,
            AUTH_DENIED => Self::Denied(reader.var_string()?.to_owned()),
            AUTH_GRANTED => Self::Granted(access_of(reader.var_string()?)),
            unknown => return Err(MessageError::UnknownAuthType(unknown)),
        })
    }
}

/// The frame of a client's message, if the dialect has any: an offer comes with SyncStep1, and nobody asks for receipts.
pub fn encode_request(address: &[u8], request: &Request) -> Option<Bytes> {
    let message = match request {
        Request::Auth { token, tells_version } => return Some(token_frame(address, token, *tells_version)),
        Request::Close => return Some(begin(address, CLOSE).into()),
        Request::Say(_, message) => message,
    };
    let sync_frame = |message: SyncMessage<'_>| {
        let mut frame = begin(address, SYNC);
        message.write(&mut frame);
        frame.into()
    };
    Some(match message {
        Inbound::Step1(known) => sync_frame(SyncMessage::Step1(known)),
        Inbound::Step2(update) => sync_frame(SyncMessage::Step2(update)),
        Inbound::Update(update) => sync_frame(SyncMessage::Update(update)),
        Inbound::Awareness(states) => buffer_frame(begin(address, AWARENESS), states),
        Inbound::QueryAwareness => begin(address, QUERY_AWARENESS).into(),
        Inbound::Stateless(text) => buffer_frame(begin(address, STATELESS), text),
        Inbound::Offer | Inbound::Create | Inbound::Confirm(_) => return None,
    })
}

fn token_frame(address: &[u8], token: &[u8], tells_version: bool) -> Bytes {
    let mut frame = auth_head(address, AUTH_TOKEN);
    write_var_buf(&mut frame, token);
    if tells_version {
        write_var_buf(&mut frame, VERSION.as_bytes());
    }
    frame.into()
}

/// The terms on which a client with this access is a peer. Those that tell their version, from 4 on, do not answer where they
/// hear that their own client is gone.
pub fn terms(access: Access, tells_version: bool) -> Terms {
    let confirmation = Confirmation::Counted;
    Terms {
        access,
        confirmation,
        confirms_answer: false,
        renews_silently: tells_version,
        hears_stateless: true,
    }
}

/// The document that an address is of: what comes before the session.
pub fn document_of(address: &[u8]) -> &[u8] {
    address.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// The frame of a room's message to a client, if the dialect has any. It shares the memory of what is large in it.
pub fn encode(address: &[u8], message: &Outbound) -> Option<Rope> {
    Some(match message {
        Outbound::Step1(known) => {
            let mut frame = begin(address, SYNC);
            SyncMessage::Step1(known).write(&mut frame);
            frame.into()
        }
        Outbound::Step2(update) => rope_frame(sync_head(address, sync::STEP_2), update),
        Outbound::Update(update) => rope_frame(sync_head(address, sync::UPDATE), update),
        Outbound::Awareness(states) => rope_frame(begin(address, AWARENESS), states),
        Outbound::Saved(saved) => {
            let mut frame = begin(address, SYNC_STATUS);
            // As a varInt and as a varUint, both are the same byte.
            frame.push(u8::from(*saved));
            frame.into()
        }
        Outbound::Stateless(text) => buffer_frame(begin(address, STATELESS), text).into(),
        Outbound::Access(access) => granted_frame(address, *access).into(),
        Outbound::QueryAwareness => begin(address, QUERY_AWARENESS).into(),
        Outbound::Confirmed(_) | Outbound::Denied(_) => return None,
    })
}

/// A frame that says what a client may do with a document.
pub fn granted_frame(address: &[u8], access: Access) -> Bytes {
    buffer_frame(auth_head(address, AUTH_GRANTED), scope_of(access).as_bytes())
}

/// A frame that asks a client for its token once more.
pub fn token_wanted_frame(address: &[u8]) -> Bytes {
    auth_head(address, AUTH_TOKEN).into()
}

/// A frame that refuses a document to a client. It may try again on the same socket.
pub fn denied_frame(address: &[u8], reason: &str) -> Bytes {
    buffer_frame(auth_head(address, AUTH_DENIED), reason.as_bytes())
}

/// A frame that ends what a client has to do with a document. Providers before version 3 fail on it.
pub fn close_frame(address: &[u8], reason: &str) -> Bytes {
    buffer_frame(begin(address, CLOSE), reason.as_bytes())
}

/// Awareness of nobody, of about so many bytes: fires no event at a client, and keeps its watchdog quiet.
pub fn padded_keep_alive(address: &[u8], bytes: usize) -> Bytes {
    buffer_frame(begin(address, AWARENESS), &vec![0; bytes.max(1)])
}

fn begin(address: &[u8], kind: u64) -> Vec<u8> {
    let mut frame = Vec::with_capacity(address.len() + 16);
    write_var_buf(&mut frame, address);
    write_var_uint(&mut frame, kind);
    frame
}

fn sync_head(address: &[u8], kind: u64) -> Vec<u8> {
    let mut frame = begin(address, SYNC);
    write_var_uint(&mut frame, kind);
    frame
}

fn auth_head(address: &[u8], kind: u64) -> Vec<u8> {
    let mut frame = begin(address, AUTH);
    write_var_uint(&mut frame, kind);
    frame
}

fn buffer_frame(mut head: Vec<u8>, text: &[u8]) -> Bytes {
    write_var_buf(&mut head, text);
    head.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lib0::ReadError;

    fn read(frame: &'static [u8]) -> Result<Frame, MessageError> {
        Frame::read(&Bytes::from_static(frame))
    }

    /// What is said of document `d`.
    fn request(frame: &'static [u8]) -> Result<Request, MessageError> {
        match read(frame) {
            Ok(Frame::Addressed { address, request }) if address == "d" => request,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn frames_that_providers_send_are_read() {
        let tok = Bytes::from_static(b"tok");
        let auth = |tells_version| Ok(Request::Auth { token: tok.clone(), tells_version });
        assert_eq!(
            request(&[1, b'd', 2, 0, 3, b't', b'o', b'k', 5, b'4', b'.', b'8', b'.', b'0']),
            auth(true)
        );
        assert_eq!(request(&[1, b'd', 2, 0, 3, b't', b'o', b'k']), auth(false));
        let question = Inbound::Step1(Bytes::from_static(&[0]));
        assert_eq!(request(&[1, b'd', 0, 0, 1, 0]), Ok(Request::Say(Some(Inbound::Offer), question)));
        let update = Bytes::from_static(&[0, 0]);
        assert_eq!(
            request(&[1, b'd', 0, 1, 2, 0, 0]),
            Ok(Request::Say(None, Inbound::Step2(update.clone())))
        );
        assert_eq!(request(&[1, b'd', 0, 2, 2, 0, 0]), Ok(Request::Say(None, Inbound::Update(update))));
        assert_eq!(request(&[1, b'd', 3]), Ok(Request::Say(None, Inbound::QueryAwareness)));
        let text = Inbound::Stateless(Bytes::from_static(b"hi"));
        assert_eq!(request(&[1, b'd', 5, 2, b'h', b'i']), Ok(Request::Say(None, text)));
        assert_eq!(request(&[1, b'd', 7]), Ok(Request::Close));
        assert_eq!((read(&[9]), read(&[10])), (Ok(Frame::Ping), Ok(Frame::Pong)));
    }

    #[test]
    fn an_address_is_read_where_the_message_cannot_be() {
        assert_eq!(request(&[1, b'd', 4]), Err(MessageError::UnknownType(4)));
        assert_eq!(request(&[1, b'd', 6, 1, b'x']), Err(MessageError::UnknownType(6)));
        assert_eq!(request(&[1, b'd', 8, 1]), Err(MessageError::UnknownType(8)));
        assert_eq!(request(&[1, b'd', 2, 2, 0]), Err(MessageError::UnknownAuthType(2)));
        assert_eq!(request(&[1, b'd', 5, 1, 0xff]), Err(MessageError::Text));
        assert_eq!(request(&[1, b'd', 0, 1, 9]), Err(MessageError::Read(ReadError::UnexpectedEnd)));
        assert_eq!(request(&[1, b'd']), Err(MessageError::Read(ReadError::UnexpectedEnd)));
        assert_eq!(read(&[]), Err(MessageError::Empty));
        assert_eq!(read(&[1, 0xff, 3]), Err(MessageError::Address));
        assert_eq!(read(&[5, b'd', 3]), Err(MessageError::Read(ReadError::UnexpectedEnd)));
    }

    #[test]
    fn frames_are_written_as_providers_read_them() {
        let update = Rope::from(vec![0, 0]);
        for (message, body) in [
            (Outbound::Step1(Bytes::from_static(&[0])), &[0, 0, 1, 0][..]),
            (Outbound::Step2(update.clone()), &[0, 1, 2, 0, 0]),
            (Outbound::Update(update), &[0, 2, 2, 0, 0]),
            (Outbound::Awareness(vec![0].into()), &[1, 1, 0]),
            (Outbound::Saved(true), &[8, 1]),
            (Outbound::Saved(false), &[8, 0]),
            (Outbound::Stateless(Bytes::from_static(b"hi")), &[5, 2, b'h', b'i']),
            (Outbound::Access(Access::Read), b"\x02\x02\x08readonly"),
            (Outbound::Access(Access::Write), b"\x02\x02\x0aread-write"),
            (Outbound::QueryAwareness, &[3]),
        ] {
            let frame = encode(b"d", &message).expect("the dialect has it").to_bytes();
            assert_eq!(frame[..], [&[1, b'd'], body].concat()[..]);
        }
        assert_eq!(encode(b"d", &Outbound::Confirmed(Bytes::new())), None);
        assert_eq!(granted_frame(b"d", Access::Write)[..], *b"\x01d\x02\x02\x0aread-write");
        assert_eq!(granted_frame(b"d", Access::Read)[..], *b"\x01d\x02\x02\x08readonly");
        assert_eq!(token_wanted_frame(b"d")[..], *b"\x01d\x02\x00");
        assert_eq!(denied_frame(b"d", "no")[..], *b"\x01d\x02\x01\x02no");
        assert_eq!(close_frame(b"d", "bye")[..], *b"\x01d\x07\x03bye");
        assert_eq!(padded_keep_alive(b"d", 0)[..], [1, b'd', 1, 1, 0]);
    }

    #[test]
    fn frames_of_servers_are_read_as_they_were_written() {
        let update = Rope::from(vec![0, 0]);
        let read = |frame: Bytes| match Reply::read(&frame) {
            Ok(Some(Reply::Addressed { address, answer })) if address == "d" => answer,
            other => panic!("{other:?}"),
        };
        for message in [
            Outbound::Step1(Bytes::from_static(&[0])),
            Outbound::Step2(update.clone()),
            Outbound::Update(update),
            Outbound::Awareness(vec![0].into()),
            Outbound::Saved(true),
            Outbound::Saved(false),
            Outbound::Stateless(Bytes::from_static(b"hi")),
        ] {
            let frame = encode(b"d", &message).expect("the dialect has it").to_bytes();
            assert_eq!(read(frame), Answer::Say(message));
        }
        for access in [Access::Read, Access::Write] {
            assert_eq!(read(granted_frame(b"d", access)), Answer::Granted(access));
        }
        assert_eq!(read(denied_frame(b"d", "no")), Answer::Denied("no".to_owned()));
        assert_eq!(read(close_frame(b"d", "bye")), Answer::Closed("bye".to_owned()));
        assert_eq!(read(token_wanted_frame(b"d")), Answer::TokenWanted);
        assert_eq!(Reply::read(&Bytes::from_static(&[9])), Ok(Some(Reply::Ping)));
    }

    #[test]
    fn a_client_ignores_types_that_it_does_not_know() {
        let reply = |frame: &'static [u8]| Reply::read(&Bytes::from_static(frame));
        assert_eq!(reply(&[1, b'd', 4, 0]), Ok(None));
        assert_eq!(reply(&[1, b'd', 77]), Ok(None));
        assert_eq!(reply(&[]), Err(MessageError::Empty));
        assert_eq!(reply(&[1, 0xff, 3]), Err(MessageError::Address));
        assert_eq!(reply(&[1, b'd', 2, 9]), Err(MessageError::UnknownAuthType(9)));
        assert_eq!(reply(&[1, b'd', 8]), Err(MessageError::Read(ReadError::UnexpectedEnd)));
        assert_eq!(reply(&[1, b'd', 7, 4, b'x']), Err(MessageError::Read(ReadError::UnexpectedEnd)));
    }

    #[test]
    fn frames_of_clients_are_written_as_servers_read_them() {
        let tok = Bytes::from_static(b"tok");
        let update = Bytes::from_static(&[0, 0]);
        let (begin, say) = (Some(Inbound::Offer), Request::Say);
        for (request, body) in [
            (
                Request::Auth { token: tok.clone(), tells_version: true },
                &[2, 0, 3, b't', b'o', b'k', 5, b'4', b'.', b'8', b'.', b'0'][..],
            ),
            (Request::Auth { token: tok, tells_version: false }, &[2, 0, 3, b't', b'o', b'k']),
            (say(begin, Inbound::Step1(Bytes::from_static(&[0]))), &[0, 0, 1, 0]),
            (say(None, Inbound::Step2(update.clone())), &[0, 1, 2, 0, 0]),
            (say(None, Inbound::Update(update)), &[0, 2, 2, 0, 0]),
            (say(None, Inbound::Awareness(Bytes::from_static(&[0]))), &[1, 1, 0]),
            (say(None, Inbound::QueryAwareness), &[3]),
            (say(None, Inbound::Stateless(Bytes::from_static(b"hi"))), &[5, 2, b'h', b'i']),
            (Request::Close, &[7]),
        ] {
            let frame = encode_request(b"d", &request).expect("the dialect has it");
            assert_eq!(frame[..], [&[1, b'd'], body].concat()[..]);
            let address = Bytes::from_static(b"d");
            assert_eq!(Frame::read(&frame), Ok(Frame::Addressed { address, request: Ok(request) }));
        }
        assert_eq!(encode_request(b"d", &say(None, Inbound::Offer)), None);
        assert_eq!(encode_request(b"d", &say(None, Inbound::Confirm(Bytes::new()))), None);
    }

    #[test]
    fn what_comes_before_the_session_is_the_document() {
        assert_eq!(document_of(b"a/b"), b"a/b");
        assert_eq!(document_of(b"a\0xyz\0"), b"a");
        assert_eq!(document_of(b""), b"");
    }
}
