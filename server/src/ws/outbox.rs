//! What waits to be written to one connection: bounded in bytes by telling the room when to stop.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use prometheus_client::metrics::gauge::Gauge;

use super::deflate::Payload;
use super::extensions::WindowBits;

/// The frames that a room has for one peer, and the reason to close it.
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    limit: usize,
    window: Option<WindowBits>,
    lagging: Gauge,
    /// The task that writes.
    writer: AtomicWaker,
}

/// Why a connection ends, as told to its peer.
#[derive(Clone, Debug)]
pub(crate) struct Close {
    /// WebSocket close code.
    pub(crate) code: u16,
    /// In words. What is longer than a Close frame can hold is cut off.
    pub(crate) reason: Cow<'static, str>,
}

#[derive(Default)]
struct Queue {
    frames: VecDeque<Payload>,
    /// Bytes of `frames` and of those taken but not yet written.
    bytes: usize,
    /// The room knows that there is too much here and waits to hear that it is gone.
    stalled: bool,
    /// The room wants a sign of life of the peer.
    probe: bool,
    close: Option<Close>,
}

/// Frames taken from an outbox. They count as waiting until they are reported as written.
pub(crate) struct Batch {
    /// In the order in which they were pushed.
    pub(crate) frames: VecDeque<Payload>,
    /// Whether the room wants a sign of life of the peer.
    pub(crate) probe: bool,
    cost: usize,
}

impl Outbox {
    /// An empty outbox that counts as stalled, in `lagging`, above `limit` bytes. Its connection reads what is compressed
    /// with `window`.
    pub(crate) fn new(limit: usize, window: Option<WindowBits>, lagging: Gauge) -> Outbox {
        Outbox { queue: Mutex::default(), limit, window, lagging, writer: AtomicWaker::new() }
    }

    /// What messages may be compressed with, if they may.
    pub(crate) fn window(&self) -> Option<WindowBits> {
        self.window
    }

    /// Queues a frame, always. True if the peer is stalled from now on: the room should send no more until `written` says so.
    #[must_use]
    pub(crate) fn push(&self, frame: Payload) -> bool {
        let mut queue = self.queue();
        if queue.close.is_some() {
            return false;
        }
        queue.bytes += cost(&frame);
        queue.frames.push_back(frame);
        let stalls = !queue.stalled && queue.bytes > self.limit;
        queue.stalled |= stalls;
        drop(queue);
        if stalls {
            self.lagging.inc();
        }
        self.writer.wake();
        stalls
    }

    /// Asks the connection for a sign of life of its peer.
    pub(crate) fn probe(&self) {
        self.queue().probe = true;
        self.writer.wake();
    }

    /// Asks the connection to end after what is queued. The first reason counts.
    pub(crate) fn close(&self, code: u16, reason: Cow<'static, str>) {
        self.queue().close.get_or_insert(Close { code, reason });
        self.writer.wake();
    }

    /// Takes all frames and the wish for a sign of life, if there is any of these and `wanted` says so, or the reason to close
    /// the connection. One task may wait for either.
    pub(crate) fn poll_take(&self, cx: &mut Context<'_>, wanted: bool) -> Poll<Result<Batch, Close>> {
        self.writer.register(cx.waker());
        let mut queue = self.queue();
        if let Some(close) = queue.close.clone() {
            return Poll::Ready(Err(close));
        }
        if !wanted || (queue.frames.is_empty() && !queue.probe) {
            return Poll::Pending;
        }
        Poll::Ready(Ok(queue.take()))
    }

    /// Takes what is queued now.
    pub(crate) fn try_take(&self) -> Batch {
        self.queue().take()
    }

    /// Reports that a batch is in the kernel's hands. True if the peer was stalled and no longer is: tell the room.
    #[must_use]
    pub(crate) fn written(&self, cost: usize) -> bool {
        let mut queue = self.queue();
        queue.bytes -= cost;
        let drained = queue.stalled && queue.bytes == 0;
        queue.stalled &= !drained;
        if drained {
            self.lagging.dec();
        }
        drained
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn take(&mut self) -> Batch {
        let frames = mem::take(&mut self.frames);
        let cost = frames.iter().map(cost).sum();
        Batch { frames, probe: mem::take(&mut self.probe), cost }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        if self.queue().stalled {
            self.lagging.dec();
        }
    }
}

impl Batch {
    /// What to report to `written` once all frames are.
    pub(crate) fn cost(&self) -> usize {
        self.cost
    }
}

/// A frame's bytes and its place in the queue, which for small frames is the larger part.
fn cost(frame: &Payload) -> usize {
    frame.plain_len() + size_of::<Payload>()
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::super::deflate::Outgoing;
    use super::*;

    fn plain(bytes: usize) -> Payload {
        Outgoing::new(vec![0; bytes].into()).payload(None, false)
    }

    #[test]
    fn stalls_once_when_over_the_limit_and_drains_once_when_all_is_written() {
        let outbox = Outbox::new(1000, None, Gauge::default());
        assert!(!outbox.push(plain(900)));
        assert!(outbox.push(plain(900)), "over the limit");
        assert!(!outbox.push(plain(1)), "known already");
        let first = outbox.try_take();
        assert!(!outbox.push(plain(1)));
        assert!(!outbox.written(first.cost()), "another still waits");
        let second = outbox.try_take();
        assert!(outbox.written(second.cost()), "now it is empty");
        assert!(outbox.push(plain(2000)), "and can stall again");
    }

    #[test]
    fn what_is_taken_counts_until_it_is_written() {
        let outbox = Outbox::new(1000, None, Gauge::default());
        assert!(!outbox.push(plain(900)));
        let _in_flight = outbox.try_take();
        assert!(outbox.push(plain(900)));
    }

    #[test]
    fn lagging_ends_when_all_is_written_or_the_outbox_is_gone() {
        let lagging = Gauge::default();
        let outbox = Outbox::new(1000, None, lagging.clone());
        assert!(outbox.push(plain(2000)));
        assert_eq!(lagging.get(), 1);
        let batch = outbox.try_take();
        assert!(outbox.written(batch.cost()));
        assert_eq!(lagging.get(), 0);
        assert!(outbox.push(plain(2000)));
        drop(outbox);
        assert_eq!(lagging.get(), 0);
    }

    #[test]
    fn the_first_reason_to_close_counts_and_nothing_is_queued_after_it() {
        let outbox = Outbox::new(1000, None, Gauge::default());
        outbox.close(1008, "first".into());
        outbox.close(1001, "second".into());
        let taken = outbox.poll_take(&mut Context::from_waker(Waker::noop()), true);
        assert!(matches!(taken, Poll::Ready(Err(Close { code: 1008, .. }))));
        assert!(!outbox.push(plain(9000)));
        assert!(outbox.try_take().frames.is_empty());
    }
}
