//! Reading a document for a room.

use coscribe_engine::blocks::LoadError;
use coscribe_engine::room::{Room, RoomLimits};
use coscribe_persistence::{DocumentName, Store, StoreError};

/// A document as it was read from disk.
pub(super) struct Opened {
    pub(super) room: Room,
    /// The sequence of the last record.
    pub(super) stored: u64,
    /// Up to here there is nothing to checkpoint: no update, that is.
    pub(super) checkpointed: u64,
    /// Bytes of its records in the log.
    pub(super) log_bytes: usize,
}

/// Why a document cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Unreadable(#[from] LoadError),
}

impl Opened {
    /// Reads it. O(its bytes). Blocks.
    pub(super) fn load(store: &Store, name: &DocumentName, limits: RoomLimits) -> Result<Opened, OpenError> {
        let mut room = Room::new(limits);
        let Some(stored) = store.load(name)? else {
            return Ok(Opened { room, stored: 0, checkpointed: 0, log_bytes: 0 });
        };
        for update in stored.snapshot.iter().chain(&stored.updates) {
            room.load(update)?;
        }
        room.resume_at(stored.sequence);
        for (_, waiting) in &stored.waiting {
            room.load_waiting(waiting)?;
        }
        // A checkpoint would append again what waits, and nothing else.
        let is_clean = stored.updates.is_empty();
        Ok(Opened {
            room,
            stored: stored.sequence,
            checkpointed: if is_clean { stored.sequence } else { stored.covered() },
            log_bytes: stored.updates.iter().map(Vec::len).sum(),
        })
    }
}
