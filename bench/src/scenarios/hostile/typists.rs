//! Two people who type in a document of their own, beside the attack.

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

/// Two in one room.
const SHAPE: Shape = Shape { rooms: 1, people: 2, writers: 2 };
/// Time of typing before it counts.
const WARM_UP: Duration = Duration::from_millis(500);

/// The two.
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
    /// Those that the other never got.
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
    /// They come and begin to type, `rate` characters a second each.
    pub(super) fn come(server: &Running, rate: f64) -> anyhow::Result<Self> {
        let room = room_names(1).remove(0);
        server.prepare([room.as_str()])?;
        let mut crowd = Crowd::new(server.target.clone())?;
        crowd.add_all([room.as_str(); 2], FIRST_CLIENT, limits::CONNECT, |_, _, _| {})?;
        settle(&mut crowd, |_, _, _| {})?;
        // Memory is watched elsewhere.
        let mut writing = Writing::new(SHAPE, rate, None, typed as fn(u64, Clock) -> Vec<u8>);
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

    /// The last time at which neither was known to wait for anything.
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
