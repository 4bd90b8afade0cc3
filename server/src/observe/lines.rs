//! Lines of the log on their way to stderr. Its reader may stall, and nobody waits for that: a thread writes the lines, those that
//! have no place meanwhile are dropped, and the log says how many when there is room again.

use std::io::{self, Write};
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

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
    /// Others are being written, and the reader has not taken the present one since then.
    writing_since: Option<Instant>,
    /// Lines that had no place, of which the log has not told.
    dropped: u64,
    /// There is a thread that writes.
    has_writer: bool,
}

impl Waiting {
    const fn new() -> Waiting {
        Waiting { bytes: Vec::new(), writing_since: None, dropped: 0, has_writer: false }
    }

    /// How long whoever has waited since `start` for the last lines should go on, where a reader may take `within`: both for one
    /// line and for all. `None` if there are no lines.
    fn patience(&self, start: Instant, now: Instant, within: Duration) -> Option<Duration> {
        if self.bytes.is_empty() && self.writing_since.is_none() {
            return None;
        }
        let since = self.writing_since.map_or(start, |since| since.min(start));
        Some((since + within).saturating_duration_since(now))
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

/// Waits until all lines are written, unless that takes long, or has taken long already: the reader has stalled.
pub(crate) fn flush(within: Duration) {
    let start = Instant::now();
    let mut waiting = LINES.lock();
    while let Some(left) = waiting.patience(start, Instant::now(), within)
        && !left.is_zero()
    {
        let woken = LINES.written.wait_timeout(waiting, left);
        waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
    }
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
        waiting.writing_since = Some(Instant::now());
        drop(waiting);
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            // It does not fail.
            let _ = stderr().write_all(line);
            LINES.lock().writing_since = Some(Instant::now());
        }
        lines.clear();
        let dropped = std::mem::take(&mut LINES.lock().dropped);
        if dropped > 0 {
            // To itself: the line waits like any other.
            warn!(lines = dropped, "stderr was not read: lines of the log were dropped");
        }
        LINES.lock().writing_since = None;
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

#[cfg(test)]
mod tests {
    use super::*;

    const WITHIN: Duration = Duration::from_secs(2);

    fn writing_since(writing_since: Instant) -> Waiting {
        Waiting { writing_since: Some(writing_since), ..Waiting::new() }
    }

    #[test]
    fn the_end_waits_for_lines_and_not_for_a_reader_that_has_stalled_before() {
        let start = Instant::now() + 10 * WITHIN;
        let patience = |waiting: &Waiting, now| waiting.patience(start, now, WITHIN);
        assert_eq!(patience(&Waiting::new(), start), None);
        let not_begun = Waiting { bytes: vec![b'\n'], ..Waiting::new() };
        assert_eq!(patience(&not_begun, start + WITHIN / 2), Some(WITHIN / 2));
        assert_eq!(patience(&writing_since(start - WITHIN), start), Some(Duration::ZERO));
        assert_eq!(patience(&writing_since(start - WITHIN / 2), start), Some(WITHIN / 2));
        let slow = writing_since(start + WITHIN);
        assert_eq!(patience(&slow, start + WITHIN), Some(Duration::ZERO), "it is not waited for ever");
    }
}
