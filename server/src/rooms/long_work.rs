//! Long work takes turns, a slice each. So a task that waits for a processor waits for a slice, and not for a message of many
//! megabytes, however many tasks have such work; and the turns go round among the networks for which the work is done.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::thread;

use coscribe_turns::{Party, Turn, Turns};
use tokio::task::yield_now;

/// The right to do long work: for some tasks at the same time.
pub(crate) struct LongWork(Turns);

impl LongWork {
    /// Half of the processors are for long work, or the only one now and then.
    pub(crate) fn new() -> LongWork {
        LongWork(Turns::new(thread::available_parallelism().map_or(1, usize::from) / 2))
    }

    /// The next turn of a party. The runtime looks at the sockets before it, so that tasks that wait for these come between two
    /// turns, however many tasks want one.
    async fn next(&self, party: Party) -> Turn {
        let turn = self.0.next(party).await;
        yield_now().await;
        turn
    }

    /// Stops between two slices of work until others have had theirs.
    pub(crate) async fn pause(&self, party: Party) {
        drop(self.next(party).await);
    }

    /// Runs work for a party, which pauses after every slice. The first slice, which nearly always is all of it, needs no turn.
    pub(crate) async fn run<T>(&self, party: Party, mut work: Pin<&mut impl Future<Output = T>>) -> T {
        if let Poll::Ready(result) = slice(work.as_mut()) {
            return result;
        }
        loop {
            let _turn = self.next(party).await;
            if let Poll::Ready(result) = slice(work.as_mut()) {
                return result;
            }
        }
    }
}

/// Works until the next pause, which wakes nobody: a turn does.
fn slice<T>(work: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    work.poll(&mut Context::from_waker(Waker::noop()))
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn long_work_goes_on_in_turns_and_short_work_at_once() {
        let turns = LongWork(Turns::new(1));
        let (slices, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let long = || async {
            for _ in 0..10 {
                slices.fetch_add(1, Ordering::Relaxed);
                yield_now().await;
            }
        };
        let short = async {
            // In two rounds, since it is not always first in a round, the others have two slices each at most.
            for _ in 0..5 {
                let before = slices.load(Ordering::Relaxed);
                turns.run(None, pin!(async {})).await;
                yield_now().await;
                most.fetch_max(slices.load(Ordering::Relaxed) - before, Ordering::Relaxed);
            }
        };
        let (one, other) = (pin!(long()), pin!(long()));
        tokio::join!(turns.run(None, one), turns.run(None, other), short);
        assert_eq!(slices.load(Ordering::Relaxed), 20);
        assert!(most.load(Ordering::Relaxed) <= 4);
    }
}
