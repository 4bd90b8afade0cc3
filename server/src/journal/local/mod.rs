//! The journal of a server by itself: a segmented log with one sync for all rooms of a commit window, and snapshots.

mod checkpointer;
mod space;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use coscribe_persistence::{DocumentName, Store, StoreError, StoredDocument};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use self::checkpointer::{Checkpointer, CheckpointerThread};
pub(crate) use self::space::Space;
use self::writer::{Writer, WriterThread};
use super::{Append, CheckpointError, Health, Journal, State};
use crate::metrics::Metrics;

/// A store, the thread that appends to it, and the thread that writes snapshots.
pub(crate) struct LocalJournal {
    store: Arc<Store>,
    space: Arc<Space>,
    writer: Writer,
    checkpointer: Checkpointer,
}

/// The running threads; joined at shutdown.
pub(crate) struct JournalThreads {
    writer: WriterThread,
    checkpointer: CheckpointerThread,
}

impl LocalJournal {
    /// Starts the threads. What arrives within `window` of the first record is committed together.
    pub(crate) fn start(
        store: Arc<Store>,
        space: Arc<Space>,
        window: Duration,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<(LocalJournal, JournalThreads)> {
        let (writer, writer_thread) = Writer::start(Arc::clone(&store), window, metrics)?;
        let (checkpointer, checkpointer_thread) = Checkpointer::start(Arc::clone(&store))?;
        let threads = JournalThreads { writer: writer_thread, checkpointer: checkpointer_thread };
        Ok((LocalJournal { store, space, writer, checkpointer }, threads))
    }
}

impl JournalThreads {
    /// Stores what is queued and ends the threads. Blocks until then.
    pub(crate) fn stop(self) {
        self.writer.stop();
        self.checkpointer.stop();
    }
}

impl Journal for LocalJournal {
    fn load(&self, name: &DocumentName) -> Result<Option<StoredDocument>, StoreError> {
        self.store.load(name)
    }

    fn contains(&self, name: &DocumentName) -> bool {
        self.store.contains(name)
    }

    fn takes_new(&self) -> bool {
        !self.space.is_short()
    }

    fn append(&self, append: Append) {
        self.writer.append(append);
    }

    fn checkpoint(&self, state: State) -> BoxFuture<'_, Result<(), CheckpointError>> {
        self.checkpointer.checkpoint(state).boxed()
    }

    fn uncheckpointed(&self) -> Vec<DocumentName> {
        self.store.uncheckpointed()
    }

    fn takes_checkpoints(&self) -> bool {
        self.store.failure().or(self.store.checkpoint_failure()).is_none()
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.writer.health()
    }

    fn failure(&self) -> Option<String> {
        self.writer.failure().or_else(|| self.store.failure())
    }
}
