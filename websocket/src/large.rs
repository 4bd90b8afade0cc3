//! Messages above the usual size. They are rare and may take a large part of the memory, so the whole process reads only a few
//! of them at the same time. The others are not read meanwhile, and TCP holds them back.

use std::mem;
use std::sync::LazyLock;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use coscribe_turns::{Party, Turn, Turns};
use tokio::time::Instant;

use crate::awake;
use crate::limits::{LARGE_MESSAGES, SLOWEST_BYTES_PER_SECOND, SLOWEST_GRACE};
use crate::permit::Permit;

/// One for each message that is read, or has been read and is still in memory.
static RIGHTS: LazyLock<Turns> = LazyLock::new(|| Turns::new(LARGE_MESSAGES));

/// How large a message may be, before and after decompression.
#[derive(Debug, Copy, Clone)]
pub struct MessageBytes {
    /// Larger ones take turns.
    pub usual: usize,
    /// None is larger.
    pub most: usize,
}

impl MessageBytes {
    /// No message is so large that it has to wait for its turn.
    pub fn up_to(most: usize) -> MessageBytes {
        MessageBytes { usual: most, most }
    }
}

/// The right to have a large message in memory. It ends when this is dropped.
#[derive(Debug)]
pub struct Right {
    _turn: Option<Turn>,
}

/// The right of a connection, or its wait for one.
#[derive(Default)]
pub(crate) struct Claim {
    permit: Permit,
    /// When it got it.
    since: Option<Instant>,
    /// Bytes that have come since.
    received: usize,
}

impl Claim {
    /// Ready when the right is there.
    pub(crate) fn poll(&mut self, party: Party, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.permit.poll(&RIGHTS, party, cx));
        self.since.get_or_insert_with(Instant::now);
        Poll::Ready(())
    }

    /// Whether the right is waited for.
    pub(crate) fn is_waiting(&self) -> bool {
        self.permit.is_waiting()
    }

    /// Bytes have come.
    pub(crate) fn receive(&mut self, bytes: usize) {
        if self.since.is_some() {
            self.received += bytes;
        }
    }

    /// When the message is too slow if no more of it has come.
    pub(crate) fn too_slow_at(&self) -> Option<Instant> {
        let enough = Duration::from_secs_f64(self.received as f64 / f64::from(SLOWEST_BYTES_PER_SECOND));
        self.since.map(|since| since.max(awake::resumed()) + SLOWEST_GRACE + enough)
    }

    /// Gives away the right, together with the message.
    pub(crate) fn take(&mut self) -> Option<Right> {
        let Claim { permit, since, .. } = mem::take(self);
        since.map(|_| Right { _turn: permit.take() })
    }
}
