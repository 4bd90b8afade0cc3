//! A random history of a store, and what must be left of it. A seed decides everything.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use coscribe_persistence::{
    Checkpoint, Disk, DocumentName, Faults, MemoryDisk, NewRecord, Recovery, SnapshotIndex, Step, Store,
    StoreError, StoreOptions,
};

pub(crate) const DIR: &str = "store";
const DOCUMENTS: [&str; 3] = ["a", "b", "c"];

/// What a document consists of: the number of each of its updates, in order. `None`: there is no such document.
type Document = Option<Vec<u64>>;

pub(crate) struct History {
    seed: u64,
    random: Random,
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    /// The same disk, if it is one in memory.
    memory: Option<MemoryDisk>,
    segment_bytes: u64,
    store: Option<Store>,
    /// The states that each document may have: one while all is well, several after a failed call.
    allowed: BTreeMap<&'static str, Vec<Document>>,
    /// The number of the last update that was written.
    updates: u64,
    pub(crate) seen: Seen,
}

/// How the process that has the store open ends. Closing the store is the same as a kill.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fate {
    Killed,
    PowerLoss,
}

/// Counts of what happened.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) acknowledged: u64,
    /// Calls that failed, because the power failed or the process was killed.
    pub(crate) interrupted: u64,
    /// Documents that had kept more than was acknowledged.
    pub(crate) kept: u64,
    /// Documents that had lost unacknowledged updates.
    pub(crate) lost: u64,
    pub(crate) torn: u64,
    pub(crate) rescued: u64,
    pub(crate) adopted: u64,
    /// Openings that found reserved space or something torn at the end of the log.
    pub(crate) cut: u64,
    /// Times that records were moved.
    pub(crate) moved: u64,
    /// Openings that were interrupted.
    pub(crate) reopened: u64,
}

impl Seen {
    pub(crate) fn add(&mut self, other: &Self) {
        self.acknowledged += other.acknowledged;
        self.interrupted += other.interrupted;
        self.kept += other.kept;
        self.lost += other.lost;
        self.torn += other.torn;
        self.rescued += other.rescued;
        self.adopted += other.adopted;
        self.cut += other.cut;
        self.moved += other.moved;
        self.reopened += other.reopened;
    }
}

impl History {
    /// On a disk in memory.
    pub(crate) fn new(seed: u64) -> Self {
        let disk = MemoryDisk::new(seed);
        Self { memory: Some(disk.clone()), ..Self::on(Arc::new(disk), Path::new(DIR), seed) }
    }

    pub(crate) fn on(disk: Arc<dyn Disk>, dir: &Path, seed: u64) -> Self {
        let mut random = Random(seed);
        let segment_bytes = [40, 600, 8000, 64 << 20][random.below_usize(4)];
        let mut history = Self {
            seed,
            random,
            dir: dir.to_owned(),
            disk,
            memory: None,
            segment_bytes,
            store: None,
            allowed: DOCUMENTS.map(|name| (name, vec![None])).into(),
            updates: 0,
            seen: Seen::default(),
        };
        history.reopen();
        history
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// The documents as the store has them.
    pub(crate) fn documents(&self) -> BTreeMap<&'static str, Document> {
        DOCUMENTS.map(|name| (name, read(self.store.as_ref().unwrap(), name))).into()
    }

    /// Writes until one call fails, or for a while.
    pub(crate) fn live(&mut self) {
        let calls = self.random.below(25);
        for _ in 0..calls {
            let done = match self.random.below(14) {
                0..7 => self.append(),
                7..10 => self.checkpoint(),
                10 => self.mark(),
                11 | 12 => self.trim(),
                _ => self.delete(),
            };
            if done.is_err() {
                self.seen.interrupted += 1;
                return;
            }
            self.seen.acknowledged += 1;
            self.check_documents();
        }
    }

    pub(crate) fn end(&mut self) {
        let fate = [Fate::Killed, Fate::PowerLoss, Fate::PowerLoss][self.random.below_usize(3)];
        self.end_by(fate);
    }

    pub(crate) fn end_by(&mut self, fate: Fate) {
        let old = self.store.take();
        if let Some(disk) = &self.memory {
            let disk = match fate {
                Fate::Killed => disk.kill(),
                Fate::PowerLoss => disk.crash(&mut chooser(&mut self.random)),
            };
            (self.disk, self.memory) = (Arc::new(disk.clone()), Some(disk));
        }
        drop(old);
    }

    /// Opens the store, in several attempts if necessary, and checks its content.
    pub(crate) fn reopen(&mut self) {
        loop {
            let changes = (self.random.below(3) == 0).then(|| self.random.below(15));
            if let (Some(disk), Some(changes)) = (&self.memory, changes) {
                disk.fail_after(changes);
            }
            let (options, before) = (self.options(), self.last_segment());
            match Store::open(&self.dir, options) {
                Ok((store, recovery)) => {
                    if let Some((path, len)) = before {
                        self.seen.cut += u64::from(length(self.disk(), &path).is_some_and(|now| now < len));
                    }
                    self.check(store, &recovery);
                    break;
                }
                Err(error) => {
                    assert!(error.to_string().contains("has failed, as it was asked to"), "{error}");
                    self.seen.reopened += 1;
                    self.end();
                }
            }
        }
        let changes = if self.random.below(2) == 0 { self.random.below(50) } else { u64::MAX };
        if let Some(disk) = &self.memory {
            disk.fail_after(changes);
        }
    }

    /// The last segment of the log, and its length.
    fn last_segment(&self) -> Option<(PathBuf, u64)> {
        let files = self.disk.list(&self.dir).unwrap_or_default();
        let path = files.into_iter().filter(|path| path.extension().is_some_and(|it| it == "log")).max()?;
        length(self.disk(), &path).map(|len| (path, len))
    }

    fn options(&mut self) -> StoreOptions {
        let steps = if self.random.below(2) == 0 { self.random.below(50) } else { u64::MAX };
        let steps = if self.memory.is_some() { steps } else { u64::MAX };
        StoreOptions {
            segment_bytes: self.segment_bytes,
            snapshot_index: SnapshotIndex::Memory,
            disk: Arc::clone(&self.disk),
            faults: Some(Arc::new(Fuse(AtomicU64::new(steps)))),
        }
    }

    fn check(&mut self, store: Store, recovery: &Recovery) {
        let seed = self.seed;
        assert!(
            recovery.damage.is_empty() && recovery.catalog_damage.is_empty(),
            "seed {seed}: {recovery:?}"
        );
        assert!(recovery.unreadable.is_empty(), "seed {seed}: {recovery:?}");
        assert!(!recovery.snapshots_lost, "seed {seed}: {recovery:?}");
        self.seen.torn += u64::from(recovery.torn.is_some());
        self.seen.rescued += recovery.torn.as_ref().map_or(0, |torn| torn.rescued as u64);
        self.seen.adopted += recovery.adopted.len() as u64;
        self.store = Some(store);
        for (name, document) in self.documents() {
            let allowed = self.allowed.get_mut(name).unwrap();
            let wrong = || format!("seed {seed}, {name}: {document:?}, allowed {allowed:?}, {recovery:?}");
            assert!(allowed.contains(&document), "{}", wrong());
            if allowed.len() > 1 {
                let count = if document == allowed[0] { &mut self.seen.lost } else { &mut self.seen.kept };
                *count += 1;
            }
            *allowed = vec![document];
        }
        self.check_documents();
    }

    fn check_documents(&self) {
        let store = self.store.as_ref().unwrap();
        let documents = self.documents();
        for (name, document) in &documents {
            assert_eq!(self.allowed[name], std::slice::from_ref(document), "seed {}, {name}", self.seed);
            assert_eq!(store.contains(&key(name)), document.is_some());
        }
        let stored = documents.iter().filter(|(_, document)| document.is_some());
        assert_eq!(store.names(), stored.map(|(name, _)| key(name)).collect::<Vec<_>>());
    }

    /// Appends a batch to one or several documents.
    fn append(&mut self) -> Result<(), StoreError> {
        let mut records = Vec::new();
        let before = self.allowed.clone();
        for _ in 0..=self.random.below(10) {
            let name = self.pick();
            self.updates += 1;
            let states = self.allowed.get_mut(name).unwrap();
            let mut document = states.last().unwrap().clone().unwrap_or_default();
            document.push(self.updates);
            records.push((key(name), document.len() as u64, payload(self.updates)));
            states.push(Some(document));
        }
        let records: Vec<_> =
            records.iter().map(|(name, sequence, payload)| record(name, *sequence, payload)).collect();
        self.store.as_ref().unwrap().append(&records)?;
        for (name, states) in &mut self.allowed {
            if states.len() > before[name].len() {
                states.drain(..states.len() - 1);
            }
        }
        Ok(())
    }

    /// Checkpoints one document, or all, up to any sequence.
    fn checkpoint(&mut self) -> Result<(), StoreError> {
        let only = (self.random.below(2) == 0).then(|| self.pick());
        let mut states = Vec::new();
        for name in DOCUMENTS.into_iter().filter(|name| only.is_none_or(|only| only == *name)) {
            if let Some(document) = &self.allowed[name][0] {
                let stored = self.store.as_ref().unwrap().load(&key(name))?.unwrap();
                let lowest = usize::try_from(stored.covered()).unwrap();
                let sequence = lowest + self.random.below_usize(document.len() - lowest + 1);
                states.push((key(name), sequence as u64, state(&document[..sequence])));
            }
        }
        let parts: Vec<_> = states.iter().map(|(.., state)| [&state[..]]).collect();
        let checkpoints: Vec<_> = states
            .iter()
            .zip(&parts)
            .map(|((name, sequence, _), state)| Checkpoint { name, sequence: *sequence, time: 1, state })
            .collect();
        self.store.as_ref().unwrap().checkpoint(&checkpoints)
    }

    /// Ends the log with a mark, as when nothing is written for a while.
    fn mark(&self) -> Result<(), StoreError> {
        self.store.as_ref().unwrap().mark()
    }

    /// Moves records out of segments that have little else.
    fn trim(&mut self) -> Result<(), StoreError> {
        while self.store.as_ref().unwrap().trim_log()? {
            self.seen.moved += 1;
        }
        Ok(())
    }

    fn delete(&mut self) -> Result<(), StoreError> {
        let name = self.pick();
        let states = self.allowed.get_mut(name).unwrap();
        if states[0].is_some() {
            states.push(None);
        }
        let existed = self.store.as_ref().unwrap().delete(&key(name))?;
        let states = self.allowed.get_mut(name).unwrap();
        assert_eq!(existed, states.len() > 1);
        states.drain(..states.len() - 1);
        Ok(())
    }

    fn pick(&mut self) -> &'static str {
        DOCUMENTS[self.random.below_usize(DOCUMENTS.len())]
    }
}

fn length(disk: &dyn Disk, path: &Path) -> Option<u64> {
    disk.open(path).and_then(|file| file.len()).ok()
}

/// Lets this many steps happen, and none after.
#[derive(Debug)]
struct Fuse(AtomicU64);

impl Faults for Fuse {
    fn before(&self, _step: Step) -> io::Result<()> {
        let left = self
            .0
            .load(Ordering::Relaxed)
            .checked_sub(1)
            .ok_or_else(|| io::Error::other("a step has failed, as it was asked to"))?;
        self.0.store(left, Ordering::Relaxed);
        Ok(())
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % n
    }

    fn below_usize(&mut self, n: usize) -> usize {
        usize::try_from(self.below(n as u64)).unwrap()
    }
}

/// Loses everything, keeps everything or almost everything, or anything between.
fn chooser(random: &mut Random) -> impl FnMut(u64) -> u64 {
    let bias = random.below(6);
    move |n| match bias {
        0 => 0,
        1 => n - 1,
        2 if random.below(8) > 0 => n - 1,
        _ => random.below(n),
    }
}

fn key(name: &str) -> DocumentName {
    DocumentName::new(name).unwrap()
}

fn record<'a>(name: &'a DocumentName, sequence: u64, payload: &'a [u8]) -> NewRecord<'a> {
    NewRecord { name, sequence, time: 1, subject: "ann", payload, waits: sequence.is_multiple_of(3) }
}

/// Of any length up to two pages, so that batches cross the bounds of sectors and pages.
fn payload(update: u64) -> Vec<u8> {
    let mut random = Random(update);
    let most = if random.below(4) == 0 { 1000 } else { 10 };
    let repeated = 1 + random.below_usize(most);
    update.to_le_bytes().repeat(repeated)
}

fn state(document: &[u64]) -> Vec<u8> {
    document.iter().flat_map(|update| update.to_le_bytes()).collect()
}

/// What the store has of a document; its bytes must be those that were written.
fn read(store: &Store, name: &str) -> Document {
    let stored = store.load(&key(name)).unwrap()?;
    let number = |bytes: &[u8]| u64::from_le_bytes(*bytes.first_chunk().unwrap());
    let mut document: Vec<_> = stored.snapshot.as_deref().unwrap_or_default().chunks(8).map(number).collect();
    let waiting = stored.waiting.iter().map(|(sequence, waiting)| (*sequence, waiting));
    let records: BTreeMap<_, _> = stored.numbered_updates().chain(waiting).collect();
    assert!(stored.waiting.iter().all(|(sequence, _)| sequence.is_multiple_of(3)), "an update waits");
    for (sequence, update) in records {
        document.push(number(update));
        assert_eq!(document.len() as u64, sequence);
        assert!(*update == payload(number(update)), "an update is not what was written");
    }
    assert_eq!(document.len() as u64, stored.sequence);
    assert_eq!(store.last_sequence(&key(name)), stored.sequence);
    Some(document)
}
