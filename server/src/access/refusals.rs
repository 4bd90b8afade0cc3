//! How often an address has been refused of late, so that one that comes again and again costs little and is slowed.
//!
//! A refused client hears why on an open WebSocket, because a browser tells pages nothing of a refused handshake. But clients of
//! y-websocket before 3.1 come back at once after that, for ever. So the more refusals an address has behind it, the later its
//! connections are closed; and in the end its handshakes are refused, after which all clients wait longer and longer.
//!
//! The log has the first refusals of an address in a minute, and of the others how many they were: thousands of lines a second
//! would hide everything else, and fill disks.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;
use tracing::info;

use crate::config::network_of;
use crate::limits::{
    REFUSALS_AT_ONCE, REFUSALS_FORGOTTEN, REFUSALS_LOGGED, REFUSALS_LOGGED_WITHIN, REFUSALS_TOLD,
    REFUSED_ADDRESSES,
};

/// The addresses that were refused of late.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    by_address: Mutex<HashMap<IpAddr, Level>>,
}

/// How a refusal is told.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// On an open WebSocket, which is closed at once.
    AtOnce,
    /// On an open WebSocket, which is closed after a while.
    Later,
    /// By refusing the handshake.
    Cheaply,
}

/// Refusals that are not forgotten yet, as they were at a moment, and the log's share of them.
#[derive(Debug, Copy, Clone)]
struct Level {
    refusals: f64,
    at: Instant,
    lines: Lines,
}

/// Lines of the log about one address in one stretch of time.
#[derive(Debug, Copy, Clone)]
struct Lines {
    since: Instant,
    logged: u32,
    left_out: u64,
}

/// What the log has of a refusal.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
enum Line {
    /// A line, and another about those before that have none, if there are any.
    Logged { left_out: u64 },
    /// Nothing.
    LeftOut,
}

impl Lines {
    fn new(now: Instant) -> Lines {
        Lines { since: now, logged: 0, left_out: 0 }
    }

    fn add(&mut self, now: Instant) -> Line {
        let mut left_out = 0;
        if now - self.since >= REFUSALS_LOGGED_WITHIN {
            left_out = self.left_out;
            *self = Lines::new(now);
        }
        if self.logged < REFUSALS_LOGGED {
            self.logged += 1;
            Line::Logged { left_out }
        } else {
            self.left_out += 1;
            Line::LeftOut
        }
    }
}

impl Level {
    fn new(now: Instant) -> Level {
        Level { refusals: 0.0, at: now, lines: Lines::new(now) }
    }

    fn now(&self, now: Instant) -> f64 {
        let forgotten = (now - self.at).div_duration_f64(REFUSALS_FORGOTTEN);
        (self.refusals - forgotten).max(0.0)
    }
}

impl Refusals {
    /// Whether the next refusal of an address is told cheaply.
    pub(crate) fn are_told_cheaply(&self, address: IpAddr, now: Instant) -> bool {
        let by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let level = by_address.get(&network_of(address));
        level.is_some_and(|level| level.now(now) >= f64::from(REFUSALS_TOLD))
    }

    /// Counts one more refusal of an address, and says how it is to be told.
    pub(crate) fn count(&self, address: IpAddr, now: Instant) -> Told {
        let before = self.with_level(address, now, |level| {
            let before = level.now(now);
            // What is over the last bound is not remembered: a guest of the same address is not kept waiting for long.
            level.refusals = (before + 1.0).min(f64::from(REFUSALS_TOLD) + 1.0);
            level.at = now;
            before
        });
        match before {
            before if before < f64::from(REFUSALS_AT_ONCE) => Told::AtOnce,
            before if before < f64::from(REFUSALS_TOLD) => Told::Later,
            _ => Told::Cheaply,
        }
    }

    /// Whether a refusal of an address gets a line in the log. Logs how many before it got none.
    pub(crate) fn is_logged(&self, address: IpAddr, now: Instant) -> bool {
        match self.with_level(address, now, |level| level.lines.add(now)) {
            Line::LeftOut => false,
            Line::Logged { left_out } => {
                if left_out > 0 {
                    info!(%address, "refused {left_out} times more than the log has lines of it");
                }
                true
            }
        }
    }

    fn with_level<T>(&self, address: IpAddr, now: Instant, change: impl FnOnce(&mut Level) -> T) -> T {
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let network = network_of(address);
        if by_address.len() >= REFUSED_ADDRESSES && !by_address.contains_key(&network) {
            by_address.retain(|_, level| level.now(now) > 0.0);
            if by_address.len() >= REFUSED_ADDRESSES {
                by_address.clear();
            }
        }
        change(by_address.entry(network).or_insert_with(|| Level::new(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_an_address_is_refused_the_less_it_is_told_until_it_has_been_quiet() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|address| address.parse().unwrap());
        for n in 0..1000 {
            let expected = match n {
                n if n < REFUSALS_AT_ONCE => Told::AtOnce,
                n if n < REFUSALS_TOLD => Told::Later,
                _ => Told::Cheaply,
            };
            assert_eq!(refusals.count(one, start), expected, "{n}");
        }
        assert_eq!(refusals.count(other, start), Told::AtOnce);
        assert_eq!(refusals.count(one, start + REFUSALS_FORGOTTEN * (REFUSALS_TOLD + 2)), Told::AtOnce);
    }

    #[test]
    fn the_log_has_the_first_refusals_of_a_minute_and_how_many_the_others_were() {
        let (mut lines, start) = (Lines::new(Instant::now()), Instant::now());
        let others = 1000;
        for n in 0..REFUSALS_LOGGED + others {
            let expected = if n < REFUSALS_LOGGED { Line::Logged { left_out: 0 } } else { Line::LeftOut };
            assert_eq!(lines.add(start), expected, "{n}");
        }
        let later = start + REFUSALS_LOGGED_WITHIN;
        assert_eq!(lines.add(later), Line::Logged { left_out: others.into() });
        assert_eq!(lines.add(later), Line::Logged { left_out: 0 });
    }

    #[test]
    fn no_more_addresses_are_remembered_than_may_be() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        for n in 0..2 * u32::try_from(REFUSED_ADDRESSES).unwrap() {
            refusals.count(std::net::Ipv4Addr::from(n).into(), now);
        }
        assert!(refusals.by_address.lock().unwrap().len() <= REFUSED_ADDRESSES);
    }
}
