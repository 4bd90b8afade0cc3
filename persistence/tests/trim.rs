//! The log stays in proportion to what is live in it: records that keep old segments are moved to its end.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod scene;

use std::fs;

use coscribe_persistence::{ReadOptions, SnapshotIndex, Step, Store, StoreOptions, verify};
use scene::*;

const SEGMENT_BYTES: u64 = 20_000;
const DOCUMENTS: u64 = 25;

fn scene() -> Scene {
    let options = StoreOptions {
        segment_bytes: SEGMENT_BYTES,
        snapshot_index: SnapshotIndex::Memory,
        ..StoreOptions::default()
    };
    Scene { options, ..Scene::in_memory() }
}

fn log_bytes(scene: &Scene) -> u64 {
    let len = |name: &String| fs::metadata(scene.path().join(name)).unwrap().len();
    scene.segments().iter().map(len).sum()
}

fn small(number: u64) -> String {
    format!("small {number:02}")
}

/// Fills a segment with updates to one document, which a checkpoint covers then.
fn fill_segment(store: &Store) {
    let busy = name("busy");
    let payload = vec![7; 1000];
    let first = store.last_sequence(&busy) + 1;
    for sequence in first..first + SEGMENT_BYTES / 1000 {
        store.append(&[record(&busy, sequence, &payload)]).unwrap();
    }
    checkpoint(store, "busy", store.last_sequence(&busy)).unwrap();
}

/// One small update in each segment, beside much else that is dead.
fn pin_segments(store: &Store) {
    for number in 0..DOCUMENTS {
        write(store, &small(number), 1..=1);
        fill_segment(store);
    }
}

fn trim(store: &Store) -> usize {
    (0..).take_while(|_| store.trim_log().unwrap()).count()
}

fn expect_all(store: &Store, last: u64) {
    for number in 0..DOCUMENTS {
        assert_eq!(load(store, &small(number)), only_updates(&small(number), 1..=last));
    }
}

#[test]
fn small_updates_to_many_documents_beside_heavy_writing_do_not_keep_the_log() {
    let scene = scene();
    let store = scene.open_clean();
    let (mut written, mut peak) = (0, 0);
    for last in 1..=4 {
        for number in 0..DOCUMENTS {
            write(&store, &small(number), last..=last);
            fill_segment(&store);
            written += SEGMENT_BYTES;
            trim(&store);
            let (bytes, live) = store.log_size();
            assert!(bytes <= 2 * live + 2 * SEGMENT_BYTES, "{bytes} of which {live} live");
            // Space that is reserved in the active segment comes on top.
            assert!(log_bytes(&scene) <= 2 * live + 3 * SEGMENT_BYTES, "{} in files", log_bytes(&scene));
            peak = peak.max(bytes);
        }
    }
    println!("{peak} bytes of log at most, for {written} that were written");
    expect_all(&store, 4);
    drop(store);
    let store = scene.open_clean();
    expect_all(&store, 4);
    write(&store, &small(0), 5..=5);
    assert!(verify(scene_copy(&scene).path(), &ReadOptions::default()).unwrap().is_sound());
}

fn scene_copy(scene: &Scene) -> Scene {
    let copy = Scene { options: scene.options.clone(), ..Scene::in_memory() };
    copy_dir(scene.path(), copy.path());
    copy
}

#[test]
fn moved_records_are_loaded_in_their_order_and_can_be_covered_and_deleted() {
    let scene = scene();
    let store = scene.open_clean();
    pin_segments(&store);
    write(&store, &small(0), 2..=2);
    fill_segment(&store);
    assert!(trim(&store) > 0);
    // The first one lies behind the second one now.
    let (store, _) = {
        drop(store);
        (scene.open_clean(), ())
    };
    assert_eq!(load(&store, &small(0)), only_updates(&small(0), 1..=2));
    checkpoint(&store, &small(0), 1).unwrap();
    assert_eq!(load(&store, &small(0)), covered(&small(0), 1, 2));
    store.delete(&name(&small(1))).unwrap();
    write(&store, &small(1), 1..=2);
    drop(store);
    let store = scene.open_clean();
    assert_eq!(load(&store, &small(0)), covered(&small(0), 1, 2));
    assert_eq!(load(&store, &small(1)), only_updates(&small(1), 1..=2));
}

/// A crash between the copies and the end of their segment leaves both.
#[test]
fn records_that_are_there_twice_count_once() {
    let scene = scene();
    let store = scene.open_clean();
    pin_segments(&store);
    drop(store);
    let (store, _) = scene.open_with(FailAt::new(Step::RetireSegment, 1)).unwrap();
    store.trim_log().unwrap_err();
    drop(store);
    let segments = scene.segments().len();
    let store = scene.open_clean();
    assert!(scene.segments().len() < segments, "the segment is gone now");
    expect_all(&store, 1);
    trim(&store);
    expect_all(&store, 1);
    assert_eq!(store.salvage(&name(&small(0))).unwrap().updates.len(), 1);
}

#[test]
fn a_record_that_cannot_be_read_is_not_moved_and_its_segment_stays() {
    let scene = scene();
    let store = scene.open_clean();
    pin_segments(&store);
    flip(&scene.segment(1), 32 + 60, 0);
    trim(&store);
    assert!(store.load(&name(&small(0))).is_err());
    assert!(scene.segment(1).exists());
    assert_eq!(load(&store, &small(1)), only_updates(&small(1), 1..=1));
    drop(store);
    assert_eq!(scene.open().1.unreadable, [name(&small(0))]);
}

#[test]
fn a_log_in_which_everything_is_live_is_left_as_it_is() {
    let scene = scene();
    let store = scene.open_clean();
    let payload = vec![7; 1000];
    for sequence in 1..=100 {
        store.append(&[record(&name("a"), sequence, &payload)]).unwrap();
    }
    assert_eq!(trim(&store), 0);
}
