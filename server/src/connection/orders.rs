//! How a connection hears what the server wants of it, whatever it is doing: that it is to end, or to look again at what its
//! client may do.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};

use coscribe_engine::message::Parting;
use coscribe_persistence::DocumentName;
use futures_util::task::AtomicWaker;

/// What a connection is to look at again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Review {
    /// What whoever decides says now of this document, or of all, and of this subject, or of all.
    Grants {
        /// The document.
        document: Option<DocumentName>,
        /// The subject.
        subject: Option<String>,
    },
    /// Whether tokens were revoked.
    Revocations,
}

/// Shared by a connection and the register of all of them.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    parting: OnceLock<Parting>,
    /// Others need the memory that it has.
    gives_way: AtomicBool,
    reviews: Mutex<Vec<Arc<Review>>>,
    /// Whether there are any: connections look at it whenever something has happened.
    has_reviews: AtomicBool,
    task: AtomicWaker,
}

impl Orders {
    /// Asks the connection to end. The first reason counts.
    pub(crate) fn close(&self, parting: Parting) {
        // Another reason was there first.
        let _ = self.parting.set(parting);
        self.task.wake();
    }

    /// Asks the connection to end at once, whatever is still to be written.
    pub(crate) fn give_way(&self, parting: Parting) {
        self.gives_way.store(true, Ordering::Release);
        self.close(parting);
    }

    /// Whether it was asked to end.
    pub(crate) fn is_closing(&self) -> bool {
        self.parting.get().is_some()
    }

    /// Whether nothing is to be written any more.
    pub(super) fn gives_way(&self) -> bool {
        self.gives_way.load(Ordering::Acquire)
    }

    /// Asks the connection to look at something again.
    pub(crate) fn review(&self, review: Arc<Review>) {
        let mut reviews = self.reviews();
        if !reviews.contains(&review) {
            reviews.push(review);
        }
        drop(reviews);
        self.has_reviews.store(true, Ordering::Release);
        self.task.wake();
    }

    /// Has this task woken when something is wanted of the connection.
    pub(super) fn wake(&self, cx: &Context<'_>) {
        self.task.register(cx.waker());
    }

    /// Why the connection is to end, once it is.
    pub(super) fn poll_close(&self) -> Poll<Parting> {
        self.parting.get().map_or(Poll::Pending, |parting| Poll::Ready(parting.clone()))
    }

    /// Whether there is something to be looked at again.
    pub(super) fn has_reviews(&self) -> bool {
        self.has_reviews.load(Ordering::Acquire)
    }

    /// What is to be looked at again.
    pub(super) fn take_reviews(&self) -> Vec<Arc<Review>> {
        self.has_reviews.store(false, Ordering::Release);
        mem::take(&mut *self.reviews())
    }

    fn reviews(&self) -> MutexGuard<'_, Vec<Arc<Review>>> {
        self.reviews.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
