//! The commands about simulated runs.

pub(crate) mod replay;
mod runner;
mod search;
pub(crate) mod shrink;
pub(crate) mod simulate;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use coscribe_fuzz::flags;
use coscribe_fuzz::generate::Shape;
use coscribe_fuzz::report::{Finding, replay_command};
#[cfg(feature = "planted-bugs")]
use coscribe_fuzz::simulation::PlantedBug;
use coscribe_terminal::say;

/// How large runs are.
#[derive(Args, Debug, Clone)]
struct Size {
    /// Replicas in each run
    #[arg(long, value_name = "N", default_value_t = Shape::default().replicas, value_parser = flags::replicas())]
    replicas: usize,
    /// Edits in each run
    #[arg(long, value_name = "N", default_value_t = Shape::default().edits, value_parser = flags::edits())]
    edits: usize,
    /// How many of the replicas run real Yjs, in a Node process [default: 2 where Node is found]
    #[arg(long, value_name = "N", conflicts_with = "no_yjs")]
    yjs: Option<usize>,
    /// No replicas that run real Yjs: many more runs a second
    #[arg(long)]
    no_yjs: bool,
}

impl Size {
    /// The shape of runs.
    fn shape(&self) -> Shape {
        let (replicas, edits) = (self.replicas, self.edits);
        let yjs = match self.yjs {
            _ if self.no_yjs => 0,
            asked => flags::yjs(asked, replicas),
        };
        Shape { replicas, yjs, edits }
    }
}

/// The bug of the simulated server, if one is planted.
#[derive(Args, Debug, Clone, Copy)]
struct Plant {
    /// Give the simulated server this bug, to see that it is found
    #[cfg(feature = "planted-bugs")]
    #[arg(long = "plant", value_name = "BUG", value_enum)]
    bug: Option<PlantedBug>,
}

impl Plant {
    /// The flag that plants it, with a blank before it.
    #[cfg(feature = "planted-bugs")]
    fn flag(self) -> String {
        use clap::ValueEnum;
        let value = self.bug.and_then(|bug| bug.to_possible_value());
        value.map_or(String::new(), |value| format!(" --plant {}", value.get_name()))
    }

    #[cfg(not(feature = "planted-bugs"))]
    fn flag(self) -> String {
        String::new()
    }
}

/// The command that repeats the run of a seed.
fn seed_command(seed: u64, shape: &Shape, plant: Plant) -> String {
    let Shape { replicas, yjs, edits } = shape;
    let flag = plant.flag();
    format!("coscribe-fuzz replay --seed {seed} --replicas {replicas} --edits {edits} --yjs {yjs}{flag}")
}

/// Prints a finding, writes its files, and prints where they are. Gives the command that replays it.
fn write(finding: &Finding, directory: &Path, plant: Plant) -> anyhow::Result<String> {
    // First, in case it cannot be written.
    say!("{}", finding.failure);
    say!("  {}", finding.scenario);
    let written = finding
        .write(directory)
        .with_context(|| format!("cannot write what was found to {}", directory.display()))?;
    let replay = replay_command(&written.json) + &plant.flag();
    say!("  page      {}", written.html.display());
    say!("  test      {}", written.rust.display());
    say!("  for Yjs   {}", written.javascript.display());
    say!("  again     {replay}");
    Ok(replay)
}

fn exit_code(found: bool) -> ExitCode {
    if found { ExitCode::from(1) } else { ExitCode::SUCCESS }
}
