//! The outcome of an attack, and how it is reported.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::figures::{figure, number, thousands};
use crate::measure::Times;

/// The outcome of an attack.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Report {
    /// It was run.
    Measured(Box<Measured>),
    /// It makes no sense with this server.
    LeftOut {
        /// Why.
        left_out: &'static str,
    },
}

/// What an attack did.
#[derive(Debug, Default, Serialize)]
pub struct Measured {
    /// The server's resident memory before, in MB.
    pub resident_before_mb: Option<f64>,
    /// The most since then, in MB above that.
    pub memory_mb: Option<f64>,
    /// From typing to the delivery, for characters typed during the attack; `None` if it did not get that far.
    pub latency: Option<Times>,
    /// How late the people typed, measured against their schedule.
    pub lateness: Option<Times>,
    /// How much of a core the server used, from the start of the attack until the people had stopped.
    pub server_cores: Option<f64>,
    /// How long something else had the generator's core, in seconds; the attackers share it.
    pub disturbed_seconds: f64,
    /// Until the server was at rest again, in seconds; `None` if it was not in time.
    pub rest_seconds: Option<f64>,
    /// How much time there was, in seconds.
    pub bound_seconds: f64,
    /// Characters that the people typed.
    pub written: u64,
    /// Deliveries of these to others that never came.
    pub missing: u64,
    /// How the server ended.
    pub died: Option<String>,
    /// Connections of the people that ended.
    pub broken: Option<String>,
    /// Why the attackers could not do all that they wanted.
    pub repelled: Option<String>,
    /// How many of their connections the server closed with each code.
    pub closed: BTreeMap<u16, u32>,
    /// How many of them the server let in who may not.
    pub let_in: u32,
}

impl Report {
    /// Whether the server lives, and the people have lost nothing.
    pub fn is_sound(&self) -> bool {
        match self {
            Self::Measured(measured) => measured.faults().is_empty(),
            Self::LeftOut { .. } => true,
        }
    }

    /// The main numbers, for a table with a row for each attack.
    pub fn cell(&self) -> String {
        let measured = match self {
            Self::LeftOut { left_out } => return format!("– ({left_out})"),
            Self::Measured(measured) => measured,
        };
        let mut parts = Vec::from_iter(measured.memory_mb.map(|memory| format!("+{} MB", figure(memory))));
        if let Some(Times { p50_ms, p99_ms, max_ms, .. }) = measured.latency {
            let [p50, p99, max] = [p50_ms, p99_ms, max_ms].map(figure);
            parts.push(format!("p50 {p50}, p99 {p99}, max {max} ms"));
        }
        match measured.rest_seconds {
            Some(seconds) => parts.push(format!("{} s", figure(seconds))),
            None if measured.died.is_none() => {
                parts.push(format!("**not over after {} s**", figure(measured.bound_seconds)));
            }
            None => {}
        }
        parts.extend(measured.faults().iter().map(|fault| format!("**{fault}**")));
        parts.join("; ").replace(['\n', '|'], " ")
    }

    /// A line of the table with [`HEADER`].
    pub fn columns(&self) -> [String; 6] {
        let measured = match self {
            Self::LeftOut { left_out } => {
                let [memory, p50, p99, max, rest] = ["–"; 5].map(str::to_owned);
                return [memory, p50, p99, max, rest, format!("left out: {left_out}")];
            }
            Self::Measured(measured) => measured,
        };
        let times = measured.latency.map(|times| [times.p50_ms, times.p99_ms, times.max_ms]);
        let [p50, p99, max] = times.map_or([None; 3], |times| times.map(Some)).map(number);
        let rest = match measured.rest_seconds {
            Some(seconds) => figure(seconds),
            None if measured.died.is_some() => "–".to_owned(),
            None => "not over".to_owned(),
        };
        [number(measured.memory_mb), p50, p99, max, rest, measured.remarks()]
    }
}

/// The columns of the table with a line for each attack: the server's memory above what it was before, from typing to
/// the delivery, the time until the server was at rest again, and what went wrong.
pub const HEADER: [&str; 6] = ["MB", "p50 ms", "p99 ms", "max ms", "rest s", "result"];

/// One line of that table.
pub fn line(name: &str, [memory, p50, p99, max, rest, result]: &[String; 6]) -> String {
    format!("{name:31} {memory:>6} {p50:>7} {p99:>7} {max:>7} {rest:>8}  {result}")
}

impl Measured {
    /// What the server did wrong, in words.
    fn faults(&self) -> Vec<String> {
        let lost = (self.missing > 0).then(|| format!("{} lost", thousands(self.missing)));
        let died = self.died.as_ref().map(|died| format!("died ({died})"));
        let let_in =
            (self.let_in > 0).then(|| format!("{} let in who may not", thousands(self.let_in.into())));
        [died, let_in, lost, self.broken.clone()].into_iter().flatten().collect()
    }

    fn remarks(&self) -> String {
        let mut remarks = self.faults();
        if remarks.is_empty() {
            remarks.push("nothing lost".to_owned());
        }
        let closed = self.closed.iter().map(|(code, count)| format!("{count} closed with {code}"));
        // A cause that is known need not be reported twice.
        let repelled = self.repelled.clone().filter(|_| self.closed.is_empty());
        let attackers: Vec<String> = repelled.into_iter().chain(closed).collect();
        if !attackers.is_empty() {
            remarks.push(format!("attackers: {}", attackers.join(", ")));
        }
        remarks.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured() -> Measured {
        let latency = Times { count: 60, p50_ms: 0.4, p99_ms: 1.0, max_ms: 12.0 };
        Measured {
            memory_mb: Some(123.0),
            latency: Some(latency),
            bound_seconds: 60.0,
            ..Measured::default()
        }
    }

    fn told(measured: Measured) -> (bool, String) {
        let report = Report::Measured(Box::new(measured));
        (report.is_sound(), report.cell())
    }

    #[test]
    fn an_attack_that_is_over_has_its_numbers() {
        let (sound, cell) = told(Measured { rest_seconds: Some(2.5), ..measured() });
        assert_eq!((sound, &*cell), (true, "+123 MB; p50 0.40, p99 1.0, max 12 ms; 2.5 s"));
    }

    #[test]
    fn what_goes_on_what_is_lost_and_what_died_is_said() {
        let (sound, cell) = told(Measured { missing: 1234, ..measured() });
        assert!(!sound && cell.ends_with("; **not over after 60 s**; **1,234 lost**"), "{cell}");
        let (sound, cell) = told(Measured { died: Some("signal: 6".to_owned()), ..measured() });
        assert!(!sound && cell.ends_with(" ms; **died (signal: 6)**"), "{cell}");
        let (sound, cell) = told(Measured { let_in: 2, ..measured() });
        assert!(!sound && cell.ends_with("; **2 let in who may not**"), "{cell}");
    }

    #[test]
    fn what_the_server_did_to_the_attackers_is_said() {
        let repelled = Some("closed with 1008".to_owned());
        let report = Measured { repelled: repelled.clone(), ..measured() };
        assert_eq!(report.remarks(), "nothing lost; attackers: closed with 1008");
        let report = Measured { repelled, closed: BTreeMap::from([(1008, 2), (1009, 1)]), ..measured() };
        assert_eq!(report.remarks(), "nothing lost; attackers: 2 closed with 1008, 1 closed with 1009");
    }

    #[test]
    fn what_is_left_out_is_no_fault() {
        let report = Report::LeftOut { left_out: "has no documents" };
        assert!(report.is_sound());
        assert_eq!(report.cell(), "– (has no documents)");
        assert_eq!(report.columns()[5], "left out: has no documents");
    }
}
