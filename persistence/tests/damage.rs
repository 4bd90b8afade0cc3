//! Damaged files: all that is intact is kept, the rest is reported, and no document becomes silently smaller.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod scene;

use std::fs;

use coscribe_persistence::{Checkpoint, Missing, ReadOptions, Store, StoreError, verify, verify_with};
use proptest::prelude::*;
use scene::*;

/// Where the records of the first segment start, with the end of the last one, where its end mark starts.
fn offsets(scene: &Scene, records: usize) -> Vec<usize> {
    let bytes = fs::read(scene.segment(1)).unwrap();
    let offsets = record_offsets(&bytes);
    assert_eq!(offsets.len(), records + 1);
    offsets
}

#[test]
fn any_flipped_bit_in_the_middle_is_reported_and_all_other_records_are_kept() {
    let scene = Scene::new();
    let store = scene.open_clean();
    write(&store, "a", 1..=1);
    write(&store, "b", 1..=1);
    write(&store, "b", 2..=2);
    write(&store, "a", 2..=2);
    drop(store);
    let offsets = offsets(&scene, 4);
    let sound = fs::read(scene.segment(1)).unwrap();
    for byte in offsets[1]..offsets[2] {
        fs::write(scene.segment(1), &sound).unwrap();
        flip(&scene.segment(1), byte, u32::try_from(byte % 8).unwrap());
        let (store, recovery) = scene.open();
        assert_eq!(recovery.damage.len(), 1, "byte {byte}");
        assert_eq!(recovery.damage[0].offset, offsets[1] as u64, "byte {byte}");
        assert_eq!(recovery.damage[0].bytes, (offsets[2] - offsets[1]) as u64, "byte {byte}");
        assert_eq!(load(&store, "a"), only_updates("a", 1..=2), "byte {byte}");
        let error = store.load(&name("b")).unwrap_err();
        assert!(
            matches!(error, StoreError::Damaged { .. } | StoreError::Gap { expected: 1, found: 2, .. }),
            "{error}"
        );
        assert!(recovery.unreadable.contains(&name("b")));
        let salvage = store.salvage(&name("b")).unwrap();
        assert_eq!(salvage.updates, [(2, payload("b", 2))]);
        assert!(salvage.missing.contains(&Missing::Records { first: 1, last: 1 }));
    }
}

#[test]
fn a_damaged_last_record_of_a_document_is_not_taken_for_the_end_of_it() {
    let scene = Scene::new();
    let store = scene.open_clean();
    write(&store, "a", 1..=2);
    write(&store, "b", 1..=1);
    drop(store);
    let offsets = offsets(&scene, 3);
    flip(&scene.segment(1), offsets[2] - 1, 0);
    let (store, recovery) = scene.open();
    assert_eq!(recovery.damage[0].document, Some((name("a"), 2)));
    assert!(matches!(store.load(&name("a")), Err(StoreError::Damaged { .. })));
    assert_eq!(recovery.unreadable, [name("a")]);
    assert_eq!(load(&store, "b"), only_updates("b", 1..=1));

    // Once replaced from a backup, it is readable again and takes updates.
    let last = store.last_sequence(&name("a"));
    checkpoint(&store, "a", last).unwrap();
    write(&store, "a", last + 1..=last + 1);
    drop(store);
    assert_eq!(load(&scene.open().0, "a"), covered("a", last, last + 1));
}

/// Nothing but the damaged record says that the document was longer.
#[test]
fn a_segment_whose_only_record_is_damaged_stays_in_the_log() {
    let scene = Scene::with_tiny_segments();
    let store = scene.open_clean();
    write(&store, "a", 1..=2);
    write(&store, "b", 1..=1);
    drop(store);
    flip(&scene.segment(2), 32 + 50, 0);
    for start in 1..=3 {
        let (store, recovery) = scene.open();
        assert_eq!(recovery.unreadable, [name("a")], "start {start}");
        checkpoint(&store, "b", 1).unwrap();
    }

    // Until the document is replaced.
    let (store, _) = scene.open();
    checkpoint(&store, "a", store.last_sequence(&name("a"))).unwrap();
    assert_eq!(scene.files_ending(".damaged"), ["00000002.log.damaged"]);
    drop(store);
    scene.open_clean();
}

#[test]
fn a_damaged_length_does_not_hide_whose_record_it_was() {
    const PAYLOAD_LEN: usize = 20;
    let scene = Scene::new();
    let store = scene.open_clean();
    write(&store, "a", 1..=2);
    write(&store, "b", 1..=1);
    drop(store);
    // Now the record seems to reach far beyond the end of the file.
    flip(&scene.segment(1), offsets(&scene, 3)[1] + PAYLOAD_LEN + 2, 4);
    let (_, recovery) = scene.open();
    assert_eq!(recovery.damage[0].document, Some((name("a"), 2)));
    assert_eq!(recovery.unreadable, [name("a")]);
}

/// A batch with a broken and a sound record is torn if it is the last one, and damaged if not.
#[test]
fn damage_stays_damage_when_the_torn_end_behind_it_is_cut_off() {
    let scene = Scene::new();
    let store = scene.open_clean();
    let (a, b, c) = (name("a"), name("b"), name("c"));
    write(&store, "a", 1..=1);
    store.append(&[record(&a, 2, b"damaged"), record(&c, 1, b"sound")]).unwrap();
    store.append(&[record(&b, 1, b"torn"), record(&b, 2, b"of no use without it")]).unwrap();
    drop(store);
    let offsets = offsets(&scene, 5);
    cut_off_end_mark(&scene.segment(1));
    flip(&scene.segment(1), offsets[2] - 1, 0);
    flip(&scene.segment(1), offsets[4] - 1, 0);
    for start in 1..=3 {
        let (store, recovery) = scene.open();
        assert_eq!(recovery.torn.is_some(), start == 1, "{recovery:?}");
        assert_eq!(recovery.damage[0].offset, offsets[1] as u64, "start {start}");
        assert_eq!(recovery.unreadable, [name("a")], "start {start}");
        assert_eq!((load(&store, "b"), load(&store, "c").unwrap().updates), (None, vec![b"sound".to_vec()]));
    }
}

#[test]
fn any_flipped_bit_in_the_last_record_of_a_log_that_was_not_closed_leaves_the_others() {
    let scene = Scene::new();
    let store = scene.open_clean();
    write(&store, "a", 1..=2);
    drop(store);
    let offsets = offsets(&scene, 2);
    cut_off_end_mark(&scene.segment(1));
    let sound = fs::read(scene.segment(1)).unwrap();
    for bit in offsets[1] * 8..offsets[2] * 8 {
        fs::write(scene.segment(1), &sound).unwrap();
        flip(&scene.segment(1), bit / 8, u32::try_from(bit % 8).unwrap());
        let (store, recovery) = scene.open();
        assert_eq!(recovery.torn.unwrap().damage.offset, offsets[1] as u64, "bit {bit}");
        assert_eq!(load(&store, "a"), only_updates("a", 1..=1), "bit {bit}");
    }
}

#[test]
fn a_damaged_segment_header_costs_no_record() {
    let scene = Scene::new();
    let store = scene.open_clean();
    write(&store, "a", 1..=3);
    drop(store);
    let sound = fs::read(scene.segment(1)).unwrap();
    for byte in 0..32 {
        let copy = Scene::new();
        copy_dir(scene.path(), copy.path());
        fs::write(copy.segment(1), &sound).unwrap();
        flip(&copy.segment(1), byte, 3);
        let (store, recovery) = copy.open();
        assert_eq!(recovery.damage.len(), 1, "byte {byte}");
        assert_eq!(load(&store, "a"), only_updates("a", 1..=3), "byte {byte}");
        write(&store, "a", 4..=4);
        drop(store);
        assert_eq!(load(&copy.open().0, "a"), only_updates("a", 1..=4), "byte {byte}");
    }
}

#[test]
fn a_record_inside_an_update_is_not_taken_for_one() {
    let scene = Scene::new();
    let store = scene.open_clean();
    write(&store, "victim", 1..=1);
    drop(store);
    let forged = fs::read(scene.segment(1)).unwrap()[32..].to_vec();
    // From another store: an attacker can know the format, but not the marker.
    let scene = Scene::new();
    let store = scene.open_clean();
    store.append(&[record(&name("attacker"), 1, &forged)]).unwrap();
    write(&store, "b", 1..=1);
    drop(store);
    flip(&scene.segment(1), 32 + 10, 0);
    let (store, _) = scene.open();
    assert_eq!(load(&store, "victim"), None);
    assert_eq!(load(&store, "b"), only_updates("b", 1..=1));
}

#[test]
fn damage_that_a_snapshot_covers_does_not_make_the_document_unreadable() {
    let scene = Scene::new();
    let store = scene.open_clean();
    write(&store, "a", 1..=2);
    write(&store, "keeps the segment", 1..=1);
    checkpoint(&store, "a", 2).unwrap();
    drop(store);
    let offsets = offsets(&scene, 3);
    flip(&scene.segment(1), offsets[1] - 1, 0);
    let report = verify(scene.path(), &ReadOptions::default()).unwrap();
    assert!(!report.is_sound() && report.unreadable().is_empty(), "{report}");
    let (store, recovery) = scene.open();
    assert_eq!(recovery.damage.len(), 1);
    assert!(recovery.unreadable.is_empty());
    assert_eq!(load(&store, "a"), covered("a", 2, 2));
}

#[test]
fn an_unreadable_document_can_be_replaced_or_deleted_and_the_damaged_segment_is_kept_aside() {
    for delete in [true, false] {
        let scene = Scene::with_tiny_segments();
        let store = scene.open_clean();
        let (a, c) = (name("a"), name("c"));
        store.append(&[record(&a, 1, b"one"), record(&c, 1, b"c")]).unwrap();
        write(&store, "a", 2..=2);
        write(&store, "b", 1..=1);
        drop(store);
        flip(&scene.segment(1), 32 + 50, 0);
        let (store, _) = scene.open();
        assert!(store.load(&a).is_err());
        if delete {
            assert!(store.delete(&a).unwrap());
            assert_eq!(load(&store, "a"), None);
        } else {
            let sequence = store.last_sequence(&a);
            store
                .checkpoint(&[Checkpoint { name: &a, sequence, time: 0, state: &[b"from a backup"] }])
                .unwrap();
            assert_eq!(store.load(&a).unwrap().unwrap().snapshot.unwrap(), b"from a backup");
        }
        assert_eq!(scene.segments(), ["00000001.log", "00000003.log"], "c is still in the damaged one");
        checkpoint(&store, "c", 1).unwrap();
        assert_eq!(scene.files_ending(".damaged"), ["00000001.log.damaged"]);
        drop(store);
        scene.open_clean();
    }
}

#[test]
fn a_missing_segment_is_a_gap() {
    let scene = Scene::with_tiny_segments();
    let store = scene.open_clean();
    write(&store, "a", 1..=3);
    write(&store, "b", 1..=1);
    drop(store);
    fs::remove_file(scene.segment(2)).unwrap();
    let (store, recovery) = scene.open();
    assert_eq!(recovery.unreadable, [name("a")]);
    let error = store.load(&name("a")).unwrap_err();
    assert!(matches!(error, StoreError::Gap { expected: 2, found: 3, .. }), "{error}");
    assert_eq!(load(&store, "b"), only_updates("b", 1..=1));
}

#[test]
fn a_record_that_changes_under_a_running_store_is_an_error() {
    let scene = Scene::new();
    let store = scene.open_clean();
    write(&store, "a", 1..=2);
    flip(&scene.segment(1), 32 + 50, 1);
    assert!(matches!(store.load(&name("a")), Err(StoreError::Damaged { .. })));
}

#[test]
fn verify_names_what_is_damaged_and_changes_nothing() {
    let scene = Scene::new();
    let store = scene.open_clean();
    write(&store, "a", 1..=2);
    write(&store, "b", 1..=3);
    checkpoint(&store, "b", 3).unwrap();
    assert!(matches!(verify(scene.path(), &ReadOptions::default()), Err(StoreError::InUse { .. })));
    drop(store);
    let report = verify(scene.path(), &ReadOptions::default()).unwrap();
    assert!(report.is_sound(), "{report}");
    assert_eq!((report.documents, report.records, report.snapshots, report.segments), (2, 5, 1, 1));

    let mut bytes = fs::read(scene.segment(1)).unwrap();
    bytes.extend_from_slice(&[7; 100]);
    fs::write(scene.segment(1), &bytes).unwrap();
    let report = verify(scene.path(), &ReadOptions::default()).unwrap();
    assert!(report.is_sound() && report.torn.is_some(), "{report}");

    flip(&scene.segment(1), 32 + 50, 1);
    let before = contents(scene.path());
    let report = verify(scene.path(), &ReadOptions::default()).unwrap();
    assert!(!report.is_sound());
    assert_eq!(report.unreadable(), [name("a")]);
    assert!(report.to_string().contains("NOT SOUND"), "{report}");
    assert_eq!(contents(scene.path()), before);
}

#[test]
fn verify_shows_every_document_as_loading_it_would_and_nobody_can_open_it_meanwhile() {
    let scene = Scene::new();
    let store = scene.open_clean();
    for document in ["damaged", "logged", "both", "covered"] {
        write(&store, document, 1..=3);
    }
    checkpoint(&store, "both", 2).unwrap();
    checkpoint(&store, "covered", 3).unwrap();
    drop(store);
    flip(&scene.segment(1), 32 + 65, 1);
    let before = contents(scene.path());
    let mut shown = Vec::new();
    let report = verify_with(scene.path(), &ReadOptions::default(), |name, document, _| {
        shown.push((name.to_string(), document.ok()));
        let error = Store::open(scene.path(), scene.options.clone()).unwrap_err();
        assert!(error.to_string().contains("in use by a process that verifies it"), "{error}");
    });
    assert_eq!(report.unwrap().unreadable(), [name("damaged")]);
    let expected = [
        ("both".to_owned(), covered("both", 2, 3)),
        ("covered".to_owned(), covered("covered", 3, 3)),
        ("damaged".to_owned(), None),
        ("logged".to_owned(), only_updates("logged", 1..=3)),
    ];
    assert_eq!(shown, expected);
    assert_eq!(contents(scene.path()), before);
}

#[test]
fn a_store_without_a_lock_file_that_is_opened_while_it_is_verified_gets_no_verdict() {
    let scene = Scene::new();
    write(&scene.open_clean(), "a", 1..=1);
    fs::remove_file(scene.path().join("lock")).unwrap();
    assert!(verify(scene.path(), &ReadOptions::default()).unwrap().is_sound());
    assert_eq!(scene.files_ending("lock"), Vec::<String>::new());
    let opened = verify_with(scene.path(), &ReadOptions::default(), |_, _, _| drop(scene.open()));
    assert!(matches!(opened, Err(StoreError::InUse { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_as_segment_and_catalog_never_panic(
        segment in prop::collection::vec(any::<u8>(), 0..300),
        catalog in prop::collection::vec(any::<u8>(), 0..300),
        sound_header in any::<bool>(),
    ) {
        let scene = Scene::new();
        write(&scene.open_clean(), "a", 1..=1);
        let keep = if sound_header { 32 } else { 0 };
        for (path, bytes) in [(scene.segment(1), segment), (scene.path().join("catalog"), catalog)] {
            let mut file = fs::read(&path).unwrap()[..keep].to_vec();
            file.extend_from_slice(&bytes);
            fs::write(&path, file).unwrap();
        }
        let _ = verify(scene.path(), &ReadOptions::default());
        if let Ok((store, _)) = Store::open(scene.path(), scene.options.clone()) {
            let _ = store.load(&name("a"));
        }
    }

    #[test]
    fn any_change_of_a_log_keeps_what_is_before_and_after_it(
        at in any::<prop::sample::Index>(),
        bytes in prop::collection::vec(any::<u8>(), 1..200),
    ) {
        let scene = Scene::new();
        let store = scene.open_clean();
        for number in 0..20 {
            write(&store, &format!("document {number}"), 1..=2);
        }
        drop(store);
        let mut file = fs::read(scene.segment(1)).unwrap();
        let at = 32 + at.index(file.len() - 32 - bytes.len());
        let changed = file[at..at + bytes.len()] != bytes[..];
        file[at..at + bytes.len()].copy_from_slice(&bytes);
        fs::write(scene.segment(1), file).unwrap();
        let (store, recovery) = scene.open();
        prop_assert_eq!(changed, !recovery.damage.is_empty() || recovery.torn.is_some());
        let whole = (0..20).filter(|number| {
            let document = format!("document {number}");
            matches!(store.load(&name(&document)), Ok(stored) if stored == only_updates(&document, 1..=2))
        });
        // A record has more than 70 bytes: 200 bytes touch four of them, which are of three documents at most.
        prop_assert!(whole.count() >= 17);
    }
}
