//! `simulate`: searches.

use std::fs;
use std::io::{self, IsTerminal, Write};
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
use coscribe_fuzz::progress::Progress;
use coscribe_fuzz::report::junit::JunitReport;

use super::search::{News, Origin, Search};
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
    println!(
        "seed {seed}: {} replicas, {} of them real Yjs; {} edits",
        shape.replicas, shape.yjs, shape.edits
    );
    let jobs = arguments.jobs.map_or_else(cores, usize::from);
    let mut watch = Watch::new(&arguments, &search);
    thread::scope(|scope| {
        let (sender, news) = mpsc::channel();
        let workers: Vec<_> = (0..jobs)
            .map(|_| {
                let (search, sender) = (&search, sender.clone());
                scope.spawn(move || search.work(&sender))
            })
            .collect();
        drop(sender);
        watch.follow(&news).inspect_err(|_| search.stop())?;
        workers.into_iter().try_for_each(|worker| worker.join().expect("panics of runs are caught"))
    })?;
    watch.finish()
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn time_as_seed() -> u64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    time.as_secs() * 1_000 + u64::from(time.subsec_millis())
}

/// Follows a search, and tells of it.
struct Watch<'a> {
    arguments: &'a Arguments,
    search: &'a Search,
    start: Instant,
    progress: Progress,
    junit: JunitReport,
    is_terminal: bool,
    told: Instant,
}

impl<'a> Watch<'a> {
    fn new(arguments: &'a Arguments, search: &'a Search) -> Self {
        Self {
            arguments,
            search,
            start: Instant::now(),
            progress: Progress::default(),
            junit: JunitReport::default(),
            is_terminal: io::stderr().is_terminal(),
            told: Instant::now(),
        }
    }

    fn follow(&mut self, news: &Receiver<News>) -> anyhow::Result<()> {
        loop {
            match news.recv_timeout(Duration::from_millis(100)) {
                Ok(news) => self.take_in(news)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            self.tell();
        }
    }

    fn take_in(&mut self, news: News) -> anyhow::Result<()> {
        match news {
            News::Run { number, time, coverage, failed } => self.count(number, time, &coverage, failed),
            News::Found { number, finding } => {
                self.clear();
                let replay = write(&finding, &self.arguments.failures, self.arguments.plant)?;
                println!("  before    {}", self.origin(number));
                self.junit.add_failure(number, finding.failure, replay);
            }
            News::Vanished { number, scenario, failure } => {
                self.clear();
                println!(
                    "{failure}\n  {scenario}\n  It did not happen again: something besides the scenario decides."
                );
                println!("  before    {}", self.origin(number));
                self.junit.add_failure(number, failure, self.origin(number));
            }
        }
        Ok(())
    }

    fn count(&mut self, number: u64, time: Duration, coverage: &Coverage, failed: bool) {
        self.progress.add(coverage, failed);
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

    /// The progress: on a terminal always in the same line, elsewhere every ten seconds.
    fn tell(&mut self) {
        let interval = if self.is_terminal { Duration::from_millis(200) } else { Duration::from_secs(10) };
        if self.arguments.quiet || self.told.elapsed() < interval {
            return;
        }
        (self.told, self.progress.elapsed) = (Instant::now(), self.start.elapsed());
        let (before, after) = if self.is_terminal { ("\r\x1b[K", "") } else { ("", "\n") };
        // If nobody can read it, the search goes on all the same.
        let _ = write!(io::stderr(), "{before}{}{after}", self.progress);
    }

    /// Clears the line of the progress for something else.
    fn clear(&self) {
        if self.is_terminal && !self.arguments.quiet {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }

    fn finish(mut self) -> anyhow::Result<ExitCode> {
        self.clear();
        self.progress.elapsed = self.start.elapsed();
        println!("{} in {} s", self.progress, self.progress.elapsed.as_secs());
        if let Some(file) = &self.arguments.junit {
            fs::write(file, self.junit.to_xml()?)
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(exit_code(self.progress.failures > 0))
    }
}
