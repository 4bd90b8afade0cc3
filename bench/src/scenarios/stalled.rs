//! People stop reading while others go on writing: what it costs the server, and whether the others notice.
//!
//! Writers set a value of their own again and again, so that the document stays small while much goes through the room.

use std::time::{Duration, Instant};

use clap::Parser;
use serde::Serialize;

use super::writing::Writing;
use super::{broken, room_names, settle};
use crate::crowd::Crowd;
use crate::dialect::Dialect;
use crate::ledger::{FIRST_CLIENT, Shape};
use crate::limits;
use crate::measure::{Cost, Meter, Times};
use crate::servers::Running;
use crate::updates::set_value;

/// Who stalls, and what the others do.
#[derive(Debug, Clone, Parser, Serialize)]
pub struct Load {
    /// People who stop reading
    #[arg(long, default_value_t = 100)]
    pub readers: usize,
    /// People who go on
    #[arg(long, default_value_t = 10)]
    pub live: usize,
    /// How many of these write
    #[arg(long, default_value_t = 2)]
    pub writers: usize,
    /// Values a second that each of them writes
    #[arg(long, default_value_t = 500.0)]
    pub rate: f64,
    /// Size of a value in bytes
    #[arg(long, default_value_t = 8192)]
    pub value: usize,
    /// Total written while readers stall, in MB
    #[arg(long, default_value_t = 200)]
    pub megabytes: usize,
    /// Time without stalled readers before that, to compare with, in seconds
    #[arg(long, default_value_t = 5.0)]
    pub before: f64,
}

/// The outcome.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Latencies while everybody reads.
    pub latency_before: Times,
    /// Latencies to those who read, while others stall.
    pub latency: Times,
    /// Deliveries that never came, including to those who stalled, once they read again.
    pub missing: u64,
    /// From reading again until they had everything, in seconds.
    pub caught_up_seconds: f64,
    /// Connections that ended during the run.
    pub broken: Option<String>,
    /// The cost while readers stalled.
    pub cost: Cost,
}

/// Runs it.
///
/// # Errors
/// If the server cannot be reached, or takes more memory than a machine should give it.
pub fn run(server: &Running, load: &Load) -> anyhow::Result<Report> {
    let shape = Shape { rooms: 1, people: load.live + load.readers, writers: load.writers.min(load.live) };
    let room = room_names(1).remove(0);
    server.prepare([room.as_str()])?;
    let mut crowd = Crowd::new(server.target.clone())?;
    let live = std::iter::repeat_n(room.as_str(), load.live);
    crowd.add_all(live, FIRST_CLIENT, limits::CONNECT, |_, _, _| {})?;
    settle(&mut crowd, |_, _, _| {})?;

    let mut writing = Writing::new(shape, load.rate, server.process, |client, clock| {
        set_value(client, clock, &client.to_string(), load.value)
    });
    writing.ledger.measure_from(Instant::now(), load.live);
    writing.write_for(&mut crowd, Duration::from_secs_f64(load.before))?;
    let latency_before = writing.ledger.latencies().into();
    // A relay has no document for newcomers.
    let never_sent = match server.target.dialect {
        Dialect::Relay => writing.ledger.written() * load.readers as u64,
        _ => 0,
    };

    for reader in load.live..shape.people {
        crowd.add(&room, FIRST_CLIENT + reader as u64)?;
        while !crowd.is_greeted(reader) && crowd.broken.is_empty() {
            writing.turn(&mut crowd, Instant::now() + Duration::from_millis(1))?;
        }
        crowd.stall(reader);
    }
    let meter = Meter::start(server.process, &crowd)?;
    writing.ledger.measure_from(Instant::now(), load.live);
    let bytes_a_second = load.rate * shape.writers as f64 * load.value as f64;
    writing.write_for(&mut crowd, Duration::from_secs_f64(load.megabytes as f64 * 1e6 / bytes_a_second))?;
    let latency = writing.ledger.latencies().into();
    let cost = meter.stop(&crowd)?;

    (load.live..shape.people).for_each(|reader| crowd.resume(reader));
    let caught_up = writing.drain(&mut crowd, limits::STALLED_QUIET, never_sent)?;
    Ok(Report {
        latency_before,
        latency,
        missing: writing.ledger.missing() - never_sent,
        caught_up_seconds: caught_up.as_secs_f64(),
        broken: broken(&crowd),
        cost,
    })
}
