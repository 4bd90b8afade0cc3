//! The one thread that appends to the log: updates of all rooms that arrive within the commit window are written and
//! synced together, then each room hears which of its sequences is durable. Where syncing takes long, it is done less often.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use coscribe_engine::rope::Rope;
use coscribe_persistence::record::HEADER_BYTES;
use coscribe_persistence::{DocumentName, NewRecord, Store};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tracing::error;

use crate::metrics::Metrics;

/// What may wait for the disk of one room; beyond it that room waits, and with it its connections. Were it a bound over all, a
/// room that writes much would make all others wait.
const QUEUE_BYTES: u32 = 32 << 20;

/// A batch this large is committed without waiting for more.
const BATCH_BYTES: usize = 4 << 20;

/// At most one part in so many of the time is spent on syncing, while that keeps syncs nearer than the longest interval. A
/// sync takes the processor about as long as the disk, and with it everybody who shares that.
const SYNC_SHARE: u32 = 64;

/// How far apart syncs are put. An acknowledgement that comes so much later is as good to whoever waits for it.
const LONGEST_INTERVAL: Duration = Duration::from_millis(20);

/// Where rooms put their updates.
pub(crate) struct Writer {
    queue: mpsc::Sender<Job>,
    failure: Arc<OnceLock<String>>,
}

/// What the updates of one room may take while they wait.
#[derive(Clone)]
pub(crate) struct Space(Arc<Semaphore>);

impl Space {
    /// Nothing waits.
    pub(crate) fn new() -> Space {
        Space(Arc::new(Semaphore::new(QUEUE_BYTES as usize)))
    }

    /// Room for something of this size as soon as there is. What is larger than all of it takes all of it.
    async fn acquire(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let cost = u32::try_from(bytes).unwrap_or(QUEUE_BYTES).min(QUEUE_BYTES);
        Arc::clone(&self.0).acquire_many_owned(cost).await.ok()
    }
}

/// The running thread; joined at shutdown.
pub(crate) struct WriterThread {
    queue: mpsc::Sender<Job>,
    thread: JoinHandle<()>,
}

/// One update on its way to the log.
pub(crate) struct Append {
    /// The document.
    pub(crate) name: DocumentName,
    /// The room's number for it.
    pub(crate) sequence: u64,
    /// The v1 update.
    pub(crate) update: Rope,
    /// Where the room hears that it is on disk.
    pub(crate) durable: watch::Sender<u64>,
}

impl Append {
    /// What it takes in the log. For a small update, that is mostly the name of its document.
    pub(crate) fn record_bytes(&self) -> usize {
        HEADER_BYTES + self.name.as_str().len() + self.update.len()
    }
}

enum Job {
    Append(Queued),
    Stop,
}

struct Queued {
    append: Append,
    /// Milliseconds since the Unix epoch.
    time: u64,
    since: Instant,
    _space: OwnedSemaphorePermit,
}

/// What is committed together.
#[derive(Default)]
struct Batch {
    updates: Vec<Queued>,
    bytes: usize,
}

impl Batch {
    fn add(&mut self, next: Queued) {
        self.bytes += next.append.record_bytes();
        self.updates.push(next);
    }
}

impl Writer {
    /// Starts the thread. Updates that arrive within `window` of the first are committed together.
    pub(crate) fn start(
        store: Arc<Store>,
        window: Duration,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<(Writer, WriterThread)> {
        let (queue, jobs) = mpsc::channel();
        let failure = Arc::new(OnceLock::new());
        let log = Log { store, failure: Arc::clone(&failure), metrics };
        let thread = thread::Builder::new().name("writer".into()).spawn(move || log.run(&jobs, window))?;
        Ok((Writer { queue: queue.clone(), failure }, WriterThread { queue, thread }))
    }

    /// Hands an update to the thread, waiting while too much of the same room is queued. After the log has failed updates are dropped:
    /// they will never be acknowledged.
    pub(crate) async fn append(&self, append: Append, space: &Space) {
        if self.failure().is_some() {
            return;
        }
        let Some(space) = space.acquire(append.record_bytes()).await else { return };
        let queued = Queued { append, time: now_millis(), since: Instant::now(), _space: space };
        // The thread outlives the rooms; should it have panicked, nothing is acknowledged any more.
        if self.queue.send(Job::Append(queued)).is_err() {
            fail(&self.failure, "its thread has ended".to_owned());
        }
    }

    /// Why nothing is saved any more.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }
}

impl WriterThread {
    /// Commits what is queued and ends the thread. Blocks until then.
    pub(crate) fn stop(self) {
        let asked = self.queue.send(Job::Stop);
        if asked.is_err() | self.thread.join().is_err() {
            error!("the writer thread has panicked");
        }
    }
}

struct Log {
    store: Arc<Store>,
    failure: Arc<OnceLock<String>>,
    metrics: Arc<Metrics>,
}

impl Log {
    fn run(&self, jobs: &Receiver<Job>, window: Duration) {
        let mut go_on = true;
        while go_on {
            let batch;
            (batch, go_on) = collect(jobs, window);
            let start = Instant::now();
            self.commit(&batch.updates);
            // Where more waits than a batch holds, there is nothing to be gained by waiting.
            if go_on && batch.bytes < BATCH_BYTES {
                sleep_until(start + (start.elapsed() * SYNC_SHARE).min(LONGEST_INTERVAL));
            }
        }
    }

    fn commit(&self, batch: &[Queued]) {
        if batch.is_empty() || self.failure.get().is_some() {
            return;
        }
        // Nobody says yet who they are, so records carry no author.
        let updates: Vec<_> = batch.iter().map(|queued| queued.append.update.to_bytes()).collect();
        let records: Vec<NewRecord<'_>> = batch
            .iter()
            .zip(&updates)
            .map(|(Queued { append, time, .. }, update)| NewRecord {
                name: &append.name,
                sequence: append.sequence,
                time: *time,
                author: "",
                payload: update,
            })
            .collect();
        let start = Instant::now();
        if let Err(error) = self.store.append(&records) {
            fail(&self.failure, error.to_string());
            return;
        }
        self.metrics.log_sync_seconds.observe(start.elapsed().as_secs_f64());
        let mut last = HashMap::new();
        for Queued { append, since, .. } in batch {
            self.metrics.log_append_seconds.observe(since.elapsed().as_secs_f64());
            last.insert(&append.name, append);
        }
        for append in last.values() {
            append.durable.send_replace(append.sequence);
        }
    }
}

/// Latches the first failure: after it nothing is acknowledged.
fn fail(failure: &OnceLock<String>, reason: String) {
    if failure.set(reason.clone()).is_ok() {
        error!(
            "the log cannot be written: {reason}. Editors go on, but nothing is saved or acknowledged any more"
        );
    }
}

/// Waits for a first job, then takes what arrives within the window, which counts from when that was queued. The flag is false
/// when there will be no more.
fn collect(jobs: &Receiver<Job>, window: Duration) -> (Batch, bool) {
    let mut batch = Batch::default();
    let Ok(Job::Append(first)) = jobs.recv() else {
        return (batch, false);
    };
    // To wait for each job would be to wake up for each, which costs more than all the rest.
    sleep_until(first.since + window);
    batch.add(first);
    while batch.bytes < BATCH_BYTES {
        match jobs.try_recv() {
            Ok(Job::Append(next)) => batch.add(next),
            Err(TryRecvError::Empty) => break,
            Ok(Job::Stop) | Err(TryRecvError::Disconnected) => return (batch, false),
        }
    }
    (batch, true)
}

fn sleep_until(at: Instant) {
    thread::sleep(at.saturating_duration_since(Instant::now()));
}

/// Milliseconds since the Unix epoch; 0 on a machine whose clock is before it.
pub(crate) fn now_millis() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}
