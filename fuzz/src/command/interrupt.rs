//! Ctrl-C.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C is noted; the second time it ends the process.
pub(super) fn listen() -> anyhow::Result<()> {
    let interrupt = || {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            process::exit(130);
        }
    };
    ctrlc::set_handler(interrupt).context("cannot listen to Ctrl-C")
}

/// Whether it was pressed.
pub(super) fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}
