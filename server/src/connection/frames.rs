//! The frames of messages. A message for several connections is encoded once, and compressed by the first connection that
//! writes it.

use std::sync::{Arc, OnceLock};

use coscribe_engine::dialect::y_websocket;
use coscribe_engine::message::Outbound;
use coscribe_engine::pieces::{Pieces, Starts};
use coscribe_websocket::Outgoing;

use crate::rooms::Shared;

/// The frame of a message, and the starts that a cut needs.
struct Frames {
    frame: Outgoing,
    /// `None` where it cannot be cut.
    starts: OnceLock<Option<Arc<Starts>>>,
}

impl Frames {
    fn of(message: &Shared) -> &Frames {
        message.made(|message| Frames { frame: frame_of(message), starts: OnceLock::new() })
    }
}

/// The frame of a message of one connection only.
pub(super) fn frame_of(message: &Outbound) -> Outgoing {
    Outgoing::new(y_websocket::encode(message))
}

/// The frame of a message.
pub(super) fn frame(message: &Shared) -> &Outgoing {
    &Frames::of(message).frame
}

/// A message in pieces, if it can be cut. O(bytes) for the first caller.
pub(super) fn pieces(message: &Shared) -> Option<Pieces> {
    let update = message.message().update()?;
    let starts = Frames::of(message).starts.get_or_init(|| Starts::of(update).map(Arc::new));
    Some(Pieces::new(update.clone(), Arc::clone(starts.as_ref()?)))
}
