//! The parent's side: a child process that answers frames.

use std::io::{self, Read};
use std::process::{self, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use bytes::Bytes;

use crate::frame;
use crate::limits::{EXIT_TIME, LAST_WORDS_BYTES};

/// A child process that is asked one thing after another, and is started again when it has died.
pub struct Child {
    command: Command,
    patience: Duration,
    longest_frame: u32,
    /// None until the first request, and after it has died.
    running: Option<Running>,
}

/// Why there is no answer. Unless nothing was sent, the process is gone.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// The request is longer than a frame may be. It was not sent.
    #[error("the document is too large for a worker")]
    TooLong,
    /// The program does not start.
    #[error("it does not start")]
    NotStarted(#[source] io::Error),
    /// It took too long and was killed.
    #[error("it does not answer")]
    Late,
    /// It has ended, or was killed because it wrote something else than a frame.
    #[error("it has ended: {status}")]
    Ended {
        /// Of what.
        status: ExitStatus,
        /// The end of what it wrote to stderr.
        last_words: String,
    },
    /// It has ended, and the system does not say how.
    #[error("it has ended")]
    Lost(#[source] io::Error),
}

struct Running {
    process: process::Child,
    requests: Sender<Bytes>,
    answers: Receiver<Vec<u8>>,
    last_words: Receiver<String>,
}

impl Child {
    /// A child that is started by the first request. `command` must call [`crate::serve()`] or do the same.
    ///
    /// `patience` is how long it may take for one answer, `longest_frame` the longest request or answer in bytes.
    #[must_use]
    pub fn new(command: Command, patience: Duration, longest_frame: u32) -> Self {
        Self { command, patience, longest_frame, running: None }
    }

    /// Whether the next request goes to a process that has answered before.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Sends a request and waits for its answer, as long as the child's patience lasts.
    ///
    /// # Errors
    /// If there is none; the next request then goes to another process.
    pub fn ask(&mut self, request: Bytes) -> Result<Vec<u8>, Unanswered> {
        self.ask_within(request, self.patience)
    }

    /// The same, for as long as this.
    ///
    /// # Errors
    /// As for [`Self::ask`].
    pub fn ask_within(&mut self, request: Bytes, patience: Duration) -> Result<Vec<u8>, Unanswered> {
        if request.len() > self.longest_frame as usize {
            return Err(Unanswered::TooLong);
        }
        let mut running = match self.running.take() {
            Some(running) => running,
            None => Running::start(&mut self.command, self.longest_frame).map_err(Unanswered::NotStarted)?,
        };
        let answer = running.ask(request, patience)?;
        self.running = Some(running);
        Ok(answer)
    }

    /// Ends the process, if there is one: for answers that make no sense.
    pub fn stop(&mut self) {
        self.running = None;
    }
}

impl Running {
    fn start(command: &mut Command, longest_frame: u32) -> io::Result<Self> {
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (requests, inbox) = mpsc::channel();
        let (outbox, answers) = mpsc::channel();
        let (words, last_words) = mpsc::channel();
        if let (Some(stdin), Some(stdout), Some(stderr)) =
            (process.stdin.take(), process.stdout.take(), process.stderr.take())
        {
            thread::spawn(move || converse(&inbox, stdin, stdout, longest_frame, &outbox));
            thread::spawn(move || words.send(listen(stderr)));
        }
        Ok(Self { process, requests, answers, last_words })
    }

    fn ask(&mut self, request: Bytes, patience: Duration) -> Result<Vec<u8>, Unanswered> {
        // When the conversation has ended already, the receiver says so as well.
        let _ = self.requests.send(request);
        match self.answers.recv_timeout(patience) {
            Ok(answer) => Ok(answer),
            Err(RecvTimeoutError::Timeout) => Err(Unanswered::Late),
            Err(RecvTimeoutError::Disconnected) => Err(self.cause_of_death()),
        }
    }

    fn cause_of_death(&mut self) -> Unanswered {
        // Its stderr ends when it ends.
        let last_words = self.last_words.recv_timeout(EXIT_TIME).unwrap_or_default();
        let _ = self.process.kill();
        match self.process.wait() {
            Ok(status) => Unanswered::Ended { status, last_words },
            Err(error) => Unanswered::Lost(error),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when it has been waited for already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Hands requests over and takes answers back, until one side is gone. On a thread of its own, because a child may stop
/// reading as well as answering.
fn converse(
    inbox: &Receiver<Bytes>,
    mut stdin: ChildStdin,
    mut stdout: ChildStdout,
    longest_frame: u32,
    outbox: &Sender<Vec<u8>>,
) {
    for request in inbox {
        let sent = frame::write(&mut stdin, &request, longest_frame);
        let answer = sent.and_then(|()| frame::read(&mut stdout, longest_frame));
        let Ok(Some(answer)) = answer else { return };
        if outbox.send(answer).is_err() {
            return;
        }
    }
}

/// The end of what a child wrote to stderr, once it has closed it.
fn listen(mut stderr: ChildStderr) -> String {
    let mut words = Vec::new();
    let mut piece = [0; 1024];
    while let Ok(read @ 1..) = stderr.read(&mut piece) {
        words.extend_from_slice(&piece[..read]);
        words.drain(..words.len().saturating_sub(LAST_WORDS_BYTES));
    }
    String::from_utf8_lossy(&words).into_owned()
}
