//! The store on a disk in memory: it behaves as on the system's disk, and thousands of random histories with power losses and
//! killed processes lose nothing that was acknowledged, and invent nothing.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod history;
mod scene;

use std::path::Path;
use std::sync::Arc;

use coscribe_persistence::{
    Disk, Faults, MemoryDisk, SnapshotIndex, Step, Store, StoreError, StoreOptions, SystemDisk,
};
use history::{Fate, History, Seen};
use scene::*;

const HISTORIES: u64 = 2500;

#[test]
fn what_was_acknowledged_survives_every_crash_and_nothing_else_appears() {
    let mut seen = Seen::default();
    for seed in 0..HISTORIES {
        let mut history = History::new(seed);
        for _ in 0..6 {
            history.live();
            history.end();
            history.reopen();
        }
        seen.add(&history.seen);
    }
    println!("{seen:?}");
    // A history in which nothing of this happens would prove nothing.
    let Seen { acknowledged, interrupted, kept, lost, torn, rescued, adopted, cut, moved, .. } = seen;
    for count in [acknowledged, interrupted, kept, lost, torn, rescued, adopted, cut, moved] {
        assert!(count > HISTORIES / 200, "{seen:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = |seed| {
        let mut history = History::new(seed);
        for _ in 0..4 {
            history.live();
            history.end();
            history.reopen();
        }
        files(history.disk(), Path::new(history::DIR))
    };
    for seed in 0..50 {
        assert!(run(seed) == run(seed), "seed {seed}");
    }
    assert!(run(1) != run(2));
}

#[test]
fn a_history_leaves_the_same_documents_and_files_as_on_the_system_s_disk() {
    for seed in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let mut system = History::on(Arc::new(SystemDisk), dir.path(), seed);
        let mut memory = History::on(Arc::new(MemoryDisk::new(seed)), Path::new(history::DIR), seed);
        for _ in 0..3 {
            for history in [&mut system, &mut memory] {
                history.live();
                history.end_by(Fate::Killed);
                history.reopen();
            }
            let lengths = |disk: &dyn Disk, dir| -> Vec<_> {
                let files = files(disk, dir).into_iter().filter(|(name, _)| name != "lock");
                files.map(|(name, bytes)| (name, bytes.len())).collect()
            };
            assert_eq!(lengths(&SystemDisk, dir.path()), lengths(memory.disk(), Path::new(history::DIR)));
            assert_eq!(system.documents(), memory.documents());
        }
    }
}

#[test]
fn a_store_is_locked_until_it_is_dropped() {
    let options = on(&MemoryDisk::new(1));
    let open = || Store::open(Path::new("store"), options.clone());
    let (first, _) = open().unwrap();
    assert!(matches!(open(), Err(StoreError::InUse { .. })));
    drop(first);
    open().unwrap();
}

#[test]
fn a_store_whose_disk_crashed_writes_to_the_old_disk_only() {
    let disk = MemoryDisk::new(1);
    let (store, _) = Store::open(Path::new("store"), on(&disk)).unwrap();
    write(&store, "a", 1..=2);
    let left = disk.crash(&mut |_| 0);
    write(&store, "a", 3..=3);
    checkpoint(&store, "a", 3).unwrap();
    let (again, recovery) = Store::open(Path::new("store"), on(&left)).unwrap();
    assert_eq!(recovery.warnings(), Vec::<String>::new());
    assert_eq!(load(&again, "a"), only_updates("a", 1..=2));
    assert_eq!(load(&store, "a"), covered("a", 3, 3));
}

#[test]
fn reserved_space_is_no_reason_for_a_warning_however_the_process_ended() {
    let open = |disk: &MemoryDisk| Store::open(Path::new("store"), on(disk)).unwrap();
    for seed in 0..200 {
        let mut disk = MemoryDisk::new(seed);
        let mut random = seed;
        for sequence in 1..=5 {
            let (store, recovery) = open(&disk);
            assert_eq!(recovery.warnings(), Vec::<String>::new(), "seed {seed}");
            assert_eq!(store.last_sequence(&name("a")), sequence - 1);
            write(&store, "a", sequence..=sequence);
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            disk = match random >> 62 {
                0 => disk.kill(),
                1 => {
                    drop(store);
                    disk.crash(&mut |n| random >> 33 & (n - 1))
                }
                _ => disk.crash(&mut |n| n - 1),
            };
        }
        assert_eq!(load(&open(&disk).0, "a"), only_updates("a", 1..=5));
    }
}

/// Where the power fails during a write into reserved space, any part of it may be missing, and the length may be either one.
#[test]
fn a_write_into_reserved_space_is_torn_independently_of_the_length() {
    const HALF: [u8; 4096] = [7; 4096];
    let (disk, path) = (MemoryDisk::new(1), Path::new("dir/file"));
    disk.create_dir(Path::new("dir")).unwrap();
    let mut file = disk.create(path).unwrap();
    disk.sync_dir(Path::new("dir")).unwrap();
    file.append(&HALF).unwrap();
    file.reserve(20_000).unwrap();
    file.sync().unwrap();
    file.append(&HALF).unwrap();
    file.reserve(30_000).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for mut least in 0..1_u64 << 12 {
        let mut choose = |n| {
            let choice = (least & 1) * (n - 1);
            least >>= 1;
            choice
        };
        let [(_, left)] = &files(&disk.crash(&mut choose), Path::new("dir"))[..] else { panic!("one file") };
        assert!((20_000..=30_000).contains(&left.len()) && left[..4096] == HALF);
        assert!(left[8192..].iter().all(|&byte| byte == 0));
        let (first, last) = (left[4096] == 7, left[8191] == 7);
        seen.insert((first, last, left.len() > 25_000));
    }
    assert_eq!(seen.len(), 8, "{seen:?}");
}

/// A killed process leaves its writes in the page cache: the next one must not build on them before they are durable.
#[test]
fn names_that_a_killed_process_did_not_sync_are_synced_by_the_next_one() {
    for changes in 0.. {
        let disk = MemoryDisk::new(changes);
        let options = StoreOptions { segment_bytes: 40, ..on(&disk) };
        let (store, _) = Store::open(Path::new("store"), options).unwrap();
        write(&store, "a", 1..=1);
        disk.fail_after(changes);
        let done = store.append(&[record(&name("a"), 2, &payload("a", 2))]);
        let killed = disk.kill();
        let (store, _) = Store::open(Path::new("store"), on(&killed)).unwrap();
        let next = store.last_sequence(&name("a")) + 1;
        write(&store, "a", next..=4);
        let left = killed.crash(&mut |_| 0);
        let (store, _) = Store::open(Path::new("store"), on(&left)).unwrap();
        assert_eq!(load(&store, "a"), only_updates("a", 1..=4), "killed after {changes} changes");
        if done.is_ok() {
            assert!(changes > 3, "the append must have been interrupted before");
            return;
        }
    }
}

/// A snapshot that stands in for a lost entry of the catalog may have been left by a process that was killed before it synced
/// it.
#[test]
fn a_snapshot_that_is_adopted_is_durable_before_the_catalog_names_it() {
    let disk = MemoryDisk::new(1);
    let faults: Arc<dyn Faults> = FailAt::new(Step::SyncSnapshots, 1);
    let options = StoreOptions { faults: Some(faults), ..on(&disk) };
    let (store, _) = Store::open(Path::new("store"), options).unwrap();
    write(&store, "a", 1..=2);
    write(&store, "b", 1..=1);
    checkpoint(&store, "a", 2).unwrap_err();

    let disk = disk.kill();
    let (store, _) = Store::open(Path::new("store"), on(&disk)).unwrap();
    assert_eq!(load(&store, "a"), only_updates("a", 1..=2));
    disk.fail_after(0);
    store.delete(&name("b")).unwrap_err();

    let disk = disk.kill();
    let (store, recovery) = Store::open(Path::new("store"), on(&disk)).unwrap();
    assert_eq!(recovery.adopted, [name("a")]);
    assert_eq!(load(&store, "a"), covered("a", 2, 2));

    let disk = disk.crash(&mut |_| 0);
    let (store, _) = Store::open(Path::new("store"), on(&disk)).unwrap();
    assert_eq!(load(&store, "a"), covered("a", 2, 2));
    assert_eq!(load(&store, "b"), only_updates("b", 1..=1));
}

fn on(disk: &MemoryDisk) -> StoreOptions {
    StoreOptions {
        disk: Arc::new(disk.clone()),
        snapshot_index: SnapshotIndex::Memory,
        ..StoreOptions::default()
    }
}

/// Every file in the directory with its content.
fn files(disk: &dyn Disk, dir: &Path) -> Vec<(String, Vec<u8>)> {
    let read = |path: std::path::PathBuf| {
        let mut file = disk.open(&path).unwrap();
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read_at(0, &mut bytes).unwrap();
        (path.file_name().unwrap().to_str().unwrap().to_owned(), bytes)
    };
    let snapshots = dir.join("snapshots");
    let in_snapshots = disk.list(&snapshots).unwrap_or_default();
    let all = disk.list(dir).unwrap().into_iter().filter(|path| *path != snapshots).chain(in_snapshots);
    let mut files: Vec<_> = all.map(read).collect();
    files.sort();
    files
}
