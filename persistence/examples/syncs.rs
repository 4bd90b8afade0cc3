//! What it costs to append a record to the log and sync it, in processor time and in all.
//!
//! `cargo run --release -p coscribe-persistence --example syncs -- DIRECTORY`: runs in new directories in there.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use coscribe_persistence::{DocumentName, NewRecord, Store, StoreOptions};

const RUNS: usize = 9;
const SYNCS: u64 = 2000;
const UPDATE: [u8; 520] = [7; 520];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        let dir = tempfile::tempdir_in(&dir)?;
        let (busy, all) = run(dir.path())?;
        println!("{busy:.1?} of processor time, {all:.1?} in all, each");
        runs.push((busy, all));
    }
    let median = |of: fn(&(Duration, Duration)) -> Duration| {
        let mut times: Vec<_> = runs.iter().map(of).collect();
        times.sort_unstable();
        times[RUNS / 2]
    };
    println!("medians: {:.1?} of processor time, {:.1?} in all", median(|run| run.0), median(|run| run.1));
    Ok(())
}

/// Processor time and time of one sync.
fn run(dir: &Path) -> Result<(Duration, Duration), Box<dyn std::error::Error>> {
    let (store, _) = Store::open(dir, StoreOptions::default())?;
    let name = DocumentName::new("team/notes/document")?;
    let (start, busy) = (Instant::now(), busy()?);
    for sequence in 1..=SYNCS {
        let record =
            NewRecord { name: &name, sequence, time: 0, subject: "", payload: &UPDATE, waits: false };
        store.append(&[record])?;
    }
    let each = |time: Duration| time / u32::try_from(SYNCS).expect("a small number");
    Ok((each(self::busy()? - busy), each(start.elapsed())))
}

/// Processor time of this thread (Linux only, 0 elsewhere).
fn busy() -> Result<Duration, Box<dyn std::error::Error>> {
    let Ok(stat) = std::fs::read_to_string("/proc/thread-self/schedstat") else { return Ok(Duration::ZERO) };
    let nanoseconds = stat.split(' ').next().ok_or("no such field")?;
    Ok(Duration::from_nanos(nanoseconds.parse()?))
}
