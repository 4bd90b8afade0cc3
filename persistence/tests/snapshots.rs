//! Lost and damaged snapshots: a document that had one is unreadable, never empty.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod scene;

use std::fs;

use coscribe_persistence::{Checkpoint, Missing, Store, StoreError, VerifyOptions, verify, verify_with};
use scene::*;

/// Three documents: only in a snapshot, in a snapshot and the log, only in the log.
fn three_documents() -> Scene {
    let scene = Scene::with_tiny_segments();
    let store = scene.open_clean();
    write(&store, "snapshot", 1..=2);
    write(&store, "both", 1..=2);
    checkpoint(&store, "snapshot", 2).unwrap();
    checkpoint(&store, "both", 2).unwrap();
    write(&store, "both", 3..=3);
    write(&store, "log", 1..=2);
    drop(store);
    scene
}

fn expect_unreadable(store: &Store) {
    for document in ["snapshot", "both"] {
        let error = store.load(&name(document)).unwrap_err();
        assert!(matches!(error, StoreError::SnapshotMissing { .. } | StoreError::Snapshot { .. }), "{error}");
        assert!(store.contains(&name(document)));
    }
    assert_eq!(load(store, "log"), only_updates("log", 1..=2));
    assert_eq!(store.names().len(), 3);
}

#[test]
fn snapshots_that_are_gone_make_documents_unreadable() {
    let scene = three_documents();
    fs::remove_dir_all(scene.path().join("snapshots")).unwrap();
    let report = verify(scene.path(), &VerifyOptions::default()).unwrap();
    assert_eq!(report.unreadable(), [name("both"), name("snapshot")]);
    let (store, recovery) = scene.open();
    assert_eq!(recovery.unreadable, [name("both"), name("snapshot")]);
    expect_unreadable(&store);
    let salvage = store.salvage(&name("both")).unwrap();
    assert_eq!(salvage.updates, [(3, payload("both", 3))]);
    assert!(matches!(
        salvage.missing[..],
        [Missing::Snapshot { sequence: 2, .. }, Missing::Records { first: 1, last: 2 }]
    ));
    drop(store);
    expect_unreadable(&scene.open().0);

    // Somebody has a backup of one, and does not need the other.
    let (store, _) = scene.open();
    let (both, sequence) = (name("both"), store.last_sequence(&name("both")));
    assert_eq!(sequence, 3);
    store.checkpoint(&[Checkpoint { name: &both, sequence, time: 0, state: &state("both", 3) }]).unwrap();
    assert!(store.delete(&name("snapshot")).unwrap());
    drop(store);
    let store = scene.open_clean();
    assert_eq!(load(&store, "both"), covered("both", 3, 3));
    assert_eq!(load(&store, "snapshot"), None);
}

#[test]
fn a_sled_that_does_not_open_is_set_aside() {
    for file in ["db", "conf"] {
        for damage in ["garbage", "truncated"] {
            let scene = three_documents();
            let path = scene.path().join("snapshots").join(file);
            let bytes = fs::read(&path).unwrap();
            match damage {
                "garbage" => fs::write(&path, vec![0x5a; bytes.len()]).unwrap(),
                _ => fs::write(&path, &bytes[..bytes.len() / 2]).unwrap(),
            }
            let (store, recovery) = scene.open();
            let aside = scene
                .files_ending("")
                .into_iter()
                .filter(|file| file.starts_with("snapshots.broken-"))
                .count();
            assert_eq!(aside, usize::from(recovery.snapshots_lost.is_some()), "{file} {damage}");
            for document in ["snapshot", "both"] {
                match store.load(&name(document)) {
                    Ok(stored) => assert!(stored.is_some(), "{file} {damage}: {document} has become empty"),
                    Err(error) => assert!(!error.to_string().is_empty()),
                }
            }
            assert_eq!(load(&store, "log"), only_updates("log", 1..=2));
            // The new database works.
            write(&store, "new", 1..=1);
            checkpoint(&store, "new", 1).unwrap();
            assert_eq!(load(&store, "new"), covered("new", 1, 1));
        }
    }
}

#[test]
fn any_flipped_byte_in_the_snapshots_never_makes_a_document_empty_or_wrong() {
    let scene = three_documents();
    let db = fs::read(scene.path().join("snapshots/db")).unwrap();
    let used = db.iter().rposition(|&byte| byte != 0).unwrap();
    for byte in (0..used).step_by(used / 60 + 1) {
        let copy = Scene::new();
        copy_dir(scene.path(), copy.path());
        flip(&copy.path().join("snapshots/db"), byte, 2);
        let Ok((store, _)) = Store::open(copy.path(), copy.options.clone()) else { continue };
        for (document, last) in [("snapshot", 2), ("both", 3)] {
            if let Ok(stored) = store.load(&name(document)) {
                assert_eq!(stored, covered(document, 2, last), "byte {byte}");
            }
        }
        assert_eq!(load(&store, "log"), only_updates("log", 1..=2));
    }
}

#[test]
fn documents_whose_updates_are_all_in_the_log_are_rebuilt() {
    let scene = Scene::new();
    let store = scene.open_clean();
    write(&store, "keeps the segment", 1..=1);
    write(&store, "a", 1..=3);
    checkpoint(&store, "a", 2).unwrap();
    drop(store);
    fs::remove_dir_all(scene.path().join("snapshots")).unwrap();
    let (store, recovery) = scene.open();
    assert_eq!((recovery.rebuilt, recovery.unreadable), (vec![name("a")], vec![]));
    assert_eq!(load(&store, "a"), only_updates("a", 1..=3));
    drop(store);
    let store = scene.open_clean();
    assert_eq!(load(&store, "a"), only_updates("a", 1..=3));
    checkpoint(&store, "a", 3).unwrap();
    assert_eq!(load(&store, "a"), covered("a", 3, 3));
}

#[test]
fn a_lost_catalog_is_rebuilt_from_the_snapshots() {
    let scene = three_documents();
    fs::remove_file(scene.path().join("catalog")).unwrap();
    let mut readable = 0;
    let report = verify_with(scene.path(), &VerifyOptions::default(), |_, document| {
        readable += usize::from(document.is_ok());
    });
    let report = report.unwrap();
    assert!(!report.is_sound() && report.catalog_missing, "{report}");
    assert_eq!((report.documents, report.snapshots, readable), (3, 2, 3));
    let (store, recovery) = scene.open();
    assert_eq!(recovery.adopted, [name("both"), name("snapshot")]);
    assert_eq!(report.adopted, recovery.adopted);
    assert!(recovery.unreadable.is_empty());
    assert_eq!(load(&store, "snapshot"), covered("snapshot", 2, 2));
    assert_eq!(load(&store, "both"), covered("both", 2, 3));
    assert_eq!(load(&store, "log"), only_updates("log", 1..=2));
    drop(store);
    assert_eq!(load(&scene.open_clean(), "both"), covered("both", 2, 3));
}

#[test]
fn any_flipped_byte_in_the_catalog_is_repaired_from_the_snapshots() {
    let scene = three_documents();
    let catalog = fs::read(scene.path().join("catalog")).unwrap();
    for byte in 0..catalog.len() {
        let copy = Scene::new();
        copy_dir(scene.path(), copy.path());
        flip(&copy.path().join("catalog"), byte, 5);
        let (store, recovery) = copy.open();
        assert!(recovery.unreadable.is_empty(), "byte {byte}");
        assert_eq!(load(&store, "snapshot"), covered("snapshot", 2, 2), "byte {byte}");
        assert_eq!(load(&store, "both"), covered("both", 2, 3), "byte {byte}");
    }
}

#[test]
fn without_catalog_and_snapshots_the_store_does_not_open() {
    let scene = three_documents();
    fs::remove_file(scene.path().join("catalog")).unwrap();
    fs::remove_dir_all(scene.path().join("snapshots")).unwrap();
    for _ in 0..2 {
        let error = Store::open(scene.path(), scene.options.clone()).unwrap_err();
        assert!(matches!(error, StoreError::CatalogLost { .. }), "{error}");
    }
}
