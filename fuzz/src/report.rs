//! The files about a finding: a scenario and a test that repeat it, a script for Yjs alone, and a page that draws it.

mod finding;
pub mod html;
pub mod javascript;
pub mod junit;
mod moments;
pub mod rust_test;
mod wording;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use self::finding::Finding;
use crate::scenario_file::ScenarioFile;

/// The files of a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The scenario and its failure, which can be replayed.
    pub json: PathBuf,
    /// A test in Rust.
    pub rust: PathBuf,
    /// A script for Yjs alone.
    pub javascript: PathBuf,
    /// The page that draws it.
    pub html: PathBuf,
}

impl Finding {
    /// Writes its files into a directory, which is made if it is missing. Files of the same name are replaced.
    ///
    /// # Errors
    /// If one of them cannot be written.
    pub fn write(&self, directory: &Path) -> io::Result<Written> {
        fs::create_dir_all(directory)?;
        let path = |extension| directory.join(format!("{}.{extension}", self.name()));
        let written =
            Written { json: path("json"), rust: path("rs"), javascript: path("mjs"), html: path("html") };
        let (scenario, failure) = (self.scenario.clone(), Some(self.failure.clone()));
        fs::write(&written.json, ScenarioFile { scenario, failure }.to_json())?;
        fs::write(&written.rust, rust_test::test(self))?;
        fs::write(&written.javascript, javascript::script(self))?;
        let page = html::Page {
            scenario: &self.scenario,
            failure: Some(&self.failure),
            timeline: &self.timeline,
            replay: &replay_command(&written.json),
        };
        fs::write(&written.html, page.to_html())?;
        Ok(written)
    }
}

/// The command that replays a file.
pub fn replay_command(file: &Path) -> String {
    format!("coscribe-fuzz replay {}", file.display())
}
