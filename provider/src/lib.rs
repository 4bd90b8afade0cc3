//! The other end of a collaboration server, in Rust: the provider that a browser has between its document and the socket.
//!
//! | Module | |
//! |---|---|
//! | [`y_websocket`] | one document over its connections, as y-websocket 3.1 does it; when it connects, and when it gives a connection up |
//! | [`hocuspocus`] | the same as Hocuspocus' provider does it, with many documents on one WebSocket |
//! | [`awareness`] | awareness states as clients keep them |
//! | [`receipts`] | what is known to be durable at the server |
//! | [`effect`] | what a provider wants done |
//! | [`mod@line`] | a WebSocket to a server, with tokio (feature `line`) |
//!
//! A provider is a value machine: messages and `now` go in, [`Effect`]s come out. It takes what a room says
//! ([`Outbound`](coscribe_engine::message::Outbound)) and says what a room takes
//! ([`Inbound`](coscribe_engine::message::Inbound)). Their frames are made by the engine's `dialect`.
//!
//! What it does not do: it has no document. Updates are given in and come out as bytes, so that its document can be one of yrs,
//! of Yjs in another process, or none at all. It has no clock and no socket either, and never waits.
//!
//! ```
//! use std::time::Duration;
//!
//! use bytes::Bytes;
//! use coscribe_engine::dialect::y_websocket::{Replies, encode_request};
//! use coscribe_provider::awareness::ClientAwareness;
//! use coscribe_provider::y_websocket::Provider;
//! use coscribe_provider::Effect;
//!
//! # fn main() -> Result<(), coscribe_engine::dialect::MessageError> {
//! /// The document: here, updates in the order in which they came.
//! let mut document: Vec<Bytes> = Vec::new();
//! let mut provider = Provider::new(ClientAwareness::new(7, Duration::ZERO));
//!
//! // The socket has opened, and later a frame comes: the server's state, which has nothing in it.
//! let now = Duration::from_millis(20);
//! provider.opened(Bytes::from_static(&[0]), now);
//! for message in Replies::of(Bytes::from_static(&[0, 1, 2, 0, 0])) {
//!     provider.receive(message?, now)?;
//! }
//! // The document has changed.
//! provider.write(Bytes::from_static(&[1, 1, 7, 0, 4, 1, 1, b't', 1, b'a', 0]));
//!
//! let mut sent = Vec::new();
//! while let Some(effect) = provider.poll_effect() {
//!     match effect {
//!         Effect::Send(request) => sent.extend(encode_request(&request)),
//!         Effect::Apply(update) => document.push(update),
//!         // Somebody with this state vector lacks all that there is here, which is nothing.
//!         Effect::Answer(_) => provider.answer(Bytes::from_static(&[0, 0])),
//!         _ => {}
//!     }
//! }
//! assert_eq!(sent[0][..], [0, 0, 1, 0], "SyncStep1");
//! assert_eq!(sent[1][..], [1, 6, 1, 7, 0, 2, b'{', b'}'], "its awareness state");
//! assert_eq!(sent[2][..3], [0, 2, 11], "the update");
//! assert!(provider.is_synced() && document == [&[0, 0][..]]);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod hocuspocus;
pub mod y_websocket;

pub mod awareness;
pub mod receipts;

pub mod effect;

#[cfg(feature = "line")]
pub mod line;

pub use self::effect::Effect;
