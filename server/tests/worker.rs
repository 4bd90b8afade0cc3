//! The worker process by itself: what it answers, what it dies of, and that nothing keeps it alive.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "commands/documents.rs"]
#[allow(dead_code)]
mod documents;

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use coscribe_worker::document::Root;
use coscribe_worker::frame;
use coscribe_worker::message::{self, Question, Request, Response};
use documents::{nested, string_in_array, text};

const SIGABRT: i32 = 6;
const SIGXCPU: i32 = 24;

struct Worker {
    child: Child,
    stdout: ChildStdout,
}

impl Worker {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coscribe"));
        command.arg("worker").env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        Self { child, stdout }
    }

    fn send(&mut self, update: &[u8], question: Question, processor_time: Duration) {
        self.send_with(update, question, processor_time, 2 << 30);
    }

    /// Sends a request that may take so many bytes of memory.
    fn send_with(&mut self, update: &[u8], question: Question, processor_time: Duration, memory_bytes: u64) {
        let request = Request { update: update.to_vec(), question, processor_time, memory_bytes };
        let request = message::encode(&request).unwrap();
        frame::write(self.child.stdin.as_mut().unwrap(), &request, u32::MAX).unwrap();
    }

    fn ask(&mut self, update: &[u8], question: Question) -> Option<Response> {
        self.send(update, question, Duration::from_secs(60));
        self.answer()
    }

    /// None when it has ended.
    fn answer(&mut self) -> Option<Response> {
        let body = frame::read(&mut self.stdout, u32::MAX).unwrap()?;
        Some(message::decode(&body).unwrap())
    }

    /// Its exit status and what it wrote to stderr, when it ends by itself.
    fn end(mut self) -> (ExitStatus, String) {
        let mut words = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
        (self.child.wait().unwrap(), words)
    }
}

#[test]
fn questions_are_answered_one_after_another_until_stdin_ends() {
    let mut worker = Worker::start();
    let update = text(7, 0, "hello");
    let summary = Response::Summary { state_vector: vec![(7, 5)], delete_set: Vec::new() };
    assert_eq!(worker.ask(&update, Question::Summary), Some(summary));
    assert_eq!(worker.ask(&update, Question::Json), Some(Response::Json(r#"{"t":"hello"}"#.to_owned())));
    assert_eq!(worker.ask(&update, Question::Text(None)), Some(Response::Text("hello".to_owned())));
    let roots = vec![Root { name: "t".to_owned(), kind: "text".to_owned() }];
    assert_eq!(worker.ask(&update, Question::Text(Some("no".to_owned()))), Some(Response::NoText(roots)));
    assert!(matches!(worker.ask(&[1, 2], Question::Json), Some(Response::Refused(_))));
    drop(worker.child.stdin.take());
    let (status, words) = worker.end();
    assert!(status.success(), "{status}: {words}");
}

#[test]
fn a_worker_in_an_endless_document_goes_when_the_server_goes() {
    let mut worker = Worker::start();
    worker.ask(&[0, 0], Question::Json);
    worker.send(&string_in_array("😀"), Question::Json, Duration::from_secs(600));
    drop(worker.child.stdin.take());
    let (status, words) = worker.end();
    assert!(status.success(), "{status}: {words}");
}

#[test]
fn an_endless_document_is_ended_by_the_limit_on_processor_time() {
    let mut worker = Worker::start();
    worker.send(&string_in_array("😀"), Question::Json, Duration::from_secs(1));
    assert_eq!(worker.answer(), None);
    assert_eq!(worker.end().0.signal(), Some(SIGXCPU));
}

#[test]
fn each_question_has_its_own_processor_time() {
    let mut worker = Worker::start();
    let busy = nested(100_000);
    for _ in 0..8 {
        worker.send(&busy, Question::Summary, Duration::from_secs(1));
        assert!(matches!(worker.answer(), Some(Response::Summary { .. })));
    }
}

#[test]
fn values_nested_deeper_than_a_normal_stack_are_opened_and_deeper_than_its_own_end_it() {
    let value = |depth| [&[1, 1, 1, 0, 8, 1, 1, b'a', 1][..], &[117, 1].repeat(depth), &[126, 0]].concat();
    let mut worker = Worker::start();
    assert!(matches!(worker.ask(&value(6_200), Question::Summary), Some(Response::Summary { .. })));
    assert_eq!(worker.ask(&value(10_000_000), Question::Summary), None);
    let (status, words) = worker.end();
    assert_eq!(status.signal(), Some(SIGABRT));
    assert!(words.contains("has overflowed its stack"), "{words}");
}

#[test]
fn an_update_that_claims_gigabytes_does_not_get_them() {
    // Twelve maps in each other, of 2^26 entries each: 1.5 GB without a limit.
    let maps = [118, 0x80, 0x80, 0x80, 0x20, 1, b'k'].repeat(12);
    let update = [&[1, 1, 1, 0, 8, 1, 1, b'a', 1][..], &maps, &[0]].concat();
    let mut worker = Worker::start();
    let Some(Response::Refused(reason)) = worker.ask(&update, Question::Summary) else {
        panic!("it was not refused");
    };
    assert!(reason.contains("memory"), "{reason}");
    assert!(worker.ask(&[0, 0], Question::Summary).is_some(), "it goes on");
}

#[test]
fn what_is_not_a_request_ends_it() {
    let mut worker = Worker::start();
    worker.child.stdin.as_mut().unwrap().write_all(&[3, 0, 0, 0, 0xff, 0xff, 0xff]).unwrap();
    let (status, words) = worker.end();
    assert_eq!(status.code(), Some(1));
    assert!(words.contains("could not read a request"), "{words}");
}

/// A text that was typed from its end to its beginning: so many blocks of one character, which cannot be joined.
fn typed_backwards(characters: u64) -> Vec<u8> {
    use coscribe_engine::lib0::write_var_uint;
    let mut update = vec![1];
    write_var_uint(&mut update, characters);
    update.extend([1, 0, 4, 1, 1, b't', 1, b'x']);
    for clock in 1..characters {
        update.extend([0x44, 1]);
        write_var_uint(&mut update, clock - 1);
        update.extend([1, b'x']);
    }
    update.push(0);
    update
}

#[test]
fn a_document_may_take_as_much_memory_as_its_request_says() {
    let update = typed_backwards(300_000);
    let time = Duration::from_secs(600);
    let mut worker = Worker::start();
    worker.send_with(&update, Question::Summary, time, 8 << 30);
    assert!(matches!(worker.answer(), Some(Response::Summary { .. })));
    // Of this, most is the stack.
    let mut worker = Worker::start();
    worker.send_with(&update, Question::Summary, time, 600 << 20);
    assert_eq!(worker.answer(), None);
    let (_, words) = worker.end();
    assert!(words.contains("memory allocation"), "{words}");
}
