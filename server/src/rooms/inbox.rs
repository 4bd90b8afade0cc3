//! A room's inbox, and what comes into it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use coscribe_engine::message::Inbound;
use coscribe_engine::room::{Access, PeerId, Terms};
use futures_util::task::AtomicWaker;
use tokio::sync::OwnedSemaphorePermit;

use super::outbox::Outbox;
use super::{Hold, Said};
use crate::budget::Charge;
use crate::observe::Span;

/// Something for a room to take in.
pub(crate) enum Input {
    /// A connection wants to be a peer.
    Join { peer: PeerId, place: Place, terms: Terms, greeting: &'static [Inbound], span: Span },
    /// A peer has said something. The space in the inbox is free again when that has been processed.
    Said { peer: PeerId, said: Said, span: Span, _space: (OwnedSemaphorePermit, Hold, Charge) },
    /// A peer has begun to send a message that is larger than any may be.
    TooLarge { peer: PeerId },
    /// Everything that was queued to a stalled peer has been written.
    Drained { peer: PeerId },
    /// A peer has given the sign of life that the room wanted.
    Alive { peer: PeerId },
    /// A peer may do something else from now on.
    SetAccess { peer: PeerId, access: Access },
    /// A peer has said who it is.
    SetSubject { peer: PeerId, subject: Arc<str> },
    /// A connection is gone.
    Leave { peer: PeerId },
    /// Memory is short: end as soon as nobody is here.
    Hurry,
    /// Memory is short, and the document has much of it: send everybody away, in these words.
    GiveWay { words: &'static str },
    /// The server stops: end when all that came before this is processed.
    Stop,
}

/// What the task knows of a peer.
pub(crate) struct Place {
    /// What waits for it.
    pub(crate) outbox: Arc<Outbox>,
    /// The user of the application that it is; empty if that is unknown.
    pub(crate) subject: Arc<str>,
}

/// What many send and one room takes, in order. An inbox with nothing in it has no memory beside itself: there are as many as open
/// documents.
#[derive(Default)]
pub(crate) struct Inbox {
    queue: Mutex<Queue>,
    room: AtomicWaker,
}

#[derive(Default)]
struct Queue {
    inputs: VecDeque<Input>,
    is_closed: bool,
}

impl Inbox {
    /// Puts something in, unless the room has ended: its peers know that then.
    pub(super) fn send(&self, input: Input) {
        let mut queue = self.queue();
        if !queue.is_closed {
            queue.inputs.push_back(input);
            drop(queue);
            self.room.wake();
        }
    }

    /// Takes what came first. Only one task may wait for it.
    pub(super) async fn recv(&self) -> Input {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Input> {
        if let Some(input) = self.try_recv() {
            return Poll::Ready(input);
        }
        self.room.register(cx.waker());
        let mut queue = self.queue();
        match queue.inputs.pop_front() {
            Some(input) => Poll::Ready(input),
            None => {
                queue.inputs = VecDeque::new();
                Poll::Pending
            }
        }
    }

    /// Takes what came first, if there is anything.
    pub(super) fn try_recv(&self) -> Option<Input> {
        self.queue().inputs.pop_front()
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.queue().inputs.is_empty()
    }

    /// Lets nothing in any more, and gives what was in it.
    pub(super) fn close(&self) -> VecDeque<Input> {
        let mut queue = self.queue();
        queue.is_closed = true;
        mem::take(&mut queue.inputs)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
