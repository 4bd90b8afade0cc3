//! People type in rooms, at a steady rate each: how long every character takes to every other person, and what it costs.

use std::time::Duration;

use clap::Parser;
use serde::Serialize;

use super::writing::Writing;
use super::{broken, read_documents, room_names, settle};
use crate::crowd::{Crowd, Target};
use crate::dialect::Dialect;
use crate::ledger::{FIRST_CLIENT, Ledger, Shape};
use crate::limits;
use crate::measure::{Cost, Meter, Times};
use crate::servers::Running;
use crate::updates::typed;

/// Rooms whose document is asked for at the end.
const CHECKED_ROOMS: usize = 20;

/// Who types how much.
#[derive(Debug, Clone, Parser, Serialize)]
pub struct Load {
    /// Rooms
    #[arg(long, default_value_t = 1)]
    pub rooms: usize,
    /// People in each room
    #[arg(long, default_value_t = 20)]
    pub people: usize,
    /// How many of them type [default: all]
    #[arg(long)]
    pub writers: Option<usize>,
    /// Characters a second that each of them types
    #[arg(long, default_value_t = 10.0)]
    pub rate: f64,
    /// Measured time
    #[arg(long, default_value_t = 10.0)]
    pub seconds: f64,
    /// Time of typing before that
    #[arg(long, default_value_t = 2.0)]
    pub warm_up: f64,
    /// How long to wait for deliveries in the end when none comes any more, in seconds
    #[arg(long, default_value_t = 10.0)]
    pub patience: f64,
}

/// The outcome.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Characters typed, warm-up included.
    pub written: u64,
    /// Deliveries in the measured time: characters that reached somebody else.
    pub deliveries: u64,
    /// Those that never came, warm-up included.
    pub missing: u64,
    /// Editors that miss something.
    pub editors_missing: usize,
    /// Clocks that came more than once.
    pub repeated: u64,
    /// Clocks that came and were never written.
    pub foreign: u64,
    /// Characters that the server's document does not have at the end; `None` for a server without documents.
    pub missing_in_documents: Option<u64>,
    /// Connections that ended during the run.
    pub broken: Option<String>,
    /// From typing to the delivery.
    pub latency: Times,
    /// How late the generator typed, measured against its schedule.
    pub lateness: Times,
    /// From the last character typed until the last delivery, in seconds.
    pub behind_seconds: f64,
    /// The server's time for each delivery, in microseconds.
    pub cpu_micros_per_delivery: Option<f64>,
    /// The total cost.
    pub cost: Cost,
}

impl Report {
    /// Whether the last delivery came soon after the last character was typed.
    pub fn keeps_up(&self) -> bool {
        self.missing == 0 && self.behind_seconds < 1.0
    }

    /// Whether everybody got everything, and nothing else.
    pub fn is_complete(&self) -> bool {
        self.missing == 0
            && self.foreign == 0
            && self.missing_in_documents.unwrap_or(0) == 0
            && self.broken.is_none()
    }
}

/// Runs it.
///
/// # Errors
/// If the server cannot be reached or is gone at the end.
pub fn run(server: &Running, load: &Load) -> anyhow::Result<Report> {
    let writers = load.writers.unwrap_or(load.people).min(load.people);
    let shape = Shape { rooms: load.rooms, people: load.people, writers };
    let rooms = room_names(shape.rooms);
    server.prepare(rooms.iter().map(String::as_str))?;
    let mut crowd = Crowd::new(server.target.clone())?;
    let documents = rooms.iter().flat_map(|room| std::iter::repeat_n(room.as_str(), shape.people));
    crowd.add_all(documents, FIRST_CLIENT, limits::CONNECT, |_, _, _| {})?;
    settle(&mut crowd, |_, _, _| {})?;

    let mut writing = Writing::new(shape, load.rate, server.process, typed);
    writing.write_for(&mut crowd, Duration::from_secs_f64(load.warm_up))?;
    let (meter, before) = (Meter::start(server.process, &crowd)?, writing.ledger.delivered());
    writing.measure();
    writing.write_for(&mut crowd, Duration::from_secs_f64(load.seconds))?;
    let behind = writing.drain(&mut crowd, Duration::from_secs_f64(load.patience), 0)?;
    let cost = meter.stop(&crowd)?;
    let Writing { ledger, schedule, .. } = writing;
    let deliveries = ledger.delivered() - before;
    Ok(Report {
        written: ledger.written(),
        deliveries,
        missing: ledger.missing(),
        editors_missing: ledger.missing_by_editor().len(),
        repeated: ledger.repeated(),
        foreign: ledger.foreign(),
        missing_in_documents: missing_in_documents(&server.target, &rooms, &ledger)?,
        broken: broken(&crowd),
        latency: ledger.latencies().into(),
        lateness: schedule.lateness().into(),
        behind_seconds: behind.as_secs_f64(),
        cpu_micros_per_delivery: cost.cpu_micros_each(deliveries),
        cost,
    })
}

/// Asks for some rooms' documents, as somebody who comes later does, and counts what they lack.
fn missing_in_documents(target: &Target, rooms: &[String], ledger: &Ledger) -> anyhow::Result<Option<u64>> {
    if target.dialect == Dialect::Relay {
        return Ok(None);
    }
    let documents = read_documents(target, &rooms[..rooms.len().min(CHECKED_ROOMS)])?;
    let missing = documents.iter().enumerate().map(|(room, document)| ledger.missing_in(room, document));
    Ok(Some(missing.sum()))
}
