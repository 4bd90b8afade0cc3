//! The document as blocks. It tells which part of an update is new, and what a peer lacks, without running anything.
//!
//! The blocks of each client are kept encoded, in chunks of about a kilobyte, as one ordered map over all clients. So a
//! document takes as much memory as its encoding, a diff is mostly copied ranges, and a deletion rewrites one chunk.

mod collect;
mod contradiction;
mod growth;
mod intake;

use std::sync::OnceLock;

use bytes::Bytes;

use crate::document::chunks::Chunks;
use crate::document::id_set::IdSet;
use crate::document::parked::{Parked, Part, Source};
use crate::document::state_vector::StateVector;
use crate::limits::ROPE_BYTES;
use crate::rope::{Rope, RopeWriter};
use crate::seldom::Seldom;
use crate::update::{ClientId, Clock, Id, Update, UpdateError};
use crate::work::{Work, finish};

use self::collect::Collection;
pub(crate) use self::intake::{Arrival, Intake};
pub use crate::document::changes::Changes;

/// Memory that a range or a client takes in a map.
const ENTRY_OVERHEAD: usize = 32;

/// A document: its blocks, its state vector, and its delete set.
#[derive(Debug)]
pub struct Blocks {
    chunks: Chunks,
    state: StateVector,
    deleted: IdSet,
    /// The encoded form of `deleted`, until it changes: each answer to a peer has all of it.
    encoded_deletions: OnceLock<Bytes>,
    parked: Seldom<Parked>,
    max_parked_bytes: usize,
    /// Whether deleted blocks keep their content.
    keeps_deleted: bool,
    /// The collection that is under way.
    collection: Option<Box<Collection>>,
}

impl Default for Blocks {
    fn default() -> Self {
        Self::with_parked_bytes(usize::MAX)
    }
}

/// The result of admitting an update.
#[derive(Debug)]
pub struct Admission {
    /// The new blocks and deletions, as an update; `None` if nothing is new.
    pub update: Option<Bytes>,
    /// The same as changes to diff from.
    pub changes: Changes,
    /// Whether a part of it waits for missing elements.
    pub parked: bool,
    /// Whether `update` has blocks or deletions that others had sent earlier, and that stopped waiting.
    pub woken: bool,
}

/// Why stored bytes are not a document.
#[derive(Debug, Copy, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The bytes are not an update.
    #[error("not a Yjs update: {0}")]
    Update(UpdateError),
    /// Blocks or deletions depend on others that are not there.
    #[error("the update depends on others that are missing")]
    Gap,
}

impl From<UpdateError> for LoadError {
    fn from(error: UpdateError) -> Self {
        Self::Update(error)
    }
}

impl Blocks {
    /// An empty document in which at most this many bytes may wait for a gap to fill.
    pub fn with_parked_bytes(max_parked_bytes: usize) -> Self {
        Self {
            chunks: Chunks::default(),
            state: StateVector::default(),
            deleted: IdSet::default(),
            encoded_deletions: OnceLock::new(),
            parked: Seldom::default(),
            max_parked_bytes,
            keeps_deleted: false,
            collection: None,
        }
    }

    /// Sets whether blocks that are deleted from now on keep their content, and nothing is collected. An editor that shows
    /// earlier versions needs that (`gc: false` in Yjs).
    #[must_use]
    pub fn keep_deleted(self, keeps_deleted: bool) -> Self {
        Self { keeps_deleted, ..self }
    }

    /// The document that one update makes.
    ///
    /// # Errors
    /// If the bytes are not an update, or depend on other updates.
    pub fn from_update(update: &[u8]) -> Result<Self, LoadError> {
        let mut blocks = Self::default();
        blocks.load(update)?;
        Ok(blocks)
    }

    /// The same, without a copy of the bytes.
    ///
    /// # Errors
    /// As for [`Self::from_update`].
    pub fn from_bytes(update: Bytes) -> Result<Self, LoadError> {
        let mut blocks = Self::default();
        blocks.load_bytes(update)?;
        Ok(blocks)
    }

    /// Takes in a stored update, all of whose dependencies must be known. O(bytes).
    ///
    /// # Errors
    /// If the bytes are not an update, or depend on other updates.
    pub fn load(&mut self, update: &[u8]) -> Result<(), LoadError> {
        self.load_bytes(Bytes::copy_from_slice(update))
    }

    fn load_bytes(&mut self, update: Bytes) -> Result<(), LoadError> {
        let update = Update::scan(update)?;
        finish(self.take_in(&update, Arrival::STORED, &mut Changes::default(), &mut Work::default()));
        if self.parked.is_empty() { Ok(()) } else { Err(LoadError::Gap) }
    }

    /// Takes in a record of parked entries, after all updates of the log. Gives the changes of entries that wait no more: the
    /// log has these nowhere else. O(bytes).
    ///
    /// # Errors
    /// If the bytes are no such record.
    pub fn load_waiting(&mut self, stored: &[u8]) -> Result<Changes, LoadError> {
        let mut changes = Changes::default();
        for part in Part::read_all(Bytes::copy_from_slice(stored))? {
            finish(self.take_part(part, &mut changes, &mut Work::default()));
        }
        self.parked.is_logged();
        Ok(changes)
    }

    /// Takes in the new blocks and deletions of an update. Those that depend on unknown elements are parked, and taken in as
    /// soon as these come. O(bytes of the update and of the entries that it wakes), and a chunk for each of its deletions.
    pub fn admit(&mut self, update: &Update, source: Source) -> Admission {
        let mut changes = Changes::default();
        let arrival = Arrival { source: Some(source), holds: false };
        let intake = finish(self.take_in(update, arrival, &mut changes, &mut Work::default()));
        let bytes = match intake {
            Intake { changed: false, .. } => None,
            Intake { as_it_came: true, .. } => Some(update.bytes().clone()),
            Intake { .. } => Some(self.diff_changes(&changes)),
        };
        Admission { update: bytes, changes, parked: intake.parked, woken: intake.woken }
    }

    /// How many elements of each client are known.
    pub fn state_vector(&self) -> &StateVector {
        &self.state
    }

    /// The deleted elements.
    pub fn delete_set(&self) -> &IdSet {
        &self.deleted
    }

    /// The blocks and deletions that wait for a gap to fill.
    pub fn parked(&self) -> &Parked {
        &self.parked
    }

    /// Notes that a source is gone. Its parked entries go on waiting. O(its entries · log).
    pub(crate) async fn leave(&mut self, source: Source, work: &mut Work) {
        if let Some(parked) = self.parked.changed() {
            parked.leave(source, work).await;
        }
    }

    /// A record of the parked entries that were in no such record before, for the log: [`Self::load_waiting`] reads it. `None`
    /// if there are none. O(bytes of the record).
    pub fn encode_waiting(&mut self) -> Option<Vec<u8>> {
        finish(self.encode_waiting_in_slices(&mut Work::default()))
    }

    /// The same, with pauses.
    pub(crate) async fn encode_waiting_in_slices(&mut self, work: &mut Work) -> Option<Vec<u8>> {
        self.parked.changed()?.encode_unlogged(work).await
    }

    /// Puts all parked entries into the next record of [`Self::encode_waiting_in_slices`]. O(entries and ranges · log).
    pub(crate) async fn forget_logged_waiting(&mut self, work: &mut Work) {
        if let Some(parked) = self.parked.changed() {
            parked.forget_logged(work).await;
        }
    }

    /// Whether nothing was ever written.
    pub fn is_empty(&self) -> bool {
        self.state.is_empty()
    }

    /// About how many bytes of memory the document takes.
    pub fn memory(&self) -> usize {
        self.chunks.memory() + (self.deleted.len() + self.state.len()) * ENTRY_OVERHEAD + self.parked.bytes()
    }

    /// Whether an update says nothing that is not known already. O(bytes, and deleted ranges · log).
    pub(crate) async fn has_all_of(&self, update: &Update, work: &mut Work) -> bool {
        for run in update.runs() {
            let known = self.state.get(run.client());
            let mut blocks = run.blocks();
            while let Some(block) = blocks.next_in_slices(work).await {
                if block.end() > known {
                    return false;
                }
            }
        }
        for (client, range) in update.deletions() {
            work.count(2);
            work.pause().await;
            if !self.deleted.covers(client, range) {
                return false;
            }
        }
        self.contradiction(update, work).await.is_none()
    }

    /// The whole document as one update. O(bytes).
    pub fn encode_state(&self) -> Bytes {
        finish(self.encode_state_in_slices(&mut Work::default())).to_bytes()
    }

    /// The same, with pauses and shared with the document. O(chunks and deletions).
    pub(crate) async fn encode_state_in_slices(&self, work: &mut Work) -> Rope {
        let all = self.state.iter().rev().map(|(client, _)| (client, 0));
        self.encode(all, None, work).await
    }

    /// The update that a peer with this state vector lacks. State vectors say nothing about deletions, so it has all of them.
    /// O(clients and bytes).
    pub fn diff(&self, known: &StateVector) -> Bytes {
        finish(self.diff_in_slices(known, &mut Work::default())).to_bytes()
    }

    /// The same, with pauses and shared with the document. O(clients, chunks and deletions).
    pub(crate) async fn diff_in_slices(&self, known: &StateVector, work: &mut Work) -> Rope {
        let lacking = self.state.iter().rev().filter_map(|(client, clock)| {
            let from = known.get(client);
            (from < clock).then_some((client, from))
        });
        self.encode(lacking, None, work).await
    }

    /// Changes of this document as one update: the merge of all updates that brought them. O(bytes), and up to a chunk for each
    /// client in them.
    pub fn diff_changes(&self, changes: &Changes) -> Bytes {
        finish(self.diff_changes_in_slices(changes, &mut Work::default())).to_bytes()
    }

    /// The same, with pauses and shared with the document.
    pub(crate) async fn diff_changes_in_slices(&self, changes: &Changes, work: &mut Work) -> Rope {
        let from = changes.from.iter().rev().map(|(&client, &clock)| (client, clock));
        self.encode(from, Some(&changes.deleted), work).await
    }

    /// Makes later encodings share the memory of the document, if it is large. O(chunks that have grown).
    pub(crate) async fn seal(&mut self, work: &mut Work) {
        if self.chunks.memory() > ROPE_BYTES {
            self.chunks.seal_all(work).await;
        }
    }

    /// Encodes the blocks of some clients, each from a clock on, and the given deletions, or all. Clients come from high to
    /// low, as the lazy readers of Yjs expect.
    async fn encode(
        &self,
        from: impl Iterator<Item = (ClientId, Clock)> + Clone,
        deleted: Option<&IdSet>,
        work: &mut Work,
    ) -> Rope {
        let (mut clients, mut left) = (0, Some(ROPE_BYTES));
        for (client, clock) in from.clone() {
            clients += 1;
            left = left.and_then(|left| self.chunks.bytes_left(Id { client, clock }, left));
            work.count(2);
            work.pause().await;
        }
        let mut out = RopeWriter::new(left.is_none());
        crate::lib0::write_var_uint(out.tail(), clients);
        for (client, clock) in from {
            self.chunks.encode_section(Id { client, clock }, &mut out, work).await;
            work.pause().await;
        }
        match deleted {
            Some(deleted) => out.share(&deleted.encode_in_slices(work).await.into()),
            None => out.share(&self.encode_deletions(work).await),
        }
        out.finish()
    }

    /// All deletions, encoded. O(1) until they change.
    pub(crate) async fn encode_deletions(&self, work: &mut Work) -> Bytes {
        if let Some(encoded) = self.encoded_deletions.get() {
            return encoded.clone();
        }
        let encoded = Bytes::from(self.deleted.encode_in_slices(work).await);
        self.encoded_deletions.get_or_init(|| encoded).clone()
    }
}
