//! A server is misused, beside people who type in other documents: what it costs the server, and what they notice.
//!
//! Every attack needs a fresh server. First it is planned: documents are written, bytes are made. When the server is at rest, the
//! people come and type. Then comes the strike: everything counts from then on, until the server is at rest again. A server that
//! dies, or is not at rest in time, is a result like any other.

mod attack;
mod attackers;
mod attacks;
mod course;
mod forged;
mod monitor;
mod peer;
mod report;
mod scene;
mod skim;
mod stranger;
mod typists;

pub use attack::Attack;
pub use attacks::{all, find};
pub use report::{HEADER, Measured, Report, line};

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use serde::Serialize;

use self::attackers::{Attackers, Planned};
use self::monitor::ServerMonitor;
use self::typists::{Noticed, Typists};
use crate::limits;
use crate::servers::Running;

/// How often the server is looked at.
const LOOK: Duration = Duration::from_millis(25);
/// The typists type for at least this long.
const SHORTEST: Duration = Duration::from_secs(3);

/// One attack.
#[derive(Debug, Clone, Parser, Serialize)]
pub struct Load {
    /// Its name
    #[arg(long, default_value = "quiet")]
    pub attack: String,
    /// Documents in which people type meanwhile
    #[arg(long, default_value = "10")]
    pub documents: NonZeroUsize,
    /// People in each of them
    #[arg(long, default_value = "5")]
    pub people: NonZeroUsize,
    /// Characters a second that each of them types
    #[arg(long, default_value_t = 4.0)]
    pub rate: f64,
    /// The server should be at rest again after this time, in seconds
    #[arg(long, default_value_t = 60.0)]
    pub bound: f64,
}

/// Runs it, against a server that nobody else uses.
///
/// # Errors
/// If the attack is unknown, or the server cannot be reached although it lives.
pub fn run(server: &mut Running, load: &Load) -> anyhow::Result<Report> {
    let attack = find(&load.attack).with_context(|| format!("no attack is called {}", load.attack))?;
    let mut monitor = ServerMonitor::new(server);
    let attackers = Attackers::begin(attack, &monitor.server().target);
    match plan(&mut monitor, &attackers) {
        Planned::Ready => {}
        Planned::LeftOut(left_out) => return Ok(Report::LeftOut { left_out }),
        Planned::Failed(why) => {
            let died = Some(format!("{}, during the preparation", monitor.died().context(why)?));
            return Ok(Report::Measured(Box::new(Measured { died, ..Measured::default() })));
        }
    }
    strike(&mut monitor, &attackers, load).map(Box::new).map(Report::Measured)
}

/// Waits until the plan is made and the server at rest.
fn plan(monitor: &mut ServerMonitor<'_>, attackers: &Attackers) -> Planned {
    let end = Instant::now() + limits::PLAN;
    let planned = loop {
        monitor.look();
        match attackers.planned(LOOK) {
            Some(planned) => break planned,
            None if monitor.died().is_some() => break Planned::Failed("the server died".to_owned()),
            None if Instant::now() > end => {
                break Planned::Failed(format!("the preparation took more than {:?}", limits::PLAN));
            }
            None => {}
        }
    };
    let made = Instant::now();
    while planned == Planned::Ready && monitor.at_rest_since(made).is_none() && Instant::now() < end {
        std::thread::sleep(LOOK);
        monitor.look();
    }
    if let Planned::Failed(_) = planned {
        monitor.look();
    }
    planned
}

/// Lets the people type while the attackers strike.
fn strike(monitor: &mut ServerMonitor<'_>, attackers: &Attackers, load: &Load) -> anyhow::Result<Measured> {
    let mut typists = Typists::come(monitor.server(), load.documents.get(), load.people.get(), load.rate)?;
    monitor.begin();
    let (start, bound) = (Instant::now(), Duration::from_secs_f64(load.bound));
    attackers.go();
    let (mut struck, mut repelled, mut rest) = (None, None, None);
    while start.elapsed() < bound && monitor.died().is_none() {
        if rest.is_some() && start.elapsed() >= SHORTEST.min(bound) {
            break;
        }
        typists.type_for(LOOK)?;
        monitor.look();
        if struck.is_none()
            && let Some(end) = attackers.struck()
        {
            struck = Some(Instant::now());
            repelled = end.err();
        }
        let at_rest = struck.and_then(|struck| monitor.at_rest_since(struck));
        rest = rest.or(at_rest.filter(|&since| typists.caught_up() >= since));
    }
    let noticed = typists.stop(monitor.died().is_none())?;
    monitor.look();
    let measured = measured(monitor, noticed, rest.map(|rest| rest - start), repelled);
    let (closed, let_in) = (attackers.closed(), attackers.let_in());
    Ok(Measured { bound_seconds: load.bound, closed, let_in, ..measured })
}

fn measured(
    monitor: &ServerMonitor<'_>,
    noticed: Noticed,
    rest: Option<Duration>,
    repelled: Option<String>,
) -> Measured {
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let memory = monitor.memory();
    Measured {
        resident_before_mb: memory.map(|(before, _)| megabytes(before)),
        memory_mb: memory.map(|(before, peak)| megabytes(peak.saturating_sub(before))),
        latency: Some(noticed.latency).filter(|latency| latency.count > 0),
        lateness: Some(noticed.lateness),
        disturbed_seconds: noticed.disturbed_seconds,
        server_cores: monitor.cores(),
        rest_seconds: rest.map(|rest| rest.as_secs_f64()),
        written: noticed.written,
        missing: noticed.missing,
        died: monitor.died().map(str::to_owned),
        broken: noticed.broken,
        repelled,
        ..Measured::default()
    }
}
