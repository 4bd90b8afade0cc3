//! The server's side: asks a child about documents, and says what became of one that was too much for it.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use bytes::Bytes;

use crate::child::{Child, Unanswered};
use crate::limits::{DOCUMENTS, memory_for, time_for};
use crate::message::{self, Question, Request, Response};

/// A v1 update of an empty document.
const EMPTY_UPDATE: &[u8] = &[0, 0];

/// One worker process, replaced by a fresh one whenever a document was too much for it.
pub struct Worker {
    timeout: Duration,
    child: Child,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// yrs gave an error.
    #[error("{0}")]
    Refused(String),
    /// It took too long and was killed.
    #[error("opening it took more than {} s", .0.as_secs_f32())]
    TimedOut(Duration),
    /// An allocation failed.
    #[error("opening it took more than the {} MiB of memory that a worker may use for it", .0 >> 20)]
    OutOfMemory(u64),
    /// The system has less memory than a worker may use.
    #[error("the system killed the worker that opened it, as it does when memory is short")]
    Killed,
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

impl Worker {
    /// Starts a worker, and makes sure that it answers.
    ///
    /// `command` must call [`crate::run`]; it gets no environment variables. `timeout` is how long one document may take.
    ///
    /// # Errors
    /// [`Failure::Broken`], if it does not start or answer.
    pub fn start(mut command: Command, timeout: Duration) -> Result<Self, Failure> {
        command.env_clear();
        let mut worker = Self { timeout, child: Child::new(command, timeout, DOCUMENTS.frame_bytes) };
        worker.ask(EMPTY_UPDATE.to_vec(), Question::Summary).map_err(|failure| match failure {
            Failure::Broken(error) => Failure::Broken(error),
            other => Failure::Broken(io::Error::other(other.to_string())),
        })?;
        Ok(worker)
    }

    /// Opens a document (its whole state as one v1 update) in the worker and tells what was asked. It may take more memory and
    /// time the larger it is.
    ///
    /// Blocks until the answer is there, for as long as that time, or twice as long: what damaged a worker unnoticed
    /// may kill it only with the next document, so a document is blamed only when a fresh worker fails with it too.
    ///
    /// # Errors
    /// If the document is refused, or too much for two workers, or there is no worker.
    pub fn ask(&mut self, update: Vec<u8>, question: Question) -> Result<Response, Failure> {
        let allowed = Allowed::of(update.len(), self.timeout);
        let Allowed { time, memory_bytes } = allowed;
        let request = Request { update, question, processor_time: time, memory_bytes };
        let request = message::encode(&request).map_err(|error| Failure::Refused(error.to_string()))?;
        let request = Bytes::from(request);
        let used_before = self.child.is_running();
        match self.try_once(request.clone(), allowed) {
            Err(_) if used_before => self.try_once(request, allowed),
            result => result,
        }
        .and_then(|response| match response {
            Response::Refused(reason) => Err(Failure::Refused(reason)),
            response => Ok(response),
        })
    }

    fn try_once(&mut self, request: Bytes, allowed: Allowed) -> Result<Response, Failure> {
        let answer = self.child.ask_within(request, allowed.time);
        let answer = answer.map_err(|reason| diagnose(reason, allowed))?;
        message::decode(&answer).map_err(|error| {
            self.child.stop();
            Failure::Crashed(format!("its answer cannot be read: {error}"))
        })
    }
}

/// What a document may take of a worker.
#[derive(Debug, Clone, Copy)]
struct Allowed {
    time: Duration,
    memory_bytes: u64,
}

impl Allowed {
    fn of(bytes: usize, timeout: Duration) -> Self {
        Self { time: time_for(bytes, timeout), memory_bytes: memory_for(bytes) }
    }
}

fn diagnose(reason: Unanswered, allowed: Allowed) -> Failure {
    match reason {
        Unanswered::TooLong => Failure::Refused(reason.to_string()),
        Unanswered::Late => Failure::TimedOut(allowed.time),
        Unanswered::Ended { status, last_words } => cause_of_death(status, &last_words, allowed),
        Unanswered::NotStarted(error) | Unanswered::Lost(error) => Failure::Broken(error),
    }
}

fn cause_of_death(status: ExitStatus, last_words: &str, allowed: Allowed) -> Failure {
    // What Rust's runtime says before it aborts.
    if last_words.contains("has overflowed its stack") {
        return Failure::StackOverflow;
    }
    if last_words.contains("memory allocation of") || last_words.contains("memory allocation failed") {
        return Failure::OutOfMemory(allowed.memory_bytes);
    }
    if status.signal() == Some(rustix::process::Signal::XCPU.as_raw()) {
        return Failure::TimedOut(allowed.time);
    }
    if status.signal() == Some(rustix::process::Signal::KILL.as_raw()) {
        return Failure::Killed;
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
        let allowed = Allowed::of(0, Duration::from_secs(2));
        let told = |raw, words| cause_of_death(ExitStatus::from_raw(raw), words, allowed).to_string();
        assert_eq!(told(11, ""), "opening it crashed the worker: signal: 11 (SIGSEGV): it said nothing");
        assert_eq!(
            told(101 << 8, "panicked at\n x\n"),
            "opening it crashed the worker: exit status: 101: panicked at\\n x"
        );
        assert_eq!(told(24, ""), "opening it took more than 2 s");
        assert_eq!(
            told(9, ""),
            "the system killed the worker that opened it, as it does when memory is short"
        );
        assert_eq!(
            told(6, "thread 'document' has overflowed its stack"),
            "opening it overflowed the worker's stack"
        );
        assert_eq!(
            told(6, "memory allocation of 4294967296 bytes failed"),
            "opening it took more than the 2048 MiB of memory that a worker may use for it"
        );
    }
}
