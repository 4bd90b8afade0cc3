//! JUnit XML for CI, with a test case for each thousand runs.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use crate::outcome::Failure;

/// Runs of a batch, which is one test case.
const BATCH_RUNS: u64 = 1_000;

/// The runs of a search, in batches.
#[derive(Debug, Default)]
pub struct JunitReport {
    batches: Vec<Batch>,
}

#[derive(Debug, Default, Clone)]
struct Batch {
    runs: u64,
    time: Duration,
    failures: Vec<(Failure, String)>,
}

impl JunitReport {
    /// Counts a run by its number, with the time that it took.
    pub fn add(&mut self, number: u64, time: Duration) {
        let batch = self.batch(number);
        batch.runs += 1;
        batch.time += time;
    }

    /// Counts a run that failed, with the command that replays it.
    pub fn add_failure(&mut self, number: u64, failure: Failure, replay: String) {
        self.batch(number).failures.push((failure, replay));
    }

    fn batch(&mut self, number: u64) -> &mut Batch {
        let index = usize::try_from(number / BATCH_RUNS).expect("so many runs end in no lifetime");
        if self.batches.len() <= index {
            self.batches.resize_with(index + 1, Batch::default);
        }
        &mut self.batches[index]
    }

    /// The XML.
    ///
    /// # Errors
    /// Never, as far as is known: the writer below it is a string.
    pub fn to_xml(&self) -> Result<String, SerializeError> {
        let mut suite = TestSuite::new("simulate");
        for (first, batch) in (0..).map(|batch| batch * BATCH_RUNS).zip(&self.batches) {
            let name = format!("runs {first}–{}", first + batch.runs.max(1) - 1);
            let mut case = TestCase::new(name, batch.status());
            case.set_classname("coscribe-fuzz").set_time(batch.time);
            suite.add_test_case(case);
        }
        let mut report = Report::new("coscribe-fuzz");
        report.add_test_suite(suite);
        report.to_string()
    }
}

impl Batch {
    fn status(&self) -> TestCaseStatus {
        let Some((first, _)) = self.failures.first() else { return TestCaseStatus::success() };
        let failures = self.failures.iter().map(|(failure, replay)| format!("{failure}\nreplay: {replay}"));
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status
            .set_message(first.to_string())
            .set_type(format!("{:?}", first.oracle))
            .set_description(failures.collect::<Vec<_>>().join("\n\n"));
        status
    }
}
