//! Threads that carry out one scenario after the other.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use coscribe_fuzz::corpus::Corpus;
use coscribe_fuzz::generate::{self, Shape};
use coscribe_fuzz::interrupt;
use coscribe_fuzz::outcome::{Coverage, Failure, Oracle};
use coscribe_fuzz::report::Finding;
use coscribe_fuzz::scenario::Scenario;

use super::Plant;
use super::runner::Runner;
use coscribe_fuzz::limits;

/// One run in so many is made from the corpus, if there is one.
const MUTATED: u64 = 4;

/// A search, and how far it has come.
pub(super) struct Search {
    pub(super) shape: Shape,
    /// The seed of the first run that is not from the corpus.
    pub(super) seed: u64,
    /// How many runs, beside those from the corpus.
    pub(super) runs: Option<u64>,
    pub(super) deadline: Option<Instant>,
    pub(super) keep_going: bool,
    pub(super) plant: Plant,
    corpus: Option<Mutex<Corpus>>,
    /// The scenarios that the corpus had at the start.
    replayed: Vec<Scenario>,
    next: AtomicU64,
    stopped: AtomicBool,
    /// How often each oracle was broken.
    broken: Mutex<BTreeMap<Oracle, usize>>,
}

/// An event of a thread.
pub(super) enum SearchEvent {
    /// A run is over.
    Run { number: u64, time: Duration, coverage: Coverage, failed: bool },
    /// A run failed, and was cut down.
    Found { number: u64, finding: Box<Finding> },
    /// A run failed, and the same scenario did not fail again.
    Vanished { number: u64, scenario: Box<Scenario>, failure: Failure },
}

/// Where a run comes from.
pub(super) enum Origin {
    /// It was in the corpus.
    Corpus,
    /// It was made from what was in the corpus.
    Mutation(u64),
    /// It was made from a seed alone.
    Seed(u64),
}

impl Search {
    pub(super) fn new(shape: Shape, seed: u64, plant: Plant, corpus: Option<Corpus>) -> Self {
        let replayed = corpus.as_ref().map_or(Vec::new(), |corpus| corpus.scenarios().to_vec());
        Self {
            shape,
            seed,
            runs: None,
            deadline: None,
            keep_going: false,
            plant,
            corpus: corpus.map(Mutex::new),
            replayed,
            next: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            broken: Mutex::new(BTreeMap::new()),
        }
    }

    /// How many runs there will be, with those from the corpus.
    pub(super) fn all_runs(&self) -> Option<u64> {
        self.runs.map(|runs| runs.saturating_add(self.replayed.len() as u64))
    }

    /// Starts no more runs.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Carries out runs until there are no more.
    pub(super) fn work(&self, events: &Sender<SearchEvent>) -> anyhow::Result<()> {
        self.try_work(events).inspect_err(|_| self.stop())
    }

    fn try_work(&self, events: &Sender<SearchEvent>) -> anyhow::Result<()> {
        let runner = Runner::new(self.shape.yjs > 0, self.plant)?;
        // Nobody listens any more only when the search is over.
        let tell = |event| drop(events.send(event));
        while let Some(number) = self.next() {
            let scenario = self.scenario(number);
            let start = Instant::now();
            let outcome = runner.run(&scenario, false);
            if let Some(corpus) = &self.corpus
                && outcome.failure.is_none()
            {
                corpus.lock().unwrap_or_else(PoisonError::into_inner).offer(&scenario, &outcome.coverage)?;
            }
            let (time, failed) = (start.elapsed(), outcome.failure.is_some());
            tell(SearchEvent::Run { number, time, coverage: outcome.coverage, failed });
            if let Some(failure) = outcome.failure.filter(|failure| self.is_to_be_shrunk(failure.oracle)) {
                tell(match runner.shrink(&scenario) {
                    Some(finding) => SearchEvent::Found { number, finding: Box::new(finding) },
                    None => SearchEvent::Vanished { number, scenario: Box::new(scenario), failure },
                });
            }
        }
        Ok(())
    }

    /// The number of the next run.
    fn next(&self) -> Option<u64> {
        let late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if late || self.stopped.load(Ordering::Relaxed) || interrupt::is_interrupted() {
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.all_runs().is_none_or(|runs| number < runs).then_some(number)
    }

    /// Where a run comes from.
    pub(super) fn origin(&self, number: u64) -> Origin {
        let Some(new) = number.checked_sub(self.replayed.len() as u64) else { return Origin::Corpus };
        let seed = self.seed.wrapping_add(new);
        if self.corpus.is_some() && new % MUTATED == MUTATED - 1 {
            Origin::Mutation(seed)
        } else {
            Origin::Seed(seed)
        }
    }

    fn scenario(&self, number: u64) -> Scenario {
        let (seed, mutated) = match self.origin(number) {
            Origin::Corpus => {
                return self.replayed[usize::try_from(number).expect("it is below a length")].clone();
            }
            Origin::Mutation(seed) => {
                let corpus =
                    self.corpus.as_ref().map(|corpus| corpus.lock().unwrap_or_else(PoisonError::into_inner));
                (seed, corpus.and_then(|corpus| corpus.mutated(seed)))
            }
            Origin::Seed(seed) => (seed, None),
        };
        mutated.unwrap_or_else(|| generate::scenario(seed, &self.shape))
    }

    /// The first failure ends the search. A search that keeps going cuts down only a few failures of each oracle.
    fn is_to_be_shrunk(&self, oracle: Oracle) -> bool {
        let is_first = !self.stopped.swap(!self.keep_going, Ordering::Relaxed);
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        let times = broken.entry(oracle).or_default();
        *times += 1;
        is_first && *times <= limits::SHRUNK_PER_ORACLE
    }
}
