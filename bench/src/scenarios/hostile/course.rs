//! The course of an attack, as all its threads see it: whether it is over, and how the server closed its connections.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

/// What an attack's connections share.
#[derive(Debug, Default)]
pub(super) struct Course {
    over: AtomicBool,
    /// How many connections were closed with each code; only of those that listened.
    closed: Mutex<BTreeMap<u16, u32>>,
    let_in: AtomicU32,
}

impl Course {
    /// Makes everything that belongs to the attack end.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Whether that was asked for.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// The server has closed a connection.
    pub(super) fn note_close(&self, code: u16) {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner).entry(code).or_default() += 1;
    }

    /// The server has let somebody in who may not.
    pub(super) fn note_let_in(&self) {
        self.let_in.fetch_add(1, Ordering::Relaxed);
    }

    /// How many the server has let in who may not.
    pub(super) fn let_in(&self) -> u32 {
        self.let_in.load(Ordering::Relaxed)
    }

    /// How many connections the server has closed with each code.
    pub(super) fn closed(&self) -> BTreeMap<u16, u32> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
