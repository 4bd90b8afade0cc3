//! The flags of `against`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::target::Target;
use crate::flags;
use crate::generate::Shape;

const EXAMPLES: &str = "\
Examples:
  A server that is running; nothing is left out but restarts
      coscribe-fuzz against ws://127.0.0.1:1234 --time 5m
  With restarts: the command returns when the server has been started again, or is starting
      coscribe-fuzz against ws://127.0.0.1:1234 --restart-cmd 'systemctl kill -s KILL my-server; systemctl start my-server'
  The Hocuspocus dialect of the same server, or one of Hocuspocus itself
      coscribe-fuzz against hocuspocus://127.0.0.1:1234
  coscribe's y-sweet, and y-sweet itself
      coscribe-fuzz against y-sweet://KEY@127.0.0.1:1234
      coscribe-fuzz against y-sweet://127.0.0.1:8080/
  What was found, twenty times
      coscribe-fuzz against ws://127.0.0.1:1234 --replay fuzz-failures/content-42.json --runs 20

Each run has a document of its own. Documents are not deleted afterwards: use a server that is there for this.";

/// What is tried against which server.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The server: ws:// or wss://host:port/path?query, with {} for the document, which otherwise comes after the path;
    /// hocuspocus:// or hocuspocus+wss://host:port/path?token=T for one that speaks Hocuspocus; y-sweet://KEY@host:port for
    /// coscribe's y-sweet, and with a path for any other
    #[arg(value_name = "URL")]
    pub(super) target: Target,
    /// What the names of documents begin with
    #[arg(long, value_name = "PREFIX", default_value = "coscribe-fuzz-")]
    pub(super) document: String,
    /// The seed of the first run [default: the time]
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// End after so many runs
    #[arg(long, value_name = "N", value_parser = flags::runs())]
    pub(super) runs: Option<u64>,
    /// End after this time, such as 90s, 10m or 2h
    #[arg(long, value_parser = flags::time)]
    pub(super) time: Option<Duration>,
    /// Runs at the same time [default: 4; with --restart-cmd 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) jobs: Option<u16>,
    /// Replicas in each run
    #[arg(long, value_name = "N", default_value_t = Shape::default().replicas, value_parser = flags::replicas())]
    pub(super) replicas: usize,
    /// Edits in each run
    #[arg(long, value_name = "N", default_value_t = Shape::default().edits, value_parser = flags::edits())]
    pub(super) edits: usize,
    /// How many of the replicas run real Yjs, in a Node process [default: 2 where Node is found]
    #[arg(long, value_name = "N")]
    pub(super) yjs: Option<usize>,
    /// A shell command that restarts the server, better without warning
    #[arg(long, value_name = "CMD", conflicts_with = "jobs")]
    pub(super) restart_cmd: Option<String>,
    /// A shell command that makes the document {}, for servers that want to be asked
    #[arg(long, value_name = "CMD")]
    pub(super) create_cmd: Option<String>,
    /// The server need not have a document any more when everybody has left it, or after a restart
    #[arg(long)]
    pub(super) may_forget: bool,
    /// The server must not send an update before what it builds on. (Yjs waits for that, so servers that run it do; yrs does not.)
    #[arg(long)]
    pub(super) forbid_gaps: bool,
    /// How long the server has until everybody has everything
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = flags::time)]
    pub(super) settle: Duration,
    /// Leave out these faults
    #[arg(long, value_name = "FAULT", value_delimiter = ',', value_parser = FAULTS)]
    pub(super) without: Vec<String>,
    /// Compare awareness in the end of each run, which may take 20 s
    #[arg(long)]
    pub(super) awareness: bool,
    /// Carry out this scenario, a .json file, instead of those of seeds
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "replicas", "edits"])]
    pub(super) replay: Option<PathBuf>,
    /// Where to write scenarios that fail
    #[arg(long, value_name = "DIR", default_value = "fuzz-failures")]
    pub(super) failures: PathBuf,
    /// Write the result as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,
    /// Go on when something was found
    #[arg(long)]
    pub(super) keep_going: bool,
    /// No progress
    #[arg(long, short)]
    pub(super) quiet: bool,
}

/// Faults, as they are named on the command line.
const FAULTS: [&str; 14] = [
    "disconnect",
    "connect",
    "partition",
    "rejoin",
    "delay",
    "stall",
    "resume",
    "duplicate",
    "overtake",
    "lose",
    "restart",
    "checkpoint",
    "evict",
    "restore",
];
