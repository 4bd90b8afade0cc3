//! Where documents live: what rooms append is stored, and each room hears what is durable and what was lost.
//!
//! Whoever serves starts one journal, and rooms know no more of it than this trait.

pub(crate) mod local;

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use coscribe_engine::room::Snapshot;
use coscribe_engine::rope::Rope;
use coscribe_persistence::record::HEADER_BYTES;
use coscribe_persistence::{DocumentName, StoreError, StoredDocument};
use futures_util::future::BoxFuture;
use futures_util::task::AtomicWaker;
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::budget::Charge;
use crate::observe::Span;

/// Stores documents.
pub(crate) trait Journal: Send + Sync {
    /// Reads a document; `None` if there is none of this name. Blocks.
    fn load(&self, name: &DocumentName) -> Result<Option<StoredDocument>, StoreError>;

    /// Whether anything of a document is stored.
    fn contains(&self, name: &DocumentName) -> bool;

    /// Whether there is space for documents of which nothing is stored.
    fn takes_new(&self) -> bool;

    /// Takes a record. Its room hears when it is durable, or that it is lost. Never waits.
    fn append(&self, append: Append);

    /// Checks and stores a state in place of the log up to it, all of which must be durable; returns when it is on disk.
    fn checkpoint(&self, state: State) -> BoxFuture<'_, Result<(), CheckpointError>>;

    /// Documents of which a previous run has left updates that no snapshot has.
    fn uncheckpointed(&self) -> Vec<DocumentName>;

    /// Whether checkpoints can be made now.
    fn takes_checkpoints(&self) -> bool;

    /// Where rooms hear whether anything is stored.
    fn health(&self) -> watch::Receiver<Health>;

    /// Why documents are not safe here, if that is so.
    fn failure(&self) -> Option<String>;
}

/// Whether records are stored.
#[derive(Debug, Clone, Default)]
pub(crate) struct Health {
    /// How often storing has begun again after a failure that passed. What was appended in an earlier epoch and is not durable
    /// never will be.
    pub(crate) epoch: u64,
    /// Why nothing is stored now, if it is so.
    pub(crate) failure: Option<String>,
}

/// One record on its way.
pub(crate) struct Append {
    /// The document.
    pub(crate) name: DocumentName,
    /// The room's number for it.
    pub(crate) sequence: u64,
    /// The v1 update, or what waits for one.
    pub(crate) update: Rope,
    /// Which of both.
    pub(crate) waits: bool,
    /// The user of the application that has written all of it; empty where that is unknown, or several have.
    pub(crate) subject: Arc<str>,
    /// The epoch that the room knows of.
    pub(crate) epoch: u64,
    /// Where the room hears what becomes of it.
    pub(crate) fate: Arc<FateNotice>,
    /// The span of it, which ends when its fate is known.
    pub(crate) span: Span,
    /// What it takes of the room's share of the queue, until its fate is known.
    pub(crate) _space: OwnedSemaphorePermit,
}

/// What has become of the records of one document.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fate {
    /// All up to this sequence are durable.
    pub(crate) durable: u64,
    /// So many were lost: they are not stored, and never will be.
    pub(crate) lost: u64,
}

/// Where one room hears what has become of its records.
#[derive(Debug, Default)]
pub(crate) struct FateNotice {
    durable: AtomicU64,
    lost: AtomicU64,
    room: AtomicWaker,
}

impl FateNotice {
    /// All up to this sequence are durable.
    pub(crate) fn new(durable: u64) -> FateNotice {
        FateNotice { durable: durable.into(), ..FateNotice::default() }
    }

    /// What has become of them so far.
    pub(crate) fn fate(&self) -> Fate {
        Fate { durable: self.durable.load(Ordering::Acquire), lost: self.lost.load(Ordering::Acquire) }
    }

    /// All up to this sequence are durable now. Sequences come in order.
    pub(crate) fn set_durable(&self, sequence: u64) {
        self.durable.store(sequence, Ordering::Release);
        self.room.wake();
    }

    /// One more is lost.
    pub(crate) fn lose(&self) {
        self.lost.fetch_add(1, Ordering::Release);
        self.room.wake();
    }

    /// Waits until something else has become of them than what is `known`. Only one task may wait.
    pub(crate) async fn changed(&self, known: Fate) {
        poll_fn(|cx| {
            self.room.register(cx.waker());
            if self.fate() == known { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }
}

impl Append {
    /// What a record takes in the log. For a small update, that is mostly the name of its document.
    pub(crate) fn record_bytes(name: &DocumentName, subject: &str, update: &Rope) -> usize {
        HEADER_BYTES + name.as_str().len() + subject.len() + update.len()
    }

    /// It is not stored.
    fn lose(&self) {
        self.fate.lose();
        self.span.fail("not stored");
        self.span.end();
    }
}

/// A state to be kept in place of the log up to `sequence`.
pub(crate) struct State {
    /// Which document it is of.
    pub(crate) name: DocumentName,
    /// The last record that the state contains.
    pub(crate) sequence: u64,
    /// The document.
    pub(crate) snapshot: Snapshot,
    /// What it is charged until it is stored.
    pub(crate) _charge: Charge,
}

/// A checkpoint was not made. Nothing is lost by it: the log still has everything.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckpointError {
    /// The state does not read back to the document it was made from.
    #[error("its encoded state does not read back to the same document")]
    Different,
    /// The store could not write it.
    #[error("{0}")]
    Store(String),
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
}

/// The journal that all rooms share.
pub(crate) type SharedJournal = Arc<dyn Journal>;
