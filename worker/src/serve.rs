//! The child's side: answers one frame after another, within limits.

use std::io::{self, Write as _};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use crate::frame;
use crate::limits::{Limits, be_killed_first, forbid_core_dumps, limit_memory};

/// Why a child does not serve, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The system refuses the limit.
    #[error("could not limit the worker's memory")]
    Memory(#[source] io::Error),
    /// The system refuses the limit.
    #[error("could not switch off core dumps")]
    CoreDumps(#[source] io::Error),
    /// There is no memory for it.
    #[error("could not start a thread with a large stack")]
    Thread(#[source] io::Error),
    /// What came is not a frame.
    #[error("could not read a request")]
    Request(#[source] io::Error),
    /// This is a bug: it ends the process before it ends itself.
    #[error("the thread that answers is gone")]
    Gone,
}

/// Reads frames from stdin and writes what `answer` makes of each to stdout, one after another, until stdin ends. `answer` runs
/// on a large stack. If it panics, or gives an error, the process ends.
///
/// # Errors
/// If the limits cannot be set, or stdin brings something else than frames.
pub fn serve(
    limits: Limits,
    answer: impl FnMut(Vec<u8>) -> io::Result<Vec<u8>> + Send + 'static,
) -> Result<(), ServeError> {
    limit_memory(limits.memory_bytes).map_err(ServeError::Memory)?;
    forbid_core_dumps().map_err(ServeError::CoreDumps)?;
    be_killed_first();
    die_of_panics();
    let (requests, inbox) = mpsc::channel();
    thread::Builder::new()
        .name("document".to_owned())
        .stack_size(limits.stack_bytes)
        .spawn(move || answer_all(&inbox, limits.frame_bytes, answer))
        .map_err(ServeError::Thread)?;
    let mut stdin = io::stdin().lock();
    // This thread waits for the end of stdin while the other one works: when the parent is gone, the child goes too,
    // whatever the document does to it.
    while let Some(request) = frame::read(&mut stdin, limits.frame_bytes).map_err(ServeError::Request)? {
        requests.send(request).map_err(|_| ServeError::Gone)?;
    }
    Ok(())
}

fn answer_all(
    inbox: &Receiver<Vec<u8>>,
    longest_frame: u32,
    mut answer: impl FnMut(Vec<u8>) -> io::Result<Vec<u8>>,
) {
    let mut stdout = io::stdout().lock();
    for request in inbox {
        let sent = answer(request).and_then(|answer| frame::write(&mut stdout, &answer, longest_frame));
        if let Err(error) = sent {
            // Perhaps nobody reads that either.
            let _ = writeln!(io::stderr(), "could not answer: {error}");
            std::process::exit(1);
        }
    }
}

/// After a panic inside yrs nothing about this process is known, so it ends.
fn die_of_panics() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::exit(101);
    }));
}
