//! The one thread that writes snapshots. A room hands over its state; the thread reads it back as a document of its own,
//! compares, and gives the store as many as are waiting in one go, because each go costs several syncs. What snapshots cover is
//! dead in the log, so the same thread then empties segments in which little else is.

use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Arc, mpsc};
use std::thread;
use std::thread::JoinHandle;

use coscribe_persistence::{Checkpoint, Store, StoreError};
use rustix::process::setpriority_process;
use tokio::sync::oneshot;
use tracing::error;

use super::writer::now_millis;
use crate::journal::{CheckpointError, State};
use crate::limits::{CHECKPOINT_BATCH_BYTES, CHECKPOINTS_AT_ONCE, TRIMS_AT_ONCE};

/// The priority of the thread: where there is one processor it gets a tenth of that while somebody else has work for it.
const NICE: i32 = 10;

/// Where rooms put their states.
pub(super) struct Checkpointer {
    queue: mpsc::Sender<Job>,
}

/// The running thread; joined at shutdown.
pub(super) struct CheckpointerThread {
    queue: mpsc::Sender<Job>,
    thread: JoinHandle<()>,
}

enum Job {
    Checkpoint(State, oneshot::Sender<Result<(), CheckpointError>>),
    Stop,
}

impl Checkpointer {
    /// Starts the thread.
    pub(super) fn start(store: Arc<Store>) -> std::io::Result<(Checkpointer, CheckpointerThread)> {
        let (queue, jobs) = mpsc::channel();
        let thread = thread::Builder::new().name("checkpointer".into()).spawn(move || {
            // Nobody waits for a checkpoint. (On Linux a thread has a priority of its own.) Where it cannot be set, that is no fault.
            let _ = setpriority_process(None, NICE);
            run(&store, &jobs);
        })?;
        Ok((Checkpointer { queue: queue.clone() }, CheckpointerThread { queue, thread }))
    }

    /// Checks and stores a state; returns when it is on disk.
    pub(super) async fn checkpoint(&self, state: State) -> Result<(), CheckpointError> {
        let (done, result) = oneshot::channel();
        if self.queue.send(Job::Checkpoint(state, done)).is_err() {
            return Err(CheckpointError::Stopping);
        }
        result.await.unwrap_or(Err(CheckpointError::Stopping))
    }
}

impl CheckpointerThread {
    /// Ends the thread after the states that it is writing. Blocks until then.
    pub(super) fn stop(self) {
        let asked = self.queue.send(Job::Stop);
        if asked.is_err() | self.thread.join().is_err() {
            error!("the checkpointer thread has panicked");
        }
    }
}

fn run(store: &Store, jobs: &Receiver<Job>) {
    let mut is_long = true;
    while let Some(Job::Checkpoint(state, done)) = next(store, jobs, &mut is_long) {
        let mut bytes = state.snapshot.state.len();
        let mut batch = vec![(state, done)];
        let mut stop = false;
        while batch.len() < CHECKPOINTS_AT_ONCE && bytes < CHECKPOINT_BATCH_BYTES {
            match jobs.try_recv() {
                Ok(Job::Checkpoint(state, done)) => {
                    bytes += state.snapshot.state.len();
                    batch.push((state, done));
                }
                Ok(Job::Stop) => {
                    stop = true;
                    break;
                }
                Err(_) => break,
            }
        }
        write(store, batch);
        if stop {
            return;
        }
        is_long = (0..TRIMS_AT_ONCE).all(|_| trim(store));
    }
}

/// The next job. While there is none and the log is longer than it may be, segments are emptied.
fn next(store: &Store, jobs: &Receiver<Job>, is_long: &mut bool) -> Option<Job> {
    while *is_long {
        match jobs.try_recv() {
            Err(TryRecvError::Empty) => *is_long = trim(store),
            job => return job.ok(),
        }
    }
    jobs.recv().ok()
}

/// Moves records out of a segment. False if there is no need, or it cannot be done now: it is tried again after the next snapshots.
fn trim(store: &Store) -> bool {
    match store.trim_log() {
        Ok(moved) => moved,
        // The next records say so.
        Err(StoreError::Scarce { .. } | StoreError::Failed { .. }) => false,
        Err(error) => {
            error!("a segment of the log cannot be emptied: {error}");
            false
        }
    }
}

fn write(store: &Store, batch: Vec<(State, oneshot::Sender<Result<(), CheckpointError>>)>) {
    let (sound, different): (Vec<_>, Vec<_>) =
        batch.into_iter().partition(|(state, _)| state.snapshot.reads_back());
    for (_, done) in different {
        // A room that is gone does not want to know.
        let _ = done.send(Err(CheckpointError::Different));
    }
    let time = now_millis();
    let parts: Vec<Vec<&[u8]>> = sound
        .iter()
        .map(|(state, _)| state.snapshot.state.parts().iter().map(|part| &part[..]).collect())
        .collect();
    let checkpoints: Vec<Checkpoint<'_>> = sound
        .iter()
        .zip(&parts)
        .map(|((State { name, sequence, .. }, _), state)| Checkpoint {
            name,
            sequence: *sequence,
            time,
            state,
        })
        .collect();
    if checkpoints.is_empty() {
        return;
    }
    let result = store.checkpoint(&checkpoints).map_err(|error| error.to_string());
    for (_, done) in sound {
        let _ = done.send(result.clone().map_err(CheckpointError::Store));
    }
}
