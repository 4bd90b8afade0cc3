//! What connections make of a room's message: a frame of their dialect, encoded once for all who get the same bytes, and
//! compressed by the first who writes it.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use coscribe_engine::dialect::{hocuspocus, y_websocket};
use coscribe_engine::message::Outbound;
use coscribe_engine::update::pieces::{Pieces, Starts};
use coscribe_websocket::{Outgoing, Payload, WindowBits};

use crate::rooms::Shared;

/// How the frames of one membership are made.
#[derive(Debug, Clone)]
pub(super) enum Framing {
    /// As y-websocket's clients read them.
    YWebsocket,
    /// As Hocuspocus' providers read them.
    Hocuspocus {
        /// What is in front of each frame.
        address: Bytes,
        /// Whether it is the name of the document, which most peers of a room have as their address.
        is_name: bool,
    },
}

/// What has been made of a message.
#[derive(Default)]
struct Made {
    y_websocket: OnceLock<Option<Outgoing>>,
    /// For those whose address is the name of the document. Boxed, because most rooms never need it.
    hocuspocus: OnceLock<Option<Box<Outgoing>>>,
    /// What has to be known to cut it; `None` where it cannot be cut.
    starts: OnceLock<Option<Arc<Starts>>>,
}

impl Framing {
    /// The frame of a message, if the dialect has any.
    pub(super) fn payload(&self, message: &Shared, window: Option<WindowBits>) -> Option<Payload> {
        let made = Made::of(message);
        let frame = || self.encode(message.message());
        match self {
            Framing::YWebsocket => {
                made.y_websocket.get_or_init(frame).as_ref().map(|frame| frame.payload(window))
            }
            Framing::Hocuspocus { is_name: true, .. } => {
                let shared = made.hocuspocus.get_or_init(|| frame().map(Box::new));
                shared.as_ref().map(|frame| frame.payload(window))
            }
            Framing::Hocuspocus { is_name: false, .. } => frame().map(|frame| frame.payload(window)),
        }
    }

    /// The frame of a message that nobody else gets.
    pub(super) fn encode(&self, message: &Outbound) -> Option<Outgoing> {
        let frame = match self {
            Framing::YWebsocket => y_websocket::encode(message),
            Framing::Hocuspocus { address, .. } => hocuspocus::encode(address, message),
        };
        frame.map(Outgoing::new)
    }

    /// A frame of about so many bytes that says nothing.
    pub(super) fn keep_alive(&self, bytes: usize) -> Bytes {
        match self {
            Framing::YWebsocket => y_websocket::padded_keep_alive(bytes),
            Framing::Hocuspocus { address, .. } => hocuspocus::padded_keep_alive(address, bytes),
        }
    }
}

impl Made {
    fn of(message: &Shared) -> &Made {
        message.made(|_| Made::default())
    }
}

/// A message in pieces, if it can be cut. O(bytes) for the first who asks.
pub(super) fn pieces(message: &Shared) -> Option<Pieces> {
    let update = message.message().update()?;
    let starts = Made::of(message).starts.get_or_init(|| Starts::of(update).map(Arc::new));
    Some(Pieces::new(update.clone(), Arc::clone(starts.as_ref()?)))
}
