//! The server's side: starts workers, asks them, kills and replaces them.

use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use super::frame::{self, Question, Request, Response};

/// How long a worker that stopped answering may take to exit before it is killed.
const EXIT_TIME: Duration = Duration::from_secs(1);

/// How much of a worker's last words is kept.
const MAX_LAST_WORDS_BYTES: usize = 4096;

/// A v1 update of an empty document.
const EMPTY_UPDATE: &[u8] = &[0, 0];

/// One worker process, replaced by a fresh one whenever a document was too much for it.
pub(crate) struct Worker {
    timeout: Duration,
    /// None after it died, until the next question.
    process: Option<Process>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// yrs gave an error.
    #[error("{0}")]
    Refused(String),
    /// It took too long and was killed.
    #[error("opening it took more than {} s", .0.as_secs_f32())]
    TimedOut(Duration),
    /// An allocation failed.
    #[error("opening it took more memory than a worker may use")]
    OutOfMemory,
    /// The stack was not large enough.
    #[error("opening it overflowed the worker's stack")]
    StackOverflow,
    /// A panic, a signal, or an answer that makes no sense.
    #[error("opening it crashed the worker: {0}")]
    Crashed(String),
    /// This is not the document's fault.
    #[error("could not run a worker")]
    Broken(#[source] io::Error),
}

struct Process {
    child: Child,
    requests: Sender<Vec<u8>>,
    responses: Receiver<Response>,
    last_words: Receiver<String>,
}

impl Worker {
    /// Starts a worker, and makes sure that it answers.
    ///
    /// `timeout` is how long one document may take.
    pub(crate) fn start(timeout: Duration) -> Result<Self, Failure> {
        let mut worker = Self { timeout, process: None };
        worker.ask(EMPTY_UPDATE.to_vec(), Question::Summary).map_err(|failure| match failure {
            Failure::Broken(error) => Failure::Broken(error),
            other => Failure::Broken(io::Error::other(other.to_string())),
        })?;
        Ok(worker)
    }

    /// Opens a document (its whole state as one v1 update) in the worker and tells what was asked.
    ///
    /// Blocks until the answer is there, for as long as the timeout, or twice as long: what damaged a worker unnoticed
    /// may kill it only with the next document, so a document is blamed only when a fresh worker fails with it too.
    pub(crate) fn ask(&mut self, update: Vec<u8>, question: Question) -> Result<Response, Failure> {
        let request = Request { update, question, processor_time: self.timeout };
        let request = frame::encode(&request).map_err(|error| Failure::Refused(error.to_string()))?;
        let used_before = self.process.is_some();
        match self.try_once(request.clone()) {
            Err(_) if used_before => self.try_once(request),
            result => result,
        }
        .and_then(|response| match response {
            Response::Refused(reason) => Err(Failure::Refused(reason)),
            response => Ok(response),
        })
    }

    fn try_once(&mut self, request: Vec<u8>) -> Result<Response, Failure> {
        let mut process = match self.process.take() {
            Some(process) => process,
            None => Process::start().map_err(Failure::Broken)?,
        };
        let response = process.ask(request, self.timeout)?;
        self.process = Some(process);
        Ok(response)
    }
}

impl Process {
    fn start() -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("worker")
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (requests, inbox) = mpsc::channel();
        let (answers, responses) = mpsc::channel();
        let (words, last_words) = mpsc::channel();
        if let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        {
            thread::spawn(move || converse(&inbox, stdin, stdout, &answers));
            thread::spawn(move || words.send(listen(stderr)));
        }
        Ok(Self { child, requests, responses, last_words })
    }

    fn ask(&mut self, request: Vec<u8>, timeout: Duration) -> Result<Response, Failure> {
        // When the conversation has ended already, the receiver says so as well.
        let _ = self.requests.send(request);
        match self.responses.recv_timeout(timeout) {
            Ok(response) => Ok(response),
            Err(RecvTimeoutError::Timeout) => Err(Failure::TimedOut(timeout)),
            Err(RecvTimeoutError::Disconnected) => Err(self.cause_of_death(timeout)),
        }
    }

    fn cause_of_death(&mut self, timeout: Duration) -> Failure {
        // Its stderr ends when it ends.
        let last_words = self.last_words.recv_timeout(EXIT_TIME).unwrap_or_default();
        let _ = self.child.kill();
        match self.child.wait() {
            Ok(status) => diagnose(status, &last_words, timeout),
            Err(error) => Failure::Broken(error),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has been waited for already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Hands requests over and takes answers back, until one side is gone. On a thread of its own, because a worker may stop
/// reading as well as answering.
fn converse(
    inbox: &Receiver<Vec<u8>>,
    mut stdin: ChildStdin,
    mut stdout: ChildStdout,
    answers: &Sender<Response>,
) {
    for request in inbox {
        let answer = frame::write(&mut stdin, &request).and_then(|()| frame::read(&mut stdout));
        let Ok(Some(answer)) = answer else { return };
        if answers.send(answer).is_err() {
            return;
        }
    }
}

/// The end of what a worker wrote to stderr, once it has closed it.
fn listen(mut stderr: ChildStderr) -> String {
    let mut words = Vec::new();
    let mut piece = [0; 1024];
    while let Ok(read @ 1..) = stderr.read(&mut piece) {
        words.extend_from_slice(&piece[..read]);
        words.drain(..words.len().saturating_sub(MAX_LAST_WORDS_BYTES));
    }
    String::from_utf8_lossy(&words).into_owned()
}

fn diagnose(status: ExitStatus, last_words: &str, timeout: Duration) -> Failure {
    // What Rust's runtime says before it aborts.
    if last_words.contains("has overflowed its stack") {
        return Failure::StackOverflow;
    }
    if last_words.contains("memory allocation of") || last_words.contains("memory allocation failed") {
        return Failure::OutOfMemory;
    }
    if status.signal() == Some(rustix::process::Signal::XCPU.as_raw()) {
        return Failure::TimedOut(timeout);
    }
    let words = last_words.trim();
    let words = if words.is_empty() { "it said nothing" } else { words };
    Failure::Crashed(format!("{status}: {}", words.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_death_is_told_by_signal_and_last_words() {
        let told =
            |raw, words| diagnose(ExitStatus::from_raw(raw), words, Duration::from_secs(2)).to_string();
        assert_eq!(told(11, ""), "opening it crashed the worker: signal: 11 (SIGSEGV): it said nothing");
        assert_eq!(
            told(101 << 8, "panicked at\n x\n"),
            "opening it crashed the worker: exit status: 101: panicked at\\n x"
        );
        assert_eq!(told(24, ""), "opening it took more than 2 s");
        assert_eq!(
            told(6, "thread 'document' has overflowed its stack"),
            "opening it overflowed the worker's stack"
        );
        assert_eq!(
            told(6, "memory allocation of 4294967296 bytes failed"),
            "opening it took more memory than a worker may use"
        );
    }
}
