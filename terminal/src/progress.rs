//! How far long work has come: a bar on a terminal, a line now and then elsewhere; on stderr, always.

use std::io::{self, IsTerminal};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{counted, note};

/// How often a line is written where there is no terminal. Shorter work says nothing.
const INTERVAL: Duration = Duration::from_secs(10);

/// How often a bar is drawn, in a second.
const DRAWN_PER_SECOND: u8 = 5;

/// The bar that is on the terminal.
static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// The progress of some work, until it is dropped.
#[derive(Debug)]
pub struct Progress {
    unit: &'static str,
    total: Option<u64>,
    done: u64,
    view: View,
}

#[derive(Debug)]
enum View {
    Bar(ProgressBar),
    /// Since when there has been no line.
    Lines(Instant),
    Nothing,
}

impl Progress {
    /// Work that starts now: `total` of these (in the singular, "document"), as far as that is known.
    pub fn new(unit: &'static str, total: Option<u64>) -> Self {
        let view = if io::stderr().is_terminal() { View::bar(total) } else { View::Lines(Instant::now()) };
        Self { unit, total, done: 0, view }
    }

    /// Work that shows nothing.
    pub fn hidden() -> Self {
        Self { unit: "", total: None, done: 0, view: View::Nothing }
    }

    /// One more is done.
    pub fn step(&mut self) {
        self.show(self.done + 1, String::new);
    }

    /// So many are done, which may be as many as before; and more about it, if there is. What is not shown is not put in words.
    pub fn show(&mut self, done: u64, more: impl FnOnce() -> String) {
        self.done = done;
        match &self.view {
            View::Bar(bar) => {
                bar.set_position(done);
                bar.set_message(self.words(&more()));
            }
            View::Lines(since) if since.elapsed() >= INTERVAL => {
                note!("{}", self.words(&more()));
                self.view = View::Lines(Instant::now());
            }
            View::Lines(_) | View::Nothing => {}
        }
    }

    fn words(&self, more: &str) -> String {
        let Self { unit, total, done, .. } = self;
        let mut words = match total {
            Some(total) => format!("{done} of {}", counted(*total, unit)),
            None => counted(*done, unit),
        };
        if !more.is_empty() {
            words = format!("{words}, {more}");
        }
        words
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let View::Bar(bar) = &self.view {
            bar.finish_and_clear();
            *BAR.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

impl View {
    fn bar(total: Option<u64>) -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(DRAWN_PER_SECOND);
        let bar = ProgressBar::with_draw_target(total, target);
        let template = if total.is_some() { "{bar:24} {wide_msg} {eta}" } else { "{spinner} {wide_msg}" };
        bar.set_style(ProgressStyle::with_template(template).expect("the template is one"));
        *BAR.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.clone());
        Self::Bar(bar)
    }
}

/// Writes to the terminal while there is no bar on it.
pub(crate) fn aside<R>(write: impl FnOnce() -> R) -> R {
    let bar = BAR.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match bar {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_with_its_total_where_that_is_known() {
        let mut progress = Progress::hidden();
        (progress.unit, progress.done) = ("document", 3);
        assert_eq!(progress.words(""), "3 documents");
        progress.total = Some(8);
        assert_eq!(progress.words("none is damaged"), "3 of 8 documents, none is damaged");
    }

    #[test]
    fn a_line_is_due_after_a_while() {
        let mut progress = Progress::hidden();
        let told = |progress: &mut Progress| {
            let mut told = false;
            progress.show(1, || {
                told = true;
                String::new()
            });
            told
        };
        progress.view = View::Lines(Instant::now() - INTERVAL);
        assert!(told(&mut progress), "nothing was said for a while");
        progress.view = View::Lines(Instant::now() + INTERVAL);
        assert!(!told(&mut progress));
    }
}
