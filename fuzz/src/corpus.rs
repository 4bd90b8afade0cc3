//! Scenarios that are worth keeping: each was the first to cover some kind of event under some kind of fault.
//!
//! The next search replays them first, and makes others from them.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::PathBuf;

use fastrand::Rng;

use crate::limits;
use crate::outcome::Coverage;
use crate::scenario::{Scenario, Step};
use crate::scenario_file::{ScenarioFile, ScenarioFileError};

/// A directory of scenarios.
#[derive(Debug)]
pub struct Corpus {
    directory: PathBuf,
    scenarios: Vec<Scenario>,
    covered: BTreeSet<(&'static str, &'static str)>,
}

/// Why a corpus cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// The directory cannot be read or written.
    #[error("cannot use {} for the corpus", directory.display())]
    Io {
        /// The directory.
        directory: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file in it is no scenario.
    #[error(transparent)]
    ScenarioFile(#[from] ScenarioFileError),
}

impl Corpus {
    /// Reads the `.json` files of a directory, in the order of their names. The directory is made if it is missing.
    ///
    /// # Errors
    /// If the directory or one of the files cannot be read.
    pub fn open(directory: PathBuf) -> Result<Self, CorpusError> {
        let scenarios = file_names(&directory)
            .map_err(|source| CorpusError::Io { directory: directory.clone(), source })?
            .iter()
            .map(|path| Ok(ScenarioFile::read(path)?.scenario))
            .collect::<Result<_, CorpusError>>()?;
        Ok(Self { directory, scenarios, covered: BTreeSet::new() })
    }

    /// All scenarios, those from the directory first.
    pub fn scenarios(&self) -> &[Scenario] {
        &self.scenarios
    }

    /// Notes the coverage of a scenario, and keeps the scenario if it adds to the coverage. Gives whether it was kept.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn offer(&mut self, scenario: &Scenario, coverage: &Coverage) -> Result<bool, CorpusError> {
        if coverage.pairs.is_subset(&self.covered) {
            return Ok(false);
        }
        self.covered.extend(&coverage.pairs);
        if self.scenarios.contains(scenario) {
            return Ok(false);
        }
        let text = ScenarioFile { scenario: scenario.clone(), failure: None }.to_json();
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        fs::write(self.directory.join(format!("{:016x}.json", hasher.finish())), text)
            .map_err(|source| CorpusError::Io { directory: self.directory.clone(), source })?;
        self.scenarios.push(scenario.clone());
        Ok(true)
    }

    /// A new scenario made from others: the beginning of one and the end of another, one with some steps removed or
    /// repeated, or one with another seed. `None` if the corpus is empty.
    pub fn mutated(&self, seed: u64) -> Option<Scenario> {
        let mut rng = Rng::with_seed(seed);
        let mut scenario = rng.choice(&self.scenarios)?.clone();
        scenario.seed = seed;
        let range = some_steps(&scenario.steps, &mut rng);
        match rng.u8(..4) {
            0 => splice(&mut scenario, rng.choice(&self.scenarios)?, &mut rng),
            1 => drop(scenario.steps.drain(range)),
            2 => {
                let repeated = scenario.steps[range.clone()].to_vec();
                scenario.steps.splice(range.end..range.end, repeated);
            }
            _ => {}
        }
        scenario.steps.truncate(limits::CORPUS_STEPS);
        Some(scenario)
    }
}

fn file_names(directory: &PathBuf) -> io::Result<Vec<PathBuf>> {
    fs::create_dir_all(directory)?;
    let paths = fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    let mut paths: Vec<_> = paths
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    paths.sort_unstable();
    Ok(paths)
}

/// A range of at most a quarter of the steps.
fn some_steps(steps: &[Step], rng: &mut Rng) -> std::ops::Range<usize> {
    let start = rng.usize(..=steps.len());
    start..start + rng.usize(..=(steps.len() / 4)).min(steps.len() - start)
}

/// The beginning of one scenario and the end of the other, with the replicas of the one that has more.
fn splice(scenario: &mut Scenario, other: &Scenario, rng: &mut Rng) {
    scenario.steps.truncate(rng.usize(..=scenario.steps.len()));
    scenario.steps.extend_from_slice(&other.steps[rng.usize(..=other.steps.len())..]);
    if other.replicas.len() > scenario.replicas.len() {
        scenario.replicas.clone_from(&other.replicas);
        scenario.dialects.clone_from(&other.dialects);
        scenario.access.clone_from(&other.access);
    }
}
