//! What is told of runs: progress, findings, the account in the end.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::Context;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::arguments::Arguments;
use super::run::Account;
use crate::outcome::{Failure, Timeline};
use crate::progress::Progress;
use crate::report::Finding;
use crate::scenario::Scenario;
use crate::scenario_file::ScenarioFile;

/// A run is over.
pub(super) struct News {
    pub(super) number: u64,
    pub(super) time: Duration,
    pub(super) scenario: Scenario,
    pub(super) account: Account,
}

/// Follows the runs.
pub(super) struct Watch<'a> {
    arguments: &'a Arguments,
    /// What the names of documents begin with.
    name: &'a str,
    start: Instant,
    progress: Progress,
    connections: usize,
    heals: usize,
    restarts: usize,
    gaps: usize,
    cases: Vec<TestCase>,
    is_terminal: bool,
    told: Instant,
}

impl<'a> Watch<'a> {
    pub(super) fn new(arguments: &'a Arguments, name: &'a str) -> Self {
        Self {
            arguments,
            name,
            start: Instant::now(),
            progress: Progress::default(),
            connections: 0,
            heals: 0,
            restarts: 0,
            gaps: 0,
            cases: Vec::new(),
            is_terminal: io::stderr().is_terminal(),
            told: Instant::now(),
        }
    }

    /// Until all runs are over.
    pub(super) fn follow(&mut self, news: &Receiver<News>) -> anyhow::Result<()> {
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
        let News { number, time, scenario, account } = news;
        self.progress.add(&account.coverage, account.failure.is_some());
        self.connections += account.connections;
        self.heals += account.heals;
        self.restarts += account.restarts;
        self.gaps += account.gaps;
        let document = format!("{}{number}", self.name);
        let mut case =
            TestCase::new(format!("seed {}, document {document}", scenario.seed), TestCaseStatus::success());
        case.set_classname("coscribe-fuzz").set_time(time);
        if let Some(failure) = account.failure {
            let again = self.write(scenario, &failure, &document)?;
            case.status = status(&failure, &again);
        }
        if self.arguments.junit.is_some() {
            self.cases.push(case);
        }
        Ok(())
    }

    /// Tells of a finding, and writes its scenario. Gives the command that tries it again.
    fn write(&mut self, scenario: Scenario, failure: &Failure, document: &str) -> anyhow::Result<String> {
        self.clear();
        let finding = Finding { scenario, failure: failure.clone(), timeline: Timeline::default() };
        // First, in case it cannot be written.
        println!("{failure}\n  {}\n  document  {document}", finding.scenario);
        let file = self.write_case(&finding)?;
        let mut again = format!(
            "coscribe-fuzz against '{}' --replay {} --runs 20",
            self.arguments.target.template(),
            file.display()
        );
        for (flag, given) in
            [("may-forget", self.arguments.may_forget), ("forbid-gaps", self.arguments.forbid_gaps)]
        {
            again += &if given { format!(" --{flag}") } else { String::new() };
        }
        if let Some(command) = &self.arguments.create_cmd {
            again += &format!(" --create-cmd '{command}'");
        }
        if let Some(command) = &self.arguments.restart_cmd {
            again += &format!(" --restart-cmd '{command}'");
        }
        println!("  again     {again}");
        Ok(again)
    }

    fn write_case(&self, finding: &Finding) -> anyhow::Result<PathBuf> {
        let file = self.arguments.failures.join(format!("{}.json", finding.name()));
        let case =
            ScenarioFile { scenario: finding.scenario.clone(), failure: Some(finding.failure.clone()) };
        let written =
            fs::create_dir_all(&self.arguments.failures).and_then(|()| fs::write(&file, case.to_json()));
        written.with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
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

    pub(super) fn finish(mut self) -> anyhow::Result<ExitCode> {
        self.clear();
        self.progress.elapsed = self.start.elapsed();
        println!("{} in {} s", self.progress, self.progress.elapsed.as_secs());
        let Self { connections, heals, restarts, gaps, .. } = self;
        println!("{connections} connections, {heals} times compared, {restarts} restarts");
        if gaps > 0 {
            println!("{gaps} updates were sent before what they build on: Yjs lets them wait, yrs does not");
        }
        if let Some(file) = &self.arguments.junit {
            let mut suite = TestSuite::new("against");
            suite.add_test_cases(self.cases);
            let mut report = Report::new("coscribe-fuzz");
            report.add_test_suite(suite);
            fs::write(file, report.to_string()?)
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(if self.progress.failures > 0 { ExitCode::from(1) } else { ExitCode::SUCCESS })
    }
}

fn status(failure: &Failure, again: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status
        .set_message(failure.to_string())
        .set_type(format!("{:?}", failure.oracle))
        .set_description(format!("{failure}\nagain: {again}"));
    status
}
