//! How long it takes to open a store of many small documents, and what memory they take while they are closed.
//!
//! `cargo run --release -p coscribe-persistence --example many_documents -- [documents]` (default 100,000). Each case is opened
//! in a process of its own, so that the memory of building it does not count.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use coscribe_persistence::{Checkpoint, DocumentName, NewRecord, Store, StoreOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let [mode, dir] = &arguments[..] {
        assert_eq!(mode, "open");
        return open(Path::new(dir));
    }
    let documents = arguments.first().map_or(Ok(100_000), |count| count.parse())?;
    let dir = tempfile::tempdir()?;
    for (case, checkpointed) in [("only in the log", false), ("only in snapshots", true)] {
        let dir = dir.path().join(case);
        let start = Instant::now();
        build(&dir, documents, checkpointed)?;
        println!("{documents} documents {case}: built in {:.2?}", start.elapsed());
        let status = Command::new(std::env::current_exe()?).arg("open").arg(&dir).status()?;
        assert!(status.success());
    }
    Ok(())
}

fn build(dir: &Path, documents: usize, checkpointed: bool) -> Result<(), Box<dyn std::error::Error>> {
    let (store, _) = Store::open(dir, StoreOptions::default())?;
    let update = [7; 300];
    let state = [&update[..]];
    let names = (0..documents).map(|number| DocumentName::new(&format!("team/notes/{number:08}")));
    let names = names.collect::<Result<Vec<_>, _>>()?;
    for names in names.chunks(1000) {
        let record =
            |name| NewRecord { name, sequence: 1, time: 0, subject: "", payload: &update, waits: false };
        store.append(&names.iter().map(record).collect::<Vec<_>>())?;
        if checkpointed {
            let checkpoint = |name| Checkpoint { name, sequence: 1, time: 0, state: &state };
            store.checkpoint(&names.iter().map(checkpoint).collect::<Vec<_>>())?;
        }
    }
    Ok(())
}

fn open(dir: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let before = resident()?;
    let start = Instant::now();
    let (store, recovery) = Store::open(dir, StoreOptions::default())?;
    let opened = start.elapsed();
    let after = resident()?;
    let peak = memory("VmHWM:")? - before;
    println!("  opened in {opened:.2?}: {} documents, {} records", recovery.documents, recovery.records);
    let index = store.index_bytes() as f64 / 1e6;
    println!(
        "  resident {:.1} MB more than before ({index:.1} MB of it the index, by its own estimate), at most {peak:.1} MB",
        after - before
    );

    let names = store.names();
    let start = Instant::now();
    let tenth = names.len().div_ceil(10);
    for name in names.iter().step_by(10) {
        store.load(name)?.ok_or("a document has vanished")?;
    }
    let each = start.elapsed() / u32::try_from(tenth)?;
    drop(names);
    println!(
        "  a tenth of them loaded in {each:.1?} each, one after another; resident {:.1} MB more than before",
        resident()? - before
    );
    Ok(())
}

/// Resident memory of this process in MB (Linux only, 0 elsewhere).
fn resident() -> Result<f64, Box<dyn std::error::Error>> {
    memory("VmRSS:")
}

/// A line of what Linux says of this process's memory, in MB.
fn memory(line: &str) -> Result<f64, Box<dyn std::error::Error>> {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return Ok(0.0) };
    let value = status.lines().find_map(|found| found.strip_prefix(line)).ok_or("no such line")?;
    Ok(value.trim().trim_end_matches(" kB").parse::<f64>()? / 1000.0)
}
