//! Hours of people who type, beside others who come and go, paste, don't read and vanish; the server is killed now and then. Whether
//! anything is lost, and whether what the server takes returns to where it was when everybody has left.
//!
//! The time is divided into cycles of load and rest. In the first half of them the server is killed in the middle of some loads and
//! started again on the same data. It lives through the whole second half, so that what grows slowly shows.

mod churn;
mod documents;
mod guest;
mod people;
mod report;
mod vitals;

pub use report::Report;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Parser;
use coscribe_terminal::note;
use serde::Serialize;

use self::churn::Churn;
use self::people::People;
use self::report::Rest;
use self::vitals::Vitals;
use crate::dialect::Dialect;
use crate::limits;
use crate::servers::Running;

/// How long people go on typing between two looks at the time.
const SLICE: Duration = Duration::from_secs(1);
/// How long people type while there is no server: what they write is sent when it is there again.
const OFFLINE: Duration = Duration::from_millis(500);
/// The last part of a rest, in which the server's processor time is measured.
const MEASURED_SHARE: f64 = 0.25;

/// How long, and how much.
#[derive(Debug, Clone, Parser, Serialize)]
pub struct Load {
    /// How long it takes, in minutes
    #[arg(long, default_value_t = 120.0)]
    pub minutes: f64,
    /// Cycles of load and rest
    #[arg(long, default_value_t = 24)]
    pub cycles: u32,
    /// How long the rest of a cycle is, in seconds: longer than the server keeps documents open that nobody uses
    #[arg(long, default_value_t = 60.0)]
    pub rest: f64,
    /// How often the server is killed, in the first half of the cycles
    #[arg(long, default_value_t = 5)]
    pub kills: u32,
    /// Documents in which people type
    #[arg(long, default_value_t = 5)]
    pub documents: usize,
    /// People in each of them
    #[arg(long, default_value_t = 5)]
    pub people: usize,
    /// Characters a second that each of them types
    #[arg(long, default_value_t = 4.0)]
    pub rate: f64,
    /// Time between two looks at the server, in seconds
    #[arg(long, default_value_t = 5.0)]
    pub interval: f64,
    /// Where to write soak.json, soak.md and soak.svg, which are written again after each cycle
    #[arg(long)]
    pub out: Option<PathBuf>,
}

impl Load {
    fn cycle(&self) -> Duration {
        Duration::from_secs_f64(self.minutes * 60.0 / f64::from(self.cycles))
    }

    fn rest(&self) -> Duration {
        Duration::from_secs_f64(self.rest)
    }

    /// Whether the server is killed in a cycle, counted from 1: evenly in the first half of them.
    fn kills_in(&self, cycle: u32) -> bool {
        let half = self.cycles.div_ceil(2);
        (1..=self.kills).any(|kill| (kill * half).div_ceil(self.kills) == cycle)
    }
}

/// Runs it. What goes wrong on the way is in the report.
///
/// # Errors
/// If the server is not this project's, or a cycle has no time for its load; or if results cannot be written.
pub fn run(server: &mut Running, load: &Load) -> anyhow::Result<Report> {
    ensure!(server.target.dialect == Dialect::YWebsocket, "only y-websocket's dialect confirms in a soak");
    server.data().context("a soak kills the server and reads its directory")?;
    ensure!(load.cycles > 0 && load.cycle() > load.rest(), "a cycle is not longer than its rest");
    let mut soak = Soak {
        people: People::new(load.documents, load.people, load.rate),
        churn: Churn::new(),
        report: Report::default(),
        start: Instant::now(),
        looked: None,
        server,
        load,
    };
    let ended = soak.go_on();
    soak.report.complaints.extend(ended.err().map(|error| format!("ended early: {error:#}")));
    soak.finish()?;
    Ok(soak.report)
}

/// A soak under way.
struct Soak<'a> {
    server: &'a mut Running,
    load: &'a Load,
    people: People,
    churn: Churn,
    report: Report,
    start: Instant,
    /// When the server was looked at last.
    looked: Option<Instant>,
}

impl Soak<'_> {
    fn go_on(&mut self) -> anyhow::Result<()> {
        for cycle in 1..=self.load.cycles {
            let killed = self.load.kills_in(cycle);
            self.work(self.start + self.load.cycle() * cycle - self.load.rest(), killed)?;
            self.rest(cycle, killed)?;
            self.note_books();
            self.write()?;
        }
        self.churn.check(&self.server.target)?;
        self.report.missing_in_documents = self.people.missing_in_documents(&self.server.target)?;
        Ok(())
    }

    /// Everybody comes, works until `end`, and leaves.
    fn work(&mut self, end: Instant, killed: bool) -> anyhow::Result<()> {
        self.come()?;
        if killed {
            let now = Instant::now();
            self.type_until(now + end.saturating_duration_since(now) / 2)?;
            self.kill()?;
            self.come()?;
        }
        self.type_until(end)?;
        let wrong = self.people.leave()?;
        self.report.complaints.extend(wrong);
        self.churn.stop();
        Ok(())
    }

    fn come(&mut self) -> anyhow::Result<()> {
        self.people.come(&self.server.target)?;
        self.churn.start(&self.server.target);
        Ok(())
    }

    fn type_until(&mut self, end: Instant) -> anyhow::Result<()> {
        while Instant::now() < end {
            self.people.type_for(SLICE.min(end.saturating_duration_since(Instant::now())))?;
            self.look_now_and_then()?;
        }
        Ok(())
    }

    /// Kills the server while everybody is at work, and starts it again.
    fn kill(&mut self) -> anyhow::Result<()> {
        self.report.complaints.extend(self.people.sent_away());
        self.churn.doom();
        self.server.kill();
        self.report.kills.push(self.minute());
        self.people.type_for(OFFLINE)?;
        self.churn.stop();
        self.server.start_again()
    }

    /// Nobody is there for a while; then the server is looked at.
    fn rest(&mut self, cycle: u32, killed: bool) -> anyhow::Result<()> {
        let (from_minute, end) = (self.minute(), Instant::now() + self.load.rest());
        self.look_until(end - self.load.rest().mul_f64(MEASURED_SHARE))?;
        let process = self.server.process.context("the server's process is not known")?;
        let (measured_from, cpu) = (Instant::now(), process.cpu()?);
        self.look_until(end)?;
        let vitals = self.evicted()?;
        let ran = process.cpu()?.saturating_sub(cpu);
        let cores_at_rest = ran.as_secs_f64() / measured_from.elapsed().as_secs_f64();
        let latency = self.people.latency();
        let rest = Rest { cycle, killed, from_minute, vitals, cores_at_rest, latency };
        note!("{}", rest.line());
        self.report.rests.push(rest);
        Ok(())
    }

    fn look_until(&mut self, end: Instant) -> anyhow::Result<()> {
        while Instant::now() < end {
            std::thread::sleep(SLICE.min(end.saturating_duration_since(Instant::now())));
            self.look_now_and_then()?;
        }
        Ok(())
    }

    /// Looks at the server when no document is open any more.
    fn evicted(&mut self) -> anyhow::Result<Vitals> {
        let end = Instant::now() + limits::EVICTED;
        loop {
            let vitals = self.look()?;
            if vitals.rooms == 0 {
                return Ok(vitals);
            }
            ensure!(Instant::now() < end, "{} documents stay open when everybody has left", vitals.rooms);
            std::thread::sleep(SLICE);
        }
    }

    fn look_now_and_then(&mut self) -> anyhow::Result<()> {
        if let Some(how) = self.server.ended() {
            bail!("the server died: {how}");
        }
        let interval = Duration::from_secs_f64(self.load.interval);
        if self.looked.is_none_or(|looked| looked.elapsed() >= interval) {
            self.look()?;
        }
        Ok(())
    }

    fn look(&mut self) -> anyhow::Result<Vitals> {
        let vitals = Vitals::take(self.server, self.minute())?;
        self.looked = Some(Instant::now());
        self.report.samples.push(vitals);
        Ok(vitals)
    }

    fn minute(&self) -> f64 {
        (self.start.elapsed().as_secs_f64() / 60.0 * 1e3).round() / 1e3
    }

    /// Copies what people and churners know into the report.
    fn note_books(&mut self) {
        let Self { report, people, churn, .. } = self;
        (report.written, report.missing, report.lost_characters) =
            (people.written(), people.missing(), people.lost);
        (report.churn, report.lost_values, report.faults) = (churn.counts(), churn.lost(), churn.faults());
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        self.churn.doom();
        self.churn.stop();
        self.note_books();
        self.report.judge(&self.server.log()?);
        self.write()
    }

    fn write(&self) -> anyhow::Result<()> {
        self.load.out.as_ref().map_or(Ok(()), |out| self.report.write(out))
    }
}

#[cfg(test)]
mod tests {
    use super::super::defaults;
    use super::*;

    #[test]
    fn the_server_is_killed_in_the_first_half_and_lives_through_the_second() {
        let killed = |load: Load| (1..=load.cycles).filter(|&cycle| load.kills_in(cycle)).collect::<Vec<_>>();
        assert_eq!(killed(defaults()), [3, 5, 8, 10, 12]);
        assert_eq!(killed(Load { cycles: 2, kills: 1, ..defaults() }), [1]);
        assert_eq!(killed(Load { kills: 0, ..defaults() }), [0; 0]);
    }
}
