//! What is held for one connection, one document, or the requests of one address.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use coscribe_turns::Party;

use super::{Budget, Debtor};
use crate::limits::ROOM_BYTES;

/// The bytes that the server has in memory for one of its debtors. Clones of the `Arc` charge the same account.
///
/// The budget hears of them in steps of [`STEP`], rounded up: a message costs no atomic operation that all processors share.
#[derive(Debug)]
pub(crate) struct Account {
    budget: Arc<Budget>,
    debtor: Debtor,
    /// Where it comes from, if that is known.
    party: Party,
    /// Bytes in memory.
    held: AtomicUsize,
    /// What the budget knows of these, and so counts.
    counted: AtomicUsize,
    /// Bytes of messages in its outboxes. Others may have the same messages, so their documents hold them.
    awaited: AtomicUsize,
    /// Bytes that rooms hold because it is in them.
    places: AtomicUsize,
}

/// A part of what an account holds, until it is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    account: Arc<Account>,
    bytes: usize,
}

/// A small connection or an empty document takes no more than a step or two, and never more to count.
const STEP: usize = 16 << 10;

impl Account {
    /// The account of a debtor that has `base` bytes in memory for as long as it is there.
    pub(crate) fn new(budget: &Arc<Budget>, debtor: Debtor, party: Party, base: usize) -> Arc<Account> {
        let account = Account {
            budget: Arc::clone(budget),
            debtor,
            party,
            held: AtomicUsize::new(0),
            counted: AtomicUsize::new(0),
            awaited: AtomicUsize::new(0),
            places: AtomicUsize::new(0),
        };
        account.add(base);
        Arc::new(account)
    }

    /// Bytes that it holds, and that documents hold because of it.
    pub(crate) fn debt(&self) -> usize {
        self.held() + self.awaited.load(Ordering::Relaxed) + self.places.load(Ordering::Relaxed)
    }

    /// Bytes that it holds.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Bytes that the budget counts for it: as many, or some more.
    pub(crate) fn counted(&self) -> usize {
        self.counted.load(Ordering::Relaxed)
    }

    /// Where it comes from.
    pub(crate) fn party(&self) -> Party {
        self.party
    }

    /// Charges some bytes to it.
    pub(crate) fn charge(self: &Arc<Self>, bytes: usize) -> Charge {
        self.add(bytes);
        Charge { account: Arc::clone(self), bytes }
    }

    /// Bytes have come into its outboxes. Gives how many there are now.
    pub(crate) fn await_more(&self, bytes: usize) -> usize {
        self.awaited.fetch_add(bytes, Ordering::Relaxed) + bytes
    }

    /// Bytes have left its outboxes.
    pub(crate) fn await_less(&self, bytes: usize) {
        self.awaited.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// It is in one room more.
    pub(crate) fn join_room(&self) {
        self.places.fetch_add(ROOM_BYTES, Ordering::Relaxed);
    }

    /// It is in one room less.
    pub(crate) fn leave_room(&self) {
        self.places.fetch_sub(ROOM_BYTES, Ordering::Relaxed);
    }

    /// The server's budget.
    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    fn add(&self, bytes: usize) {
        let held = self.held.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if held > self.counted.load(Ordering::Relaxed) {
            self.count(held);
        }
    }

    fn subtract(&self, bytes: usize) {
        let held = self.held.fetch_sub(bytes, Ordering::Relaxed) - bytes;
        // What goes up and down by less is not counted each time.
        if held + 2 * STEP <= self.counted.load(Ordering::Relaxed) {
            self.count(held);
        }
    }

    fn count(&self, held: usize) {
        let counted = held.next_multiple_of(STEP);
        let before = self.counted.swap(counted, Ordering::Relaxed);
        self.budget.count(self.debtor, before, counted);
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.budget.count(self.debtor, *self.counted.get_mut(), 0);
    }
}

impl Charge {
    /// It is so many bytes now.
    pub(crate) fn set(&mut self, bytes: usize) {
        if bytes > self.bytes {
            self.account.add(bytes - self.bytes);
        } else if bytes < self.bytes {
            self.account.subtract(self.bytes - bytes);
        }
        self.bytes = bytes;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.account.subtract(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_counted_in_steps_and_never_too_low() {
        let budget = Budget::new(1 << 30);
        let account = Account::new(&budget, Debtor::Connection, None, 100);
        assert_eq!((account.held(), account.counted(), budget.held()), (100, STEP, STEP));
        let mut charge = account.charge(STEP);
        assert_eq!((account.held(), budget.held()), (100 + STEP, 2 * STEP));
        charge.set(10);
        assert_eq!((account.held(), budget.held()), (110, 2 * STEP), "a step is not worth it");
        let more = account.charge(10 * STEP);
        assert_eq!(budget.held(), 11 * STEP);
        drop((more, charge));
        assert_eq!((account.held(), budget.held()), (100, STEP));
        let kept = account.charge(STEP);
        drop(account);
        assert_eq!(budget.held(), 2 * STEP, "it lives for as long as it is charged");
        drop(kept);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn what_documents_hold_because_of_somebody_is_a_debt_and_not_counted_twice() {
        let budget = Budget::new(1 << 30);
        let account = Account::new(&budget, Debtor::Connection, None, 0);
        assert_eq!(account.await_more(5 * STEP), 5 * STEP);
        account.join_room();
        assert_eq!((account.debt(), account.held(), budget.held()), (5 * STEP + ROOM_BYTES, 0, 0));
        account.await_less(5 * STEP);
        account.leave_room();
        assert_eq!(account.debt(), 0);
    }
}
