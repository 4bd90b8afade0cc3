//! The command line.
#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod command;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use coscribe_fuzz::bytes::oracle;
use coscribe_fuzz::{against, trace};
use coscribe_terminal::{ending, note, words};

use self::command::{replay, shrink, simulate};

/// Tests that merges of Yjs documents converge
///
/// Documents that have seen the same updates must show the same, in whatever order these came, whatever connections, servers
/// and disks did meanwhile. This looks for a run in which they don't, and cuts it down to a few steps.
#[derive(Parser, Debug)]
#[command(name = "coscribe-fuzz", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str =
    "Ends with 0 if nothing was found, with 1 if something was, and with 2 if it could not be tried.";

#[derive(Subcommand, Debug)]
enum Command {
    /// Search simulated runs, with replicas, a server, a disk and faults, for one that breaks a promise
    Simulate(simulate::Arguments),
    /// Repeat one simulated run, from a file or from its seed
    Replay(replay::Arguments),
    /// Cut a failing run down to a small one
    Shrink(shrink::Arguments),
    /// Do the same to a server that runs, over real WebSockets, whoever wrote it
    Against(Box<against::Arguments>),
    /// Read recorded updates in many orders, with Yjs and with yrs
    Trace(trace::Arguments),
    /// Say what yrs makes of updates, for the byte targets
    #[command(hide = true)]
    Oracle,
}

fn main() -> ExitCode {
    let result: anyhow::Result<ExitCode> = match Cli::parse().command {
        Command::Simulate(arguments) => simulate::run(arguments),
        Command::Replay(arguments) => replay::run(arguments),
        Command::Shrink(arguments) => shrink::run(arguments),
        Command::Against(arguments) => against::run(*arguments),
        Command::Trace(arguments) => trace::run(arguments),
        Command::Oracle => oracle::serve().map(|()| ExitCode::SUCCESS).map_err(Into::into),
    };
    let code = result.unwrap_or_else(|error| {
        note!("error: {}", words(error.as_ref()));
        ExitCode::from(2)
    });
    ending(code)
}
