//! Messages above `max_message_bytes`: offline work of weeks, which a provider sends as one message. They may be as large as a
//! document, and a few of them are read at the same time, on the whole server. The others are not read meanwhile, so that TCP
//! holds them back.

use std::mem;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::permit::Permit;

/// How many are read, or are in a room's inbox.
static RIGHTS: Semaphore = Semaphore::const_new(2);

/// Bytes a second that have to come of such a message, on average: others wait.
const SLOWEST: f64 = 64.0 * 1024.0;

/// How much longer it may take.
const GRACE: Duration = Duration::from_secs(10);

/// How large a message may be, before and after decompression.
#[derive(Debug, Copy, Clone)]
pub(crate) struct MessageBytes {
    /// Larger ones take turns.
    pub(crate) usual: usize,
    /// None is larger.
    pub(crate) most: usize,
}

impl MessageBytes {
    /// None is so large that it has to wait for its turn.
    pub(crate) fn up_to(most: usize) -> MessageBytes {
        MessageBytes { usual: most, most }
    }
}

/// The right to have a large message in memory. It ends when this is dropped.
pub(crate) struct Right {
    _permit: Option<SemaphorePermit<'static>>,
}

/// What a connection has of that right.
#[derive(Default)]
pub(super) struct Claim {
    permit: Permit,
    /// When it got it.
    since: Option<Instant>,
    /// Bytes that have come since.
    received: usize,
}

impl Claim {
    /// Ready when the right is there.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.permit.poll(&RIGHTS, cx));
        self.since.get_or_insert_with(Instant::now);
        Poll::Ready(())
    }

    /// Whether the right is waited for.
    pub(super) fn is_waiting(&self) -> bool {
        self.permit.is_waiting()
    }

    /// Bytes have come.
    pub(super) fn receive(&mut self, bytes: usize) {
        if self.since.is_some() {
            self.received += bytes;
        }
    }

    /// When the message is too slow if no more of it has come.
    pub(super) fn too_slow_at(&self) -> Option<Instant> {
        let enough = Duration::from_secs_f64(self.received as f64 / SLOWEST);
        self.since.map(|since| since + GRACE + enough)
    }

    /// Gives the right to whoever has the message now.
    pub(super) fn take(&mut self) -> Option<Right> {
        let Claim { permit, since, .. } = mem::take(self);
        since.map(|_| Right { _permit: permit.take() })
    }
}
