//! A store is opened from files with any content: it invents nothing, reports what it cannot read, gives all sound documents, and
//! goes on from there.

mod image;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use coscribe_engine::lib0::write_var_buf;
use coscribe_persistence::{
    Disk, DocumentName, MemoryDisk, NewRecord, Recovery, SnapshotIndex, Store, StoreError, StoreOptions,
    StoredDocument,
};

use self::image::{Found, Image, NAMES};
use super::allocation::{Limit, bounded};

/// A file is read through a buffer, twice; the index has an entry for each record, of which the shortest has 49 bytes.
const OPEN: Limit = Limit { peak: 16, sum: 64 };

/// Takes `data` as an image: see [`image`].
pub fn log(data: &[u8]) {
    let image = Image::read(data);
    let disk = write(&image);
    let opened = bounded(image.len(), OPEN, || open(&disk));
    let Ok((store, recovery)) = opened else {
        assert!(image.sound().is_none(), "what is sound can be opened");
        return;
    };
    let findable = image.findable();
    let before = load_all(&store);
    for (name, document) in &before {
        check_document(name, document, &image, &findable, &recovery);
    }
    check_reports(&image, &before, &recovery);
    append(&store, &before);
    drop(store);
    check_again(open(&disk), before);
}

/// Every document as it can be read.
type Documents = BTreeMap<DocumentName, Result<StoredDocument, StoreError>>;

fn dir() -> &'static Path {
    Path::new("store")
}

fn open(disk: &MemoryDisk) -> Result<(Store, Recovery), StoreError> {
    let (disk, snapshot_index) = (Arc::new(disk.clone()), SnapshotIndex::Memory);
    Store::open(dir(), StoreOptions { disk, snapshot_index, ..StoreOptions::default() })
}

/// Puts the files on a disk.
fn write(image: &Image) -> MemoryDisk {
    const MEMORY: &str = "a disk in memory does not fail";
    let (disk, snapshots) = (MemoryDisk::new(1), dir().join("snapshots"));
    disk.create_dir(dir()).expect(MEMORY);
    if image.states.is_some() {
        disk.create_dir(&snapshots).expect(MEMORY);
    }
    let segments =
        (1..).zip(&image.segments).map(|(number, bytes)| (dir().join(format!("{number:08}.log")), bytes));
    let states = image.states.iter().map(|bytes| (snapshots.join("00000001.states"), bytes));
    for (path, bytes) in segments.chain([(dir().join("catalog"), &image.catalog)]).chain(states) {
        let mut file = disk.create(&path).expect(MEMORY);
        file.append(bytes).and_then(|()| file.sync()).expect(MEMORY);
        disk.sync_dir(path.parent().expect("it is in a directory")).expect(MEMORY);
    }
    disk
}

fn document(name: &str) -> DocumentName {
    DocumentName::new(name).expect("a name")
}

fn load_all(store: &Store) -> Documents {
    for name in NAMES.map(document) {
        let stored = !matches!(store.load(&name), Ok(None));
        assert_eq!(store.contains(&name), stored, "what is stored is listed, or an error");
    }
    let load = |name: DocumentName| {
        let document = store.load(&name).transpose().expect("what is listed is there, or an error");
        (name, document)
    };
    store.names().into_iter().map(load).collect()
}

/// A document that can be read was written; one that cannot is reported.
fn check_document(
    name: &DocumentName,
    document: &Result<StoredDocument, StoreError>,
    image: &Image,
    findable: &[Found],
    recovery: &Recovery,
) {
    let stored = match document {
        Ok(document) => document,
        Err(StoreError::Damaged { .. } | StoreError::Gap { .. }) => {
            return assert!(recovery.unreadable.contains(name), "{name:?} is reported");
        }
        Err(StoreError::Snapshot { .. } | StoreError::SnapshotMissing { .. }) => return,
        Err(error) => panic!("{name:?}: {error}"),
    };
    let records = (stored.updates.len() + stored.waiting.len()) as u64;
    assert_eq!(stored.covered() + records, stored.sequence, "sequences begin with 1");
    if let Some(snapshot) = &stored.snapshot {
        let put =
            |found: &Found| found.0 == name.as_str() && found.1 == stored.covered() && found.2 == *snapshot;
        assert!(image.findable_states().iter().any(put), "the snapshot of {name:?} was put there");
    }
    for (sequence, update) in stored.numbered_updates() {
        let written = |found: &Found| found.0 == name.as_str() && found.1 == sequence && found.2 == *update;
        assert!(findable.iter().any(written), "update {sequence} of {name:?} was written");
    }
}

/// If all is sound, everything is there and nothing is reported. If not, that is reported.
fn check_reports(image: &Image, documents: &Documents, recovery: &Recovery) {
    let Some(sound) = image.sound() else {
        let catalog_is_new = image.catalog == image::header();
        assert!(!catalog_is_new || !recovery.warnings().is_empty(), "what cannot be read is reported");
        return;
    };
    assert!(recovery.torn.is_none() && recovery.damage.is_empty(), "nothing is wrong: {recovery:?}");
    assert!(documents.keys().map(DocumentName::as_str).eq(sound.keys()), "all documents are there");
    for (document, updates) in documents.values().zip(sound.values()) {
        let complete = (1..).zip(updates).all(|(expected, (sequence, _))| expected == *sequence);
        match document {
            Ok(document) => {
                assert!(complete && updates.iter().map(|(_, update)| update).eq(&document.updates))
            }
            Err(error) => assert!(!complete, "nothing is missing: {error}"),
        }
    }
}

/// Appends what comes next to each document that can be read.
fn append(store: &Store, documents: &Documents) {
    for (name, document) in
        documents.iter().filter_map(|(name, document)| Some((name, document.as_ref().ok()?)))
    {
        let Some(sequence) = document.sequence.checked_add(1) else { continue };
        let record = NewRecord { name, sequence, time: 0, subject: "", payload: b"appended", waits: false };
        store.append(&[record]).expect("what can be read can be appended to");
    }
}

/// Opened once more, the store has what it had, and what was appended.
fn check_again(opened: Result<(Store, Recovery), StoreError>, before: Documents) {
    let (store, recovery) = opened.expect("what was opened once can be opened again");
    assert!(recovery.torn.is_none() && recovery.catalog_torn.is_none() && recovery.catalog_damage.is_empty());
    let mut after = load_all(&store);
    for (name, before) in before {
        let after = after.remove(&name);
        match before {
            Ok(mut before) => {
                if let Some(sequence) = before.sequence.checked_add(1) {
                    before.updates.push(b"appended".to_vec());
                    before.sequence = sequence;
                }
                let after = after.expect("it is still there").expect("it stays readable");
                assert_eq!(after, before, "{name:?}");
            }
            Err(error) => {
                let readable = after.expect("it is still there").is_ok();
                assert!(!readable, "{name:?} became readable by itself, after {error}");
            }
        }
    }
    assert!(after.is_empty(), "there are new documents: {:?}", after.keys());
}

/// An image in which two documents have these updates in turns, in batches of two, and a snapshot covers a third one.
pub(super) fn seed(updates: &[Vec<u8>]) -> Vec<u8> {
    let mut image = vec![1, 2, 1, 3, 1, 40, 7, 2, 1, 3, 1, 40, 1, b'x'];
    for (turn, update) in updates.iter().enumerate() {
        image.extend([0, u8::from(turn % 2 == 1), 0, u8::from(turn % 4 == 1)]);
        write_var_buf(&mut image, update);
        if turn % 8 == 7 {
            image.extend([6, 1]);
        }
    }
    image
}
