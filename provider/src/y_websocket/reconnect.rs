//! When y-websocket connects, and when it gives a connection up.
//!
//! After the `n`th failure in a row it waits for `min(2^n · 100, 2500)` ms. Each connection that ends counts as a failure, and the
//! first SyncStep2 of one ends the row. (2.x ends it when the socket opens.) Close codes 4400 to 4499 stop it for good. A
//! connection on which no message has come for 30 s is given up; WebSocket pings don't count.

use std::ops::Range;
use std::time::Duration;

/// Twice the time after the first failure.
const UNIT: Duration = Duration::from_millis(100);
/// The longest time until it tries again.
const LONGEST: Duration = Duration::from_millis(2500);
/// How long a connection may bring no message.
const SILENCE: Duration = Duration::from_secs(30);
/// Close codes by which a server says that it is pointless to come back.
const FINAL: Range<u16> = 4400..4500;

/// Something to do about the connection.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Step {
    /// Open one.
    Connect,
    /// Give it up: nothing comes.
    Close,
}

#[derive(Debug, Copy, Clone, PartialEq, Eq)]
enum State {
    /// Not before this time.
    Waiting(Duration),
    Connecting,
    /// A message has come at this time, or the connection was opened.
    Open(Duration),
    Stopped,
}

/// The connections of one document, one after the other.
#[derive(Debug)]
pub struct Reconnect {
    state: State,
    /// Connections that have ended since the last one that was synced.
    failures: u32,
}

impl Reconnect {
    /// The first connection is due at once.
    pub fn new(now: Duration) -> Self {
        Self { state: State::Waiting(now), failures: 0 }
    }

    /// What is due, once.
    pub fn step(&mut self, now: Duration) -> Option<Step> {
        if self.next_step().is_none_or(|due| now < due) {
            return None;
        }
        if matches!(self.state, State::Waiting(_)) {
            self.state = State::Connecting;
            return Some(Step::Connect);
        }
        self.end(now);
        Some(Step::Close)
    }

    /// When [`Self::step`] has something to do, if nothing else happens.
    pub fn next_step(&self) -> Option<Duration> {
        match self.state {
            State::Waiting(until) => Some(until),
            State::Open(heard) => Some(heard + SILENCE),
            State::Connecting | State::Stopped => None,
        }
    }

    /// The connection is open.
    pub fn opened(&mut self, now: Duration) {
        self.state = State::Open(now);
    }

    /// A message has come.
    pub fn heard(&mut self, now: Duration) {
        if let State::Open(heard) = &mut self.state {
            *heard = now;
        }
    }

    /// The server has answered with what it has.
    pub fn synced(&mut self) {
        self.failures = 0;
    }

    /// The connection has ended, or could not be opened. The code is that of the server's Close frame, if there was one.
    pub fn closed(&mut self, code: Option<u16>, now: Duration) {
        self.end(now);
        if code.is_some_and(|code| FINAL.contains(&code)) {
            self.state = State::Stopped;
        }
    }

    /// Whether the server has said that it is pointless to come back.
    pub fn is_stopped(&self) -> bool {
        self.state == State::Stopped
    }

    fn end(&mut self, now: Duration) {
        self.failures = self.failures.saturating_add(1);
        let wait = 2u32.checked_pow(self.failures).map_or(LONGEST, |factor| UNIT.saturating_mul(factor));
        self.state = State::Waiting(now + wait.min(LONGEST));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(7);

    /// Connections that fail one after the other; gives how long it waits after each.
    fn waits(reconnect: &mut Reconnect, now: &mut Duration, connections: usize) -> Vec<u128> {
        let mut waits = Vec::new();
        for _ in 0..connections {
            reconnect.closed(None, *now);
            let due = reconnect.next_step().unwrap();
            assert_eq!(reconnect.step(due - Duration::from_millis(1)), None);
            assert_eq!(reconnect.step(due), Some(Step::Connect));
            assert_eq!(reconnect.step(due), None, "once");
            waits.push((due - *now).as_millis());
            *now = due;
        }
        waits
    }

    #[test]
    fn it_connects_at_once_and_after_failures_later_and_later() {
        let (mut reconnect, mut now) = (Reconnect::new(START), START);
        assert_eq!(reconnect.step(now), Some(Step::Connect));
        assert_eq!(waits(&mut reconnect, &mut now, 6), [200, 400, 800, 1600, 2500, 2500]);
        assert_eq!(waits(&mut reconnect, &mut now, 40)[39], 2500);
    }

    #[test]
    fn only_a_connection_that_was_synced_ends_the_row_of_failures() {
        let (mut reconnect, mut now) = (Reconnect::new(START), START);
        reconnect.step(now);
        waits(&mut reconnect, &mut now, 3);
        reconnect.opened(now);
        assert_eq!(waits(&mut reconnect, &mut now, 1), [1600]);
        reconnect.opened(now);
        reconnect.synced();
        assert_eq!(waits(&mut reconnect, &mut now, 2), [200, 400]);
    }

    #[test]
    fn a_connection_that_brings_nothing_for_thirty_seconds_is_given_up() {
        let mut reconnect = Reconnect::new(START);
        reconnect.step(START);
        assert_eq!(reconnect.next_step(), None, "how long it may take to open is the line's affair");
        reconnect.opened(START);
        let later = START + Duration::from_secs(29);
        assert_eq!(reconnect.step(later), None);
        reconnect.heard(later);
        assert_eq!(reconnect.step(later + Duration::from_secs(29)), None);
        let silent = later + SILENCE;
        assert_eq!(reconnect.step(silent), Some(Step::Close));
        assert_eq!(reconnect.next_step(), Some(silent + 2 * UNIT));
    }

    #[test]
    fn a_server_can_say_that_it_is_pointless_to_come_back() {
        for (code, stops) in [(4399, false), (4400, true), (4499, true), (4500, false), (1013, false)] {
            let mut reconnect = Reconnect::new(START);
            reconnect.step(START);
            reconnect.opened(START);
            reconnect.closed(Some(code), START);
            assert_eq!((reconnect.is_stopped(), reconnect.next_step().is_none()), (stops, stops), "{code}");
        }
    }
}
