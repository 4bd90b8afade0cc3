//! How a connection hears that it is to end, whatever it is doing.

use std::sync::OnceLock;
use std::task::{Context, Poll};

use coscribe_engine::message::Parting;
use futures_util::task::AtomicWaker;

/// Shared by a connection and the register of all of them.
#[derive(Debug, Default)]
pub(crate) struct Closing {
    parting: OnceLock<Parting>,
    task: AtomicWaker,
}

impl Closing {
    /// Asks the connection to end. The first reason counts.
    pub(crate) fn close(&self, parting: Parting) {
        // Another reason was there first.
        let _ = self.parting.set(parting);
        self.task.wake();
    }

    /// Has this task woken when the connection is to end.
    pub(super) fn wake_on_close(&self, cx: &Context<'_>) {
        self.task.register(cx.waker());
    }

    /// Why the connection is to end, once it is.
    pub(super) fn poll(&self) -> Poll<Parting> {
        self.parting.get().map_or(Poll::Pending, |parting| Poll::Ready(parting.clone()))
    }
}
