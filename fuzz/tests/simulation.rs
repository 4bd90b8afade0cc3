//! Simulated runs: that nothing is found in them, and that the same seed is the same run.

use coscribe_fuzz::edit::Edit;
use coscribe_fuzz::generate::{self, Shape};
use coscribe_fuzz::outcome::Coverage;
use coscribe_fuzz::scenario::{Event, Step};
use coscribe_fuzz::simulation::{self, Surroundings};

/// How many runs `make test` makes, unless `COSCRIBE_RUNS` says otherwise.
const RUNS: u64 = 2_000;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |number| number.parse().expect("a number"))
}

#[test]
fn nothing_is_found() {
    let first = number("COSCRIBE_SEED", 1);
    let mut coverage = Coverage::default();
    for seed in first..first + number("COSCRIBE_RUNS", RUNS) {
        let scenario = generate::scenario(seed, &Shape::default());
        let outcome = simulation::run(&scenario, &Surroundings::default());
        coverage.extend(&outcome.coverage);
        if let Some(failure) = outcome.failure {
            panic!("{scenario}: {failure}");
        }
    }
    assert!(coverage.pairs.iter().any(|(_, condition)| *condition == "read only"), "there are no readers");
    assert!(coverage.pairs.len() > 100, "{} pairs of events and faults only", coverage.pairs.len());
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 1..=40 {
        let mut scenario = generate::scenario(seed, &Shape::default());
        // In which order yrs undoes several things depends on its hash maps, which differ each time.
        let is_undo = |step: &Step| matches!(step.event, Event::Edit { edit: Edit::Undo | Edit::Redo, .. });
        scenario.steps.retain(|step| !is_undo(step));
        let run = || {
            simulation::run(&scenario, &Surroundings { timeline: true, ..Surroundings::default() }).timeline
        };
        assert_eq!(run(), run(), "seed {seed}");
    }
}
