//! Reading a document for a room.

use std::sync::Arc;

use coscribe_engine::document::blocks::LoadError;
use coscribe_engine::room::{Room, RoomLimits, Stored};
use coscribe_persistence::{DocumentName, StoreError, StoredDocument};

use crate::budget::Account;
use crate::journal::Journal;

/// A document as it was read from disk.
pub(super) struct Opened {
    pub(super) room: Room,
    pub(super) stored: Stored,
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
    /// Reads it, and charges what was read to `account` until the room is made of it. O(its bytes). Blocks.
    pub(super) fn load(
        journal: &dyn Journal,
        name: &DocumentName,
        limits: RoomLimits,
        account: &Arc<Account>,
    ) -> Result<Opened, OpenError> {
        let mut room = Room::new(limits);
        let Some(stored) = journal.load(name)? else {
            return Ok(Opened { room, stored: Stored::default() });
        };
        let _read = account.charge(bytes_of(&stored));
        for update in stored.snapshot.iter().chain(&stored.updates) {
            room.load(update)?;
        }
        room.resume_at(stored.sequence);
        for (_, waiting) in &stored.waiting {
            room.load_waiting(waiting)?;
        }
        // A checkpoint would only append the waiting records again.
        let is_clean = stored.updates.is_empty();
        Ok(Opened {
            room,
            stored: Stored {
                sequence: stored.sequence,
                checkpointed: if is_clean { stored.sequence } else { stored.covered() },
                log_bytes: stored.updates.iter().map(Vec::len).sum(),
            },
        })
    }
}

/// Bytes of the parts of a document that were read.
fn bytes_of(stored: &StoredDocument) -> usize {
    let waiting = stored.waiting.iter().map(|(_, update)| update);
    stored.snapshot.iter().chain(&stored.updates).chain(waiting).map(Vec::len).sum()
}
