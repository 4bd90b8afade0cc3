//! A store in a temporary directory, and short ways to write to it and damage it.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use coscribe_persistence::{
    Checkpoint, DocumentName, Faults, NewRecord, Recovery, Step, Store, StoreError, StoreOptions,
    StoredDocument,
};

pub(crate) struct Scene {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) options: StoreOptions,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), options: StoreOptions::default() }
    }

    /// In memory if the system offers that: for tests that sync very often.
    pub(crate) fn in_memory() -> Self {
        match tempfile::tempdir_in("/dev/shm") {
            Ok(dir) => Self { dir, options: StoreOptions::default() },
            Err(_) => Self::new(),
        }
    }

    pub(crate) fn with(options: StoreOptions) -> Self {
        Self { options, ..Self::new() }
    }

    /// Segments so small that each batch has its own.
    pub(crate) fn with_tiny_segments() -> Self {
        Self::with(StoreOptions { segment_bytes: 40, ..StoreOptions::default() })
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn open(&self) -> (Store, Recovery) {
        Store::open(self.path(), self.options.clone()).unwrap()
    }

    pub(crate) fn open_clean(&self) -> Store {
        let (store, recovery) = self.open();
        assert_eq!(recovery.warnings(), Vec::<String>::new());
        store
    }

    pub(crate) fn open_with(&self, faults: Arc<dyn Faults>) -> Result<(Store, Recovery), StoreError> {
        Store::open(self.path(), StoreOptions { faults: Some(faults), ..self.options.clone() })
    }

    pub(crate) fn segment(&self, number: u32) -> PathBuf {
        self.path().join(format!("{number:08}.log"))
    }

    pub(crate) fn segments(&self) -> Vec<String> {
        self.files_ending(".log")
    }

    pub(crate) fn files_ending(&self, end: &str) -> Vec<String> {
        let names =
            fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name.ends_with(end)).collect();
        names.sort();
        names
    }
}

pub(crate) fn name(text: &str) -> DocumentName {
    DocumentName::new(text).unwrap()
}

pub(crate) fn record<'a>(name: &'a DocumentName, sequence: u64, payload: &'a [u8]) -> NewRecord<'a> {
    NewRecord { name, sequence, time: 1_700_000_000_000 + sequence, subject: "ann", payload, waits: false }
}

/// Appends updates `first..=last`, one batch each, with a payload that names document and sequence.
pub(crate) fn write(store: &Store, document: &str, sequences: std::ops::RangeInclusive<u64>) {
    let name = name(document);
    for sequence in sequences {
        store.append(&[record(&name, sequence, &payload(document, sequence))]).unwrap();
    }
}

pub(crate) fn payload(document: &str, sequence: u64) -> Vec<u8> {
    format!("update {sequence} of {document}").into_bytes()
}

pub(crate) fn payloads(document: &str, sequences: std::ops::RangeInclusive<u64>) -> Vec<Vec<u8>> {
    sequences.map(|sequence| payload(document, sequence)).collect()
}

pub(crate) fn checkpoint(store: &Store, document: &str, sequence: u64) -> Result<(), StoreError> {
    let (name, state) = (name(document), state(document, sequence));
    store.checkpoint(&[Checkpoint { name: &name, sequence, time: 1, state: &[&state] }])
}

pub(crate) fn state(document: &str, sequence: u64) -> Vec<u8> {
    format!("state of {document} up to {sequence}").into_bytes()
}

pub(crate) fn load(store: &Store, document: &str) -> Option<StoredDocument> {
    store.load(&name(document)).unwrap()
}

pub(crate) fn only_updates(
    document: &str,
    sequences: std::ops::RangeInclusive<u64>,
) -> Option<StoredDocument> {
    let sequence = *sequences.end();
    Some(StoredDocument {
        snapshot: None,
        waiting: Vec::new(),
        updates: payloads(document, sequences),
        sequence,
    })
}

pub(crate) fn covered(document: &str, snapshot: u64, last: u64) -> Option<StoredDocument> {
    let updates = payloads(document, snapshot + 1..=last);
    Some(StoredDocument {
        snapshot: Some(state(document, snapshot)),
        waiting: Vec::new(),
        updates,
        sequence: last,
    })
}

pub(crate) fn flip(path: &Path, byte: usize, bit: u32) {
    let mut bytes = fs::read(path).unwrap();
    bytes[byte] ^= 1 << bit;
    fs::write(path, bytes).unwrap();
}

/// Where the records of a segment start, also end marks.
pub(crate) fn record_offsets(segment: &[u8]) -> Vec<usize> {
    let marker = &segment[16..24];
    (32..segment.len()).filter(|&at| segment[at..].starts_with(marker)).collect()
}

/// Makes of a segment that was closed what a crash would have left: the mark at its end is missing.
pub(crate) fn cut_off_end_mark(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let mark = *record_offsets(&bytes).last().unwrap();
    assert_eq!(bytes[mark + 13], 6, "an end mark");
    bytes.truncate(mark);
    fs::write(path, bytes).unwrap();
}

pub(crate) fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every file below a directory with its content, to see that nothing has changed.
pub(crate) fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(contents(&path));
        } else {
            files.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}

/// Fails one kind of step, from the `nth` time on.
#[derive(Debug)]
pub(crate) struct FailAt {
    step: Step,
    left: AtomicUsize,
}

impl FailAt {
    pub(crate) fn new(step: Step, nth: usize) -> Arc<Self> {
        Arc::new(Self { step, left: AtomicUsize::new(nth) })
    }

    pub(crate) fn was_reached(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }
}

impl Faults for FailAt {
    fn before(&self, step: Step) -> io::Result<()> {
        if step != self.step {
            return Ok(());
        }
        let left = self.left.load(Ordering::SeqCst).saturating_sub(1);
        self.left.store(left, Ordering::SeqCst);
        if left == 0 { Err(io::Error::other("a step has failed, as it was asked to")) } else { Ok(()) }
    }
}
