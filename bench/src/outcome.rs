//! Loads and their outcomes, in the forms in which they are reported: JSON, lines, and the cells of a table.

use clap::Subcommand;
use serde::Serialize;

use crate::figures::{figure, number, thousands};
use crate::measure::{Cost, Times};
use crate::scenarios::{documents, hostile, idle, join, presence, soak, stalled, typing};
use crate::servers::Running;

/// A generator that is busier than this measures itself.
const AT_ITS_LIMIT: f64 = 0.95;
/// A machine is not quiet if something else has the generator's core for a larger part of the time.
const NOT_QUIET: f64 = 0.02;

/// A scenario and its size.
#[derive(Debug, Clone, Subcommand, Serialize)]
#[serde(tag = "scenario", rename_all = "kebab-case")]
pub enum Load {
    /// People type in rooms: the latency of every delivery, and what it costs
    Typing(typing::Load),
    /// A document is opened by one and by many at once, also after a restart
    Join(join::Load),
    /// People open documents and do nothing
    Idle(idle::Load),
    /// People stop reading while others write
    Stalled(stalled::Load),
    /// Many cursors move in one room
    Presence(presence::Load),
    /// Many small documents are opened, written in and left
    Documents(documents::Load),
    /// People come and go for hours, and the server is killed now and then: whether what it takes returns to where it was
    Soak(soak::Load),
    /// Somebody misuses the server while two others type
    #[command(skip)]
    Hostile(hostile::Load),
}

/// The outcome of a load.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Outcome {
    /// People typed.
    Typing(typing::Report),
    /// People joined.
    Join(Box<join::Report>),
    /// People did nothing.
    Idle(idle::Report),
    /// People stalled.
    Stalled(stalled::Report),
    /// People moved their cursors.
    Presence(presence::Report),
    /// People visited documents.
    Documents(documents::Report),
    /// People came and went for hours.
    Soak(Box<soak::Report>),
    /// People typed beside an attack.
    Hostile(hostile::Report),
    /// The scenario ended early.
    Failed {
        /// Why.
        error: String,
    },
}

impl Load {
    /// Runs it against a server.
    pub fn run(&self, server: &mut Running) -> Outcome {
        let outcome = match self {
            Self::Typing(load) => typing::run(server, load).map(Outcome::Typing),
            Self::Join(load) => join::run(server, load).map(Box::new).map(Outcome::Join),
            Self::Idle(load) => idle::run(server, load).map(Outcome::Idle),
            Self::Stalled(load) => stalled::run(server, load).map(Outcome::Stalled),
            Self::Presence(load) => presence::run(server, load).map(Outcome::Presence),
            Self::Documents(load) => documents::run(server, load).map(Outcome::Documents),
            Self::Soak(load) => soak::run(server, load).map(Box::new).map(Outcome::Soak),
            Self::Hostile(load) => hostile::run(server, load).map(Outcome::Hostile),
        };
        outcome.unwrap_or_else(|error| Outcome::Failed { error: format!("{error:#}") })
    }
}

impl Outcome {
    /// Whether nothing was lost and no connection ended.
    pub fn is_sound(&self) -> bool {
        match self {
            Self::Typing(report) => report.is_complete(),
            Self::Join(report) => {
                let later = [&report.one_after_restart, &report.many_after_restart].into_iter().flatten();
                [&report.one, &report.many].into_iter().chain(later).all(|round| round.incomplete == 0)
            }
            Self::Idle(report) => report.broken.is_none(),
            Self::Stalled(report) => report.missing == 0 && report.broken.is_none(),
            Self::Presence(report) => report.broken.is_none(),
            Self::Documents(report) => {
                let incomplete = [report.incomplete, report.incomplete_after_restart];
                incomplete.into_iter().flatten().all(|count| count == 0) && report.broken.is_none()
            }
            Self::Soak(report) => report.is_sound(),
            Self::Hostile(report) => report.is_sound(),
            Self::Failed { .. } => false,
        }
    }

    /// The main numbers, for a table.
    pub fn cell(&self) -> String {
        let faults = self.faults();
        let numbers = match self {
            Self::Typing(report) => typing_cell(report),
            Self::Join(report) => join_cell(report),
            Self::Idle(report) => format!(
                "{} kB; {} ms CPU per connect; at rest {} % of a core",
                number(report.resident_kb_per_connection),
                number(report.cpu_millis_per_connect),
                number(report.cores_at_rest.map(|cores| cores * 100.0)),
            ),
            Self::Stalled(report) => format!(
                "+{} MB; p99 {} → {} ms",
                number(
                    report
                        .cost
                        .resident_peak_mb
                        .zip(report.cost.resident_before_mb)
                        .map(|(peak, before)| peak - before)
                ),
                figure(report.latency_before.p99_ms),
                figure(report.latency.p99_ms),
            ),
            Self::Presence(report) => format!(
                "{} of a core; gaps p99 {} ms; {} pairs stuck",
                number(report.server_cores),
                figure(report.gaps.p99_ms),
                thousands(report.stuck_pairs)
            ),
            Self::Documents(report) => format!(
                "{} ms CPU; {} kB left, {} after rest",
                number(report.cpu_millis_per_document),
                number(report.resident_kb_per_document),
                number(report.resident_kb_per_document_after_rest),
            ),
            Self::Soak(report) => return report.cell(),
            Self::Hostile(report) => return report.cell(),
            Self::Failed { error } => error.replace(['\n', '|'], " "),
        };
        if faults.is_empty() { numbers } else { format!("{numbers}; **{}**", faults.join(", ")) }
    }

    /// The outcome of an attack, as a line of a table.
    pub fn line(&self, attack: &str) -> String {
        match self {
            Self::Hostile(report) => hostile::line(attack, &report.columns()),
            other => {
                let [memory, p50, p99, max, rest] = ["–"; 5].map(str::to_owned);
                hostile::line(attack, &[memory, p50, p99, max, rest, other.cell()])
            }
        }
    }

    /// What went wrong, in words.
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if let Some(cost) = self.cost() {
            if cost.generator_busy > AT_ITS_LIMIT {
                faults.push("the generator is at its limit".to_owned());
            }
            if cost.disturbed > NOT_QUIET {
                faults.push(format!("disturbed {} % of the time", figure(cost.disturbed * 100.0)));
            }
        }
        let mut note = |count: u64, what: &str| {
            if count > 0 {
                faults.push(format!("{} {what}", thousands(count)));
            }
        };
        match self {
            Self::Typing(report) => {
                note(report.missing, "lost");
                note(report.missing_in_documents.unwrap_or(0), "not in the document");
                note(report.foreign, "never written");
            }
            Self::Join(report) => {
                let rounds = [Some(&report.one), Some(&report.many)].into_iter();
                let later = [report.one_after_restart.as_ref(), report.many_after_restart.as_ref()];
                let rounds = rounds.chain(later).flatten();
                note(rounds.map(|round| round.incomplete as u64).sum(), "incomplete");
            }
            Self::Stalled(report) => note(report.missing, "lost"),
            Self::Documents(report) => {
                note(report.incomplete.unwrap_or(0) as u64, "incomplete");
                note(report.incomplete_after_restart.unwrap_or(0) as u64, "incomplete after a restart");
            }
            Self::Idle(_) | Self::Presence(_) | Self::Soak(_) | Self::Hostile(_) | Self::Failed { .. } => {}
        }
        let broken = match self {
            Self::Typing(report) => &report.broken,
            Self::Idle(report) => &report.broken,
            Self::Stalled(report) => &report.broken,
            Self::Presence(report) => &report.broken,
            Self::Documents(report) => &report.broken,
            Self::Join(_) | Self::Soak(_) | Self::Hostile(_) | Self::Failed { .. } => &None,
        };
        faults.extend(broken.iter().map(|broken| broken.replace('|', " ")));
        faults
    }

    /// What was measured, where latencies depend on the generator.
    fn cost(&self) -> Option<&Cost> {
        match self {
            Self::Typing(report) => Some(&report.cost),
            Self::Join(report) => Some(&report.many.cost),
            Self::Stalled(report) => Some(&report.cost),
            Self::Presence(report) => Some(&report.cost),
            Self::Idle(_) | Self::Documents(_) | Self::Soak(_) | Self::Hostile(_) | Self::Failed { .. } => {
                None
            }
        }
    }

    /// Every number on a line of its own; of a soak, what it took at each rest.
    pub fn lines(&self) -> String {
        if let Self::Soak(report) = self {
            return report.markdown();
        }
        let mut lines = Vec::new();
        flatten("", &serde_json::to_value(self).unwrap_or_default(), &mut lines);
        let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        lines.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
    }
}

fn typing_cell(report: &typing::Report) -> String {
    let Times { p50_ms, p99_ms, .. } = report.latency;
    let mut cell = format!(
        "{} µs; p50 {} ms, p99 {} ms",
        number(report.cpu_micros_per_delivery),
        figure(p50_ms),
        figure(p99_ms)
    );
    if report.behind_seconds > 1.0 {
        cell += &format!("; {} s behind", figure(report.behind_seconds));
    }
    cell
}

fn join_cell(report: &join::Report) -> String {
    let last = |round: &join::Round| match round.last_ms {
        never if never.is_nan() => format!("{}: never", round.joiners),
        last_ms => format!("{}: {} ms", round.joiners, figure(last_ms)),
    };
    let pair = |one, many| format!("{}, {}", last(one), last(many));
    let warm = pair(&report.one, &report.many);
    match (&report.one_after_restart, &report.many_after_restart) {
        (Some(one), Some(many)) => format!("{warm}; after a restart {}", pair(one, many)),
        _ => warm,
    }
}

fn flatten(name: &str, value: &serde_json::Value, lines: &mut Vec<(String, String)>) {
    use serde_json::Value;
    match value {
        Value::Object(members) => {
            for (member, value) in members {
                let name = if name.is_empty() { member.clone() } else { format!("{name}.{member}") };
                flatten(&name, value, lines);
            }
        }
        Value::Null => {}
        Value::Number(number) if !number.is_u64() => {
            lines.push((name.to_owned(), format!("{:.3}", number.as_f64().unwrap_or(f64::NAN))));
        }
        Value::String(text) => lines.push((name.to_owned(), text.clone())),
        other => lines.push((name.to_owned(), other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_never_sound() {
        let outcome = Outcome::Failed { error: "no | server".to_owned() };
        assert!(!outcome.is_sound());
        assert_eq!(outcome.cell(), "no   server");
        assert_eq!(outcome.lines(), "error  no | server\n");
    }
}
