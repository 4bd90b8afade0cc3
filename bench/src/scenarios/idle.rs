//! People open documents and do nothing: what a connection costs to open, and to have.

use std::time::{Duration, Instant};

use clap::Parser;
use serde::Serialize;

use super::{broken, room_names, settle};
use crate::crowd::Crowd;
use crate::ledger::FIRST_CLIENT;
use crate::limits;
use crate::measure::{Cost, Meter};
use crate::servers::Running;

/// Connections opened and closed beforehand, so that the server's one-time set-up does not count.
const REHEARSAL: usize = 20;

/// How many of them there are.
#[derive(Debug, Clone, Parser, Serialize)]
pub struct Load {
    /// Connections
    #[arg(long, default_value_t = 2000)]
    pub connections: usize,
    /// Rooms that they are spread over
    #[arg(long, default_value_t = 500)]
    pub rooms: usize,
    /// How long to look at the server at rest
    #[arg(long, default_value_t = 10.0)]
    pub seconds: f64,
}

/// The outcome.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Resident memory for each connection, its part of a room included, in kB of 1,000 bytes.
    pub resident_kb_per_connection: Option<f64>,
    /// The server's time to open one, in milliseconds.
    pub cpu_millis_per_connect: Option<f64>,
    /// How much of a core the server uses at rest.
    pub cores_at_rest: Option<f64>,
    /// Connections that ended during the run.
    pub broken: Option<String>,
    /// The cost of connecting.
    pub connecting: Cost,
    /// The cost at rest.
    pub rest: Cost,
}

/// Runs it.
///
/// # Errors
/// If the server cannot be reached or refuses a connection.
pub fn run(server: &Running, load: &Load) -> anyhow::Result<Report> {
    let mut rehearsal = Crowd::new(server.target.clone())?;
    let room = room_names(1).remove(0);
    server.prepare([room.as_str()])?;
    let documents = std::iter::repeat_n(room.as_str(), REHEARSAL);
    rehearsal.add_all(documents, FIRST_CLIENT, limits::CONNECT, |_, _, _| {})?;
    settle(&mut rehearsal, |_, _, _| {})?;

    let rooms = room_names(load.rooms);
    server.prepare(rooms.iter().map(String::as_str))?;
    let mut crowd = Crowd::new(server.target.clone())?;
    let meter = Meter::start(server.process, &crowd)?;
    let documents = rooms.iter().cycle().take(load.connections).map(String::as_str);
    crowd.add_all(documents, FIRST_CLIENT, limits::CONNECT, |_, _, _| {})?;
    settle(&mut crowd, |_, _, _| {})?;
    let connecting = meter.stop(&crowd)?;

    let meter = Meter::start(server.process, &crowd)?;
    let end = Instant::now() + Duration::from_secs_f64(load.seconds);
    while Instant::now() < end {
        crowd.turn(end, |_, _, _| {})?;
    }
    let rest = meter.stop(&crowd)?;
    let connections = load.connections as u64;
    Ok(Report {
        resident_kb_per_connection: connecting.grown_mb().map(|mb| mb * 1e3 / load.connections as f64),
        cpu_millis_per_connect: connecting.cpu_micros_each(connections).map(|micros| micros / 1e3),
        cores_at_rest: rest.server_cores(),
        broken: broken(&crowd),
        connecting,
        rest,
    })
}
