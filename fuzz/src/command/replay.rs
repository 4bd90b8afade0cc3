//! `replay`: repeats one run.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{ArgGroup, Args};
use coscribe_fuzz::generate;
use coscribe_fuzz::report::html::Page;
use coscribe_fuzz::report::replay_command;
use coscribe_fuzz::scenario_file::ScenarioFile;
use coscribe_terminal::say;

use super::runner::Runner;
use super::{Plant, Size, exit_code, seed_command};

const EXAMPLES: &str = "\
Examples:
  What was found
      coscribe-fuzz replay fuzz-failures/content-42.json
  The run of a seed, as it was before it was cut down; the other flags must be those of the search
      coscribe-fuzz replay --seed 42 --replicas 5 --edits 60 --yjs 2
  With a page that draws it
      coscribe-fuzz replay --seed 42 --html run.html";

/// The flags of `replay`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, group = ArgGroup::new("which").args(["file", "seed"]).required(true))]
pub(crate) struct Arguments {
    /// The scenario: a .json file that was written by `simulate` or `shrink`, or is in a corpus
    #[arg(conflicts_with_all = ["replicas", "edits", "yjs", "no_yjs"])]
    file: Option<PathBuf>,
    /// The seed of the run
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    #[command(flatten)]
    size: Size,
    /// Draw the run on a page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    plant: Plant,
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { file, seed, size, html, plant } = arguments;
    let (scenario, command) = match file {
        Some(file) => (ScenarioFile::read(&file)?.scenario, replay_command(&file) + &plant.flag()),
        None => {
            let (seed, shape) = (seed.unwrap_or_default(), size.shape());
            (generate::scenario(seed, &shape), seed_command(seed, &shape, plant))
        }
    };
    let outcome = Runner::for_scenario(&scenario, plant)?.run(&scenario, html.is_some());
    if let Some(html) = html {
        let (failure, timeline) = (outcome.failure.as_ref(), &outcome.timeline);
        let page = Page { scenario: &scenario, failure, timeline, replay: &command };
        fs::write(&html, page.to_html()).with_context(|| format!("cannot write {}", html.display()))?;
    }
    say!("{scenario}");
    match &outcome.failure {
        Some(failure) => say!("{failure}"),
        None => say!("nothing is wrong"),
    }
    Ok(exit_code(outcome.failure.is_some()))
}
