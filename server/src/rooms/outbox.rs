//! The messages that wait to be written to one connection: bounded in bytes by telling the room when to stop.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use coscribe_engine::message::Parting;
use futures_util::task::AtomicWaker;
use prometheus_client::metrics::gauge::Gauge;

use super::shared::Shared;
use crate::limits::OUTBOX_MESSAGE_COST;

/// The messages that a room has for one peer, and the reason to send it away.
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    limit: usize,
    lagging: Gauge,
    /// The task that writes.
    writer: AtomicWaker,
}

/// A message for one peer.
#[derive(Debug, Clone)]
pub(crate) struct Queued {
    /// The message.
    pub(crate) message: Arc<Shared>,
    /// Whether it answers the peer, which is to pay for it.
    pub(crate) is_answer: bool,
}

#[derive(Default)]
struct Queue {
    messages: VecDeque<Queued>,
    /// Bytes of `messages`, and of messages that were taken and are not yet written.
    bytes: usize,
    /// The room knows that the queue is too long, and waits to hear that it is empty.
    stalled: bool,
    /// The room wants a sign of life of the peer.
    probe: bool,
    parting: Option<Parting>,
}

/// Messages taken from an outbox. They count as waiting until they are reported as written.
pub(crate) struct Batch {
    /// In the order in which they were pushed.
    pub(crate) messages: VecDeque<Queued>,
    /// Whether the room wants a sign of life of the peer.
    pub(crate) probe: bool,
    cost: usize,
}

impl Outbox {
    /// An empty outbox that counts as stalled, in `lagging`, above `limit` bytes.
    pub(crate) fn new(limit: usize, lagging: Gauge) -> Outbox {
        Outbox { queue: Mutex::default(), limit, lagging, writer: AtomicWaker::new() }
    }

    /// Queues a message, always. True if the peer is stalled from now on: the room should send no more until `written` is true.
    #[must_use]
    pub(crate) fn push(&self, queued: Queued) -> bool {
        let mut queue = self.queue();
        if queue.parting.is_some() {
            return false;
        }
        queue.bytes += cost(&queued);
        queue.messages.push_back(queued);
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

    /// Asks the connection to end the membership after the messages in the queue. The first reason counts.
    pub(crate) fn part(&self, parting: Parting) {
        self.queue().parting.get_or_insert(parting);
        self.writer.wake();
    }

    /// Takes all messages and the wish for a sign of life, if there are any and they are `wanted`; or the reason to send the
    /// peer away. One task may wait for either.
    pub(crate) fn poll_take(&self, cx: &mut Context<'_>, wanted: bool) -> Poll<Result<Batch, Parting>> {
        self.writer.register(cx.waker());
        let mut queue = self.queue();
        if let Some(parting) = queue.parting.clone() {
            return Poll::Ready(Err(parting));
        }
        if !wanted || (queue.messages.is_empty() && !queue.probe) {
            return Poll::Pending;
        }
        Poll::Ready(Ok(queue.take()))
    }

    /// Takes the messages that are queued now.
    pub(crate) fn try_take(&self) -> Batch {
        self.queue().take()
    }

    /// Reports that the kernel has taken a batch. True if the peer was stalled and no longer is: tell the room.
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
        let messages = mem::take(&mut self.messages);
        let cost = messages.iter().map(cost).sum();
        Batch { messages, probe: mem::take(&mut self.probe), cost }
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
    /// The cost to report to `written` once all messages are written.
    pub(crate) fn cost(&self) -> usize {
        self.cost
    }
}

fn cost(queued: &Queued) -> usize {
    queued.message.message().len() + OUTBOX_MESSAGE_COST
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use coscribe_engine::message::{Outbound, Reason};

    use super::*;

    fn plain(bytes: usize) -> Queued {
        Queued { message: Shared::new(Outbound::Update(vec![0; bytes].into())), is_answer: false }
    }

    #[test]
    fn stalls_once_when_over_the_limit_and_drains_once_when_all_is_written() {
        let outbox = Outbox::new(1000, Gauge::default());
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
        let outbox = Outbox::new(1000, Gauge::default());
        assert!(!outbox.push(plain(900)));
        let _in_flight = outbox.try_take();
        assert!(outbox.push(plain(900)));
    }

    #[test]
    fn lagging_ends_when_all_is_written_or_the_outbox_is_gone() {
        let lagging = Gauge::default();
        let outbox = Outbox::new(1000, lagging.clone());
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
        let outbox = Outbox::new(1000, Gauge::default());
        outbox.part(Parting::new(Reason::Violation, "first"));
        outbox.part(Parting::new(Reason::Shutdown, "second"));
        let taken = outbox.poll_take(&mut Context::from_waker(Waker::noop()), true);
        assert!(matches!(taken, Poll::Ready(Err(Parting { reason: Reason::Violation, .. }))));
        assert!(!outbox.push(plain(9000)));
        assert!(outbox.try_take().messages.is_empty());
    }
}
