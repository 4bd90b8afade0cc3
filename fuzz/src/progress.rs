//! How far a search has come.

use std::fmt;
use std::time::Duration;

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
