//! Lost and damaged snapshots: a document that had one is unreadable, never empty.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod scene;

use std::fs;
use std::path::Path;

use coscribe_persistence::{
    Checkpoint, Missing, ReadOptions, Store, StoreError, StoreOptions, verify, verify_with,
};
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
    let report = verify(scene.path(), &ReadOptions::default()).unwrap();
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

    // One is restored from a backup, the other is deleted.
    let (store, _) = scene.open();
    let (both, sequence) = (name("both"), store.last_sequence(&name("both")));
    assert_eq!(sequence, 3);
    store.checkpoint(&[Checkpoint { name: &both, sequence, time: 0, state: &[&state("both", 3)] }]).unwrap();
    assert!(store.delete(&name("snapshot")).unwrap());
    drop(store);
    let store = scene.open_clean();
    assert_eq!(load(&store, "both"), covered("both", 3, 3));
    assert_eq!(load(&store, "snapshot"), None);
}

fn expect_all(store: &Store) {
    assert_eq!(load(store, "snapshot"), covered("snapshot", 2, 2));
    assert_eq!(load(store, "both"), covered("both", 2, 3));
    assert_eq!(load(store, "log"), only_updates("log", 1..=2));
}

#[test]
fn an_index_that_is_of_no_use_is_made_again() {
    let garble = |path: &Path| fs::write(path, vec![0x5a; fs::read(path).unwrap().len()]).unwrap();
    let halve = |path: &Path| fs::write(path, &fs::read(path).unwrap()[..20]).unwrap();
    type Damage<'a> = (&'a str, &'a dyn Fn(&Path));
    let damages: [Damage<'_>; 6] = [
        ("db", &garble),
        ("conf", &garble),
        ("db", &halve),
        ("conf", &halve),
        // What sled leaves if, right at the start, the disk is full or the process is killed.
        ("snap.0000000000000700.generating", &|path| fs::write(path, "").unwrap()),
        ("", &|path| fs::remove_dir_all(path).unwrap()),
    ];
    for (file, damage) in damages {
        let scene = three_documents();
        damage(&scene.path().join("snapshots/index").join(file));
        assert!(verify(scene.path(), &ReadOptions::default()).unwrap().is_sound());
        let store = scene.open_clean();
        expect_all(&store);
        write(&store, "new", 1..=1);
        checkpoint(&store, "new", 1).unwrap();
        drop(store);
        let store = scene.open_clean();
        expect_all(&store);
        assert_eq!(load(&store, "new"), covered("new", 1, 1));
    }
}

/// As if sled had lost entries, or had entries for records that no longer exist.
#[test]
fn an_index_that_is_wrong_is_made_again() {
    let scene = three_documents();
    let old = Scene::new();
    copy_dir(&scene.path().join("snapshots/index"), old.path());
    let store = scene.open_clean();
    write(&store, "new", 1..=1);
    checkpoint(&store, "new", 1).unwrap();
    checkpoint(&store, "both", 3).unwrap();
    drop(store);
    let (store, index) = (scene.path().join("snapshots"), scene.path().join("snapshots/index"));
    fs::remove_dir_all(&index).unwrap();
    copy_dir(old.path(), &index);
    // All of it is elsewhere now.
    fs::rename(store.join("00000001.states"), store.join("00000009.states")).unwrap();
    let store = scene.open_clean();
    assert_eq!(load(&store, "snapshot"), covered("snapshot", 2, 2));
    assert_eq!(load(&store, "both"), covered("both", 3, 3));
    assert_eq!(load(&store, "new"), covered("new", 1, 1));
}

#[test]
fn any_flipped_byte_in_the_index_leaves_every_document_readable() {
    let scene = three_documents();
    let db = fs::read(scene.path().join("snapshots/index/db")).unwrap();
    let used = db.iter().rposition(|&byte| byte != 0).unwrap();
    for byte in (0..used).step_by(used / 60 + 1) {
        let copy = Scene::new();
        copy_dir(scene.path(), copy.path());
        flip(&copy.path().join("snapshots/index/db"), byte, 2);
        expect_all(&copy.open().0);
    }
}

#[test]
fn any_flipped_byte_in_the_snapshots_never_makes_a_document_empty_or_wrong() {
    let scene = Scene::new();
    let store = scene.open_clean();
    write(&store, "a", 1..=2);
    write(&store, "b", 1..=3);
    checkpoint(&store, "a", 2).unwrap();
    checkpoint(&store, "b", 2).unwrap();
    drop(store);
    let states = Path::new("snapshots/00000001.states");
    let mut unreadable = 0;
    for byte in 0..fs::read(scene.path().join(states)).unwrap().len() {
        let copy = Scene::new();
        copy_dir(scene.path(), copy.path());
        flip(&copy.path().join(states), byte, 2);
        for without_index in [false, true] {
            if without_index {
                fs::remove_dir_all(copy.path().join("snapshots/index")).unwrap();
            }
            let Ok((store, _)) = Store::open(copy.path(), copy.options.clone()) else { continue };
            for (document, last) in [("a", 2), ("b", 3)] {
                match store.load(&name(document)) {
                    Ok(stored) => assert_eq!(stored, covered(document, 2, last), "byte {byte}"),
                    Err(_) => unreadable += 1,
                }
            }
        }
    }
    assert!(unreadable > 100);
}

/// Many documents whose snapshots are replaced, except one that stays in the midst of waste.
#[test]
fn the_space_of_replaced_snapshots_is_given_back() {
    let scene = Scene::with(StoreOptions { segment_bytes: 2000, ..StoreOptions::default() });
    let store = scene.open_clean();
    let names: Vec<_> = (0..10).map(|number| format!("document {number}")).collect();
    for (round, sequence) in (1..=40).enumerate() {
        for (number, document) in names.iter().enumerate() {
            // The first ones are replaced less and less often.
            if round.is_multiple_of(40 / (4 * number + 1)) || number > 5 {
                let last = store.last_sequence(&name(document)) + 1;
                write(&store, document, last..=last);
                checkpoint(&store, document, last).unwrap();
            }
        }
        write(&store, "log", sequence..=sequence);
        let states = contents(&scene.path().join("snapshots")).into_iter();
        let states =
            states.filter(|(path, _)| path.extension().is_some_and(|extension| extension == "states"));
        let bytes: usize = states.map(|(_, bytes)| bytes.len()).sum();
        assert!(bytes < 4 * 2000, "{bytes} bytes after round {round}");
    }
    let last = |document: &String| store.last_sequence(&name(document));
    let expected: Vec<_> =
        names.iter().map(|document| covered(document, last(document), last(document))).collect();
    let all = |store: &Store| names.iter().map(|document| load(store, document)).collect::<Vec<_>>();
    assert_eq!(all(&store), expected);
    drop(store);
    assert_eq!(all(&scene.open_clean()), expected);
    fs::remove_dir_all(scene.path().join("snapshots/index")).unwrap();
    assert_eq!(all(&scene.open_clean()), expected);
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
    let report = verify_with(scene.path(), &ReadOptions::default(), |_, document, _| {
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

/// The index may say that a snapshot is elsewhere: that is checked before the snapshot is removed.
#[test]
fn clearing_a_segment_trusts_neither_the_index_nor_a_damaged_record() {
    let scene = Scene::with(StoreOptions { segment_bytes: 200, ..StoreOptions::default() });
    let store = scene.open_clean();
    write(&store, "stays", 1..=1);
    checkpoint(&store, "stays", 1).unwrap();
    write(&store, "damaged", 1..=1);
    checkpoint(&store, "damaged", 1).unwrap();
    drop(store);
    let states = scene.path().join("snapshots/00000001.states");
    // The damage is in the name of the second document, which then looks unknown.
    let bytes = fs::read(&states).unwrap();
    let name_at = bytes.windows(7).position(|window| window == b"damaged").unwrap();
    flip(&states, name_at, 0);
    let store = scene.open_clean();
    for sequence in 1..=40 {
        write(&store, "grows", sequence..=sequence);
        checkpoint(&store, "grows", sequence).unwrap();
    }
    assert!(store.load(&name("damaged")).is_err());
    assert!(states.exists(), "somebody may want to rescue it");
    assert_eq!(load(&store, "stays"), covered("stays", 1, 1));
}
