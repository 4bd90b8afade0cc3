//! Stores whose snapshots were written by the version that kept them in sled.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod scene;

use std::fs;
use std::path::Path;

use coscribe_persistence::{ReadOptions, Store, StoreReader, verify};
use scene::*;

/// Long enough for several parts.
fn long_state() -> Vec<u8> {
    (0..10_000_u32).flat_map(u32::to_le_bytes).collect()
}

/// Writes a snapshot as that version did.
fn put_earlier(db: &sled::Db, document: &str, generation: u64, sequence: u64, state: &[u8]) {
    let mut head: Vec<u8> =
        [sequence, 1, 0, state.len() as u64].into_iter().flat_map(u64::to_le_bytes).collect();
    head.extend(crc32c::crc32c(state).to_le_bytes());
    let mut value = [&b"csnp\x01"[..], &crc32c::crc32c(&head).to_le_bytes(), &head].concat();
    let len = u16::try_from(document.len()).unwrap().to_be_bytes();
    let key = [&len[..], document.as_bytes(), &generation.to_be_bytes()].concat();
    let (first, rest) = state.split_at(state.len().min(4 << 10));
    value.extend(first);
    for (number, part) in (0_u32..).zip([&value[..]].into_iter().chain(rest.chunks(4 << 10))) {
        db.insert([&key[..], &number.to_be_bytes()].concat(), part).unwrap();
    }
}

/// A store of that version: a document in a snapshot only, one in a snapshot and the log, one in the log, and a long one.
fn earlier_store(snapshots: &str) -> Scene {
    let scene = Scene::with_tiny_segments();
    let store = scene.open_clean();
    for (document, last) in [("snapshot", 2), ("both", 2), ("long", 1)] {
        write(&store, document, 1..=last);
        checkpoint(&store, document, last).unwrap();
    }
    write(&store, "both", 3..=3);
    write(&store, "log", 1..=2);
    drop(store);
    fs::remove_dir_all(scene.path().join("snapshots")).unwrap();
    let db = sled::open(scene.path().join(snapshots)).unwrap();
    put_earlier(&db, "snapshot", 1, 2, &state("snapshot", 2));
    put_earlier(&db, "both", 1, 2, &state("both", 2));
    put_earlier(&db, "long", 1, 1, &long_state());
    db.flush().unwrap();
    drop(db);
    scene
}

fn expect_all(store: &Store) {
    assert_eq!(load(store, "snapshot"), covered("snapshot", 2, 2));
    assert_eq!(load(store, "both"), covered("both", 2, 3));
    assert_eq!(load(store, "log"), only_updates("log", 1..=2));
    assert!(load(store, "long").unwrap().snapshot == Some(long_state()));
}

/// What sled leaves when a disk is full, or the process is killed, in the first moment of a start.
fn strand(snapshots: &Path) {
    fs::write(snapshots.join("snap.00000000000fffff.generating"), "").unwrap();
}

#[test]
fn snapshots_are_taken_over_once() {
    for stranded in [false, true] {
        let scene = earlier_store("snapshots");
        if stranded {
            strand(&scene.path().join("snapshots"));
        }
        let (store, recovery) = scene.open();
        assert_eq!((recovery.taken_over, recovery.warnings()), (3, vec![]));
        expect_all(&store);
        checkpoint(&store, "both", 3).unwrap();
        drop(store);
        assert!(!scene.path().join("snapshots.earlier").exists());
        let (store, recovery) = scene.open();
        assert_eq!((recovery.taken_over, recovery.warnings()), (0, vec![]));
        assert_eq!(load(&store, "both"), covered("both", 3, 3));
        assert_eq!(load(&store, "snapshot"), covered("snapshot", 2, 2));
    }
}

#[test]
fn an_interrupted_take_over_is_taken_up_again() {
    let scene = earlier_store("snapshots.earlier");
    let (store, recovery) = scene.open();
    assert_eq!((recovery.taken_over, recovery.warnings()), (3, vec![]));
    expect_all(&store);
}

/// An earlier version set aside the snapshots that it could not open, and went on with new ones.
#[test]
fn what_was_set_aside_is_taken_back() {
    let scene = earlier_store("snapshots.broken-1700000000000");
    strand(&scene.path().join("snapshots.broken-1700000000000"));
    let db = sled::open(scene.path().join("snapshots")).unwrap();
    // Not the one that the catalog names.
    put_earlier(&db, "both", 1, 1, &state("both", 1));
    put_earlier(&db, "snapshot", 7, 2, b"of another life");
    drop(db);
    let (store, recovery) = scene.open();
    assert_eq!(recovery.warnings(), Vec::<String>::new());
    expect_all(&store);
    drop(store);
    expect_all(&scene.open_clean());
    assert_eq!(scene.files_ending("000"), Vec::<String>::new());
}

#[test]
fn what_cannot_be_read_is_left_where_it_is() {
    let scene = earlier_store("snapshots");
    let db = scene.path().join("snapshots/db");
    let bytes = fs::read(&db).unwrap();
    let at = bytes.windows(20).position(|window| window == &state("snapshot", 2)[..20]).unwrap();
    flip(&db, at, 1);
    for _ in 0..2 {
        let (store, recovery) = scene.open();
        assert_eq!(recovery.left.len(), 1, "{recovery:?}");
        assert!(store.load(&name("snapshot")).is_err());
        assert_eq!(load(&store, "log"), only_updates("log", 1..=2));
    }
    assert!(scene.path().join("snapshots.earlier").exists());
}

#[test]
fn a_lost_catalog_is_made_from_them() {
    let scene = earlier_store("snapshots");
    fs::remove_file(scene.path().join("catalog")).unwrap();
    let (store, recovery) = scene.open();
    assert_eq!(recovery.adopted, ["both", "long", "snapshot"].map(name));
    expect_all(&store);
}

#[test]
fn reading_changes_nothing() {
    for snapshots in ["snapshots", "snapshots.broken-1700000000000"] {
        let scene = earlier_store(snapshots);
        strand(&scene.path().join(snapshots));
        let before = contents(scene.path());
        let reader = StoreReader::open(scene.path(), &ReadOptions::default()).unwrap();
        assert_eq!(reader.names().len(), 4);
        assert_eq!(reader.load(&name("both")).unwrap(), covered("both", 2, 3));
        assert!(reader.load(&name("long")).unwrap().unwrap().snapshot == Some(long_state()));
        drop(reader);
        assert!(verify(scene.path(), &ReadOptions::default()).unwrap().is_sound());
        assert!(contents(scene.path()) == before);
    }
}
