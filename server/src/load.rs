//! How busy this process is, measured by its processor time, which threads it shares the processors with or not.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The time between two measurements, where anybody asks.
const INTERVAL: Duration = Duration::from_millis(10);

/// The weight of a measurement beside the earlier ones.
const WEIGHT: f32 = 0.25;

/// The share of all processors that the process uses, on average over some forty milliseconds.
#[derive(Debug)]
pub(crate) struct Load {
    processors: f32,
    /// When it was last measured, and the processor time of the process by then, in nanoseconds.
    measured: AtomicU64,
    used: AtomicU64,
    /// The bits of the share.
    share: AtomicU32,
}

impl Load {
    /// Nothing is done yet.
    pub(crate) fn new() -> Load {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Load {
            processors: processors as f32,
            measured: AtomicU64::new(0),
            used: AtomicU64::new(nanos(used())),
            share: AtomicU32::new(0),
        }
    }

    /// The share, 0 to 1. `now` is the time since an origin that is always the same.
    pub(crate) fn share(&self, now: Duration) -> f32 {
        let (now, before) = (nanos(now), self.measured.load(Ordering::Relaxed));
        let passed = now.saturating_sub(before);
        // One of the callers measures.
        let measures = passed >= nanos(INTERVAL)
            && self.measured.compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if measures {
            let used = nanos(used());
            let since = used.saturating_sub(self.used.swap(used, Ordering::Relaxed));
            self.note(since as f32 / passed as f32 / self.processors, passed);
        }
        f32::from_bits(self.share.load(Ordering::Relaxed))
    }

    /// Takes a measurement over so many nanoseconds. Measurements long past count nothing.
    fn note(&self, measured: f32, passed: u64) {
        let before = f32::from_bits(self.share.load(Ordering::Relaxed));
        let intervals = passed as f32 / nanos(INTERVAL) as f32;
        let weight = (WEIGHT * intervals).min(1.0);
        self.share.store((before + (measured - before) * weight).to_bits(), Ordering::Relaxed);
    }
}

/// The processor time of this process so far.
fn used() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        u64::try_from(used.tv_sec).unwrap_or_default(),
        u32::try_from(used.tv_nsec).unwrap_or_default(),
    )
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_what_was_measured_and_forgets_what_is_long_past() {
        let load = Load::new();
        let interval = nanos(INTERVAL);
        for _ in 0..40 {
            load.note(0.8, interval);
        }
        let share = || f32::from_bits(load.share.load(Ordering::Relaxed));
        assert!((share() - 0.8).abs() < 0.01);
        load.note(0.0, interval);
        assert!(share() > 0.5, "a moment of rest changes little");
        load.note(0.1, 100 * interval);
        assert!((share() - 0.1).abs() < 0.01);
    }
}
