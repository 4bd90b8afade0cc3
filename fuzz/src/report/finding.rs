//! A finding of a search.

use crate::outcome::{Failure, Timeline};
use crate::scenario::Scenario;

/// A scenario that fails, with its failure.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The scenario.
    pub scenario: Scenario,
    /// The failure.
    pub failure: Failure,
    /// The messages and events of the run.
    pub timeline: Timeline,
}

impl Finding {
    /// Its name: the promise that is broken, and the seed.
    pub fn name(&self) -> String {
        format!("{}-{}", hyphenated(&format!("{:?}", self.failure.oracle)), self.scenario.seed)
    }
}

/// `StateVector` as `state-vector`.
fn hyphenated(name: &str) -> String {
    let mut out = String::new();
    for (place, char) in name.chars().enumerate() {
        if place > 0 && char.is_uppercase() {
            out.push('-');
        }
        out.extend(char.to_lowercase());
    }
    out
}
