//! `coscribe generate`: shell completions and manual pages, from the definition of the command line.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Command;
use clap_complete::Shell;

/// The shells that have completions.
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

/// The arguments of `coscribe generate`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory; completions/ and man/ are made in it
    #[arg(value_name = "DIR")]
    to: PathBuf,
}

/// Writes completions and manual pages of a command and all its commands.
pub(crate) fn run(args: &Args, command: Command) -> anyhow::Result<ExitCode> {
    let (completions, man) = (args.to.join("completions"), args.to.join("man"));
    for dir in [&completions, &man] {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    write(&completions, &man, command).with_context(|| format!("cannot write to {}", args.to.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn write(completions: &Path, man: &Path, mut command: Command) -> std::io::Result<()> {
    let name = command.get_name().to_owned();
    // The pages of `coscribe help COMMAND` would say nothing of their own.
    clap_mangen::generate_to(command.clone().disable_help_subcommand(true), man)?;
    for shell in SHELLS {
        clap_complete::generate_to(shell, &mut command, &name, completions)?;
    }
    Ok(())
}
