//! What CI reads: JUnit XML with a test case for each thousand runs.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use crate::outcome::Failure;

/// How many runs are one test case.
const RUNS: u64 = 1_000;

/// The runs of a search in blocks.
#[derive(Debug, Default)]
pub struct Blocks {
    blocks: Vec<Block>,
}

#[derive(Debug, Default, Clone)]
struct Block {
    runs: u64,
    time: Duration,
    failures: Vec<(Failure, String)>,
}

impl Blocks {
    /// Counts a run by its number, with the time that it took.
    pub fn add(&mut self, number: u64, time: Duration) {
        let block = self.block(number);
        block.runs += 1;
        block.time += time;
    }

    /// Counts a run that failed, with the command that replays it.
    pub fn add_failure(&mut self, number: u64, failure: Failure, replay: String) {
        self.block(number).failures.push((failure, replay));
    }

    fn block(&mut self, number: u64) -> &mut Block {
        let index = usize::try_from(number / RUNS).expect("so many runs end in no lifetime");
        if self.blocks.len() <= index {
            self.blocks.resize_with(index + 1, Block::default);
        }
        &mut self.blocks[index]
    }

    /// The XML.
    ///
    /// # Errors
    /// Never, as far as is known: the writer below it is a string.
    pub fn to_xml(&self) -> Result<String, SerializeError> {
        let mut suite = TestSuite::new("simulate");
        for (first, block) in (0..).map(|block| block * RUNS).zip(&self.blocks) {
            let name = format!("runs {first}–{}", first + block.runs.max(1) - 1);
            let mut case = TestCase::new(name, block.status());
            case.set_classname("coscribe-fuzz").set_time(block.time);
            suite.add_test_case(case);
        }
        let mut report = Report::new("coscribe-fuzz");
        report.add_test_suite(suite);
        report.to_string()
    }
}

impl Block {
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
