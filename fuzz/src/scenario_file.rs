//! A scenario in a file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::outcome::Failure;
use crate::scenario::Scenario;

/// The content of a file: a scenario, and its failure when the file was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScenarioFile {
    /// The scenario.
    pub scenario: Scenario,
    /// The failure, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioFileError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It holds no scenario.
    #[error("{} holds no scenario", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where it goes wrong.
        source: serde_json::Error,
    },
}

impl ScenarioFile {
    /// Reads a scenario from a file.
    ///
    /// # Errors
    /// If the file cannot be read, or holds no scenario.
    pub fn read(path: &Path) -> Result<Self, ScenarioFileError> {
        let text =
            fs::read(path).map_err(|source| ScenarioFileError::Io { path: path.to_owned(), source })?;
        serde_json::from_slice(&text)
            .map_err(|source| ScenarioFileError::Json { path: path.to_owned(), source })
    }

    /// The text of the file.
    pub fn to_json(&self) -> String {
        let scenario = indented(&scenario_json(&self.scenario));
        let failure = self.failure.as_ref().map_or(String::new(), |failure| {
            let failure = serde_json::to_string_pretty(failure).expect("strings and numbers");
            format!(",\n  \"failure\": {}", indented(&failure))
        });
        format!("{{\n  \"scenario\": {scenario}{failure}\n}}\n")
    }
}

/// A scenario as JSON with each step on a line of its own.
pub(crate) fn scenario_json(scenario: &Scenario) -> String {
    let steps: Vec<_> = scenario.steps.iter().map(|step| format!("\n    {}", json(step))).collect();
    let dialects = match &scenario.dialects[..] {
        [] => String::new(),
        dialects => format!("\n  \"dialects\": {},", json(&dialects)),
    };
    let access = match &scenario.access[..] {
        [] => String::new(),
        access => format!("\n  \"access\": {},", json(&access)),
    };
    format!(
        "{{\n  \"seed\": {},\n  \"replicas\": {},{dialects}{access}\n  \"steps\": [{}\n  ]\n}}",
        scenario.seed,
        json(&scenario.replicas),
        steps.join(",")
    )
}

/// A value as JSON in one line.
pub(crate) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("all maps have strings as keys")
}

fn indented(text: &str) -> String {
    text.replace('\n', "\n  ")
}
