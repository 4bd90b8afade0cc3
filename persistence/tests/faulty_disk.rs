//! Every single operation on a file of the log, the catalog, the snapshots or sled fails once. Whatever happens to the process,
//! everything durable is there afterwards.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod scene;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use coscribe_persistence::{Store, StoreError, StoreOptions};
use scene::*;

const VICTIM_DIR: &str = "COSCRIBE_TEST_FAULTY_DIR";
const DOCUMENTS: [&str; 3] = ["a", "b", "c"];
const FAULTS: [&str; 5] = ["kill", "torn", "short", "eio", "full"];

fn options() -> StoreOptions {
    // Segments are closed, retired and cleared soon.
    StoreOptions { segment_bytes: 600, ..StoreOptions::default() }
}

/// Not a test by itself: the process whose operations fail. It prints what is durable.
#[test]
fn victim() {
    let Some(dir) = std::env::var_os(VICTIM_DIR) else { return };
    for _ in 0..2 {
        if let Err(error) = live(Path::new(&dir)) {
            println!("\nfailed: {error}");
        }
    }
}

fn live(dir: &Path) -> Result<(), StoreError> {
    let (store, _) = Store::open(dir, options())?;
    for round in 0..4 {
        for document in DOCUMENTS {
            let (name, sequence) = (name(document), store.last_sequence(&name(document)) + 1);
            let payload = payload(document, sequence);
            let append = || store.append(&[record(&name, sequence, &payload)]);
            // A write that has failed once is tried again.
            append().or_else(|error| {
                if matches!(error, StoreError::Scarce { .. }) { append() } else { Err(error) }
            })?;
            println!("\ndurable {document} {sequence}");
            if document != "c" || round == 1 {
                // What the store returns is on disk, even if a checkpoint has failed.
                let _ = checkpoint(&store, document, sequence);
                let stored = store.load(&name)?.map_or(0, |stored| stored.sequence);
                println!("\ndurable {document} {stored}");
            }
        }
        store.mark()?;
    }
    Ok(())
}

/// Which operations fail.
#[derive(Debug, Clone, Copy)]
enum Files {
    Sled,
    Others,
}

/// Runs the victim while the nth operation on some files fails.
fn run_victim(shim: &Path, scene: &Scene, files: Files, fault: &str, at: usize) -> Output {
    let sled = scene.path().join("snapshots/index");
    let (below, except) = match files {
        Files::Sled => (sled, PathBuf::from("none")),
        Files::Others => (scene.path().to_owned(), sled),
    };
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim", "--nocapture"])
        .env(VICTIM_DIR, scene.path())
        .env("LD_PRELOAD", shim)
        .env("COSCRIBE_FAULT_DIR", below)
        .env("COSCRIBE_FAULT_EXCEPT", except)
        .env("COSCRIBE_FAULT", fault)
        .env("COSCRIBE_FAULT_AT", at.to_string())
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap()
}

/// The highest sequence of each document that was printed as durable.
fn durable(said: &str) -> BTreeMap<&str, u64> {
    let mut durable = BTreeMap::new();
    for line in said.lines().filter_map(|line| line.strip_prefix("durable ")) {
        let (document, sequence) = line.split_once(' ').unwrap();
        durable.insert(document, sequence.parse().unwrap());
    }
    durable
}

fn compile_shim(dir: &Path) -> PathBuf {
    let shim = dir.join("faulty_disk.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faulty_disk.c");
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&shim).arg(source).status();
    assert!(compiled.unwrap().success());
    shim
}

fn check(scene: &Scene, output: &Output, what: &str) {
    let said = String::from_utf8_lossy(&output.stdout);
    let words = || format!("{what}\n{said}{}", String::from_utf8_lossy(&output.stderr));
    let (store, recovery) =
        Store::open(scene.path(), options()).unwrap_or_else(|error| panic!("{error}: {}", words()));
    assert!(recovery.damage.is_empty() && recovery.unreadable.is_empty(), "{recovery:?}: {}", words());
    for (document, durable) in durable(&said) {
        let stored = store.load(&name(document)).unwrap_or_else(|error| panic!("{error}: {}", words()));
        let stored = stored.unwrap_or_else(|| panic!("{document} is gone: {}", words()));
        assert!(stored.sequence >= durable, "{document}: {} of {durable}: {}", stored.sequence, words());
        let covered = stored.covered();
        assert_eq!(stored.snapshot, (covered > 0).then(|| state(document, covered)), "{}", words());
        assert_eq!(stored.updates, payloads(document, covered + 1..=stored.sequence), "{}", words());
    }
    // And the store still works.
    for document in DOCUMENTS {
        let next = store.last_sequence(&name(document)) + 1;
        write(&store, document, next..=next);
        checkpoint(&store, document, next).unwrap_or_else(|error| panic!("{error}: {}", words()));
    }
}

fn every_operation_on(files: Files) {
    let shim_dir = tempfile::tempdir().unwrap();
    let shim = compile_shim(shim_dir.path());
    let scene = Scene::in_memory();
    let output = run_victim(&shim, &scene, files, "none", 0);
    check(&scene, &output, "nothing fails");
    let said = String::from_utf8_lossy(&output.stderr);
    let operations = said.lines().filter_map(|line| line.strip_prefix("operations ")).next_back();
    let operations: usize = operations.unwrap().parse().unwrap();
    assert!(operations > 10, "{operations}");
    println!("{operations} operations on {files:?}");
    for fault in FAULTS {
        for at in 1..=operations {
            let scene = Scene::in_memory();
            let output = run_victim(&shim, &scene, files, fault, at);
            check(&scene, &output, &format!("{fault} at operation {at} of {operations} on {files:?}"));
        }
    }
}

/// Lets the victim live in surroundings of which a variable tells the shim.
fn lives_well(variable: &str) {
    let shim_dir = tempfile::tempdir().unwrap();
    let (shim, scene) = (compile_shim(shim_dir.path()), Scene::in_memory());
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim", "--nocapture"])
        .env(VICTIM_DIR, scene.path())
        .env("LD_PRELOAD", shim)
        .env(variable, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("failed:"), "{said}{complaints}");
    assert_eq!(durable(&said), DOCUMENTS.map(|document| (document, 8)).into());
    check(&scene, &output, variable);
}

/// sled panics then.
#[test]
fn before_1970_documents_are_stored_and_read_as_well() {
    lives_well("COSCRIBE_FAULT_CLOCK");
}

#[test]
fn where_no_space_can_be_reserved_documents_are_stored_and_read_as_well() {
    lives_well("COSCRIBE_FAULT_RESERVE");
}

#[test]
fn whichever_operation_of_sled_fails_every_document_stays_readable() {
    every_operation_on(Files::Sled);
}

#[test]
fn whichever_operation_on_the_other_files_fails_every_document_stays_readable() {
    every_operation_on(Files::Others);
}
