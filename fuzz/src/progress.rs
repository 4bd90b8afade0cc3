//! How far a search has come, and the line that shows it.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::outcome::Coverage;

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
}

/// The progress of a search on stderr: on a terminal always in the same line, elsewhere every ten seconds.
#[derive(Debug)]
pub struct ProgressLine {
    /// What it shows.
    pub progress: Progress,
    start: Instant,
    is_quiet: bool,
    is_terminal: bool,
    shown: Instant,
}

impl ProgressLine {
    /// The line of a search that starts now; one that is quiet shows nothing.
    pub fn new(is_quiet: bool) -> Self {
        let (progress, now) = (Progress::default(), Instant::now());
        Self { progress, start: now, is_quiet, is_terminal: io::stderr().is_terminal(), shown: now }
    }

    /// Shows the progress, if the line has not been renewed for a while.
    pub fn show(&mut self) {
        let interval = if self.is_terminal { Duration::from_millis(200) } else { Duration::from_secs(10) };
        if self.is_quiet || self.shown.elapsed() < interval {
            return;
        }
        (self.shown, self.progress.elapsed) = (Instant::now(), self.start.elapsed());
        let (before, after) = if self.is_terminal { ("\r\x1b[K", "") } else { ("", "\n") };
        // If nobody can read it, the search goes on all the same.
        let _ = write!(io::stderr(), "{before}{}{after}", self.progress);
    }

    /// Clears the line for other output.
    pub fn clear(&self) {
        if self.is_terminal && !self.is_quiet {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }

    /// Ends the line, and says on stdout how far the search has come in which time.
    pub fn finish(&mut self) {
        self.clear();
        self.progress.elapsed = self.start.elapsed();
        println!("{} in {} s", self.progress, self.progress.elapsed.as_secs());
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (runs, edits) = (grouped(self.runs), grouped(self.coverage.edits as u64));
        let rate = self.runs as f64 / self.elapsed.as_secs_f64().max(0.001);
        write!(
            f,
            "{runs} runs ({rate:.0}/s), {edits} edits, {} pairs of kind and fault, ",
            self.coverage.pairs.len()
        )?;
        match self.failures {
            0 => f.write_str("no failure"),
            1 => f.write_str("1 failure"),
            failures => write!(f, "{} failures", grouped(failures)),
        }
    }
}

/// The number with a comma after every three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
