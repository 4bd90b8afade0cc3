//! When each writer writes: all at the same rate, each at its own moment of the period.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::limits;
use crate::measure::micros;

/// A steady beat for a number of writers.
#[derive(Debug)]
pub struct Schedule {
    /// The writers in the order of their moments, with the offset of each in the period.
    turns: Vec<(Duration, usize)>,
    period: Duration,
    start: Instant,
    next: usize,
    lateness: Histogram<u64>,
}

impl Schedule {
    /// `writers` that write `rate` times a second each, at random moments, which are the same in each run.
    ///
    /// # Panics
    /// If there are no writers.
    pub fn new(writers: usize, rate: f64) -> Self {
        assert!(writers > 0, "somebody must write");
        let period = Duration::from_secs_f64(1.0 / rate);
        let mut random = fastrand::Rng::with_seed(writers as u64);
        let mut turns: Vec<_> = (0..writers).map(|writer| (period.mul_f64(random.f64()), writer)).collect();
        turns.sort_unstable();
        let lateness =
            Histogram::new_with_bounds(1, limits::LONGEST_LATENESS_MICROS, 3).expect("the bounds are sound");
        Self { turns, period, start: Instant::now(), next: 0, lateness }
    }

    /// Starts a new period at this time.
    pub fn resume(&mut self, now: Instant) {
        self.start = now;
        self.next = 0;
    }

    /// When the next one writes.
    pub fn next(&self) -> Instant {
        self.start + self.turns[self.next].0
    }

    /// The next writer that is due, if any.
    pub fn due(&mut self, now: Instant) -> Option<usize> {
        let next = self.next();
        if next > now {
            return None;
        }
        self.lateness.saturating_record(micros(next, now));
        let writer = self.turns[self.next].1;
        self.next += 1;
        if self.next == self.turns.len() {
            self.next = 0;
            self.start += self.period;
        }
        Some(writer)
    }

    /// How late writers were asked for, in microseconds.
    pub fn lateness(&self) -> &Histogram<u64> {
        &self.lateness
    }

    /// Starts to record lateness anew.
    pub fn forget_lateness(&mut self) {
        self.lateness.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_writes_once_in_a_period_and_not_before_it_is_time() {
        let mut schedule = Schedule::new(10, 5.0);
        let start = Instant::now();
        schedule.resume(start);
        let mut written = [0; 10];
        for milliseconds in (0..1000).step_by(5) {
            while let Some(writer) = schedule.due(start + Duration::from_millis(milliseconds)) {
                written[writer] += 1;
            }
        }
        assert!(written.iter().all(|times| (4..=5).contains(times)), "{written:?}");
        assert!(schedule.lateness().max() <= 5_010);
    }

    #[test]
    fn a_late_caller_is_told_how_late() {
        let mut schedule = Schedule::new(1, 10.0);
        let start = Instant::now();
        schedule.resume(start);
        let late = schedule.next() + Duration::from_millis(30);
        assert_eq!(schedule.due(late), Some(0));
        assert!((29_900..=30_100).contains(&schedule.lateness().max()));
    }
}
