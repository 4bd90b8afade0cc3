//! What a store does while nothing goes wrong.

mod scene;

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use coscribe_persistence::{Checkpoint, DocumentName, NameError, NewRecord, Store, StoreError, StoreOptions};
use scene::*;

#[test]
fn missing_and_empty_documents_are_two_things() {
    let scene = Scene::new();
    let store = scene.open_clean();
    assert_eq!(load(&store, "nothing"), None);
    assert!(!store.contains(&name("nothing")));
    store.append(&[record(&name("empty"), 1, b"")]).unwrap();
    let empty = load(&store, "empty").unwrap();
    assert_eq!((empty.snapshot, empty.updates, empty.sequence), (None, vec![vec![]], 1));
    let (b, state) = (name("empty snapshot"), []);
    store.append(&[record(&b, 1, b"")]).unwrap();
    store.checkpoint(&[Checkpoint { name: &b, sequence: 1, time: 0, state: &[&state] }]).unwrap();
    assert_eq!(load(&store, "empty snapshot").unwrap().snapshot, Some(vec![]));
}

#[test]
fn updates_come_back_in_order_after_reopening() {
    let scene = Scene::new();
    let store = scene.open_clean();
    write(&store, "a", 1..=3);
    write(&store, "b", 1..=1);
    write(&store, "a", 4..=5);
    assert_eq!(load(&store, "a"), only_updates("a", 1..=5));
    drop(store);
    let store = scene.open_clean();
    assert_eq!(load(&store, "a"), only_updates("a", 1..=5));
    assert_eq!(load(&store, "b"), only_updates("b", 1..=1));
    assert_eq!(store.names(), [name("a"), name("b")]);
    write(&store, "a", 6..=6);
    assert_eq!(load(&store, "a"), only_updates("a", 1..=6));
}

#[test]
fn what_waits_comes_back_apart_and_counts_in_the_sequence() {
    let scene = Scene::new();
    let store = scene.open_clean();
    let document = name("a");
    let waits = |sequence, payload| NewRecord { waits: true, ..record(&document, sequence, payload) };
    store.append(&[record(&document, 1, b"one"), waits(2, b"two")]).unwrap();
    store.append(&[record(&document, 3, b"three"), waits(4, b"four")]).unwrap();
    drop(store);
    let store = scene.open_clean();
    let stored = load(&store, "a").unwrap();
    assert_eq!(stored.waiting, [(2, b"two".to_vec()), (4, b"four".to_vec())]);
    assert!(stored.numbered_updates().eq([(1, &b"one".to_vec()), (3, &b"three".to_vec())]));
    assert_eq!((stored.covered(), stored.sequence), (0, 4));
    let salvage = store.salvage(&document).unwrap();
    assert_eq!((salvage.updates.len(), salvage.waiting.len(), salvage.missing.len()), (2, 2, 0));
    checkpoint(&store, "a", 3).unwrap();
    let stored = load(&store, "a").unwrap();
    assert_eq!((stored.covered(), stored.updates.len(), stored.waiting.len()), (3, 0, 1));
}

#[test]
fn large_and_small_updates_of_one_batch_come_back() {
    let scene = Scene::new();
    let store = scene.open_clean();
    let document = name("a");
    let updates: Vec<Vec<u8>> =
        [3, 300_000, 7, 300_001, 300_002].map(|len: usize| vec![len.to_le_bytes()[0]; len]).into();
    let records: Vec<_> =
        (1..).zip(&updates).map(|(sequence, update)| record(&document, sequence, update)).collect();
    store.append(&records).unwrap();
    assert_eq!(load(&store, "a").unwrap().updates, updates);
    drop(store);
    let store = scene.open_clean();
    assert_eq!(load(&store, "a").unwrap().updates, updates);
    store.append(&[record(&document, 6, b"more")]).unwrap();
    assert_eq!(load(&store, "a").unwrap().updates.len(), 6);
}

#[test]
fn a_snapshot_replaces_the_updates_that_it_covers() {
    let scene = Scene::new();
    let store = scene.open_clean();
    write(&store, "a", 1..=4);
    checkpoint(&store, "a", 3).unwrap();
    assert_eq!(load(&store, "a"), covered("a", 3, 4));
    assert_eq!(store.uncheckpointed(), [name("a")]);
    checkpoint(&store, "a", 4).unwrap();
    assert_eq!(load(&store, "a"), covered("a", 4, 4));
    assert_eq!(store.log_bytes(&name("a")), 0);
    assert!(store.uncheckpointed().is_empty());
    drop(store);
    let store = scene.open_clean();
    assert_eq!(load(&store, "a"), covered("a", 4, 4));
    write(&store, "a", 5..=6);
    assert_eq!(load(&store, "a"), covered("a", 4, 6));
    assert_eq!(store.names(), [name("a")]);
}

#[test]
fn a_document_may_be_checkpointed_twice_at_the_same_sequence() {
    let scene = Scene::new();
    let store = scene.open_clean();
    write(&store, "a", 1..=1);
    for state in [b"first".as_slice(), b"compacted".as_slice()] {
        store.checkpoint(&[Checkpoint { name: &name("a"), sequence: 1, time: 0, state: &[state] }]).unwrap();
        assert_eq!(load(&store, "a").unwrap().snapshot.as_deref(), Some(state));
    }
}

#[test]
fn segments_without_live_records_are_retired_also_in_the_middle() {
    let scene = Scene::with_tiny_segments();
    let store = scene.open_clean();
    write(&store, "a", 1..=1);
    write(&store, "b", 1..=2);
    write(&store, "c", 1..=1);
    assert_eq!(scene.segments().len(), 4);
    checkpoint(&store, "b", 2).unwrap();
    assert_eq!(scene.segments(), ["00000001.log", "00000004.log"]);
    drop(store);
    let store = scene.open_clean();
    assert_eq!(load(&store, "a"), only_updates("a", 1..=1));
    assert_eq!(load(&store, "b"), covered("b", 2, 2));
    assert_eq!(load(&store, "c"), only_updates("c", 1..=1));
    checkpoint(&store, "a", 1).unwrap();
    checkpoint(&store, "c", 1).unwrap();
    assert_eq!(scene.segments(), ["00000005.log"], "the last one is empty");
}

#[test]
fn stale_records_in_a_segment_that_stays_are_not_loaded() {
    let scene = Scene::new();
    let store = scene.open_clean();
    write(&store, "a", 1..=3);
    write(&store, "keeps the segment", 1..=1);
    checkpoint(&store, "a", 2).unwrap();
    drop(store);
    let store = scene.open_clean();
    assert_eq!(scene.segments().len(), 1);
    assert_eq!(load(&store, "a"), covered("a", 2, 3));
}

#[test]
fn a_deleted_document_stays_deleted_and_its_name_is_free() {
    let scene = Scene::new();
    let store = scene.open_clean();
    write(&store, "keeps the segment", 1..=1);
    write(&store, "a", 1..=3);
    checkpoint(&store, "a", 2).unwrap();
    write(&store, "b", 1..=1);
    assert!(store.delete(&name("a")).unwrap());
    assert!(store.delete(&name("b")).unwrap());
    assert!(!store.delete(&name("a")).unwrap());
    assert_eq!(load(&store, "a"), None);
    drop(store);
    let store = scene.open_clean();
    assert_eq!(load(&store, "a"), None);
    assert_eq!(load(&store, "b"), None);
    assert_eq!(store.names(), [name("keeps the segment")]);

    // A new document of that name starts at 1 again, while records of the old one are still in the log.
    write(&store, "a", 1..=1);
    assert_eq!(load(&store, "a"), only_updates("a", 1..=1));
    checkpoint(&store, "a", 1).unwrap();
    drop(store);
    let store = scene.open_clean();
    assert_eq!(load(&store, "a"), covered("a", 1, 1));
}

#[test]
fn sequences_must_follow_each_other() {
    let scene = Scene::new();
    let store = scene.open_clean();
    let a = name("a");
    let refused = |sequences: &[u64]| {
        let records: Vec<_> = sequences.iter().map(|&sequence| record(&a, sequence, b"x")).collect();
        matches!(store.append(&records), Err(StoreError::OutOfOrder { .. }))
    };
    assert!(refused(&[2]) && refused(&[0]) && refused(&[1, 3]) && refused(&[1, 1]));
    assert_eq!(load(&store, "a"), None, "nothing of a refused batch is written");
    write(&store, "a", 1..=2);
    assert!(refused(&[2]) && refused(&[4]));
    checkpoint(&store, "a", 2).unwrap();
    assert!(refused(&[1]) && refused(&[2]) && refused(&[4]));
    write(&store, "a", 3..=3);
    assert!(matches!(checkpoint(&store, "a", 1), Err(StoreError::OutOfOrder { expected: 2, found: 1, .. })));
    assert_eq!(store.failure(), None, "a refusal is not a failure");
}

#[test]
fn an_imported_state_replaces_what_is_there_and_the_sequence_goes_on() {
    let scene = Scene::new();
    let store = scene.open_clean();
    write(&store, "a", 1..=3);
    let last = store.last_sequence(&name("a"));
    checkpoint(&store, "a", last).unwrap();
    assert_eq!(load(&store, "a"), covered("a", 3, 3));
    write(&store, "a", 4..=4);
    assert_eq!(load(&store, "a"), covered("a", 3, 4));
}

#[test]
fn one_document_twice_in_a_checkpoint_is_refused() {
    let scene = Scene::new();
    let store = scene.open_clean();
    let a = name("a");
    write(&store, "a", 1..=2);
    let twice = [1, 2].map(|sequence| Checkpoint { name: &a, sequence, time: 0, state: &[] });
    assert!(matches!(store.checkpoint(&twice), Err(StoreError::Repeated { .. })));
    assert_eq!(load(&store, "a"), only_updates("a", 1..=2));
}

#[test]
fn names_may_hold_anything_but_nothing() {
    let scene = Scene::new();
    let long = "ö".repeat(512);
    let odd =
        ["/", "a/b", "a", "a\0", "a\0b", "\u{1}\u{2}", "../../etc/passwd", "emoji 😀", " ", long.as_str()];
    let store = scene.open_clean();
    for text in odd {
        write(&store, text, 1..=2);
        checkpoint(&store, text, 1).unwrap();
    }
    drop(store);
    let store = scene.open_clean();
    for text in odd {
        assert_eq!(load(&store, text), covered(text, 1, 2), "{text:?}");
    }
    assert_eq!(store.names().len(), odd.len());
    assert_eq!(DocumentName::new(""), Err(NameError::Empty));
    assert_eq!(DocumentName::new(&"x".repeat(1025)), Err(NameError::TooLong { bytes: 1025 }));
    assert_eq!(DocumentName::from_bytes(&[0xff]), Err(NameError::NotUtf8));
}

#[test]
fn what_is_too_large_is_refused() {
    let scene = Scene::new();
    let store = scene.open_clean();
    let (a, subject) = (name("a"), "x".repeat(257));
    let mut long = record(&a, 1, b"");
    long.subject = &subject;
    assert!(matches!(
        store.append(&[long]),
        Err(StoreError::TooLarge { what: "a subject", bytes: 257, limit: 256 })
    ));
    assert_eq!(store.failure(), None);
}

#[test]
fn a_second_store_on_the_same_directory_says_who_has_it() {
    let scene = Scene::new();
    let store = scene.open_clean();
    let error = Store::open(scene.path(), StoreOptions::default()).unwrap_err();
    assert!(error.to_string().contains(&format!("in use by process {}", std::process::id())), "{error}");
    drop(store);
    scene.open_clean();
}

#[test]
fn large_snapshots_come_back_and_do_not_fill_the_disk() {
    let scene = Scene::new();
    let store = scene.open_clean();
    let a = name("large");
    let mut state = vec![0; 10 << 20];
    for sequence in 1..=12_u64 {
        let mut number = sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        state.iter_mut().for_each(|byte| {
            number ^= number << 13;
            number ^= number >> 7;
            number ^= number << 17;
            *byte = number.to_le_bytes()[3];
        });
        store.append(&[record(&a, sequence, b"")]).unwrap();
        store.checkpoint(&[Checkpoint { name: &a, sequence, time: 0, state: &[&state] }]).unwrap();
        assert!(store.load(&a).unwrap().unwrap().snapshot.as_ref() == Some(&state), "generation {sequence}");
    }
    drop(store);
    let bytes: usize = contents(&scene.path().join("snapshots")).iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(bytes < 120 << 20, "{bytes} bytes for 10 MiB");
    let store = scene.open_clean();
    assert!(store.load(&a).unwrap().unwrap().snapshot == Some(state));
}

#[test]
fn documents_can_be_loaded_while_others_are_written_and_checkpointed() {
    let scene = Scene::with(StoreOptions { segment_bytes: 2000, ..StoreOptions::default() });
    let store = scene.open_clean();
    write(&store, "a", 1..=1);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for sequence in 2..=400 {
                write(&store, "a", sequence..=sequence);
                if sequence % 5 == 0 {
                    checkpoint(&store, "a", sequence).unwrap();
                }
            }
        });
        let readers = [(); 3].map(|()| {
            scope.spawn(|| {
                let mut last = 0;
                while last < 400 {
                    let stored = load(&store, "a").unwrap();
                    assert!(stored.sequence >= last);
                    last = stored.sequence;
                    let snapshot = stored.covered();
                    assert_eq!(stored.updates, payloads("a", snapshot + 1..=last));
                    assert_eq!(stored.snapshot, (snapshot > 0).then(|| state("a", snapshot)));
                }
            })
        });
        writer.join().unwrap();
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}

/// A checkpoint that a crash cut short may count later, and must not cover a record that came after it.
#[test]
fn a_checkpoint_of_more_than_there_is_is_refused() {
    let scene = Scene::new();
    let store = scene.open_clean();
    assert!(matches!(checkpoint(&store, "a", 0), Err(StoreError::NotStored { .. })));
    write(&store, "a", 1..=2);
    let error = checkpoint(&store, "a", 3).unwrap_err();
    assert!(matches!(error, StoreError::OutOfOrder { expected: 2, found: 3, .. }), "{error}");
    checkpoint(&store, "a", 2).unwrap();
    assert_eq!(load(&store, "a"), covered("a", 2, 2));
    assert!(store.delete(&name("a")).unwrap());
    assert!(matches!(checkpoint(&store, "a", 2), Err(StoreError::NotStored { .. })));
}

#[test]
fn the_catalog_does_not_grow_with_every_checkpoint() {
    let scene = Scene::new();
    let store = scene.open_clean();
    let names: Vec<_> = (0..500).map(|number| name(&format!("document {number}"))).collect();
    let catalog = || std::fs::metadata(scene.path().join("catalog")).unwrap().len();
    let mut largest = 0;
    for sequence in 1..=60 {
        store.append(&names.iter().map(|name| record(name, sequence, b"u")).collect::<Vec<_>>()).unwrap();
        let checkpoints = names.iter().map(|name| Checkpoint { name, sequence, time: 0, state: &[b"s"] });
        store.checkpoint(&checkpoints.collect::<Vec<_>>()).unwrap();
        largest = largest.max(catalog());
    }
    assert!(catalog() < largest, "30,000 entries for 500 documents were never tidied up");
    assert!(largest < 12_000 * 100);
}

/// A child process that is being started has a copy of every file, and so of every lock, for a moment.
#[test]
fn a_store_can_be_opened_again_at_once_while_processes_are_started() {
    let scene = Scene::new();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                Command::new("true").status().unwrap();
            }
        });
        let opened = (0..100).try_for_each(|_| Store::open(scene.path(), scene.options.clone()).map(drop));
        stop.store(true, Ordering::Relaxed);
        opened.unwrap();
    });
}

#[test]
fn the_index_of_100_000_closed_documents_is_small() {
    let scene = Scene::new();
    let store = scene.open_clean();
    let names: Vec<_> = (0..100_000).map(|number| name(&format!("team/notes/{number:08}"))).collect();
    for names in names.chunks(10_000) {
        let records: Vec<_> = names.iter().map(|name| record(name, 1, b"update")).collect();
        store.append(&records).unwrap();
    }
    drop(store);
    let store = scene.open_clean();
    assert_eq!(store.uncheckpointed().len(), 100_000);
    assert!(store.index_bytes() < 20_000_000, "{} bytes", store.index_bytes());
    let spent = store.index_bytes();
    for names in names.chunks(10_000) {
        let checkpoints =
            names.iter().map(|name| Checkpoint { name, sequence: 1, time: 0, state: &[b"state"] });
        store.checkpoint(&checkpoints.collect::<Vec<_>>()).unwrap();
    }
    drop(store);
    let store = scene.open_clean();
    assert_eq!(store.names().len(), 100_000);
    assert!(store.uncheckpointed().is_empty());
    assert!(store.index_bytes() < spent, "{} bytes", store.index_bytes());
    assert_eq!(store.load(&names[77_777]).unwrap().unwrap().snapshot.as_deref(), Some(b"state".as_slice()));
}

/// Somebody removes the directory, or puts a backup in its place: later writes would go nowhere.
#[test]
#[cfg(unix)]
fn nothing_is_acknowledged_in_a_directory_that_is_gone() {
    for replaced in [false, true] {
        let scene = Scene::new();
        let store = scene.open_clean();
        write(&store, "a", 1..=1);
        store.check_directory().unwrap();
        let elsewhere = scene.path().with_extension("elsewhere");
        copy_dir(scene.path(), &elsewhere);
        std::fs::remove_dir_all(scene.path()).unwrap();
        if replaced {
            std::fs::rename(&elsewhere, scene.path()).unwrap();
        } else {
            std::fs::remove_dir_all(&elsewhere).unwrap();
        }
        let error = store.append(&[record(&name("a"), 2, b"lost")]).unwrap_err();
        assert!(error.to_string().contains("was removed or replaced"), "{error}");
        assert!(store.check_directory().is_err() && store.failure().is_some());
    }
}
