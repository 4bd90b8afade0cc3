//! How fast a connection may send. A peer that is faster is not read for a while: TCP slows it down, and nothing is lost. A
//! peer that stays too fast is closed.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::Rates;
use crate::limits::{BURST, LONGEST_CHARGE, TOO_FAST_PATIENCE};

/// The rates of one connection, and how much of them is used.
#[derive(Debug)]
pub(crate) struct Pace {
    rates: Rates,
    /// When all messages and bytes so far would have been sent at the full rate.
    messages_until: Instant,
    bytes_until: Instant,
    /// The same for answers.
    answers_until: Instant,
    /// Since when it has been slowed down without a break.
    slowed_since: Option<Instant>,
}

/// What to do after a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Read on.
    GoOn,
    /// Read nothing before that time.
    Wait(Instant),
    /// It has not slowed down for too long.
    Exceeded,
}

impl Pace {
    /// Nothing has been used.
    pub(crate) fn new(rates: Rates, now: Instant) -> Pace {
        Pace { rates, messages_until: now, bytes_until: now, answers_until: now, slowed_since: None }
    }

    /// Counts messages and bytes that have come.
    pub(crate) fn count(&mut self, messages: usize, bytes: usize, now: Instant) -> Verdict {
        if self.messages_until.max(self.bytes_until) <= now {
            self.slowed_since = None;
        }
        let messages = messages as f64 / f64::from(self.rates.messages);
        self.messages_until = self.messages_until.max(now) + Duration::from_secs_f64(messages);
        self.bytes_until = self.bytes_until.max(now) + self.time_for(bytes);
        let until = self.messages_until.max(self.bytes_until);
        if until > now + BURST && now > *self.slowed_since.get_or_insert(now) + TOO_FAST_PATIENCE {
            return Verdict::Exceeded;
        }
        match until.max(self.answers_until) {
            until if until <= now + BURST => Verdict::GoOn,
            until => Verdict::Wait(until - BURST),
        }
    }

    /// Charges bytes of answers that the connection has asked for. It slows down for them, but they are no reason to close
    /// it: to open a large document is nobody's fault.
    pub(crate) fn charge(&mut self, bytes: usize, now: Instant) {
        let until = self.answers_until.max(now) + self.time_for(bytes);
        self.answers_until = until.min(now + LONGEST_CHARGE);
    }

    fn time_for(&self, bytes: usize) -> Duration {
        Duration::from_secs_f64(bytes as f64 / self.rates.bytes as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends `messages` of `bytes` each, `every` so often but no sooner than it may: when it was done, or when it was closed.
    fn run(messages: u32, bytes: usize, every: Duration) -> Result<Duration, Duration> {
        let start = Instant::now();
        let (mut pace, mut now) = (Pace::new(Rates { messages: 100, bytes: 1000 }, start), start);
        for n in 1..=messages {
            match pace.count(1, bytes, now) {
                Verdict::GoOn => {}
                Verdict::Wait(until) => now = until,
                Verdict::Exceeded => return Err(now - start),
            }
            now = now.max(start + every * n);
        }
        Ok(now - start)
    }

    #[test]
    fn who_keeps_to_the_rates_is_not_slowed_down() {
        assert_eq!(run(100_000, 10, Duration::from_millis(10)), Ok(Duration::from_secs(1000)));
        assert_eq!(run(100, 10, Duration::ZERO), Ok(Duration::ZERO), "all of a second at once");
        assert_eq!(run(100, 1000, Duration::from_secs(1)), Ok(Duration::from_secs(100)));
    }

    #[test]
    fn a_burst_takes_the_time_that_it_would_have_taken() {
        let took = run(500, 0, Duration::ZERO).unwrap();
        assert!((3900..=4000).contains(&took.as_millis()), "{took:?}");
        let took = run(5, 1000, Duration::ZERO).unwrap();
        assert!((3900..=4000).contains(&took.as_millis()), "{took:?}");
    }

    #[test]
    fn who_goes_on_for_too_long_is_closed() {
        for (bytes, every) in [(0, Duration::ZERO), (0, Duration::from_millis(9)), (500, Duration::ZERO)] {
            let closed = run(100_000, bytes, every).unwrap_err();
            assert!(closed > TOO_FAST_PATIENCE && closed < Duration::from_secs(25), "{closed:?}");
        }
    }

    #[test]
    fn a_message_larger_than_a_second_is_worth_is_let_through_and_paid_for_later() {
        let start = Instant::now();
        let mut pace = Pace::new(Rates { messages: 100, bytes: 1000 }, start);
        assert_eq!(pace.count(1, 5000, start), Verdict::Wait(start + Duration::from_secs(4)));
        assert_eq!(pace.count(1, 1, start + Duration::from_secs(5)), Verdict::GoOn);
    }

    #[test]
    fn a_frame_with_many_messages_counts_as_many() {
        let start = Instant::now();
        let mut pace = Pace::new(Rates { messages: 100, bytes: 1000 }, start);
        assert_eq!(pace.count(1100, 0, start), Verdict::Wait(start + Duration::from_secs(10)));
    }

    #[test]
    fn answers_slow_down_whoever_asks_and_close_nobody() {
        let start = Instant::now();
        let mut pace = Pace::new(Rates { messages: 100, bytes: 1000 }, start);
        pace.charge(3000, start);
        assert_eq!(pace.count(1, 0, start), Verdict::Wait(start + Duration::from_secs(2)));
        pace.charge(1_000_000, start);
        let wait = pace.count(1, 0, start);
        assert_eq!(wait, Verdict::Wait(start + LONGEST_CHARGE - BURST));
        assert_eq!(pace.count(1, 0, start + LONGEST_CHARGE), Verdict::GoOn);
    }
}
