//! Reports the runs: progress, findings, and the counts at the end.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use anyhow::Context;
use coscribe_terminal::{counted, say};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::arguments::Arguments;
use super::run::Account;
use crate::outcome::{Failure, Timeline};
use crate::progress::{Bound, ProgressLine};
use crate::report::Finding;
use crate::scenario::Scenario;
use crate::scenario_file::ScenarioFile;

/// A run that has ended.
pub(super) struct FinishedRun {
    pub(super) number: u64,
    pub(super) time: Duration,
    pub(super) scenario: Scenario,
    pub(super) account: Account,
}

/// Reports runs while they go on, and at their end.
pub(super) struct Reporter<'a> {
    arguments: &'a Arguments,
    /// The prefix of all document names.
    name: &'a str,
    line: ProgressLine,
    connections: usize,
    heals: usize,
    restarts: usize,
    gaps: usize,
    cases: Vec<TestCase>,
}

impl<'a> Reporter<'a> {
    pub(super) fn new(arguments: &'a Arguments, name: &'a str, runs: Option<u64>) -> Self {
        Self {
            arguments,
            name,
            line: ProgressLine::new(Bound::new(runs, arguments.time), arguments.quiet),
            connections: 0,
            heals: 0,
            restarts: 0,
            gaps: 0,
            cases: Vec::new(),
        }
    }

    /// Reports until all runs are over.
    pub(super) fn follow(&mut self, runs: &Receiver<FinishedRun>) -> anyhow::Result<()> {
        loop {
            match runs.recv_timeout(Duration::from_millis(100)) {
                Ok(run) => self.take_in(run)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            self.line.show();
        }
    }

    fn take_in(&mut self, run: FinishedRun) -> anyhow::Result<()> {
        let FinishedRun { number, time, scenario, account } = run;
        self.line.progress.add(&account.coverage, account.failure.is_some());
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

    /// Prints a finding, and writes its scenario. Gives the command that tries it again.
    fn write(&mut self, scenario: Scenario, failure: &Failure, document: &str) -> anyhow::Result<String> {
        let finding = Finding { scenario, failure: failure.clone(), timeline: Timeline::default() };
        // First, in case it cannot be written.
        say!("{failure}\n  {}\n  document  {document}", finding.scenario);
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
        say!("  again     {again}");
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

    pub(super) fn finish(mut self) -> anyhow::Result<ExitCode> {
        self.line.finish();
        let Self { connections, heals, restarts, gaps, .. } = self;
        say!(
            "{}, compared {}, {}",
            counted(connections, "connection"),
            counted(heals, "time"),
            counted(restarts, "restart")
        );
        if gaps > 0 {
            say!(
                "updates that were sent before what they build on: {gaps} (Yjs lets them wait, yrs does not)"
            );
        }
        if let Some(file) = &self.arguments.junit {
            let mut suite = TestSuite::new("against");
            suite.add_test_cases(self.cases);
            let mut report = Report::new("coscribe-fuzz");
            report.add_test_suite(suite);
            fs::write(file, report.to_string()?)
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(if self.line.progress.failures > 0 { ExitCode::from(1) } else { ExitCode::SUCCESS })
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
