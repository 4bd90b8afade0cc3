//! `simulate`: searches for a simulated run that breaks a promise.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use clap::Args;
use coscribe_fuzz::corpus::Corpus;
use coscribe_fuzz::flags;
use coscribe_fuzz::interrupt;
use coscribe_fuzz::outcome::Coverage;
use coscribe_fuzz::progress::{Bound, ProgressLine};
use coscribe_fuzz::report::junit::JunitReport;
use coscribe_terminal::say;

use super::search::{Origin, Search, SearchEvent};
use super::{Plant, Size, exit_code, seed_command, write};

const EXAMPLES: &str = "\
Examples:
  Search until something is found, or until Ctrl-C
      coscribe-fuzz simulate
  Ten minutes in CI
      coscribe-fuzz simulate --time 10m --corpus fuzz-corpus --junit fuzz.xml
  The same runs again
      coscribe-fuzz simulate --seed 42 --runs 1000

Run i has the seed SEED + i. What is found is cut down to a few steps and written to the directory of --failures: a page that
draws it, a scenario for `coscribe-fuzz replay`, a test in Rust, and a script for Yjs alone.";

/// The flags of `simulate`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The seed of the first run [default: the time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// End after so many runs
    #[arg(long, value_name = "N", value_parser = flags::runs())]
    runs: Option<u64>,
    /// End after this time, such as 90s, 10m or 2h
    #[arg(long, value_parser = flags::time)]
    time: Option<Duration>,
    /// Threads [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    #[command(flatten)]
    size: Size,
    /// Keep scenarios that try something new in this directory; replay them first, and make others from them
    #[arg(long, value_name = "DIR")]
    corpus: Option<PathBuf>,
    /// Where to write what is found
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
    #[command(flatten)]
    plant: Plant,
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let shape = arguments.size.shape();
    let corpus = arguments.corpus.clone().map(Corpus::open).transpose()?;
    let seed = arguments.seed.unwrap_or_else(time_as_seed);
    let mut search = Search::new(shape, seed, arguments.plant, corpus);
    (search.runs, search.keep_going) = (arguments.runs, arguments.keep_going);
    search.deadline = arguments.time.and_then(|time| Instant::now().checked_add(time));
    interrupt::listen()?;
    say!("seed {seed}: {shape}");
    let jobs = arguments.jobs.map_or_else(cores, usize::from);
    let mut reporter = SearchReporter::new(&arguments, &search);
    thread::scope(|scope| {
        let (sender, events) = mpsc::channel();
        let workers: Vec<_> = (0..jobs)
            .map(|_| {
                let (search, sender) = (&search, sender.clone());
                scope.spawn(move || search.work(&sender))
            })
            .collect();
        drop(sender);
        reporter.follow(&events).inspect_err(|_| search.stop())?;
        workers.into_iter().try_for_each(|worker| worker.join().expect("panics of runs are caught"))
    })?;
    reporter.finish()
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn time_as_seed() -> u64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    time.as_secs() * 1_000 + u64::from(time.subsec_millis())
}

/// Reports a search while it goes on, and at its end.
struct SearchReporter<'a> {
    arguments: &'a Arguments,
    search: &'a Search,
    line: ProgressLine,
    junit: JunitReport,
}

impl<'a> SearchReporter<'a> {
    fn new(arguments: &'a Arguments, search: &'a Search) -> Self {
        Self {
            arguments,
            search,
            line: ProgressLine::new(Bound::new(search.all_runs(), arguments.time), arguments.quiet),
            junit: JunitReport::default(),
        }
    }

    fn follow(&mut self, events: &Receiver<SearchEvent>) -> anyhow::Result<()> {
        loop {
            match events.recv_timeout(Duration::from_millis(100)) {
                Ok(event) => self.take_in(event)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            self.line.show();
        }
    }

    fn take_in(&mut self, event: SearchEvent) -> anyhow::Result<()> {
        match event {
            SearchEvent::Run { number, time, coverage, failed } => {
                self.count(number, time, &coverage, failed)
            }
            SearchEvent::Found { number, finding } => {
                let replay = write(&finding, &self.arguments.failures, self.arguments.plant)?;
                say!("  before    {}", self.origin(number));
                self.junit.add_failure(number, finding.failure, replay);
            }
            SearchEvent::Vanished { number, scenario, failure } => {
                say!(
                    "{failure}\n  {scenario}\n  It did not happen again: something besides the scenario decides."
                );
                say!("  before    {}", self.origin(number));
                self.junit.add_failure(number, failure, self.origin(number));
            }
        }
        Ok(())
    }

    fn count(&mut self, number: u64, time: Duration, coverage: &Coverage, failed: bool) {
        self.line.progress.add(coverage, failed);
        self.junit.add(number, time);
    }

    /// Where a run came from, before it was cut down.
    fn origin(&self, number: u64) -> String {
        match self.search.origin(number) {
            Origin::Seed(seed) => seed_command(seed, &self.search.shape, self.arguments.plant),
            Origin::Corpus => "a scenario of the corpus".to_owned(),
            Origin::Mutation(seed) => format!("made from the corpus with seed {seed}"),
        }
    }

    fn finish(mut self) -> anyhow::Result<ExitCode> {
        self.line.finish();
        if let Some(file) = &self.arguments.junit {
            fs::write(file, self.junit.to_xml()?)
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(exit_code(self.line.progress.failures > 0))
    }
}
