//! `against`: the same scenarios from outside, against any real server that speaks y-websocket or Hocuspocus.
//!
//! From outside, the order in which frames reach the server and the moments at which it writes cannot be decided. So a run is
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

mod arguments;
mod editor;
mod faults;
mod gate;
mod heal;
mod line;
mod probe;
mod reporter;
mod restart;
mod run;
mod stop;
mod target;
mod y_sweet;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::ensure;
use coscribe_terminal::say;
use tokio::runtime::Builder;

pub use self::arguments::Arguments;
use self::reporter::{FinishedRun, Reporter};
use self::run::{Account, Server};
use crate::flags;
use crate::generate::{self, Shape};
use crate::interrupt;
use crate::outcome::{Failure, Oracle};
use crate::replica::NodeProcess;
use crate::scenario::{Event, Fault, Kind, Scenario};
use crate::scenario_file::ScenarioFile;

/// Runs at the same time, which mostly wait for the server.
const JOBS: u16 = 4;

/// Carries out runs against the server, and reports what it finds.
///
/// # Errors
/// If it could not be tried: no server answers at the address, or it does not speak the dialect, or a command fails.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let plan = Plan::new(&arguments)?;
    let mut reporter = Reporter::new(&arguments, &plan.name, plan.runs());
    interrupt::listen()?;
    say!("{}", plan.description());
    thread::scope(|scope| {
        let (sender, runs) = mpsc::channel();
        let jobs = arguments.jobs.unwrap_or(if plan.server.restart.is_some() { 1 } else { JOBS });
        let workers: Vec<_> = (0..jobs)
            .map(|_| {
                let (plan, sender) = (&plan, sender.clone());
                scope.spawn(move || plan.work(&sender))
            })
            .collect();
        drop(sender);
        reporter.follow(&runs).inspect_err(|_| plan.stop())?;
        workers.into_iter().try_for_each(|worker| worker.join().expect("panics of runs are caught"))
    })?;
    reporter.finish()
}

/// The runs of a search.
struct Plan<'a> {
    arguments: &'a Arguments,
    server: Server,
    shape: Shape,
    seed: u64,
    replayed: Option<Scenario>,
    /// The prefix of all document names, which no other search has.
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
        let replayed =
            arguments.replay.as_deref().map(ScenarioFile::read).transpose()?.map(|case| case.scenario);
        ensure!(
            replayed.as_ref().is_none_or(|scenario| !scenario.replicas.is_empty()),
            "the scenario has no replicas"
        );
        let yjs = flags::yjs(arguments.yjs, replicas);
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
            true => "acknowledges by SyncStatus, so what it has acknowledged must stay",
            false => "acknowledges nothing (no SyncStatus)",
        };
        let runs = match &self.replayed {
            Some(scenario) => scenario.to_string(),
            None => format!("seed {}: {}", self.seed, self.shape),
        };
        format!("{}: {acknowledges}\n{runs}", self.server.target.url(&format!("{}…", self.name)))
    }

    /// Starts no more runs.
    fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Carries out runs until there are no more.
    fn work(&self, runs: &Sender<FinishedRun>) -> anyhow::Result<()> {
        self.try_work(runs).inspect_err(|_| self.stop())
    }

    fn try_work(&self, runs: &Sender<FinishedRun>) -> anyhow::Result<()> {
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
            drop(runs.send(FinishedRun { number, time: start.elapsed(), scenario, account }));
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
        self.runs().is_none_or(|runs| number < runs).then_some(number)
    }

    /// How many runs there will be; a scenario from a file is carried out once.
    fn runs(&self) -> Option<u64> {
        let once = self.replayed.as_ref().and(Some(1)).filter(|_| self.deadline.is_none());
        self.arguments.runs.or(once)
    }

    fn scenario(&self, number: u64) -> Scenario {
        let generated = || generate::scenario(self.seed.wrapping_add(number), &self.shape);
        let mut scenario = self.replayed.clone().unwrap_or_else(generated);
        scenario.steps.retain(|step| match &step.event {
            Event::Fault(fault) => !self.arguments.without.iter().any(|left_out| left_out == name_of(fault)),
            // The server is not known to have readers, nor how they are made.
            Event::Access { .. } => false,
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
