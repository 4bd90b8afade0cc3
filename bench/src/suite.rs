//! The loads of `make bench`, and the goals that this project has set itself.

use crate::outcome::{Load, Outcome};
use crate::scenarios::{defaults, idle, presence, typing};
use crate::servers::Server;

/// Rates of the sweep, in characters a second of each of 100 people.
pub const SWEEP: [f64; 8] = [1.0, 3.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0];

/// One row of the table.
#[derive(Debug)]
pub struct Row {
    /// What people do.
    pub title: &'static str,
    /// The load for the generator.
    pub load: Load,
    /// Whether only this project's server runs it, because it is far beyond the others.
    pub only_coscribe: bool,
    /// What this project wants to reach.
    pub goal: Option<Goal>,
}

/// What this project wants to reach under a load.
#[derive(Debug)]
pub struct Goal {
    /// In words.
    pub text: &'static str,
    /// Whether an outcome reaches the goal, given the bare relay's outcome; `None` if that is unknown.
    pub is_met: fn(&Outcome, Option<&Outcome>) -> Option<bool>,
}

/// 100 people in a room who type at this rate.
pub fn sweep_load(rate: f64, seconds: f64) -> Load {
    typing(1, 100, None, rate, seconds)
}

/// The rows, each with this measured time.
pub fn rows(seconds: f64) -> Vec<Row> {
    vec![
        row("20 people in a room, 10/s each", typing(1, 20, None, 10.0, seconds))
            .goal("≤ 1.2 × relay's CPU, p99 ≤ 6 ms", |ours, relay| cost_and_p99(ours, relay, 1.2, 6.0)),
        row("100 people in a room, 5/s each", typing(1, 100, None, 5.0, seconds))
            .goal("≤ 0.5 × relay's CPU, p99 ≤ 20 ms", |ours, relay| {
                cost_and_p99(ours, relay, 0.5, 20.0)
            }),
        row("100 people in a room, 80/s each", typing(1, 100, None, 80.0, seconds)).goal(
            "≤ 0.15 µs, p99 ≤ 25 ms, nothing lost",
            |ours, _| {
                typing_is(ours, |report| {
                    Some(report.cpu_micros_per_delivery? <= 0.15 && report.latency.p99_ms <= 25.0)
                })
            },
        ),
        row("100 people in a room, 400/s each", typing(1, 100, None, 400.0, seconds))
            .only_coscribe()
            .goal("keeps up, p99 ≤ 60 ms, nothing lost", |ours, _| {
                typing_is(ours, |report| Some(report.keeps_up() && report.latency.p99_ms <= 60.0))
            }),
        row("300 rooms of 3, one types 10/s", typing(300, 3, Some(1), 10.0, seconds))
            .goal("≤ 2 × relay's CPU, p99 ≤ 6 ms", |ours, relay| cost_and_p99(ours, relay, 2.0, 6.0)),
        row("1 types 20/s, 500 read", typing(1, 501, Some(1), 20.0, seconds))
            .goal("≤ 1.2 × relay's CPU", |ours, relay| cost_and_p99(ours, relay, 1.2, f64::INFINITY)),
        row("a 400 KB document is joined", Load::Join(defaults()))
            .goal("1: ≤ 1.5 ms, 100: ≤ 60 ms", |ours, _| join_is(ours)),
        row("2,000 idle connections in 500 rooms", idle(2_000, 500, seconds))
            .goal("≤ 8 kB, ≤ 0.1 ms CPU per connect", |ours, _| idle_is(ours)),
        row("10,000 idle connections in 2,000 rooms", idle(10_000, 2_000, seconds))
            .goal("≤ 8 kB, ≤ 0.1 ms CPU per connect", |ours, _| idle_is(ours)),
        row("100 cursors in a room, 10/s each", presence(100, seconds)),
        row("1,000 cursors in a room, 10/s each", presence(1_000, seconds)).only_coscribe().goal(
            "below one core, everyone sees everyone once a second",
            |ours, _| match ours {
                Outcome::Presence(report) => Some(report.server_cores? < 1.0 && report.stuck_pairs == 0),
                _ => Some(false),
            },
        ),
        row("100 stalled readers, 200 MB written", Load::Stalled(defaults()))
            .goal("≤ 64 MB more, the others' p99 unchanged", |ours, _| stalled_is(ours)),
        row("5,000 documents opened, written, left", Load::Documents(defaults())),
    ]
}

fn row(title: &'static str, load: Load) -> Row {
    Row { title, load, only_coscribe: false, goal: None }
}

impl Row {
    /// Whether to run it against this server.
    pub fn suits(&self, server: Server) -> bool {
        match self.load {
            Load::Join(_) if server == Server::Relay => false,
            Load::Typing(_) | Load::Join(_) | Load::Idle(_) => {
                !self.only_coscribe || server == Server::Coscribe
            }
            _ if server == Server::CoscribeHocuspocus => false,
            _ => !self.only_coscribe || server == Server::Coscribe,
        }
    }

    fn goal(self, text: &'static str, is_met: fn(&Outcome, Option<&Outcome>) -> Option<bool>) -> Self {
        Self { goal: Some(Goal { text, is_met }), ..self }
    }

    fn only_coscribe(self) -> Self {
        Self { only_coscribe: true, ..self }
    }
}

fn typing(rooms: usize, people: usize, writers: Option<usize>, rate: f64, seconds: f64) -> Load {
    Load::Typing(typing::Load { rooms, people, writers, rate, seconds, ..defaults() })
}

fn idle(connections: usize, rooms: usize, seconds: f64) -> Load {
    Load::Idle(idle::Load { connections, rooms, seconds })
}

fn presence(cursors: usize, seconds: f64) -> Load {
    Load::Presence(presence::Load { cursors, seconds, ..defaults() })
}

fn typing_is(ours: &Outcome, is: impl Fn(&typing::Report) -> Option<bool>) -> Option<bool> {
    let Outcome::Typing(report) = ours else { return Some(false) };
    Some(is(report)? && report.is_complete())
}

fn cost_and_p99(ours: &Outcome, relay: Option<&Outcome>, factor: f64, p99_ms: f64) -> Option<bool> {
    let Some(Outcome::Typing(relay)) = relay else { return None };
    typing_is(ours, |report| {
        let affordable = report.cpu_micros_per_delivery? <= factor * relay.cpu_micros_per_delivery?;
        Some(affordable && report.latency.p99_ms <= p99_ms)
    })
}

fn join_is(ours: &Outcome) -> Option<bool> {
    let Outcome::Join(report) = ours else { return Some(false) };
    Some(report.one.last_ms <= 1.5 && report.many.last_ms <= 60.0 && ours.is_sound())
}

fn idle_is(ours: &Outcome) -> Option<bool> {
    let Outcome::Idle(report) = ours else { return Some(false) };
    Some(
        report.resident_kb_per_connection? <= 8.0 && report.cpu_millis_per_connect? <= 0.1 && ours.is_sound(),
    )
}

fn stalled_is(ours: &Outcome) -> Option<bool> {
    let Outcome::Stalled(report) = ours else { return Some(false) };
    let grown = report.cost.resident_peak_mb? - report.cost.resident_before_mb?;
    // Latencies of a few milliseconds differ by a fifth between two runs of the same thing.
    let unchanged = report.latency.p99_ms <= report.latency_before.p99_ms * 1.2 + 1.0;
    Some(grown <= 64.0 && unchanged && ours.is_sound())
}
