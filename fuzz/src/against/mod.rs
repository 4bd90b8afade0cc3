//! `against`: the same scenarios from outside, against a real server that speaks y-websocket, whoever wrote it.
//!
//! What cannot be decided from outside is not: in which order frames reach the server, and when it writes what. So a run is
//! not repeated to the byte, only with the same edits and faults.
//!
//! | Fault | What is done |
//! |---|---|
//! | disconnect, connect | a Close frame; a new connection |
//! | partition, rejoin | nothing is read or written any more; a new connection while the old one stays open |
//! | delay | frames are held back, each way |
//! | stall, resume | nothing is read |
//! | duplicate, overtake, lose, restore | as simulated |
//! | crash | the restart command; without one all connections break |
//! | checkpoint, evict | everybody leaves, and comes back after a while |

mod faults;
mod gaps;
mod heal;
mod line;
mod probe;
mod restart;
mod run;
mod seat;
mod target;
mod tidings;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::ensure;
use clap::Args;
use tokio::runtime::Builder;

use self::run::{Account, Server};
use self::target::Target;
use self::tidings::{News, Watch};
use crate::case::Case;
use crate::flags;
use crate::generate::{self, Shape};
use crate::interrupt;
use crate::outcome::{Failure, Oracle};
use crate::replica::NodeProcess;
use crate::scenario::{Event, Fault, Kind, Scenario};

const EXAMPLES: &str = "\
Examples:
  A server that is running; nothing is left out but restarts
      coscribe-fuzz against ws://127.0.0.1:1234 --time 5m
  With restarts: the command returns when the server has been started again, or is starting
      coscribe-fuzz against ws://127.0.0.1:1234 --restart-cmd 'systemctl kill -s KILL my-server; systemctl start my-server'
  y-sweet, whose documents must be made first
      coscribe-fuzz against 'ws://127.0.0.1:8080/d/{}/ws/{}' --create-cmd 'curl -sf http://127.0.0.1:8080/doc/new
        -H content-type:application/json -d {\"docId\":\"{}\"}'
  What was found, twenty times
      coscribe-fuzz against ws://127.0.0.1:1234 --replay fuzz-failures/content-42.json --runs 20

Each run has a document of its own. Documents are not deleted afterwards: use a server that is there for this.";

/// Replicas of real Yjs, where Node is found and nothing else is asked for.
const YJS: usize = 2;
/// Runs at the same time, which mostly wait for the server.
const JOBS: u16 = 4;

/// The flags of `against`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The server: ws://host:port/path?query, with {} for the document, which otherwise comes after the path
    #[arg(value_name = "URL")]
    target: Target,
    /// What the names of documents begin with
    #[arg(long, value_name = "PREFIX", default_value = "coscribe-fuzz-")]
    document: String,
    /// The seed of the first run [default: the time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// End after so many runs
    #[arg(long, value_name = "N", value_parser = flags::runs())]
    runs: Option<u64>,
    /// End after this time, such as 90s, 10m or 2h
    #[arg(long, value_parser = flags::time)]
    time: Option<Duration>,
    /// Runs at the same time [default: 4; with --restart-cmd 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Replicas in each run
    #[arg(long, value_name = "N", default_value_t = Shape::default().replicas, value_parser = flags::replicas())]
    replicas: usize,
    /// Edits in each run
    #[arg(long, value_name = "N", default_value_t = Shape::default().edits, value_parser = flags::edits())]
    edits: usize,
    /// How many of the replicas run real Yjs, in a Node process [default: 2 where Node is found]
    #[arg(long, value_name = "N")]
    yjs: Option<usize>,
    /// A shell command that restarts the server, better without warning
    #[arg(long, value_name = "CMD", conflicts_with = "jobs")]
    restart_cmd: Option<String>,
    /// A shell command that makes the document {}, for servers that want to be asked
    #[arg(long, value_name = "CMD")]
    create_cmd: Option<String>,
    /// The server need not have a document any more when everybody has left it, or after a restart
    #[arg(long)]
    may_forget: bool,
    /// The server must not send an update before what it builds on. (Yjs waits for that, so servers that run it do; yrs does not.)
    #[arg(long)]
    forbid_gaps: bool,
    /// How long the server has until everybody has everything
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = flags::time)]
    settle: Duration,
    /// Leave out these faults
    #[arg(long, value_name = "FAULT", value_delimiter = ',', value_parser = FAULTS)]
    without: Vec<String>,
    /// Compare awareness in the end of each run, which may take 20 s
    #[arg(long)]
    awareness: bool,
    /// Carry out this scenario, a .json file, instead of those of seeds
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "replicas", "edits"])]
    replay: Option<PathBuf>,
    /// Where to write scenarios that fail
    #[arg(long, value_name = "DIR", default_value = "fuzz-failures")]
    failures: PathBuf,
    /// Write the result as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Go on when something was found
    #[arg(long)]
    keep_going: bool,
    /// No progress
    #[arg(long, short)]
    quiet: bool,
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

/// Carries out runs against the server, and tells what was found.
///
/// # Errors
/// If it could not be tried: nobody answers at the address, or not as y-websocket does, or a command fails.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let plan = Plan::new(&arguments)?;
    let mut watch = Watch::new(&arguments, &plan.name);
    interrupt::listen()?;
    println!("{}", plan.description());
    thread::scope(|scope| {
        let (sender, news) = mpsc::channel();
        let jobs = arguments.jobs.unwrap_or(if plan.server.restart.is_some() { 1 } else { JOBS });
        let workers: Vec<_> = (0..jobs)
            .map(|_| {
                let (plan, sender) = (&plan, sender.clone());
                scope.spawn(move || plan.work(&sender))
            })
            .collect();
        drop(sender);
        watch.follow(&news).inspect_err(|_| plan.stop())?;
        workers.into_iter().try_for_each(|worker| worker.join().expect("panics of runs are caught"))
    })?;
    watch.finish()
}

/// What is tried.
struct Plan<'a> {
    arguments: &'a Arguments,
    server: Server,
    shape: Shape,
    seed: u64,
    replayed: Option<Scenario>,
    /// What the names of documents begin with; no two searches have the same.
    name: String,
    deadline: Option<Instant>,
    next: AtomicU64,
    stopped: AtomicBool,
}

impl<'a> Plan<'a> {
    fn new(arguments: &'a Arguments) -> anyhow::Result<Self> {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let name = format!("{}{time:x}-", arguments.document);
        let (replicas, edits) = (arguments.replicas, arguments.edits);
        let replayed = arguments.replay.as_deref().map(Case::read).transpose()?.map(|case| case.scenario);
        ensure!(
            replayed.as_ref().is_none_or(|scenario| !scenario.replicas.is_empty()),
            "the scenario has no replicas"
        );
        let yjs = match arguments.yjs {
            None if NodeProcess::start().is_err() => 0,
            None => YJS.min(replicas - 1),
            Some(yjs) => yjs.min(replicas),
        };
        let document = format!("{name}probe");
        create(arguments, &document)?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let server = Server {
            target: arguments.target.clone(),
            restart: arguments.restart_cmd.clone(),
            acknowledges: runtime.block_on(probe::acknowledges(&arguments.target, &document))?,
            keeps: !arguments.may_forget,
            settle: arguments.settle,
            allows_gaps: !arguments.forbid_gaps,
            awareness: arguments.awareness,
        };
        Ok(Self {
            arguments,
            server,
            shape: Shape { replicas, yjs, edits },
            seed: arguments.seed.unwrap_or_else(|| u64::try_from(time).unwrap_or_default()),
            replayed,
            name,
            deadline: arguments.time.and_then(|time| Instant::now().checked_add(time)),
            next: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        })
    }

    fn description(&self) -> String {
        let acknowledges = match self.server.acknowledges {
            true => "gives SyncStatus back, so what it has acknowledged must stay",
            false => "acknowledges nothing (no answer to SyncStatus)",
        };
        let Shape { replicas, yjs, edits } = self.shape;
        let runs = match &self.replayed {
            Some(scenario) => scenario.to_string(),
            None => format!("seed {}: {replicas} replicas, {yjs} of them real Yjs; {edits} edits", self.seed),
        };
        format!("{}: {acknowledges}\n{runs}", self.server.target.url(&format!("{}…", self.name)))
    }

    /// Nothing more is tried.
    fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Carries out runs until there are no more.
    fn work(&self, news: &Sender<News>) -> anyhow::Result<()> {
        self.try_work(news).inspect_err(|_| self.stop())
    }

    fn try_work(&self, news: &Sender<News>) -> anyhow::Result<()> {
        let scenario_has_yjs = |scenario: &Scenario| scenario.replicas.contains(&Kind::Yjs);
        let yjs = self.replayed.as_ref().map_or(self.shape.yjs > 0, scenario_has_yjs);
        let node = if yjs { Some(NodeProcess::start()?) } else { None };
        while let Some(number) = self.next() {
            let scenario = self.scenario(number);
            let document = format!("{}{number}", self.name);
            create(self.arguments, &document)?;
            let start = Instant::now();
            let account = carry_out(&scenario, &self.server, node.as_ref(), document)?;
            if account.failure.is_some() && !self.arguments.keep_going {
                self.stop();
            }
            // Nobody listens any more only when the search is over.
            drop(news.send(News { number, time: start.elapsed(), scenario, account }));
        }
        Ok(())
    }

    /// The number of the next run.
    fn next(&self) -> Option<u64> {
        let late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if late || self.stopped.load(Ordering::Relaxed) || interrupt::is_interrupted() {
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let once = self.replayed.as_ref().and(Some(1)).filter(|_| self.deadline.is_none());
        self.arguments.runs.or(once).is_none_or(|runs| number < runs).then_some(number)
    }

    fn scenario(&self, number: u64) -> Scenario {
        let generated = || generate::scenario(self.seed.wrapping_add(number), &self.shape);
        let mut scenario = self.replayed.clone().unwrap_or_else(generated);
        scenario.steps.retain(|step| match &step.event {
            Event::Fault(fault) => !self.arguments.without.iter().any(|left_out| left_out == name_of(fault)),
            _ => true,
        });
        scenario
    }
}

fn name_of(fault: &Fault) -> &'static str {
    match fault {
        Fault::Crash(_) => "restart",
        fault => fault.kind(),
    }
}

fn create(arguments: &Arguments, document: &str) -> anyhow::Result<()> {
    arguments.create_cmd.as_ref().map_or(Ok(()), |command| restart::run(&command.replace("{}", document)))
}

/// Carries out a scenario. A panic in it is a failure.
fn carry_out(
    scenario: &Scenario,
    server: &Server,
    node: Option<&NodeProcess>,
    document: String,
) -> anyhow::Result<Account> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let run = || runtime.block_on(run::carry_out(scenario, server, node, document));
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message =
            message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message");
        let detail = format!("yrs, in a replica, panics on what the server sent: {message}");
        let failure = Failure { oracle: Oracle::Panic, step: scenario.steps.len(), time: 0, detail };
        Ok(Account { failure: Some(failure), ..Account::default() })
    })
}
