//! `shrink`: cuts one scenario down.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use coscribe_fuzz::interrupt;
use coscribe_fuzz::scenario_file::ScenarioFile;
use coscribe_terminal::say;

use super::runner::Runner;
use super::{Plant, exit_code, write};

const EXAMPLES: &str = "\
Example:
  coscribe-fuzz shrink by-hand.json --failures fuzz-failures

Ctrl-C ends it with the smallest scenario so far.";

/// The flags of `shrink`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The scenario, as JSON
    file: PathBuf,
    /// Where to write the small one
    #[arg(long, value_name = "DIR", default_value = "fuzz-failures")]
    failures: PathBuf,
    #[command(flatten)]
    plant: Plant,
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { file, failures, plant } = arguments;
    let scenario = ScenarioFile::read(&file)?.scenario;
    interrupt::listen()?;
    let finding = Runner::for_scenario(&scenario, plant)?.shrink(&scenario);
    match &finding {
        Some(finding) => drop(write(finding, &failures, plant)?),
        None => say!("{scenario}\nnothing is wrong"),
    }
    Ok(exit_code(finding.is_some()))
}
