//! The one thread that appends to the log: updates of all rooms that arrive within the commit window are written and
//! synced together, then each room hears which of its sequences is durable. Where syncing takes long, it is done less often.
//!
//! Where a write fails, as on a full disk, nothing is stored until writes succeed again. What comes meanwhile is lost, as its room
//! hears, which appends its document once more afterwards. A failed sync is for good, since it is unknown what the disk holds.
//! Where nothing comes for a while, the log gets an end mark.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SendError, TryRecvError};
use std::sync::{Arc, mpsc};
use std::thread;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use coscribe_persistence::{NewRecord, Store, StoreError};
use tokio::sync::watch;
use tracing::{error, info};

use crate::journal::{Append, Health};
use crate::limits::{
    COMMIT_BYTES, FULL_DISK_RETRY, FULL_DISK_ROOM_BYTES, LONGEST_SYNC_INTERVAL, MARK_AFTER, SYNC_SHARE,
};
use crate::metrics::Metrics;

/// Where rooms put their updates.
pub(super) struct Writer {
    queue: mpsc::Sender<Job>,
    health: Arc<watch::Sender<Health>>,
}

/// The running thread; joined at shutdown.
pub(super) struct WriterThread {
    queue: mpsc::Sender<Job>,
    thread: JoinHandle<()>,
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
}

/// What is committed together.
#[derive(Default)]
struct Batch {
    updates: Vec<Queued>,
    bytes: usize,
}

impl Batch {
    fn add(&mut self, next: Queued) {
        self.bytes += Append::record_bytes(&next.append.name, &next.append.subject, &next.append.update);
        self.updates.push(next);
    }
}

impl Writer {
    /// Starts the thread. Updates that arrive within `window` of the first are committed together.
    pub(super) fn start(
        store: Arc<Store>,
        window: Duration,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<(Writer, WriterThread)> {
        let (queue, jobs) = mpsc::channel();
        let health = Arc::new(watch::Sender::default());
        let log = Log { store, health: Arc::clone(&health), metrics };
        let thread = thread::Builder::new().name("writer".into()).spawn(move || log.run(&jobs, window))?;
        Ok((Writer { queue: queue.clone(), health }, WriterThread { queue, thread }))
    }

    /// Hands an update to the thread. While nothing is stored it is lost.
    pub(super) fn append(&self, append: Append) {
        if self.health.borrow().failure.is_some() {
            return append.lose();
        }
        let queued = Queued { append, time: now_millis(), since: Instant::now() };
        // The thread outlives the rooms; should it have panicked, nothing is acknowledged any more.
        if let Err(SendError(Job::Append(queued))) = self.queue.send(Job::Append(queued)) {
            fail(&self.health, "its thread has ended".to_owned());
            queued.append.lose();
        }
    }

    /// Why nothing is stored, if that is so.
    pub(super) fn failure(&self) -> Option<String> {
        self.health.borrow().failure.clone()
    }

    /// Where rooms hear whether updates are stored.
    pub(super) fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }
}

impl WriterThread {
    /// Commits what is queued and ends the thread. Blocks until then.
    pub(super) fn stop(self) {
        let asked = self.queue.send(Job::Stop);
        if asked.is_err() | self.thread.join().is_err() {
            error!("the writer thread has panicked");
        }
    }
}

struct Log {
    store: Arc<Store>,
    health: Arc<watch::Sender<Health>>,
    metrics: Arc<Metrics>,
}

impl Log {
    fn run(&self, jobs: &Receiver<Job>, window: Duration) {
        let mut go_on = true;
        while go_on && let Some(first) = self.next(jobs) {
            let batch;
            (batch, go_on) = collect(first, jobs, window);
            let start = Instant::now();
            if self.commit(&batch.updates).is_err() {
                go_on &= self.wait_for_room(jobs, batch.bytes);
            }
            // Where more waits than a batch holds, there is nothing to be gained by waiting.
            if go_on && batch.bytes < COMMIT_BYTES {
                sleep_until(start + (start.elapsed() * SYNC_SHARE).min(LONGEST_SYNC_INTERVAL));
            }
        }
    }

    /// The next record; `None` if there will be none. When nothing has come for a while, what was written so far gets an end mark.
    fn next(&self, jobs: &Receiver<Job>) -> Option<Queued> {
        let job = if self.store.is_marked() || self.health.borrow().failure.is_some() {
            jobs.recv().ok()
        } else {
            jobs.recv_timeout(MARK_AFTER).ok().or_else(|| {
                self.mark();
                jobs.recv().ok()
            })
        };
        match job {
            Some(Job::Append(queued)) => Some(queued),
            Some(Job::Stop) | None => None,
        }
    }

    fn mark(&self) {
        match self.store.mark() {
            // On a full disk the next records say so.
            Ok(()) | Err(StoreError::Scarce { .. }) => {}
            Err(error) => fail(&self.health, error.to_string()),
        }
    }

    /// Writes what waits. An error if a write has failed and was undone.
    fn commit(&self, batch: &[Queued]) -> Result<(), Undone> {
        let Health { epoch, failure } = self.health.borrow().clone();
        // What a room has appended before it knew of the epoch it appends once more.
        let is_current = |queued: &&Queued| queued.append.epoch == epoch && failure.is_none();
        let (batch, lost): (Vec<_>, Vec<_>) = batch.iter().partition(is_current);
        lost.iter().for_each(|queued| queued.append.lose());
        if batch.is_empty() {
            return Ok(());
        }
        let updates: Vec<_> = batch.iter().map(|queued| queued.append.update.to_bytes()).collect();
        let records: Vec<NewRecord<'_>> = batch
            .iter()
            .zip(&updates)
            .map(|(Queued { append, time, .. }, update)| NewRecord {
                name: &append.name,
                sequence: append.sequence,
                time: *time,
                subject: &append.subject,
                payload: update,
                waits: append.waits,
            })
            .collect();
        let start = Instant::now();
        match self.store.append(&records) {
            Ok(()) => {}
            Err(error) => {
                fail(&self.health, error.to_string());
                batch.iter().for_each(|queued| queued.append.lose());
                return if matches!(error, StoreError::Scarce { .. }) { Err(Undone) } else { Ok(()) };
            }
        }
        self.metrics.log_sync_seconds.observe(start.elapsed().as_secs_f64());
        let mut last = HashMap::new();
        for Queued { append, since, .. } in batch {
            self.metrics.log_append_seconds.observe(since.elapsed().as_secs_f64());
            append.span.end();
            last.insert(&append.name, append);
        }
        for append in last.values() {
            append.fate.set_durable(append.sequence);
        }
        Ok(())
    }

    /// Waits until the disk takes so many bytes, and drops what comes meanwhile. False if the thread is to end.
    fn wait_for_room(&self, jobs: &Receiver<Job>, bytes: usize) -> bool {
        loop {
            let next = Instant::now() + FULL_DISK_RETRY;
            loop {
                match jobs.recv_timeout(next.saturating_duration_since(Instant::now())) {
                    Ok(Job::Append(queued)) => queued.append.lose(),
                    Err(RecvTimeoutError::Timeout) => break,
                    Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
                }
            }
            if self.store.has_room(bytes.max(FULL_DISK_ROOM_BYTES)) {
                info!("the disk takes writes again: everything is saved once more");
                self.health.send_modify(|health| {
                    health.epoch += 1;
                    health.failure = None;
                });
                return true;
            }
        }
    }
}

/// A write has failed, as on a full disk, and can be tried again.
struct Undone;

/// Notes why nothing is acknowledged any more.
fn fail(health: &watch::Sender<Health>, reason: String) {
    error!(
        "the log cannot be written: {reason}. Editors go on, but nothing is saved or acknowledged any more"
    );
    health.send_modify(|health| health.failure = Some(reason));
}

/// Takes what arrives within the window, which counts from when the first one was queued. The flag is false when there will be no
/// more.
fn collect(first: Queued, jobs: &Receiver<Job>, window: Duration) -> (Batch, bool) {
    let mut batch = Batch::default();
    // To wait for each job would be to wake up for each, which costs more than all the rest.
    sleep_until(first.since + window);
    batch.add(first);
    while batch.bytes < COMMIT_BYTES {
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
pub(super) fn now_millis() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}
