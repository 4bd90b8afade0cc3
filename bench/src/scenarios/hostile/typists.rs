//! People who type in documents of their own, beside the attack.

use std::iter;
use std::time::{Duration, Instant};

use coscribe_engine::update::Clock;

use super::super::writing::Writing;
use super::super::{broken, room_names, settle};
use crate::crowd::Crowd;
use crate::ledger::{FIRST_CLIENT, Shape};
use crate::limits;
use crate::measure::Times;
use crate::process::kept_waiting;
use crate::servers::Running;
use crate::updates::typed;

/// Time of typing before it counts.
const WARM_UP: Duration = Duration::from_millis(500);

/// All of them.
pub(super) struct Typists {
    crowd: Crowd,
    writing: Writing<fn(u64, Clock) -> Vec<u8>>,
    caught_up: Instant,
    kept_waiting: Duration,
}

/// What they noticed.
#[derive(Debug)]
pub(super) struct Noticed {
    /// Characters that they typed.
    pub(super) written: u64,
    /// Deliveries of these to others that never came.
    pub(super) missing: u64,
    /// From typing to the delivery.
    pub(super) latency: Times,
    /// How late they typed, measured against their schedule.
    pub(super) lateness: Times,
    /// How long something else had their core, in seconds.
    pub(super) disturbed_seconds: f64,
    /// Connections of theirs that ended.
    pub(super) broken: Option<String>,
}

impl Typists {
    /// So many in each of so many documents come and begin to type, `rate` characters a second each.
    pub(super) fn come(server: &Running, documents: usize, people: usize, rate: f64) -> anyhow::Result<Self> {
        let rooms = room_names(documents);
        server.prepare(rooms.iter().map(String::as_str))?;
        let mut crowd = Crowd::new(server.target.clone())?;
        let places = rooms.iter().flat_map(|room| iter::repeat_n(room.as_str(), people));
        crowd.add_all(places, FIRST_CLIENT, limits::CONNECT, |_, _, _| {})?;
        settle(&mut crowd, |_, _, _| {})?;
        // Memory is watched elsewhere.
        let mut writing = Writing::new(
            Shape { rooms: documents, people, writers: people },
            rate,
            None,
            typed as fn(u64, Clock) -> Vec<u8>,
        );
        writing.write_for(&mut crowd, WARM_UP)?;
        writing.measure();
        Ok(Self { crowd, writing, caught_up: Instant::now(), kept_waiting: kept_waiting()? })
    }

    /// They type for some time.
    pub(super) fn type_for(&mut self, time: Duration) -> anyhow::Result<()> {
        self.writing.go_on_for(&mut self.crowd, time)?;
        if self.writing.ledger.missing() == 0 {
            self.caught_up = Instant::now();
        }
        Ok(())
    }

    /// The last time at which none of them was known to wait for anything.
    pub(super) fn caught_up(&self) -> Instant {
        self.caught_up
    }

    /// They wait for deliveries under way if the server `is_alive`.
    pub(super) fn stop(mut self, is_alive: bool) -> anyhow::Result<Noticed> {
        let disturbed = kept_waiting()?.saturating_sub(self.kept_waiting);
        if is_alive {
            self.writing.drain(&mut self.crowd, limits::TYPISTS_QUIET, 0)?;
        }
        let Writing { ledger, schedule, .. } = &self.writing;
        Ok(Noticed {
            written: ledger.written(),
            missing: ledger.missing(),
            latency: ledger.latencies().into(),
            lateness: schedule.lateness().into(),
            disturbed_seconds: disturbed.as_secs_f64(),
            broken: broken(&self.crowd),
        })
    }
}
