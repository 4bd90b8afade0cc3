//! Ctrl-C: a search ends early, and reports its findings.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C is noted; the second time it ends the process.
///
/// # Errors
/// If this was called before, or the system does not allow it.
pub fn listen() -> anyhow::Result<()> {
    let interrupt = || {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            process::exit(130);
        }
    };
    ctrlc::set_handler(interrupt).context("cannot listen to Ctrl-C")
}

/// Whether Ctrl-C was pressed.
pub fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}
