//! Lines of the log on their way to stderr. Its reader may stall, and nobody waits for that: a thread writes the lines, those that
//! have no place meanwhile are dropped, and the log says how many when there is room again.

use std::io::{self, Write};
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use coscribe_terminal::stderr;
use prometheus_client::metrics::counter::Counter;
use tracing::warn;

use crate::limits::LOG_BYTES;

static LINES: Lines =
    Lines { waiting: Mutex::new(Waiting::new()), more: Condvar::new(), written: Condvar::new() };

static DROPPED: LazyLock<Counter> = LazyLock::new(Counter::default);

/// The lines of this process that wait to be written.
struct Lines {
    waiting: Mutex<Waiting>,
    more: Condvar,
    written: Condvar,
}

struct Waiting {
    bytes: Vec<u8>,
    /// Others are being written.
    is_writing: bool,
    /// Lines that had no place, of which the log has not told.
    dropped: u64,
    /// There is a thread that writes.
    has_writer: bool,
}

impl Waiting {
    const fn new() -> Waiting {
        Waiting { bytes: Vec::new(), is_writing: false, dropped: 0, has_writer: false }
    }
}

/// Takes lines, each with one write. Never blocks, and never fails.
pub(super) struct Writer;

/// Begins to write. Where there can be no thread for that, whoever has a line writes it.
pub(super) fn start() {
    LINES.lock().has_writer = thread::Builder::new().name("log".to_owned()).spawn(write_all).is_ok();
}

/// Counts the lines that were dropped.
pub(crate) fn dropped() -> Counter {
    DROPPED.clone()
}

/// Has a last line, for which there is always a place.
pub(super) fn say(line: &str) {
    LINES.push(line.as_bytes(), usize::MAX);
}

/// Waits until all lines are written, unless that takes long.
pub(crate) fn flush(within: Duration) {
    let is_busy = |waiting: &mut Waiting| waiting.is_writing || !waiting.bytes.is_empty();
    // What is not written by then has no reader.
    let _ = LINES.written.wait_timeout_while(LINES.lock(), within, is_busy);
}

impl Lines {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8], most: usize) {
        let mut waiting = self.lock();
        if !waiting.has_writer {
            drop(waiting);
            // It does not fail.
            let _ = stderr().write_all(line);
        } else if waiting.bytes.len().saturating_add(line.len()) > most {
            waiting.dropped += 1;
            DROPPED.inc();
        } else {
            waiting.bytes.extend_from_slice(line);
            self.more.notify_one();
        }
    }
}

/// Writes what comes, for ever.
fn write_all() {
    let mut lines = Vec::new();
    loop {
        let is_idle = |waiting: &mut Waiting| waiting.bytes.is_empty();
        let mut waiting =
            LINES.more.wait_while(LINES.lock(), is_idle).unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut waiting.bytes, &mut lines);
        waiting.is_writing = true;
        drop(waiting);
        // It does not fail.
        let _ = stderr().write_all(&lines);
        lines.clear();
        let dropped = std::mem::take(&mut LINES.lock().dropped);
        if dropped > 0 {
            // To itself: the line waits like any other.
            warn!(lines = dropped, "stderr was not read: lines of the log were dropped");
        }
        LINES.lock().is_writing = false;
        LINES.written.notify_all();
    }
}

impl Write for Writer {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        LINES.push(line, LOG_BYTES);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
