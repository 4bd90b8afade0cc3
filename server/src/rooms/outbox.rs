//! What waits to be written to one peer: bounded in bytes by telling the room when to stop.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;

use coscribe_engine::message::Parting;
use futures_util::task::AtomicWaker;
use prometheus_client::metrics::gauge::Gauge;

use super::shared::Shared;
use crate::budget::Account;
use crate::limits::{FULL_OUTBOXES, OUTBOX_MESSAGE_COST};

/// The outboxes of one connection that have something new, by their numbers, and the task that empties them.
pub(crate) struct Ready {
    numbers: Mutex<VecDeque<usize>>,
    writer: AtomicWaker,
    /// Whose they are.
    account: Arc<Account>,
}

impl Ready {
    /// No outbox has anything yet. What they have is a debt of this account.
    pub(crate) fn new(account: Arc<Account>) -> Arc<Ready> {
        Arc::new(Ready { numbers: Mutex::default(), writer: AtomicWaker::new(), account })
    }

    /// Has this task woken when there is something new in an outbox.
    pub(crate) fn wake(&self, cx: &Context<'_>) {
        self.writer.register(cx.waker());
    }

    /// An outbox that has had something new for longest; each is given once for all that is new in it by then.
    pub(crate) fn next(&self) -> Option<usize> {
        self.numbers().pop_front()
    }

    fn add(&self, number: usize) {
        self.numbers().push_back(number);
        self.writer.wake();
    }

    fn numbers(&self) -> MutexGuard<'_, VecDeque<usize>> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The messages that a room has for one peer, and the reason to send it away.
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    limit: usize,
    lagging: Gauge,
    ready: Arc<Ready>,
    number: usize,
}

/// A message for one peer.
#[derive(Debug, Clone)]
pub(crate) struct Queued {
    /// The message.
    pub(crate) message: Arc<Shared>,
    /// Whether the peer alone has caused it, and is to pay for it.
    pub(crate) is_answer: bool,
}

#[derive(Default)]
struct Queue {
    messages: VecDeque<Queued>,
    /// Bytes of `messages` and of those taken but not yet written.
    bytes: usize,
    /// The connection was told that there is something new.
    is_announced: bool,
    /// The room knows that there is too much here and waits to hear that it is gone.
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
    /// An empty outbox that counts as stalled, in `lagging`, above `limit` bytes, or where all of a connection have too many.
    /// What is new in it is announced in `ready`, under this number.
    pub(crate) fn new(limit: usize, lagging: Gauge, ready: Arc<Ready>, number: usize) -> Outbox {
        Outbox { queue: Mutex::default(), limit, lagging, ready, number }
    }

    /// Whose it is.
    pub(super) fn account(&self) -> &Arc<Account> {
        &self.ready.account
    }

    /// Queues a message, always. True if the peer is stalled from now on: the room should send no more until `written` says so.
    #[must_use]
    pub(crate) fn push(&self, queued: Queued) -> bool {
        let mut queue = self.queue();
        if queue.parting.is_some() {
            return false;
        }
        let cost = cost(&queued);
        queue.bytes += cost;
        let in_all = self.ready.account.await_more(cost);
        queue.messages.push_back(queued);
        let is_over = queue.bytes > self.limit || in_all > self.limit.saturating_mul(FULL_OUTBOXES);
        let stalls = !queue.stalled && is_over;
        queue.stalled |= stalls;
        if stalls {
            self.lagging.inc();
        }
        self.announce(queue);
        stalls
    }

    /// Asks the connection for a sign of life of its peer.
    pub(crate) fn probe(&self) {
        let mut queue = self.queue();
        queue.probe = true;
        self.announce(queue);
    }

    /// Asks the connection to end the membership after what is queued. The first reason counts.
    pub(crate) fn part(&self, parting: Parting) {
        let mut queue = self.queue();
        queue.parting.get_or_insert(parting);
        self.announce(queue);
    }

    fn announce(&self, mut queue: MutexGuard<'_, Queue>) {
        let is_announced = mem::replace(&mut queue.is_announced, true);
        drop(queue);
        if !is_announced {
            self.ready.add(self.number);
        }
    }

    /// The connection has heard that there is something new: more will be announced again. Gives the reason to send the peer
    /// away, if there is one.
    pub(crate) fn heard(&self) -> Option<Parting> {
        let mut queue = self.queue();
        queue.is_announced = false;
        queue.parting.clone()
    }

    /// Whether there is anything to take.
    pub(crate) fn has_more(&self) -> bool {
        let queue = self.queue();
        queue.probe || !queue.messages.is_empty()
    }

    /// Takes what is queued now.
    pub(crate) fn take(&self) -> Batch {
        let mut queue = self.queue();
        let messages = mem::take(&mut queue.messages);
        let cost = messages.iter().map(cost).sum();
        Batch { messages, probe: mem::take(&mut queue.probe), cost }
    }

    /// Reports that a batch is in the kernel's hands. True if the peer was stalled and no longer is: tell the room.
    #[must_use]
    pub(crate) fn written(&self, cost: usize) -> bool {
        let mut queue = self.queue();
        queue.bytes -= cost;
        self.ready.account.await_less(cost);
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

impl Drop for Outbox {
    fn drop(&mut self) {
        let queue = self.queue();
        self.ready.account.await_less(queue.bytes);
        if queue.stalled {
            self.lagging.dec();
        }
    }
}

impl Batch {
    /// What to report to `written` once all messages are.
    pub(crate) fn cost(&self) -> usize {
        self.cost
    }
}

fn cost(queued: &Queued) -> usize {
    queued.message.message().len() + OUTBOX_MESSAGE_COST
}

#[cfg(test)]
mod tests {
    use coscribe_engine::message::{Outbound, Reason};

    use super::*;
    use crate::budget::{Budget, Debtor};

    fn outbox(limit: usize, lagging: &Gauge) -> Outbox {
        Outbox::new(limit, lagging.clone(), ready(), 7)
    }

    fn ready() -> Arc<Ready> {
        Ready::new(Account::new(&Budget::new(usize::MAX), Debtor::Connection, None, 0))
    }

    fn plain(bytes: usize) -> Queued {
        Queued { message: Shared::uncharged(Outbound::Update(vec![0; bytes].into())), is_answer: false }
    }

    #[test]
    fn stalls_once_when_over_the_limit_and_drains_once_when_all_is_written() {
        let outbox = outbox(1000, &Gauge::default());
        assert!(!outbox.push(plain(900)));
        assert!(outbox.push(plain(900)), "over the limit");
        assert!(!outbox.push(plain(1)), "known already");
        let first = outbox.take();
        assert!(!outbox.push(plain(1)));
        assert!(!outbox.written(first.cost()), "another still waits");
        let second = outbox.take();
        assert!(outbox.written(second.cost()), "now it is empty");
        assert!(outbox.push(plain(2000)), "and can stall again");
    }

    #[test]
    fn what_is_taken_counts_until_it_is_written() {
        let outbox = outbox(1000, &Gauge::default());
        assert!(!outbox.push(plain(900)));
        let _in_flight = outbox.take();
        assert!(outbox.push(plain(900)));
    }

    #[test]
    fn lagging_ends_when_all_is_written_or_the_outbox_is_gone() {
        let lagging = Gauge::default();
        let outbox = outbox(1000, &lagging);
        assert!(outbox.push(plain(2000)));
        assert_eq!(lagging.get(), 1);
        let batch = outbox.take();
        assert!(outbox.written(batch.cost()));
        assert_eq!(lagging.get(), 0);
        assert!(outbox.push(plain(2000)));
        drop(outbox);
        assert_eq!(lagging.get(), 0);
    }

    #[test]
    fn the_first_reason_to_close_counts_and_nothing_is_queued_after_it() {
        let outbox = outbox(1000, &Gauge::default());
        outbox.part(Parting::new(Reason::Violation, "first"));
        outbox.part(Parting::new(Reason::Shutdown, "second"));
        assert!(matches!(outbox.heard(), Some(Parting { reason: Reason::Violation, .. })));
        assert!(!outbox.push(plain(9000)));
        assert!(outbox.take().messages.is_empty());
    }

    #[test]
    fn all_outboxes_of_a_connection_have_a_bound_together() {
        let ready = ready();
        let outboxes: Vec<_> = (0..=2 * FULL_OUTBOXES)
            .map(|number| Outbox::new(1000, Gauge::default(), Arc::clone(&ready), number))
            .collect();
        let stalled: Vec<_> = outboxes.iter().map(|outbox| outbox.push(plain(436))).collect();
        assert_eq!(stalled.iter().position(|stalls| *stalls), Some(2 * FULL_OUTBOXES), "half a limit each");
        let batch = outboxes[0].take();
        assert!(!outboxes[0].written(batch.cost()));
        drop(outboxes);
        assert_eq!(ready.account.debt(), 0);
    }

    #[test]
    fn what_is_new_is_announced_once_until_the_connection_has_heard_of_it() {
        let ready = ready();
        let [one, two] = [1, 2].map(|number| Outbox::new(1000, Gauge::default(), Arc::clone(&ready), number));
        for outbox in [&two, &one, &two] {
            assert!(!outbox.push(plain(1)));
        }
        assert_eq!([ready.next(), ready.next(), ready.next()], [Some(2), Some(1), None]);
        assert!(!two.push(plain(1)) && ready.next().is_none());
        assert!(two.heard().is_none());
        two.probe();
        assert_eq!(ready.next(), Some(2));
        let batch = two.take();
        assert!(batch.messages.len() == 3 && batch.probe);
    }
}
