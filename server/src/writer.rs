//! The one thread that appends to the log: updates of all rooms that arrive within the commit window are written and
//! synced together, then each room hears which of its sequences is durable. Where syncing takes long, it is done less often.
//!
//! On a full disk nothing is saved until there is room again. What comes meanwhile is not kept here; each room appends
//! its document once more afterwards. Any other failure is for good, since it is unknown what the disk holds.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, mpsc};
use std::thread;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use coscribe_engine::rope::Rope;
use coscribe_persistence::record::HEADER_BYTES;
use coscribe_persistence::{DocumentName, NewRecord, Store, StoreError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tracing::{error, info};

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

/// How often a full disk is looked at.
const RETRY: Duration = Duration::from_secs(1);

/// Room that a full disk must have before anything is written again, unless what failed was larger.
const WANTED_ROOM: usize = 1 << 20;

/// Where rooms put their updates.
pub(crate) struct Writer {
    queue: mpsc::Sender<Job>,
    saving: Arc<watch::Sender<Saving>>,
}

/// Whether updates are saved.
#[derive(Debug, Clone, Default)]
pub(crate) struct Saving {
    /// How often that has begun again after a full disk. What was appended earlier and is not durable never will be.
    pub(crate) resumed: u64,
    /// Why nothing is saved now, if it is so.
    pub(crate) failure: Option<String>,
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
    /// The v1 update, or what waits for one.
    pub(crate) update: Rope,
    /// Which of both.
    pub(crate) waits: bool,
    /// What the room knew of [`Saving::resumed`].
    pub(crate) resumed: u64,
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
        let saving = Arc::new(watch::Sender::default());
        let log = Log { store, saving: Arc::clone(&saving), metrics };
        let thread = thread::Builder::new().name("writer".into()).spawn(move || log.run(&jobs, window))?;
        Ok((Writer { queue: queue.clone(), saving }, WriterThread { queue, thread }))
    }

    /// Hands an update to the thread, waiting while too much of the same room is queued. While nothing is saved updates are dropped:
    /// they will never be acknowledged.
    pub(crate) async fn append(&self, append: Append, space: &Space) {
        if self.saving.borrow().failure.is_some() {
            return;
        }
        let Some(space) = space.acquire(append.record_bytes()).await else { return };
        let queued = Queued { append, time: now_millis(), since: Instant::now(), _space: space };
        // The thread outlives the rooms; should it have panicked, nothing is acknowledged any more.
        if self.queue.send(Job::Append(queued)).is_err() {
            fail(&self.saving, "its thread has ended".to_owned());
        }
    }

    /// Why nothing is saved, if that is so.
    pub(crate) fn failure(&self) -> Option<String> {
        self.saving.borrow().failure.clone()
    }

    /// Where rooms hear whether updates are saved.
    pub(crate) fn saving(&self) -> watch::Receiver<Saving> {
        self.saving.subscribe()
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
    saving: Arc<watch::Sender<Saving>>,
    metrics: Arc<Metrics>,
}

impl Log {
    fn run(&self, jobs: &Receiver<Job>, window: Duration) {
        let mut go_on = true;
        while go_on {
            let batch;
            (batch, go_on) = collect(jobs, window);
            let start = Instant::now();
            if self.commit(&batch.updates).is_err() {
                go_on &= self.wait_for_room(jobs, batch.bytes);
            }
            // Where more waits than a batch holds, there is nothing to be gained by waiting.
            if go_on && batch.bytes < BATCH_BYTES {
                sleep_until(start + (start.elapsed() * SYNC_SHARE).min(LONGEST_INTERVAL));
            }
        }
    }

    /// Writes what waits. An error if the disk is full.
    fn commit(&self, batch: &[Queued]) -> Result<(), Full> {
        let Saving { resumed, failure } = self.saving.borrow().clone();
        // What a room has appended before it knew that saving has begun again it appends once more.
        let batch: Vec<_> = batch.iter().filter(|queued| queued.append.resumed == resumed).collect();
        if batch.is_empty() || failure.is_some() {
            return Ok(());
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
                waits: append.waits,
            })
            .collect();
        let start = Instant::now();
        match self.store.append(&records) {
            Ok(()) => {}
            Err(error) => {
                fail(&self.saving, error.to_string());
                return if matches!(error, StoreError::Full { .. }) { Err(Full) } else { Ok(()) };
            }
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
        Ok(())
    }

    /// Waits until there is room on the disk for so many bytes, and drops what comes meanwhile. False if the thread is to end.
    fn wait_for_room(&self, jobs: &Receiver<Job>, bytes: usize) -> bool {
        loop {
            let next = Instant::now() + RETRY;
            loop {
                match jobs.recv_timeout(next.saturating_duration_since(Instant::now())) {
                    Ok(Job::Append(_)) => {}
                    Err(RecvTimeoutError::Timeout) => break,
                    Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
                }
            }
            if self.store.has_room(bytes.max(WANTED_ROOM)) {
                info!("there is room on the disk again: everything is saved once more");
                self.saving.send_modify(|saving| {
                    saving.resumed += 1;
                    saving.failure = None;
                });
                return true;
            }
        }
    }
}

/// The disk is full.
struct Full;

/// Notes why nothing is acknowledged any more.
fn fail(saving: &watch::Sender<Saving>, reason: String) {
    error!(
        "the log cannot be written: {reason}. Editors go on, but nothing is saved or acknowledged any more"
    );
    saving.send_modify(|saving| saving.failure = Some(reason));
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
