//! End marks: what is before one was on disk, so damage there is damage, also to the last batch, and whose it was is known.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod scene;

use std::fs;
use std::path::Path;

use coscribe_persistence::{
    DocumentName, FORMAT_VERSION, ReadOptions, Recovery, SnapshotIndex, Store, StoreOptions, verify,
};
use scene::*;

fn scene() -> Scene {
    let options = StoreOptions { snapshot_index: SnapshotIndex::Memory, ..StoreOptions::default() };
    Scene { options, ..Scene::in_memory() }
}

/// What a crash of the process would leave now.
fn crashed(scene: &Scene) -> Scene {
    let copy = Scene { options: scene.options.clone(), ..Scene::in_memory() };
    copy_dir(scene.path(), copy.path());
    copy
}

/// Opens a copy of the store in which one bit is flipped.
fn open_damaged(scene: &Scene, segment: u32, byte: usize) -> (Store, Recovery, Scene) {
    let copy = crashed(scene);
    flip(&copy.segment(segment), byte, u32::try_from(byte % 8).unwrap());
    let report = verify(copy.path(), &ReadOptions::default()).unwrap();
    let (store, recovery) = copy.open();
    assert_eq!(report.unreadable(), recovery.unreadable);
    assert_eq!(report.is_sound(), recovery.damage.is_empty(), "{report}");
    (store, recovery, copy)
}

/// Two batches, of which the last one has the ends of two documents and a whole one; and where its records start and end.
fn write_batches(store: &Store, scene: &Scene) -> Vec<usize> {
    write(store, "a", 1..=1);
    write(store, "b", 1..=1);
    let names = ["a", "b", "new"].map(name);
    let payloads = [("a", 2), ("b", 2), ("new", 1)].map(|(document, sequence)| payload(document, sequence));
    let batch: Vec<_> = names
        .iter()
        .zip([2, 2, 1])
        .zip(&payloads)
        .map(|((name, n), payload)| record(name, n, payload))
        .collect();
    store.append(&batch).unwrap();
    store.mark().unwrap();
    let offsets = record_offsets(&fs::read(scene.segment(1)).unwrap());
    assert_eq!(offsets.len(), 6);
    offsets[2..].to_vec()
}

fn expect_damaged_last_batch(scene: &Scene, offsets: &[usize]) {
    for (number, lost) in ["a", "b", "new"].into_iter().enumerate() {
        for byte in offsets[number]..offsets[number + 1] {
            let (store, recovery, _copy) = open_damaged(scene, 1, byte);
            assert_eq!(recovery.unreadable, [name(lost)], "byte {byte}: {recovery:?}");
            assert!(recovery.torn.is_none() && recovery.damage.len() == 1, "byte {byte}: {recovery:?}");
            assert!(store.load(&name(lost)).is_err(), "byte {byte}");
            assert!(!store.salvage(&name(lost)).unwrap().missing.is_empty(), "byte {byte}");
            for (whole, last) in
                [("a", 2), ("b", 2), ("new", 1)].into_iter().filter(|(name, _)| *name != lost)
            {
                assert_eq!(load(&store, whole), only_updates(whole, 1..=last), "byte {byte}");
            }
            assert_eq!(store.names().len(), 3, "byte {byte}");
        }
    }
}

#[test]
fn any_flipped_bit_in_the_last_batch_of_a_closed_log_makes_its_document_unreadable() {
    let scene = scene();
    let store = scene.open_clean();
    let offsets = write_batches(&store, &scene);
    drop(store);
    expect_damaged_last_batch(&scene, &offsets);
}

#[test]
fn any_flipped_bit_in_the_last_batch_of_a_log_that_is_idle_makes_its_document_unreadable() {
    let scene = scene();
    let store = scene.open_clean();
    let offsets = write_batches(&store, &scene);
    expect_damaged_last_batch(&scene, &offsets);
    // Nothing more is written by another one.
    let before = fs::read(scene.segment(1)).unwrap();
    store.mark().unwrap();
    assert!(store.is_marked() && fs::read(scene.segment(1)).unwrap() == before);
}

#[test]
fn any_flipped_bit_in_a_mark_costs_no_document() {
    let scene = scene();
    let store = scene.open_clean();
    let offsets = write_batches(&store, &scene);
    write(&store, "a", 3..=3);
    store.mark().unwrap();
    drop(store);
    let bytes = fs::read(scene.segment(1)).unwrap();
    let starts = record_offsets(&bytes);
    let last = starts[7];
    for byte in (starts[5]..starts[6]).chain(last..bytes.len()) {
        let copy = crashed(&scene);
        flip(&copy.segment(1), byte, u32::try_from(byte % 8).unwrap());
        let (store, recovery) = copy.open();
        assert!(recovery.unreadable.is_empty(), "byte {byte}: {recovery:?}");
        assert_eq!(recovery.torn.is_some(), byte >= last, "byte {byte}: {recovery:?}");
        // It is no crash that nobody can vouch for what was written last, and not told again.
        assert_eq!((recovery.damage.len(), &recovery.unmarked), (1, &None), "byte {byte}");
        assert_eq!(load(&store, "a"), only_updates("a", 1..=3));
        assert_eq!(load(&store, "new"), only_updates("new", 1..=1));
        drop(store);
        if byte >= last {
            let said = recovery.warnings().join("\n");
            assert!(said.contains("(a damaged end mark)") && !said.contains("crash"), "{said}");
            let again = copy.open().1;
            assert!(again.damage.is_empty() && again.unmarked.is_none(), "byte {byte}: {again:?}");
        }
    }
    // And the one before speaks for what a damaged one does not.
    for byte in offsets[2]..offsets[3] {
        let copy = crashed(&scene);
        flip(&copy.segment(1), offsets[3] + 20, 0);
        flip(&copy.segment(1), byte, 0);
        assert_eq!(copy.open().1.unreadable, [name("new")], "byte {byte}");
    }
}

/// A mark is then not at the end, and what is torn behind it is a crash.
#[test]
fn what_a_crash_leaves_behind_a_mark_is_torn() {
    let scene = scene();
    let store = scene.open_clean();
    let marked = write_batches(&store, &scene);
    write(&store, "a", 3..=3);
    let whole = crashed(&scene);
    let bytes = fs::read(whole.segment(1)).unwrap();
    let start = record_offsets(&bytes).pop().unwrap();
    assert!(start > marked[3]);
    let end = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    for cut in start..=end {
        let copy = crashed(&scene);
        fs::write(copy.segment(1), &bytes[..cut]).unwrap();
        let (store, recovery) = copy.open();
        assert!(recovery.damage.is_empty() && recovery.unreadable.is_empty(), "{recovery:?}");
        assert_eq!(load(&store, "a"), only_updates("a", 1..=2), "cut at {cut}");
        assert_eq!(recovery.unmarked, None, "cut at {cut}");
        write(&store, "a", 3..=3);
        drop(store);
        assert_eq!(load(&copy.open_clean(), "a"), only_updates("a", 1..=3));
    }
    let recovery = whole.open().1;
    let unmarked = recovery.unmarked.unwrap();
    assert_eq!((unmarked.offset, unmarked.bytes), (start as u64, (end + 1 - start) as u64));
}

#[test]
fn records_without_a_mark_are_reported_until_there_is_one() {
    let scene = scene();
    let store = scene.open_clean();
    write(&store, "a", 1..=2);
    let report = |scene: &Scene| verify(scene.path(), &ReadOptions::default()).unwrap();
    let running = report(&crashed(&scene));
    assert!(running.is_sound() && running.unmarked.is_some());
    assert!(running.to_string().contains("have no end mark"), "{running}");
    assert_eq!(running.records, 2);

    // The next start continues where the crash was.
    let copy = crashed(&scene);
    let (again, recovery) = copy.open();
    assert_eq!(recovery.warnings(), Vec::<String>::new());
    assert_eq!(recovery.unmarked.unwrap().bytes, running.unmarked.unwrap().bytes);
    assert!(!again.is_marked());
    drop(again);
    assert_eq!(report(&copy).unmarked, None);

    store.mark().unwrap();
    let idle = report(&crashed(&scene));
    assert_eq!((idle.unmarked, idle.records), (None, 2));
    assert_eq!(crashed(&scene).open().1.unmarked, None);
}

#[test]
fn a_deleted_document_is_not_missed() {
    let scene = scene();
    let store = scene.open_clean();
    write(&store, "gone", 1..=2);
    write(&store, "again", 1..=3);
    for deleted in ["gone", "again"] {
        store.delete(&name(deleted)).unwrap();
    }
    write(&store, "again", 1..=1);
    write(&store, "other", 1..=1);
    drop(store);
    // Also where the marks are of another process, which knows the records but not when they were deleted.
    let store = scene.open_clean();
    write(&store, "last", 1..=1);
    drop(store);
    for (number, start) in record_offsets(&fs::read(scene.segment(1)).unwrap()).into_iter().enumerate() {
        let (_store, recovery, _copy) = open_damaged(&scene, 1, start + 50);
        let lost: &[DocumentName] = match number {
            5 => &[name("again")],
            6 => &[name("other")],
            8 => &[name("last")],
            _ => &[],
        };
        assert_eq!(recovery.unreadable, lost, "record {number}: {recovery:?}");
    }
}

#[test]
fn marks_among_much_that_is_written_tell_whose_a_damaged_record_was() {
    let scene = scene();
    let store = scene.open_clean();
    let filling = vec![7; 100_000];
    for number in 0..40 {
        write(&store, &format!("small {number:02}"), 1..=1);
        store.append(&[record(&name(&format!("large {number:02}")), 1, &filling)]).unwrap();
    }
    let crashed = crashed(&scene);
    let bytes = fs::read(crashed.segment(1)).unwrap();
    let starts = record_offsets(&bytes);
    let marks = starts.iter().filter(|&&start| bytes[start + 13] == 6).count();
    assert_eq!(marks, 3, "one for each MiB");
    // The first letter of the third small document's name.
    let start = starts[4];
    assert_eq!(&bytes[start + 48..start + 56], b"small 02");
    let (store, recovery, _copy) = open_damaged(&crashed, 1, start + 48);
    assert_eq!(recovery.unreadable, [name("small 02")]);
    assert_eq!(store.names().len(), 80);
}

#[test]
fn a_segment_that_is_not_the_last_one_ends_with_a_mark() {
    let scene = Scene { options: StoreOptions { segment_bytes: 200, ..scene().options }, ..scene() };
    let store = scene.open_clean();
    for document in ["a", "b", "c", "d", "e", "f"] {
        write(&store, document, 1..=1);
    }
    let bytes = fs::read(scene.segment(1)).unwrap();
    let starts = record_offsets(&bytes);
    assert_eq!(bytes[starts.last().unwrap() + 13], 6);
    for byte in starts[1]..starts[2] {
        let (_store, recovery, _copy) = open_damaged(&scene, 1, byte);
        assert_eq!(recovery.unreadable, [name("b")], "byte {byte}");
    }
}

#[test]
fn later_marks_do_not_make_up_for_what_is_lost() {
    for marked in [true, false] {
        let scene = scene();
        let store = scene.open_clean();
        write(&store, "a", 1..=2);
        if marked {
            store.mark().unwrap();
        }
        write(&store, "b", 1..=1);
        let copy = crashed(&scene);
        let start = record_offsets(&fs::read(copy.segment(1)).unwrap())[1];
        flip(&copy.segment(1), start + 60, 0);
        for sequence in 2..5 {
            let (store, recovery) = copy.open();
            assert_eq!(recovery.unreadable, [name("a")], "{recovery:?}");
            write(&store, "b", sequence..=sequence);
            store.mark().unwrap();
            write(&store, "c", sequence - 1..=sequence - 1);
        }
        // Until it is replaced.
        let (store, _) = copy.open();
        checkpoint(&store, "a", store.last_sequence(&name("a"))).unwrap();
        drop(store);
        assert!(copy.open().1.unreadable.is_empty());
    }
}

/// Makes of a log what the version without marks would have written.
fn as_version_1(path: &Path) {
    cut_off_end_mark(path);
    let mut bytes = fs::read(path).unwrap();
    bytes[8..12].copy_from_slice(&1_u32.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..28]).to_le_bytes();
    bytes[28..32].copy_from_slice(&crc);
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_log_of_the_version_without_marks_is_read_and_not_continued() {
    assert_eq!(FORMAT_VERSION, 2);
    let scene = scene();
    write(&scene.open_clean(), "a", 1..=2);
    as_version_1(&scene.segment(1));
    let earlier = fs::read(scene.segment(1)).unwrap();
    let report = verify(scene.path(), &ReadOptions::default()).unwrap();
    assert!(report.is_sound() && report.unmarked.is_none(), "{report}");
    let store = scene.open_clean();
    assert_eq!(load(&store, "a"), only_updates("a", 1..=2));
    write(&store, "a", 3..=3);
    drop(store);
    assert_eq!(fs::read(scene.segment(1)).unwrap(), earlier);
    assert_eq!(scene.segments(), ["00000001.log", "00000002.log"]);
    assert_eq!(load(&scene.open_clean(), "a"), only_updates("a", 1..=3));
}
