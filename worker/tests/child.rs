//! Children that are any program: what is told of their deaths, and that another one takes their place.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use coscribe_worker::{Child, Failure, Unanswered, Worker};

const LONGEST_FRAME: u32 = 1 << 20;

/// A shell as a child, which is waited for as long as this.
fn shell(script: &str, patience: Duration) -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    Child::new(command, patience, LONGEST_FRAME)
}

/// A program that answers each request with itself.
const ECHO: &str = "exec cat";
const LONG: Duration = Duration::from_secs(60);

#[test]
fn one_process_answers_one_request_after_another() {
    let mut child = shell(ECHO, LONG);
    assert!(!child.is_running());
    for request in ["", "hello", &"long".repeat(1_000)] {
        assert_eq!(child.ask(Bytes::from(request.to_owned())).unwrap(), request.as_bytes());
        assert!(child.is_running());
    }
}

#[test]
fn a_death_is_told_with_the_last_words_and_the_next_request_starts_another() {
    let mut child = shell("echo farewell >&2; exit 3", LONG);
    for _ in 0..2 {
        let Err(Unanswered::Ended { status, last_words }) = child.ask(Bytes::new()) else {
            panic!("it answers");
        };
        assert_eq!((status.code(), last_words.as_str()), (Some(3), "farewell\n"));
        assert!(!child.is_running());
    }
}

#[test]
fn one_that_does_not_answer_in_time_is_killed() {
    let asked = Instant::now();
    let mut child = shell("exec sleep 600", Duration::from_millis(50));
    assert!(matches!(child.ask(Bytes::new()), Err(Unanswered::Late)));
    assert!(!child.is_running());
    assert!(asked.elapsed() < LONG, "its end was waited for, and came");
}

#[test]
fn one_that_reads_nothing_is_killed_as_well() {
    let mut child = shell("exec sleep 600", Duration::from_millis(50));
    // More than a pipe holds.
    assert!(matches!(child.ask(Bytes::from(vec![0; 1 << 20])), Err(Unanswered::Late)));
}

#[test]
fn one_that_writes_no_frame_is_killed() {
    let mut child = shell("echo and now for something completely different; exec sleep 600", LONG);
    assert!(matches!(child.ask(Bytes::new()), Err(Unanswered::Ended { .. })));
    assert!(!child.is_running());
}

#[test]
fn a_request_that_is_too_long_is_not_sent() {
    let mut child = shell(ECHO, LONG);
    let long = Bytes::from(vec![0; LONGEST_FRAME as usize + 1]);
    assert!(matches!(child.ask(long), Err(Unanswered::TooLong)));
    assert_eq!(child.ask(Bytes::from_static(b"short")).unwrap(), b"short");
}

#[test]
fn a_program_that_is_not_there_or_is_no_worker_is_nobodys_document() {
    let mut child = Child::new(Command::new("/no/such/program"), LONG, LONGEST_FRAME);
    assert!(matches!(child.ask(Bytes::new()), Err(Unanswered::NotStarted(_))));
    for program in ["/no/such/program", "false"] {
        assert!(matches!(Worker::start(Command::new(program), LONG), Err(Failure::Broken(_))), "{program}");
    }
}
