//! Cuts a failing scenario down to a small one that breaks the same promise.
//!
//! Each attempt is simpler than the best so far by a [`Weight`] that cannot fall for ever, so the search ends.

mod simpler;
mod weight;

use std::ops::Range;

use self::weight::Weight;
use crate::limits;
use crate::outcome::Failure;
use crate::scenario::{Access, Dialect, Event, Fault, Kind, Scenario, Step};

/// Cuts a scenario down as long as `fails` gives a failure of the same oracle. Gives the smallest scenario and its failure;
/// `None` if the scenario does not fail in the first place.
pub fn shrink(
    scenario: &Scenario,
    mut fails: impl FnMut(&Scenario) -> Option<Failure>,
) -> Option<(Scenario, Failure)> {
    let failure = fails(scenario)?;
    let mut search =
        Shrinking { best: scenario.clone(), weight: Weight::of(scenario), failure, runs: 1, fails };
    loop {
        let before = search.weight;
        search.remove_what_follows();
        search.remove_steps();
        search.remove_replicas();
        search.remove_pairs_of_steps();
        search.use_yrs();
        search.use_one_dialect();
        search.use_writers();
        search.simplify_events();
        search.shorten_pauses();
        if search.weight == before {
            return Some((search.best, search.failure));
        }
    }
}

struct Shrinking<F> {
    best: Scenario,
    weight: Weight,
    failure: Failure,
    runs: usize,
    fails: F,
}

impl<F: FnMut(&Scenario) -> Option<Failure>> Shrinking<F> {
    /// Takes the candidate if it is simpler and fails in the same way.
    fn attempt(&mut self, candidate: Scenario) -> bool {
        let weight = Weight::of(&candidate);
        if weight >= self.weight || self.runs == limits::SHRINK_RUNS {
            return false;
        }
        self.runs += 1;
        let Some(failure) = (self.fails)(&candidate).filter(|failure| failure.oracle == self.failure.oracle)
        else {
            return false;
        };
        (self.best, self.weight, self.failure) = (candidate, weight, failure);
        true
    }

    /// As [`Self::attempt`], with the best so far after `change`.
    fn attempt_with(&mut self, change: impl FnOnce(&mut Scenario)) -> bool {
        let mut candidate = self.best.clone();
        change(&mut candidate);
        self.attempt(candidate)
    }

    /// Removes the steps after the failure: a run ends with a heal in any case, so they are hardly needed.
    fn remove_what_follows(&mut self) {
        for kept in [self.failure.step, self.failure.step + 1] {
            if kept < self.best.steps.len() && self.attempt_with(|scenario| scenario.steps.truncate(kept)) {
                return;
            }
        }
    }

    /// In chunks of half the steps, of a quarter, down to one by one; the last steps first.
    fn remove_steps(&mut self) {
        let mut size = self.best.steps.len().div_ceil(2).max(1);
        loop {
            let mut end = self.best.steps.len();
            while end > 0 {
                let start = end.saturating_sub(size);
                self.remove(start..end);
                end = start;
            }
            if size == 1 {
                return;
            }
            size = size.div_ceil(2);
        }
    }

    /// Without some steps; if it takes the time that they took, with that.
    fn remove(&mut self, steps: Range<usize>) -> bool {
        let pause =
            self.best.steps[steps.clone()].iter().fold(0, |sum: u32, step| sum.saturating_add(step.after));
        let removed = self.attempt_with(|scenario| drop(scenario.steps.drain(steps.clone())));
        removed
            || pause > 0
                && self.attempt_with(|scenario| {
                    scenario.steps.drain(steps.clone());
                    if let Some(next) = scenario.steps.get_mut(steps.start) {
                        next.after = next.after.saturating_add(pause);
                    }
                })
    }

    fn remove_pairs_of_steps(&mut self) {
        if self.best.steps.len() > limits::STEPS_FOR_PAIRS {
            return;
        }
        let mut second = self.best.steps.len();
        while second > 1 {
            second -= 1;
            let found = (0..second).rev().any(|first| {
                self.attempt_with(|scenario| {
                    scenario.steps.remove(second);
                    scenario.steps.remove(first);
                })
            });
            if found {
                second = second.min(self.best.steps.len());
            }
        }
    }

    /// With all that a replica does, or with its part given to another.
    fn remove_replicas(&mut self) {
        let mut index = self.best.replicas.len();
        while index > 0 && self.best.replicas.len() > 1 {
            index -= 1;
            let heirs = (0..self.best.replicas.len()).filter(|heir| *heir != index).map(Some);
            let _ = std::iter::once(None).chain(heirs).any(|heir| {
                let candidate = without_replica(&self.best, index, heir);
                self.attempt(candidate)
            });
        }
    }

    fn use_yrs(&mut self) {
        for index in 0..self.best.replicas.len() {
            self.attempt_with(|scenario| scenario.replicas[index] = Kind::Yrs);
        }
    }

    fn use_one_dialect(&mut self) {
        if self.attempt_with(|scenario| scenario.dialects.clear()) {
            return;
        }
        for index in 0..self.best.dialects.len() {
            self.attempt_with(|scenario| scenario.dialects[index] = Dialect::YWebsocket);
        }
    }

    fn use_writers(&mut self) {
        if self.attempt_with(|scenario| scenario.access.clear()) {
            return;
        }
        for index in 0..self.best.access.len() {
            self.attempt_with(|scenario| scenario.access[index] = Access::Write);
        }
    }

    fn simplify_events(&mut self) {
        let mut index = 0;
        while index < self.best.steps.len() {
            let candidates = simpler::events(&self.best.steps[index].event);
            let found = candidates
                .into_iter()
                .any(|event| self.attempt_with(|scenario| scenario.steps[index].event = event));
            if !found {
                index += 1;
            }
        }
    }

    fn shorten_pauses(&mut self) {
        if self.attempt_with(|scenario| scenario.steps.iter_mut().for_each(|step| step.after = 0)) {
            return;
        }
        for index in 0..self.best.steps.len() {
            while simpler::numbers(self.best.steps[index].after)
                .any(|after| self.attempt_with(|scenario| scenario.steps[index].after = after))
            {}
        }
    }
}

/// The scenario without a replica, whose steps go to its heir, or are removed.
fn without_replica(scenario: &Scenario, removed: usize, heir: Option<usize>) -> Scenario {
    let count = scenario.replicas.len();
    let rename = |replica: usize| {
        let replica = if replica % count == removed { heir? } else { replica % count };
        Some(if replica > removed { replica - 1 } else { replica })
    };
    let Scenario { mut replicas, mut dialects, mut access, .. } = scenario.clone();
    replicas.remove(removed);
    if removed < dialects.len() {
        dialects.remove(removed);
    }
    if removed < access.len() {
        access.remove(removed);
    }
    let steps = scenario
        .steps
        .iter()
        .filter_map(|step| Some(Step { after: step.after, event: renamed(&step.event, rename)? }))
        .collect();
    Scenario { seed: scenario.seed, replicas, dialects, access, steps }
}

/// The event with other numbers of replicas; `None` if it needs one that has none.
fn renamed(event: &Event, rename: impl Fn(usize) -> Option<usize>) -> Option<Event> {
    Some(match event {
        Event::Edit { replica, edit } => Event::Edit { replica: rename(*replica)?, edit: edit.clone() },
        Event::Cursor { replica, state } => Event::Cursor { replica: rename(*replica)?, state: *state },
        Event::Gather { replica, messages } => {
            Event::Gather { replica: rename(*replica)?, messages: *messages }
        }
        Event::Ask { replica, times } => Event::Ask { replica: rename(*replica)?, times: *times },
        Event::Access { replica, access } => Event::Access { replica: rename(*replica)?, access: *access },
        Event::Heal => Event::Heal,
        Event::Fault(fault) => Event::Fault(match fault {
            Fault::Disconnect(replica) => Fault::Disconnect(rename(*replica)?),
            Fault::Connect(replica) => Fault::Connect(rename(*replica)?),
            Fault::Partition(replicas) => {
                let mut replicas: Vec<_> = replicas.iter().filter_map(|replica| rename(*replica)).collect();
                replicas.sort_unstable();
                replicas.dedup();
                if replicas.is_empty() {
                    return None;
                }
                Fault::Partition(replicas)
            }
            Fault::Delay(replica, time) => Fault::Delay(rename(*replica)?, *time),
            Fault::Stall(replica) => Fault::Stall(rename(*replica)?),
            Fault::Resume(replica) => Fault::Resume(rename(*replica)?),
            Fault::Duplicate(replica, count) => Fault::Duplicate(rename(*replica)?, *count),
            Fault::Overtake(replica, other) => Fault::Overtake(rename(*replica)?, rename(*other)?),
            Fault::Lose(replica) => Fault::Lose(rename(*replica)?),
            Fault::Restore(replica, edits) => Fault::Restore(rename(*replica)?, *edits),
            Fault::Rejoin | Fault::Crash(_) | Fault::Checkpoint | Fault::Evict | Fault::Full(_) => {
                fault.clone()
            }
        }),
    })
}
