//! What is left after the process or the disk failed at any point, and what is not acknowledged.

mod scene;

use std::fs::{self, OpenOptions};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use coscribe_persistence::{Checkpoint, Faults, ReadOptions, Step, StoreError, StoreOptions, verify};
use scene::*;

#[test]
fn the_log_cut_at_every_byte_of_its_last_record_keeps_all_others() {
    let scene = Scene::new();
    let store = scene.open_clean();
    write(&store, "a", 1..=2);
    write(&store, "b", 1..=1);
    drop(store);
    let before = fs::read(scene.segment(1)).unwrap().len();
    write(&scene.open_clean(), "a", 3..=3);
    cut_off_end_mark(&scene.segment(1));
    let bytes = fs::read(scene.segment(1)).unwrap();
    // Space was reserved for the record, or not.
    for (end, reserved) in (before..bytes.len()).flat_map(|end| [(end, 0), (end, 5000)]) {
        let mut file = bytes[..end].to_vec();
        file.resize(end + reserved, 0);
        fs::write(scene.segment(1), file).unwrap();
        let (store, recovery) = scene.open();
        assert_eq!(load(&store, "a"), only_updates("a", 1..=2), "cut at {end}");
        assert_eq!(load(&store, "b"), only_updates("b", 1..=1));
        let torn = recovery.torn.map_or(0, |torn| torn.damage.bytes);
        // Zeros at the end of the record are not told from reserved space.
        let last = bytes[before..end].iter().rposition(|&byte| byte != 0);
        assert_eq!(torn, last.map_or(0, |last| last as u64 + 1), "cut at {end}");
        assert!(recovery.unreadable.is_empty() && recovery.damage.is_empty());

        // The room got the update again from its client.
        write(&store, "a", 3..=4);
        drop(store);
        assert_eq!(load(&scene.open_clean(), "a"), only_updates("a", 1..=4));
    }
}

#[test]
fn the_bytes_that_are_cut_off_are_kept() {
    let scene = Scene::new();
    write(&scene.open_clean(), "a", 1..=2);
    cut_off_end_mark(&scene.segment(1));
    let mut bytes = fs::read(scene.segment(1)).unwrap();
    let whole = bytes.len();
    bytes.resize(whole + 5000, 0);
    bytes[whole - 1] = 0;
    fs::write(scene.segment(1), &bytes).unwrap();
    let (_store, recovery) = scene.open();
    let torn = recovery.torn.unwrap();
    let kept = fs::read(torn.kept_in.unwrap()).unwrap();
    assert_eq!(kept, bytes[usize::try_from(torn.damage.offset).unwrap()..whole - 1]);
    assert_eq!(torn.damage.document, Some((name("a"), 2)));
}

#[test]
fn zeros_at_the_end_of_the_last_segment_are_reserved_space() {
    let scene = Scene::new();
    for zeros in [1, 8, 47, 48, 4096, 100_000] {
        let store = scene.open_clean();
        let next = store.last_sequence(&name("a")) + 1;
        write(&store, "a", next..=next);
        drop(store);
        let file = OpenOptions::new().write(true).open(scene.segment(1)).unwrap();
        file.set_len(file.metadata().unwrap().len() + zeros).unwrap();
        let report = verify(scene.path(), &ReadOptions::default()).unwrap();
        assert!(report.is_sound() && report.torn.is_none(), "{report}");
        assert_eq!(load(&scene.open_clean(), "a"), only_updates("a", 1..=next));
    }
}

#[test]
fn zeros_at_the_end_of_an_earlier_segment_are_damage() {
    let scene = Scene::with_tiny_segments();
    write(&scene.open_clean(), "a", 1..=2);
    let mut bytes = fs::read(scene.segment(1)).unwrap();
    let end = bytes.len() as u64;
    bytes.resize(bytes.len() + 100, 0);
    fs::write(scene.segment(1), bytes).unwrap();
    let (_, recovery) = scene.open();
    let found: Vec<_> = recovery.damage.iter().map(|damage| (damage.offset, damage.bytes)).collect();
    assert_eq!(found, [(end, 100)]);
}

/// The log goes on in another segment, and then zeros would be damage.
#[test]
fn reserved_space_is_cut_off_where_the_segment_is_not_continued() {
    let scene = Scene::new();
    write(&scene.open_clean(), "a", 1..=2);
    let mut bytes = fs::read(scene.segment(1)).unwrap();
    let end = bytes.len();
    bytes.resize(end + 5000, 0);
    fs::write(scene.segment(1), bytes).unwrap();
    // A header that is damaged, in a byte that is not the marker's.
    flip(&scene.segment(1), 12, 0);
    for start in 1..=2 {
        let (store, recovery) = scene.open();
        assert_eq!(recovery.damage.len(), 1, "start {start}: {recovery:?}");
        assert_eq!(load(&store, "a"), only_updates("a", 1..=2));
        assert_eq!(fs::read(scene.segment(1)).unwrap().len(), end);
        assert_eq!(scene.segments().len(), 2);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn space_is_reserved_while_the_store_is_open_and_given_back_when_it_is_closed() {
    const RESERVED: u64 = 1 << 20;
    let scene = Scene::with(StoreOptions { segment_bytes: 3 << 19, ..StoreOptions::default() });
    let len = |segment| fs::metadata(scene.segment(segment)).unwrap().len();
    let store = scene.open_clean();
    assert_eq!(len(1), 32);
    write(&store, "a", 1..=3);
    assert_eq!(len(1), RESERVED);
    let copy = Scene::new();
    copy_dir(scene.path(), copy.path());
    assert!(verify(copy.path(), &ReadOptions::default()).unwrap().torn.is_none());
    assert_eq!(load(&copy.open_clean(), "a"), only_updates("a", 1..=3));

    let large = vec![7; 1 << 20];
    store.append(&[record(&name("b"), 1, &large)]).unwrap();
    assert_eq!(len(1), 3 << 19, "not more than the segment may have");
    store.append(&[record(&name("b"), 2, &large)]).unwrap();
    write(&store, "a", 4..=4);
    let closed = fs::read(scene.segment(1)).unwrap();
    assert_eq!(
        closed.last(),
        Some(&b'b'),
        "a later segment has begun, and the mark at the end names a and b"
    );
    assert_eq!(len(2), RESERVED);
    drop(store);
    assert!(len(2) < 1000);
    assert_eq!(load(&scene.open_clean(), "a"), only_updates("a", 1..=4));
}

#[test]
fn a_new_segment_that_was_cut_short_is_replaced() {
    let scene = Scene::new();
    write(&scene.open_clean(), "a", 1..=1);
    let header = fs::read(scene.segment(1)).unwrap()[..32].to_vec();
    for len in 0..32 {
        let next = u32::try_from(scene.segments().len()).unwrap() + 1;
        for bytes in [&header[..len], &vec![0; len]] {
            fs::write(scene.segment(next), bytes).unwrap();
            let (store, recovery) = scene.open();
            assert!(recovery.damage.is_empty(), "{recovery:?}");
            assert_eq!(load(&store, "a"), only_updates("a", 1..=1));
            drop(store);
            let last = scene.segments().pop().unwrap();
            fs::remove_file(scene.path().join(last)).unwrap();
        }
    }
    write(&scene.open_clean(), "a", 2..=2);
}

/// A power loss may leave a later page of a batch on disk without an earlier one.
#[test]
fn a_batch_with_a_hole_is_torn_and_its_sound_records_are_rescued() {
    let scene = Scene::new();
    let store = scene.open_clean();
    write(&store, "a", 1..=1);
    drop(store);
    let hole = fs::metadata(scene.segment(1)).unwrap().len();
    let store = scene.open_clean();
    let (a, b) = (name("a"), name("b"));
    let batch = [
        record(&a, 2, b"lost"),
        record(&b, 1, b"rescued"),
        record(&a, 3, b"unusable"),
        record(&b, 2, b"too"),
    ];
    store.append(&batch).unwrap();
    drop(store);
    cut_off_end_mark(&scene.segment(1));
    let mut bytes = fs::read(scene.segment(1)).unwrap();
    bytes[usize::try_from(hole).unwrap()..][..20].fill(0);
    fs::write(scene.segment(1), &bytes).unwrap();

    let (store, recovery) = scene.open();
    let torn = recovery.torn.unwrap();
    assert_eq!((torn.rescued, torn.dropped), (2, 1));
    assert!(recovery.damage.is_empty() && recovery.unreadable.is_empty());
    assert_eq!(load(&store, "a"), only_updates("a", 1..=1));
    assert_eq!(load(&store, "b").unwrap().updates, [b"rescued".to_vec(), b"too".to_vec()]);
    drop(store);
    assert_eq!(load(&scene.open_clean(), "b").unwrap().sequence, 2);
}

#[test]
fn after_the_first_failed_sync_nothing_is_acknowledged() {
    // The mark at the end of a segment comes before the next record.
    for (step, before) in [(Step::SyncLog, 2), (Step::SyncMark, 3)] {
        let scene = Scene::with_tiny_segments();
        let faults = FailAt::new(step, 3);
        let (store, _) = scene.open_with(faults.clone()).unwrap();
        let a = name("a");
        let mut acknowledged = 0;
        for sequence in 1..=10 {
            match store.append(&[record(&a, sequence, &payload("a", sequence))]) {
                Ok(()) => acknowledged = sequence,
                Err(error) => assert!(matches!(error, StoreError::Failed { .. }), "{error}"),
            }
            if faults.was_reached() {
                break;
            }
        }
        assert_eq!(acknowledged, before, "{step:?}");
        let again = store.append(&[record(&a, before + 1, b"again")]).unwrap_err();
        assert!(again.to_string().contains("as it was asked to"), "{again}");
        assert!(store.append(&[record(&name("b"), 1, b"")]).is_err());
        assert!(checkpoint(&store, "a", before).is_err());
        assert!(store.delete(&a).is_err());
        assert!(store.failure().is_some());
        assert_eq!(load(&store, "a"), only_updates("a", 1..=before), "reading goes on");
        drop(store);
        // A record that failed to sync may be there or not; it was not acknowledged.
        let last = load(&scene.open_clean(), "a").unwrap().sequence;
        assert!((before..=before + 1).contains(&last), "{step:?}");
    }
}

/// Fails one step, once or for a while.
#[derive(Debug)]
struct FailSome {
    step: Step,
    from: usize,
    times: usize,
    seen: AtomicUsize,
}

impl Faults for FailSome {
    fn before(&self, step: Step) -> io::Result<()> {
        let seen = if step == self.step { self.seen.fetch_add(1, Ordering::SeqCst) } else { return Ok(()) };
        let fails = (self.from..self.from + self.times).contains(&seen);
        if fails { Err(io::Error::other("a step has failed, as it was asked to")) } else { Ok(()) }
    }
}

#[test]
fn a_failed_write_is_undone_and_can_be_tried_again() {
    for (step, times) in
        [(Step::WriteLog, 3), (Step::CreateSegment, 3), (Step::WriteMark, 3), (Step::WriteCatalog, 2)]
    {
        let scene = Scene::with_tiny_segments();
        let faults = Arc::new(FailSome { step, from: 3, times, seen: AtomicUsize::new(0) });
        let (store, _) = scene.open_with(faults.clone()).unwrap();
        let a = name("a");
        for sequence in 1..=10 {
            let payload = payload("a", sequence);
            while let Err(error) = store.append(&[record(&a, sequence, &payload)]) {
                assert!(matches!(error, StoreError::Scarce { .. }), "{step:?}: {error}");
                assert!(error.to_string().contains("as it was asked to"), "{error}");
            }
            while let Err(error) = store.mark() {
                assert!(matches!(error, StoreError::Scarce { .. }), "{step:?}: {error}");
            }
            while let Err(error) = checkpoint(&store, "a", sequence) {
                assert!(matches!(error, StoreError::Scarce { .. }), "{step:?}: {error}");
                assert!(store.checkpoint_failure().is_some());
            }
            assert_eq!((store.failure(), store.checkpoint_failure()), (None, None), "{step:?}");
        }
        assert!(faults.seen.load(Ordering::SeqCst) > 3 + times, "{step:?}");
        assert_eq!(load(&store, "a"), covered("a", 10, 10));
        drop(store);
        assert_eq!(load(&scene.open_clean(), "a"), covered("a", 10, 10), "{step:?}");
    }
}

#[test]
fn a_checkpoint_that_fails_at_any_step_loses_nothing() {
    let steps = [
        (Step::WriteSnapshot, false),
        (Step::SyncSnapshots, false),
        (Step::WriteCatalog, false),
        (Step::SyncCatalog, true),
        (Step::RetireSegment, true),
        (Step::PruneSnapshots, true),
    ];
    for (step, may_count) in steps {
        // The first checkpoint of a document, and one that replaces another.
        for earlier in [None, Some(2)] {
            let scene = Scene::with_tiny_segments();
            let store = scene.open_clean();
            write(&store, "other", 1..=1);
            write(&store, "a", 1..=3);
            if let Some(earlier) = earlier {
                checkpoint(&store, "a", earlier).unwrap();
            }
            drop(store);
            let faults = FailAt::new(step, 1);
            let (store, _) = scene.open_with(faults.clone()).unwrap();
            assert!(checkpoint(&store, "a", 3).is_err(), "{step:?}");
            assert!(faults.was_reached());
            assert!(store.failure().or(store.checkpoint_failure()).is_some());
            let before = earlier.map_or_else(|| only_updates("a", 1..=3), |earlier| covered("a", earlier, 3));
            let after = covered("a", 3, 3);
            let now = load(&store, "a");
            assert!(now == before || may_count && now == after, "{step:?}: {now:?}");
            drop(store);

            let store = scene.open_clean();
            let now = load(&store, "a");
            assert!(now == before || may_count && now == after, "{step:?}: {now:?}");
            assert_eq!(load(&store, "other"), only_updates("other", 1..=1));
            checkpoint(&store, "a", 3).unwrap();
            assert_eq!(load(&store, "a"), after);
            write(&store, "a", 4..=4);
            drop(store);
            assert_eq!(load(&scene.open_clean(), "a"), covered("a", 3, 4));
        }
    }
}

#[test]
fn failing_snapshots_do_not_stop_the_log() {
    let scene = Scene::new();
    let (store, _) = scene.open_with(FailAt::new(Step::SyncSnapshots, 1)).unwrap();
    write(&store, "a", 1..=2);
    assert!(checkpoint(&store, "a", 2).is_err());
    assert!(store.checkpoint_failure().unwrap().contains("snapshots") && store.failure().is_none());
    assert!(checkpoint(&store, "a", 2).is_err(), "they are tried again");
    write(&store, "a", 3..=3);
    assert!(store.checkpoint_failure().unwrap().contains("snapshots") && store.failure().is_none());
    drop(store);
    assert_eq!(load(&scene.open_clean(), "a"), only_updates("a", 1..=3));
}

#[test]
fn a_deletion_that_fails_at_any_step_happened_or_not() {
    for step in [Step::WriteCatalog, Step::SyncCatalog, Step::RetireSegment, Step::PruneSnapshots] {
        let scene = Scene::with_tiny_segments();
        let store = scene.open_clean();
        write(&store, "a", 1..=2);
        checkpoint(&store, "a", 1).unwrap();
        write(&store, "other", 1..=1);
        drop(store);
        let (store, _) = scene.open_with(FailAt::new(step, 1)).unwrap();
        assert!(store.delete(&name("a")).is_err(), "{step:?}");
        drop(store);
        let store = scene.open_clean();
        let now = load(&store, "a");
        assert!(now.is_none() || now == covered("a", 1, 2), "{step:?}: {now:?}");
        store.delete(&name("a")).unwrap();
        write(&store, "a", 1..=1);
        drop(store);
        assert_eq!(load(&scene.open_clean(), "a"), only_updates("a", 1..=1));
    }
}

#[test]
fn the_catalog_cut_at_every_byte_of_its_last_entry_loses_nothing() {
    let scene = Scene::new();
    let store = scene.open_clean();
    write(&store, "a", 1..=3);
    checkpoint(&store, "a", 1).unwrap();
    write(&store, "b", 1..=1);
    let catalog = scene.path().join("catalog");
    let before = usize::try_from(fs::metadata(&catalog).unwrap().len()).unwrap();
    checkpoint(&store, "b", 1).unwrap();
    drop(store);
    let bytes = fs::read(&catalog).unwrap();
    for end in before..bytes.len() {
        fs::write(&catalog, &bytes[..end]).unwrap();
        let (store, recovery) = scene.open();
        assert!(recovery.catalog_damage.is_empty() && recovery.unreadable.is_empty(), "{recovery:?}");
        assert_eq!(load(&store, "a"), covered("a", 1, 3), "cut at {end}");
        let b = load(&store, "b");
        assert!(b == covered("b", 1, 1) || b == only_updates("b", 1..=1), "cut at {end}: {b:?}");
    }
}

#[test]
fn a_store_that_is_copied_while_it_runs_is_what_a_crash_leaves() {
    let scene = Scene::new();
    let store = scene.open_clean();
    write(&store, "a", 1..=2);
    let (a, state) = (name("a"), state("a", 2));
    store.checkpoint(&[Checkpoint { name: &a, sequence: 2, time: 0, state: &[&state] }]).unwrap();
    write(&store, "a", 3..=3);
    let copy = Scene::new();
    copy_dir(scene.path(), copy.path());
    let before = contents(copy.path());
    assert!(verify(copy.path(), &ReadOptions::default()).unwrap().is_sound());
    assert_eq!(contents(copy.path()), before, "verifying changes nothing");
    assert_eq!(load(&copy.open_clean(), "a"), covered("a", 2, 3));
}
