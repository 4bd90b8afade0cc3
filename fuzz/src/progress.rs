//! How far a search has come, and the line that shows it.

use std::fmt;
use std::time::{Duration, Instant};

use crate::outcome::Coverage;
use coscribe_terminal::say;

/// Counts of a search that goes on, or is over.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// Runs that are over.
    pub runs: u64,
    /// How many of them failed.
    pub failures: u64,
    /// What they tried.
    pub coverage: Coverage,
    /// How long it has taken.
    pub elapsed: Duration,
}

impl Progress {
    /// Counts one run more.
    pub fn add(&mut self, coverage: &Coverage, failed: bool) {
        self.runs += 1;
        self.failures += u64::from(failed);
        self.coverage.extend(coverage);
    }

    /// Runs a second.
    fn rate(&self) -> f64 {
        self.runs as f64 / self.elapsed.as_secs_f64().max(0.001)
    }

    fn coverage_and_failures(&self) -> String {
        let edits = grouped(self.coverage.edits as u64, "edit");
        let pairs = grouped(self.coverage.pairs.len() as u64, "pair");
        let failures = match self.failures {
            0 => "no failure".to_owned(),
            failures => grouped(failures, "failure"),
        };
        format!("{edits}, {pairs} of kind and fault, {failures}")
    }
}

/// Where a search ends, if nobody ends it.
#[derive(Debug, Clone, Copy)]
pub enum Bound {
    /// After so many runs.
    Runs(u64),
    /// After this time.
    Time(Duration),
    /// Never.
    Open,
}

impl Bound {
    /// The nearer bound of what was asked for, as far as that can be told: runs take their time.
    pub fn new(runs: Option<u64>, time: Option<Duration>) -> Self {
        match (time, runs) {
            (Some(time), _) => Self::Time(time),
            (None, Some(runs)) => Self::Runs(runs),
            (None, None) => Self::Open,
        }
    }
}

/// The progress of a search on stderr.
#[derive(Debug)]
pub struct ProgressLine {
    /// What it shows.
    pub progress: Progress,
    start: Instant,
    bound: Bound,
    shown: coscribe_terminal::Progress,
}

impl ProgressLine {
    /// The line of a search that starts now; one that is quiet shows nothing.
    pub fn new(bound: Bound, is_quiet: bool) -> Self {
        let shown = match bound {
            _ if is_quiet => coscribe_terminal::Progress::hidden(),
            Bound::Runs(runs) => coscribe_terminal::Progress::new("run", Some(runs)),
            Bound::Time(time) => coscribe_terminal::Progress::new("second", Some(time.as_secs())),
            Bound::Open => coscribe_terminal::Progress::new("run", None),
        };
        Self { progress: Progress::default(), start: Instant::now(), bound, shown }
    }

    /// Shows the progress, if it is time to.
    pub fn show(&mut self) {
        let (progress, start) = (&mut self.progress, self.start);
        progress.elapsed = start.elapsed();
        match self.bound {
            Bound::Time(_) => self.shown.show(progress.elapsed.as_secs(), || progress.to_string()),
            Bound::Runs(_) | Bound::Open => self.shown.show(progress.runs, || {
                format!("{:.0}/s, {}", progress.rate(), progress.coverage_and_failures())
            }),
        }
    }

    /// Ends the line, and says on stdout how far the search has come in which time.
    pub fn finish(&mut self) {
        self.shown = coscribe_terminal::Progress::hidden();
        self.progress.elapsed = self.start.elapsed();
        say!("{} in {} s", self.progress, self.progress.elapsed.as_secs());
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (runs, rest) = (grouped(self.runs, "run"), self.coverage_and_failures());
        write!(f, "{runs} ({:.0}/s), {rest}", self.rate())
    }
}

/// A count of these, with a comma after every three digits.
fn grouped(number: u64, what: &str) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    format!("{out} {what}{}", if number == 1 { "" } else { "s" })
}
