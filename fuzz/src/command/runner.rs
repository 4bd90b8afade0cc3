//! Carries out scenarios in one thread. A panic in a run is a failure of that run.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

use coscribe_fuzz::interrupt;
use coscribe_fuzz::outcome::{Coverage, Failure, Oracle, Outcome, Timeline};
use coscribe_fuzz::replica::NodeProcess;
use coscribe_fuzz::report::Finding;
use coscribe_fuzz::scenario::{Kind, Scenario};
use coscribe_fuzz::shrink::shrink;
use coscribe_fuzz::simulation::{self, Surroundings};

use super::Plant;

thread_local! {
    /// Whether this thread carries out a run.
    static RUNS: Cell<bool> = const { Cell::new(false) };
    /// Where and why a run of this thread panicked.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Carries out runs.
pub(super) struct Runner {
    node: Option<NodeProcess>,
    #[cfg_attr(not(feature = "planted-bugs"), expect(dead_code, reason = "there is nothing to plant"))]
    plant: Plant,
}

impl Runner {
    /// With or without real Yjs.
    pub(super) fn new(yjs: bool, plant: Plant) -> anyhow::Result<Self> {
        note_panics();
        let node = if yjs { Some(NodeProcess::start()?) } else { None };
        Ok(Self { node, plant })
    }

    /// With real Yjs if a scenario asks for it.
    pub(super) fn for_scenario(scenario: &Scenario, plant: Plant) -> anyhow::Result<Self> {
        anyhow::ensure!(!scenario.replicas.is_empty(), "the scenario has no replicas");
        Self::new(scenario.replicas.contains(&Kind::Yjs), plant)
    }

    /// Carries out one scenario.
    pub(super) fn run(&self, scenario: &Scenario, timeline: bool) -> Outcome {
        let surroundings = Surroundings {
            node: self.node.as_ref(),
            timeline,
            #[cfg(feature = "planted-bugs")]
            bug: self.plant.bug,
        };
        RUNS.set(true);
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| simulation::run(scenario, &surroundings)));
        RUNS.set(false);
        outcome.unwrap_or_else(|_| Outcome {
            failure: Some(panicked(scenario)),
            coverage: Coverage::default(),
            timeline: Timeline::default(),
        })
    }

    /// Cuts a failing scenario down, as far as it gets until it is interrupted. `None` if the scenario does not fail.
    pub(super) fn shrink(&self, scenario: &Scenario) -> Option<Finding> {
        let first = self.run(scenario, false).failure?;
        let fails = |candidate: &Scenario| {
            if candidate != scenario && interrupt::is_interrupted() {
                return None;
            }
            self.run(candidate, false)
                .failure
                .filter(|failure| place_of_panic(failure) == place_of_panic(&first))
        };
        let (scenario, failure) = shrink(scenario, fails)?;
        let timeline = self.run(&scenario, true).timeline;
        Some(Finding { scenario, failure, timeline })
    }
}

/// Panics of runs are kept instead of printed.
fn note_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if RUNS.get() {
                PANIC.set(Some(describe(panic)));
            } else {
                print(panic);
            }
        }));
    });
}

fn describe(panic: &PanicHookInfo<'_>) -> String {
    let message = panic.payload_as_str().unwrap_or("without a message");
    panic
        .location()
        .map_or(message.to_owned(), |place| format!("{}:{}: {message}", place.file(), place.line()))
}

fn panicked(scenario: &Scenario) -> Failure {
    let detail = PANIC.take().unwrap_or_default();
    Failure { oracle: Oracle::Panic, step: scenario.steps.len(), time: 0, detail }
}

/// Two panics are the same if they are at the same place.
fn place_of_panic(failure: &Failure) -> Option<&str> {
    (failure.oracle == Oracle::Panic).then(|| failure.detail.split(": ").next().unwrap_or_default())
}
