//! A permit of a semaphore, for code that is polled.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};

/// A permit of a semaphore, or the wait for it. It is given back when this is dropped.
#[derive(Default)]
pub(crate) enum Permit {
    #[default]
    NotNeeded,
    Waiting(Pin<Box<dyn Future<Output = Result<SemaphorePermit<'static>, AcquireError>> + Send>>),
    Mine(Option<SemaphorePermit<'static>>),
}

impl Permit {
    /// Ready when it is there. Waiters get it in order.
    pub(crate) fn poll(&mut self, of: &'static Semaphore, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self {
                Permit::NotNeeded => *self = Permit::Waiting(Box::pin(of.acquire())),
                Permit::Waiting(permit) => {
                    // Nobody closes it.
                    *self = Permit::Mine(ready!(permit.as_mut().poll(cx)).ok());
                }
                Permit::Mine(_) => return Poll::Ready(()),
            }
        }
    }

    /// Gives it away, if it is there.
    pub(crate) fn take(self) -> Option<SemaphorePermit<'static>> {
        if let Permit::Mine(permit) = self { permit } else { None }
    }

    /// Whether it is waited for.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self, Permit::Waiting(_))
    }
}
