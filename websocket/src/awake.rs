//! Time in which this process runs. A process may be stopped, and so may its machine: what peers have sent meanwhile waits in
//! the kernel, and timers are over before any of it is read. So who is waited for is given all of that time again.
//!
//! A pause is seen by whoever first looks at the time after it, since a thread notes twice a second that there is none.

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::thread;
use std::time;

use hyper::rt;
use tokio::time::{Duration, Instant, Sleep, sleep_until};
use tracing::warn;

use crate::limits::{BEAT, LATE};

static CLOCK: LazyLock<Clock> = LazyLock::new(|| {
    // Without the thread no pause is ever seen.
    let beats = thread::Builder::new().name("awake".to_owned()).spawn(beat).is_ok();
    Clock { beat: AtomicU64::new(if beats { 0 } else { u64::MAX }), ..Clock::new() }
});

/// When the process last went on after a pause. When it began to look at the time, if there was none.
pub fn resumed() -> Instant {
    Instant::from_std(CLOCK.origin + Duration::from_nanos(CLOCK.look().resumed))
}

/// The time since then without the pauses of the process. It never goes back.
pub fn since(origin: Instant) -> Duration {
    let paused = Duration::from_nanos(CLOCK.look().paused);
    origin.elapsed().saturating_sub(paused)
}

/// When it will be so long [`since`] then, if there is no further pause.
pub fn after(origin: Instant, time: Duration) -> Instant {
    origin + time + Duration::from_nanos(CLOCK.look().paused)
}

/// The output of a future that is ready within this time, which begins anew after each pause.
pub async fn within<F: Future>(time: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut patience = Patience::until(Instant::now() + time);
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Pin::new(&mut patience).poll(cx).map(|()| None),
    })
    .await
}

/// Notes that the process runs, for ever.
fn beat() {
    let mut told = 0;
    loop {
        thread::sleep(BEAT);
        CLOCK.note(CLOCK.now());
        let paused = CLOCK.paused.load(Ordering::Relaxed);
        if paused > told {
            let seconds = Duration::from_nanos(paused - told) + LATE;
            warn!(
                "the process did not run for {:.1} s: all are given their time again",
                seconds.as_secs_f64()
            );
            told = paused;
        }
    }
}

/// What is known of pauses, in nanoseconds since the origin.
struct Clock {
    origin: time::Instant,
    /// When the process was last known to run.
    beat: AtomicU64,
    /// When the last pause ended.
    resumed: AtomicU64,
    /// How long all pauses were.
    paused: AtomicU64,
    /// Held by who notes a pause.
    noting: Mutex<()>,
}

struct Look {
    resumed: u64,
    paused: u64,
}

impl Clock {
    fn new() -> Clock {
        Clock {
            origin: time::Instant::now(),
            beat: AtomicU64::new(0),
            resumed: AtomicU64::new(0),
            paused: AtomicU64::new(0),
            noting: Mutex::new(()),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn look(&self) -> Look {
        self.look_at(self.now())
    }

    fn look_at(&self, now: u64) -> Look {
        if self.is_late(now) {
            self.note_pause(now);
        }
        Look { resumed: self.resumed.load(Ordering::Relaxed), paused: self.paused.load(Ordering::Relaxed) }
    }

    /// What is known of the last pause is as new as the beat.
    fn is_late(&self, now: u64) -> bool {
        now.saturating_sub(self.beat.load(Ordering::Acquire)) > nanos(LATE)
    }

    fn note_pause(&self, now: u64) {
        let _noting = self.noting.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_late(now) {
            return;
        }
        // Time up to `LATE` after the beat may have been told already: it is not taken back.
        let gap = now - self.beat.load(Ordering::Relaxed);
        self.paused.fetch_add(gap - nanos(LATE), Ordering::Relaxed);
        self.resumed.store(now, Ordering::Relaxed);
        self.beat.fetch_max(now, Ordering::Release);
    }

    /// The process runs.
    fn note(&self, now: u64) {
        self.look_at(now);
        self.beat.fetch_max(now, Ordering::Release);
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A sleep that begins anew after each pause of the process.
pub(crate) struct Patience {
    began: Instant,
    deadline: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Patience {
    pub(crate) fn until(deadline: Instant) -> Patience {
        Patience { began: Instant::now(), deadline, sleep: Box::pin(sleep_until(deadline)) }
    }

    /// Moves the end.
    pub(crate) fn set(&mut self, deadline: Instant) {
        (self.began, self.deadline) = (Instant::now(), deadline);
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }
}

impl Future for Patience {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            let resumed = resumed();
            if resumed > self.began {
                self.deadline = resumed + (self.deadline - self.began);
                self.began = resumed;
            }
            if self.deadline <= Instant::now() {
                return Poll::Ready(());
            }
            let deadline = self.deadline;
            self.sleep.as_mut().reset(deadline);
        }
    }
}

impl rt::Sleep for Patience {}

/// Sleeps of this kind for hyper.
#[derive(Debug)]
pub(crate) struct Timer;

impl rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(Patience::until(Instant::now() + duration))
    }

    fn sleep_until(&self, deadline: time::Instant) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(Patience::until(deadline.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// A clock of which somebody looks at the time, at these seconds.
    fn looked_at(clock: &Clock, seconds: u64) -> (u64, u64) {
        let Look { resumed, paused } = clock.look_at(seconds * SECOND);
        (resumed / SECOND, seconds - paused / SECOND)
    }

    #[test]
    fn a_pause_does_not_count_and_time_never_goes_back() {
        let clock = Clock::new();
        for second in 0..10 {
            clock.note(second * SECOND);
            assert_eq!(looked_at(&clock, second), (0, second));
        }
        let late = LATE.as_secs();
        assert_eq!(looked_at(&clock, 9 + late), (0, 9 + late), "no pause yet");
        assert_eq!(looked_at(&clock, 100), (100, 9 + late), "whoever looks first sees it");
        assert_eq!(looked_at(&clock, 101), (100, 10 + late));
        clock.note(99 * SECOND);
        assert_eq!(looked_at(&clock, 101), (100, 10 + late), "a beat from before the pause is none");
        clock.note(101 * SECOND);
        assert_eq!(looked_at(&clock, 200), (200, 10 + 2 * late));
    }
}
