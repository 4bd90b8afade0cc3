//! The cost of work, and the pauses of long work.
//!
//! The engine has no clock, so it counts *steps*: a block read, an entry of a map found or changed, or
//! [`BYTES_PER_STEP`] bytes checked or copied. A step takes some 5 to 50 ns. Work that can be long is an `async fn` that
//! lends its caller a pause whenever a slice of steps is used up. It waits for nothing else, so it needs no runtime:
//! [`finish`] runs it without a pause.
//!
//! A future is as large as its largest branch and may be copied where it is awaited, so branches that are rarely taken are
//! boxed: a typed character takes 1.2 us instead of 2.0.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crate::limits::COPIED_AT_ONCE;

/// Bytes that are checked or copied in the time of about one step.
pub const BYTES_PER_STEP: usize = 64;

/// Counts steps, and pauses when a slice of them is used up.
#[derive(Debug)]
pub struct Work {
    slice: u64,
    until: u64,
    total: u64,
    longest: u64,
}

impl Default for Work {
    /// Counts, and never pauses.
    fn default() -> Self {
        Self::in_slices(u64::MAX)
    }
}

impl Work {
    /// Pauses after every `slice` steps.
    pub fn in_slices(slice: u64) -> Self {
        Self { slice, until: slice, total: 0, longest: 0 }
    }

    /// The steps that were ever counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The most steps that were ever counted between two pauses.
    pub fn longest(&self) -> u64 {
        self.longest
    }

    /// Counts steps.
    pub(crate) fn count(&mut self, steps: usize) {
        self.total += steps as u64;
    }

    /// Counts a step and the bytes that it copied or checked.
    pub(crate) fn count_bytes(&mut self, bytes: usize) {
        self.count(1 + bytes / BYTES_PER_STEP);
    }

    /// Pauses once if the slice is used up.
    pub(crate) async fn pause(&mut self) {
        if self.total < self.until {
            return;
        }
        self.longest = self.longest.max(self.total - (self.until - self.slice));
        let mut paused = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut paused, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        self.until = self.total.saturating_add(self.slice);
    }
}

/// Drops a map, with pauses. O(entries).
pub(crate) async fn discard<K: Ord, V>(mut map: BTreeMap<K, V>, work: &mut Work) {
    while map.pop_first().is_some() {
        work.count(1);
        work.pause().await;
    }
}

/// Copies bytes, with pauses.
pub(crate) async fn copy(bytes: &[u8], out: &mut Vec<u8>, work: &mut Work) {
    for piece in bytes.chunks(COPIED_AT_ONCE) {
        out.extend_from_slice(piece);
        work.count_bytes(piece.len());
        work.pause().await;
    }
}

/// Runs work to its end without a pause between its slices.
pub fn finish<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(result) = work.as_mut().poll(&mut cx) {
            return result;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_once_for_each_slice() {
        let mut work = Work::in_slices(10);
        let mut pauses = 0;
        let mut long = pin!(async {
            for _ in 0..100 {
                work.count(1);
                work.pause().await;
            }
            (work.total(), work.longest())
        });
        let mut cx = Context::from_waker(Waker::noop());
        let counted = loop {
            match long.as_mut().poll(&mut cx) {
                Poll::Ready(counted) => break counted,
                Poll::Pending => pauses += 1,
            }
        };
        assert_eq!((counted, pauses), ((100, 10), 10));
    }
}
