//! What is written about a run: files that repeat it, here and in Yjs alone, and a page that draws it.

pub mod html;
pub mod javascript;
pub mod junit;
mod moments;
pub mod rust_test;
mod wording;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::case::Case;
use crate::outcome::{Failure, Timeline};
use crate::scenario::Scenario;

/// A scenario that fails, and how.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The scenario.
    pub scenario: Scenario,
    /// What is wrong.
    pub failure: Failure,
    /// What went where.
    pub timeline: Timeline,
}

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
    /// Names it: the promise that is broken, and the seed.
    pub fn name(&self) -> String {
        format!("{}-{}", hyphenated(&format!("{:?}", self.failure.oracle)), self.scenario.seed)
    }

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
        fs::write(&written.json, Case { scenario, failure }.to_json())?;
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
