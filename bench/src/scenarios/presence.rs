//! Many cursors move in one room: how often everybody sees everybody, how old what they see is, and what it costs.

use std::time::{Duration, Instant};

use clap::Parser;
use coscribe_engine::lib0::ReadError;
use coscribe_provider::awareness::{State, decode};
use hdrhistogram::Histogram;
use serde::Serialize;

use super::{broken, room_names, settle};
use crate::crowd::Crowd;
use crate::dialect::{self, Incoming};
use crate::ledger::FIRST_CLIENT;
use crate::limits;
use crate::measure::{Cost, Meter, Times, micros};
use crate::schedule::Schedule;
use crate::servers::Running;

/// The clock of the state that a provider sends when it connects.
const FIRST_CLOCK: u64 = 1;
/// A cursor that was not seen to move for longer is stuck.
const SEEN_OFTEN_ENOUGH: Duration = Duration::from_secs(1);

/// How many cursors move how often.
#[derive(Debug, Clone, Parser, Serialize)]
pub struct Load {
    /// People in the room, with a cursor each
    #[arg(long, default_value_t = 1000)]
    pub cursors: usize,
    /// Moves a second of each
    #[arg(long, default_value_t = 10.0)]
    pub rate: f64,
    /// Measured time
    #[arg(long, default_value_t = 10.0)]
    pub seconds: f64,
    /// Time of moving before that
    #[arg(long, default_value_t = 3.0)]
    pub warm_up: f64,
}

/// The outcome.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Moves that somebody else saw, counted once for each who saw them.
    pub sightings: u64,
    /// Pairs of people of whom one did not see the other move for more than a second.
    pub stuck_pairs: u64,
    /// Between two sightings of the same cursor by the same person, up to the end.
    pub gaps: Times,
    /// From a move to its sighting.
    pub age: Times,
    /// How much of a core the server used.
    pub server_cores: Option<f64>,
    /// Connections that ended during the run.
    pub broken: Option<String>,
    /// The total cost.
    pub cost: Cost,
}

/// What one person has seen of one cursor.
#[derive(Debug, Copy, Clone)]
struct Seen {
    clock: u32,
    at: Instant,
    stuck: bool,
}

#[derive(Debug)]
struct Cursors {
    /// By cursor: when each of its clocks was sent; the first is the one it connected with.
    moved: Vec<Vec<Instant>>,
    /// By person and cursor.
    seen: Vec<Seen>,
    gaps: Histogram<u64>,
    ages: Histogram<u64>,
}

/// Runs it.
///
/// # Errors
/// If the server cannot be reached or is gone at the end.
pub fn run(server: &Running, load: &Load) -> anyhow::Result<Report> {
    let room = room_names(1).remove(0);
    server.prepare([room.as_str()])?;
    let mut crowd = Crowd::new(server.target.clone())?;
    let documents = std::iter::repeat_n(room.as_str(), load.cursors);
    crowd.add_all(documents, FIRST_CLIENT, limits::CONNECT, |_, _, _| {})?;
    settle(&mut crowd, |_, _, _| {})?;
    let mut cursors = Cursors::new(load.cursors);
    let mut schedule = Schedule::new(load.cursors, load.rate);
    schedule.resume(Instant::now());
    cursors.move_for(&mut crowd, &mut schedule, Duration::from_secs_f64(load.warm_up))?;
    cursors.forget(Instant::now());
    let meter = Meter::start(server.process, &crowd)?;
    cursors.move_for(&mut crowd, &mut schedule, Duration::from_secs_f64(load.seconds))?;
    let cost = meter.stop(&crowd)?;
    let stuck_pairs = cursors.stuck_pairs(Instant::now());
    Ok(Report {
        sightings: cursors.ages.len(),
        stuck_pairs,
        gaps: (&cursors.gaps).into(),
        age: (&cursors.ages).into(),
        server_cores: cost.server_cores(),
        broken: broken(&crowd),
        cost,
    })
}

impl Cursors {
    fn new(count: usize) -> Self {
        let now = Instant::now();
        let times =
            || Histogram::new_with_bounds(1, limits::LONGEST_GAP_MICROS, 3).expect("the bounds are sound");
        Self {
            moved: vec![vec![now]; count],
            seen: vec![Seen { clock: 0, at: now, stuck: false }; count * count],
            gaps: times(),
            ages: times(),
        }
    }

    /// Starts to measure anew.
    fn forget(&mut self, now: Instant) {
        self.gaps.reset();
        self.ages.reset();
        for seen in &mut self.seen {
            (seen.at, seen.stuck) = (now, false);
        }
    }

    fn move_for(&mut self, crowd: &mut Crowd, schedule: &mut Schedule, time: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            for _ in 0..limits::MOVES_PER_TURN {
                let Some(cursor) = schedule.due(Instant::now()) else { break };
                let moved = &mut self.moved[cursor];
                let (client, clock) = (FIRST_CLIENT + cursor as u64, FIRST_CLOCK + moved.len() as u64);
                moved.push(Instant::now());
                let json = state(cursor, clock);
                let state = State { client, clock, json: json.as_bytes() };
                crowd.send(cursor, |prefix| dialect::awareness(prefix, [state].into_iter()));
            }
            let mut unreadable = false;
            crowd.turn(schedule.next().min(end), |person, at, message| {
                if let Incoming::Awareness(states) = message {
                    unreadable |= self.see_all(person, states, at).is_err();
                }
            })?;
            anyhow::ensure!(!unreadable, "the server sent a malformed awareness message");
        }
        Ok(())
    }

    fn see_all(&mut self, person: usize, states: &[u8], at: Instant) -> Result<(), ReadError> {
        for state in decode(states)? {
            let State { client, clock, .. } = state?;
            self.see(person, client, clock, at);
        }
        Ok(())
    }

    fn see(&mut self, person: usize, client: u64, clock: u64, at: Instant) {
        let cursor = client.checked_sub(FIRST_CLIENT).and_then(|cursor| usize::try_from(cursor).ok());
        let number = clock.checked_sub(FIRST_CLOCK).and_then(|number| u32::try_from(number).ok());
        let (Some(cursor), Some(number)) = (cursor, number) else { return };
        let Some(&sent) = self.moved.get(cursor).and_then(|moved| moved.get(number as usize)) else { return };
        let seen = &mut self.seen[person * self.moved.len() + cursor];
        if person == cursor || number <= seen.clock {
            return;
        }
        let gap = at.saturating_duration_since(seen.at);
        self.gaps.saturating_record(micros(seen.at, at));
        self.ages.saturating_record(micros(sent, at));
        *seen = Seen { clock: number, at, stuck: seen.stuck || gap > SEEN_OFTEN_ENOUGH };
    }

    /// Counts the pairs that did not see each other often enough, including at the end.
    fn stuck_pairs(&mut self, end: Instant) -> u64 {
        let people = self.moved.len();
        let mut stuck = 0;
        for (_, seen) in self.seen.iter().enumerate().filter(|(pair, _)| pair / people != pair % people) {
            let gap = end.saturating_duration_since(seen.at);
            if gap > SEEN_OFTEN_ENOUGH {
                self.gaps.saturating_record(micros(seen.at, end));
            }
            stuck += u64::from(seen.stuck || gap > SEEN_OFTEN_ENOUGH);
        }
        stuck
    }
}

/// What an editor says of its cursor, as y-codemirror does.
fn state(cursor: usize, clock: u64) -> String {
    let client = FIRST_CLIENT + cursor as u64;
    format!(
        "{{\"user\":{{\"name\":\"Person {cursor}\",\"color\":\"#30bced\"}},\"cursor\":{{\"anchor\":{{\"type\":null,\
         \"tname\":\"text\",\"item\":{{\"client\":{client},\"clock\":{clock}}},\"assoc\":0}}}}}}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_that_is_not_seen_for_more_than_a_second_is_stuck() {
        let mut cursors = Cursors::new(2);
        let start = Instant::now();
        let after = |seconds: f64| start + Duration::from_secs_f64(seconds);
        cursors.forget(start);
        for (number, seconds) in [(1, 0.1), (2, 0.9), (3, 1.7)] {
            cursors.moved[0].push(after(seconds));
            cursors.moved[1].push(after(seconds));
            cursors.see(0, FIRST_CLIENT + 1, FIRST_CLOCK + number, after(seconds + 0.001));
            if number != 2 {
                cursors.see(1, FIRST_CLIENT, FIRST_CLOCK + number, after(seconds + 0.001));
            }
        }
        assert_eq!(cursors.stuck_pairs(after(2.0)), 1);
        assert_eq!(cursors.stuck_pairs(after(3.0)), 2);
        assert_eq!(cursors.ages.len(), 5);
    }

    #[test]
    fn old_news_and_ones_own_cursor_are_no_sightings() {
        let mut cursors = Cursors::new(2);
        let now = Instant::now();
        cursors.moved[1].extend([now, now]);
        for (client, number) in [(1, 2), (1, 1), (1, 2), (1, 3), (0, 0), (9, 1)] {
            cursors.see(0, FIRST_CLIENT + client, FIRST_CLOCK + number, now);
        }
        assert_eq!(cursors.ages.len(), 1);
    }
}
