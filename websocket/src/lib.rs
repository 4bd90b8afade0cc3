//! The server's side of WebSocket (RFC 6455) with permessage-deflate (RFC 7692), for messages of any kind.
//!
//! | Module | A connection's way |
//! |---|---|
//! | `stream` | TCP as it is, or TLS over it, on which the handshake is over |
//! | `answering` | the same while it speaks HTTP: a client has to take its answers |
//! | `upgrade` | an HTTP/1.1 connection, and the stream that is left when a request was upgraded |
//! | `handshake`, `extensions` | whether a request is a sound handshake, the negotiation, the answer |
//! | `transport` | messages in and out on one task; `end`: why that is over, and the Close frame that says so |
//! | `socket`, `inflate`, `large` | the way in: bytes, signs of life, decompression, messages that take turns |
//! | `deflate`, `fragments` | the way out: compression once for all peers, frames of 8 KiB |
//! | [`awake`] | time without pauses of the process: who is waited for has all of it |
//! | [`echo`] | a server that sends every message back |
//!
//! Frames are read and written by tungstenite, which knows no extensions: compressed messages are inflated before it reads
//! them, and compressed frames are handed to it as they are.
//!
//! Memory and work are bounded for each connection by the bytes that it sends, and for the whole process by semaphores: two
//! messages above the usual size, four inflations above 64 KiB, two blocks of compression at the same time.
//!
//! This crate does not know the meaning of a message, its receivers or how fast a peer may send. It has no configuration and
//! no certificates, and it is no client.
#![forbid(unsafe_code)]

pub mod limits;

pub mod awake;

mod answering;
mod stream;
mod upgrade;

mod extensions;
mod handshake;

mod end;
mod transport;

mod inflate;
mod large;
mod permit;
mod socket;
mod yielding;

mod deflate;
mod fragments;

pub mod echo;

pub use deflate::{Form, Long, Outgoing, Payload, TAIL};
pub use end::{Close, End, INVALID_PAYLOAD, PROTOCOL_ERROR, TOO_LARGE};
pub use extensions::{Malformed, WindowBits};
pub use handshake::{Handshake, HandshakeError, is_wanted};
pub use inflate::{InflateError, Inflating};
pub use large::{MessageBytes, Right};
pub use socket::{SignsOfLife, WireBytes};
pub use stream::Stream;
pub use transport::Transport;
pub use tungstenite::{Error, Message};
pub use upgrade::{Gone, HttpTimeouts, serve_http, stream_of};
