//! How fast a store is on a disk in memory, for those who let it crash thousands of times.
//!
//! `cargo run --release -p coscribe-persistence --example memory_disk`

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coscribe_persistence::{
    Checkpoint, DocumentName, MemoryDisk, NewRecord, SnapshotIndex, Store, StoreError, StoreOptions,
};

/// Batches that are appended between two openings.
const BATCHES: u64 = 20;
/// How often a store is opened before the next one is begun.
const LIVES: u32 = 50;
/// Batches between two checkpoints. Segments are small, so that most are retired then.
const CHECKPOINT_BATCHES: u64 = 5 * BATCHES;
const UPDATE: [u8; 40] = [7; 40];

/// Time that was spent on each kind of call, and how many there were.
#[derive(Default)]
struct Spent {
    open: (Duration, u32),
    load: (Duration, u32),
    append: (Duration, u32),
    checkpoint: (Duration, u32),
    crash: (Duration, u32),
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut spent = Spent::default();
    let name = DocumentName::new("document")?;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        let mut disk = MemoryDisk::new(1);
        for _ in 0..LIVES {
            live(&disk, &name, &mut spent)?;
            // All that was not synced is lost: here, nothing is.
            disk = timed(&mut spent.crash, || disk.crash(&mut |_| 0));
        }
    }
    let Spent { open, load, append, checkpoint, crash } = spent;
    let each = start.elapsed() / open.1;
    println!("a life of one opening, one load and {BATCHES} batches, ended by a crash: {each:.1?}");
    for (call, (time, calls)) in
        [("open", open), ("load", load), ("append", append), ("checkpoint", checkpoint), ("crash", crash)]
    {
        println!(
            "{call:>12}: {:>8.1?} each, {:>9.0} a second",
            time / calls,
            f64::from(calls) / time.as_secs_f64()
        );
    }
    Ok(())
}

fn live(disk: &MemoryDisk, name: &DocumentName, spent: &mut Spent) -> Result<(), StoreError> {
    let options = StoreOptions {
        segment_bytes: 4000,
        disk: Arc::new(disk.clone()),
        snapshot_index: SnapshotIndex::Memory,
        ..StoreOptions::default()
    };
    let (store, _) = timed(&mut spent.open, || Store::open(Path::new("store"), options))?;
    timed(&mut spent.load, || store.load(name))?;
    for _ in 0..BATCHES {
        let sequence = store.last_sequence(name) + 1;
        let record = NewRecord { name, sequence, time: 0, subject: "", payload: &UPDATE, waits: false };
        timed(&mut spent.append, || store.append(&[record]))?;
        if sequence % CHECKPOINT_BATCHES == 0 {
            let checkpoint = Checkpoint { name, sequence, time: 0, state: &[&UPDATE] };
            timed(&mut spent.checkpoint, || store.checkpoint(&[checkpoint]))?;
        }
    }
    Ok(())
}

fn timed<T>((time, calls): &mut (Duration, u32), call: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = call();
    *time += start.elapsed();
    *calls += 1;
    result
}
