//! How much memory the server has for others, who has it, and who gives way where it is not enough.
//!
//! Whatever is held for somebody is charged to an [`Account`]: that of a connection (bytes that are not yet a message,
//! messages on their way to a room), of a document (its blocks and awareness, what waits for its readers, what waits for the
//! disk), or of an HTTP request. Their sum has a bound. Near it, a connection that has much may not get more ([`Budget::allowance`]), and
//! then the largest debtors are sent away ([`crate::relief`]).

mod account;
mod machine;

use std::pin::pin;
use std::sync::Arc;

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Notify;

pub(crate) use self::account::{Account, Charge};
pub(crate) use self::machine::memory;
use crate::limits::{ALLOWANCE, LAST_ALLOWANCE};

/// For whom something is held.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Debtor {
    /// A WebSocket.
    Connection,
    /// An open document.
    Document,
    /// A request of HTTP.
    Request,
}

/// How near the bound is.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Strain {
    /// There is enough.
    None,
    /// Three quarters are in use. Whoever has much waits.
    High,
    /// Seven eighths are. Whoever has more than a little waits.
    Full,
}

/// All that the server holds for others, and its bound.
#[derive(Debug)]
pub(crate) struct Budget {
    bound: usize,
    connections: Gauge,
    documents: Gauge,
    requests: Gauge,
    /// Somebody is to give way.
    strained: Notify,
    /// There may be enough again.
    relieved: Notify,
}

impl Budget {
    /// A budget of so many bytes, of which none is used.
    pub(crate) fn new(bound: usize) -> Arc<Budget> {
        Arc::new(Budget {
            bound,
            connections: Gauge::default(),
            documents: Gauge::default(),
            requests: Gauge::default(),
            strained: Notify::new(),
            relieved: Notify::new(),
        })
    }

    /// How many bytes may be held.
    pub(crate) fn bound(&self) -> usize {
        self.bound
    }

    /// How many are held for one kind of debtor.
    pub(crate) fn held_for(&self, debtor: Debtor) -> &Gauge {
        match debtor {
            Debtor::Connection => &self.connections,
            Debtor::Document => &self.documents,
            Debtor::Request => &self.requests,
        }
    }

    /// How many are held for all.
    pub(crate) fn held(&self) -> usize {
        let held = self.connections.get() + self.documents.get() + self.requests.get();
        usize::try_from(held).unwrap_or_default()
    }

    /// How near the bound is.
    pub(crate) fn strain(&self) -> Strain {
        let held = self.held();
        if held <= self.comfortable() {
            Strain::None
        } else if held <= self.bound - self.bound / 8 {
            Strain::High
        } else {
            Strain::Full
        }
    }

    /// How many bytes a connection may have of messages before no more of it is read for now.
    pub(crate) fn allowance(&self) -> usize {
        match self.strain() {
            Strain::None => usize::MAX,
            Strain::High => ALLOWANCE,
            Strain::Full => LAST_ALLOWANCE,
        }
    }

    /// Waits until an account may have more than it holds.
    pub(crate) async fn relief(&self, account: &Account) {
        loop {
            let mut relieved = pin!(self.relieved.notified());
            // From here on nothing is missed.
            relieved.as_mut().enable();
            if account.held() <= self.allowance() {
                return;
            }
            relieved.await;
        }
    }

    /// Waits until somebody is to give way.
    pub(crate) async fn strained(&self) {
        self.strained.notified().await;
    }

    /// Has those look again who wait for relief.
    pub(crate) fn relieved(&self) {
        self.relieved.notify_waiters();
    }

    /// What may be held without anybody being kept waiting.
    pub(crate) fn comfortable(&self) -> usize {
        self.bound - self.bound / 4
    }

    /// What is still held when enough debtors have given way. It is less, so that not one after the other has to.
    pub(crate) fn relaxed(&self) -> usize {
        self.bound / 2
    }

    /// What one debtor holds has changed.
    fn count(&self, debtor: Debtor, before: usize, now: usize) {
        let held = self.held_for(debtor);
        if now > before {
            held.inc_by(signed(now - before));
            if self.strain() > Strain::None {
                self.strained.notify_one();
            }
        } else {
            held.dec_by(signed(before - now));
        }
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
