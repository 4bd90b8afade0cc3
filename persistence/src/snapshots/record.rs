//! A snapshot as a record. The payload of such a record is
//!
//! | Offset | Bytes | Field |
//! |---|---|---|
//! | 0 | 8 | generation: the number of the snapshot in its document, little-endian |
//! | 8 | 8 | born: the position in the log before which records belong to a deleted document of the same name |
//! | 16 | | the state |

use crate::index::Covered;
use crate::limits::{MAX_PAYLOAD_BYTES, MAX_STATE_BYTES};
use crate::name::DocumentName;
use crate::record::{Kind, Record, take};

/// Bytes of the payload before the state.
pub(super) const PREFIX_BYTES: usize = 16;

const _: () = assert!(PREFIX_BYTES + MAX_STATE_BYTES == MAX_PAYLOAD_BYTES, "the largest state fits");

/// A document's full state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// Records up to this sequence are in it.
    pub(crate) sequence: u64,
    /// When it was made, ms since the Unix epoch.
    pub(crate) time: u64,
    /// Position in the log before which records belong to a deleted document of the same name; opaque here.
    pub(crate) born: u64,
    /// The state: an update in v1 encoding, opaque here.
    pub(crate) state: Vec<u8>,
}

/// A snapshot that is to be written; fields as in [`Snapshot`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct SnapshotRef<'a> {
    pub(crate) sequence: u64,
    pub(crate) time: u64,
    pub(crate) born: u64,
    /// The state, in parts.
    pub(crate) state: &'a [&'a [u8]],
}

impl Snapshot {
    /// Whether it is from the checkpoint that covers the document.
    pub(crate) fn is_from(&self, covered: &Covered) -> bool {
        self.sequence == covered.sequence && self.born == covered.born.raw()
    }
}

/// Generation and born.
pub(super) fn split_prefix(payload: &[u8]) -> Option<(u64, u64)> {
    let (prefix, _) = payload.split_first_chunk::<PREFIX_BYTES>()?;
    Some((u64::from_le_bytes(take(prefix, 0)), u64::from_le_bytes(take(prefix, 8))))
}

/// A snapshot's record up to the state.
pub(super) fn encode_head(
    name: &DocumentName,
    generation: u64,
    snapshot: SnapshotRef<'_>,
    marker: u64,
    batch: u64,
) -> Vec<u8> {
    let SnapshotRef { sequence, time, born, state } = snapshot;
    let mut prefix = [0; PREFIX_BYTES];
    prefix[..8].copy_from_slice(&generation.to_le_bytes());
    prefix[8..].copy_from_slice(&born.to_le_bytes());
    let (name, subject) = (name.as_str(), "");
    let record =
        Record { kind: Kind::Snapshot, name, sequence, time, subject, payload: &prefix, batch, moved: false };
    let mut head = Vec::with_capacity(record.encoded_len());
    record.encode_head_of(state, marker, &mut head);
    head.extend_from_slice(&prefix);
    head
}
