//! Documents of which it is known what the server has confirmed. Each has one value, which is replaced again and again, so that
//! they don't grow.

use std::sync::atomic::{AtomicU32, Ordering};

use coscribe_engine::update::Clock;

use super::super::room_names;
use super::guest::Guest;
use crate::crowd::Target;
use crate::ledger::FIRST_CLIENT;
use crate::updates::set_value;

/// One document.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) name: String,
    /// The one who writes in it.
    pub(super) client: u64,
    confirmed: AtomicU32,
}

impl Document {
    /// So many new ones.
    pub(super) fn several(count: usize) -> Vec<Self> {
        let new = |(client, name)| Self { name, client, confirmed: AtomicU32::new(0) };
        (FIRST_CLIENT..).zip(room_names(count)).map(new).collect()
    }

    /// The clock before which the server has confirmed everything.
    pub(super) fn confirmed(&self) -> Clock {
        self.confirmed.load(Ordering::Relaxed)
    }

    /// Opens it, writes a value of each of these lengths, waits until each is saved, and leaves. Gives how many values were
    /// missing that the server had confirmed before.
    ///
    /// # Errors
    /// If the server refuses, or does not confirm.
    pub(super) fn visit(&self, target: &Target, lengths: &[usize]) -> anyhow::Result<u64> {
        let mut guest = Guest::join(target, &self.name, self.client)?;
        let has = guest.server_had(self.client);
        let lost = self.confirmed().saturating_sub(has);
        for (clock, &length) in (has..).zip(lengths) {
            guest.save(&set_value(self.client, clock, "value", length))?;
            self.confirmed.store(clock + 1, Ordering::Relaxed);
        }
        guest.leave()?;
        Ok(u64::from(lost))
    }
}
