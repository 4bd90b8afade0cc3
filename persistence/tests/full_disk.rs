//! What is left after the disk was really full. Separate processes fill it.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod scene;

use std::path::Path;
use std::process::Command;

use coscribe_persistence::{Checkpoint, DocumentName, Store, StoreError, StoreOptions};
use scene::{load, name, record};

const FULL_DIR: &str = "COSCRIBE_TEST_FULL_DIR";
/// Long enough that the disk is full soon, and not a divisor of any limit: the last write is cut short.
const FILLING_BYTES: usize = 1003;

fn filling(sequence: u64) -> Vec<u8> {
    sequence.to_le_bytes().into_iter().cycle().take(FILLING_BYTES).collect()
}

/// As large as what it covers, so that the snapshots need space as well.
fn filled_state(sequence: u64) -> Vec<u8> {
    (1..=sequence).flat_map(filling).collect()
}

fn checkpoint(store: &Store, document: &str, sequence: u64) -> Result<(), StoreError> {
    let (name, state) = (name(document), filled_state(sequence));
    store.checkpoint(&[Checkpoint { name: &name, sequence, time: 1, state: &[&state] }])
}

/// Appends until the disk is full, to a document that is only in the log and to one that is checkpointed. Prints what is durable.
/// Goes on as soon as there is room again.
#[test]
fn filler() {
    let Some(dir) = std::env::var_os(FULL_DIR) else { return };
    let (store, _) = Store::open(Path::new(&dir), StoreOptions::default()).unwrap();
    let names = [name("logged"), name("checkpointed")];
    let append = |name: &DocumentName, sequence| store.append(&[record(name, sequence, &filling(sequence))]);
    let mut sequence = 0;
    let (full, error) = 'full: loop {
        sequence += 1;
        for name in &names {
            if let Err(error) = append(name, sequence) {
                break 'full (name, error);
            }
            println!("\ndurable {name} {sequence}");
        }
        // Before that there is space, and after the first failure the log goes on without checkpoints.
        if sequence % 10 == 0
            && let Err(error) = checkpoint(&store, "checkpointed", sequence)
        {
            assert!(store.checkpoint_failure().is_some());
            println!("\nno checkpoint of {sequence}: {error}");
        }
    };
    assert!(sequence > 100, "the disk was full before anything was written: {error}");
    assert!(matches!(error, StoreError::Scarce { .. }), "{error}");
    println!("\nfull");
    // What did not fit can be tried again and again.
    while let Err(error) = append(full, sequence) {
        assert!(matches!(error, StoreError::Scarce { .. }), "{error}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(store.has_room(10 * FILLING_BYTES));
    println!("\ndurable {full} {sequence}");
    let covered = store.last_sequence(&names[1]);
    checkpoint(&store, "checkpointed", covered).unwrap();
    assert_eq!(store.failure().or(store.checkpoint_failure()), None);
    println!("\nwent on");
}

/// Opens what [`filler`] has left, once there is space again. Prints what is there.
#[test]
fn survivor() {
    let Some(dir) = std::env::var_os(FULL_DIR) else { return };
    let (store, recovery) = Store::open(Path::new(&dir), StoreOptions::default()).unwrap();
    println!("\n{:?}", recovery.warnings());
    assert!(recovery.damage.is_empty() && recovery.unreadable.is_empty(), "{recovery:?}");
    for document in ["logged", "checkpointed"] {
        let stored = load(&store, document).unwrap();
        let covered = stored.covered();
        assert!(stored.snapshot == (covered > 0).then(|| filled_state(covered)));
        assert!(stored.updates.into_iter().eq((covered + 1..=stored.sequence).map(filling)));
        store.append(&[record(&name(document), stored.sequence + 1, b"goes on")]).unwrap();
        checkpoint(&store, document, stored.sequence + 1).unwrap();
        println!("\nstored {document} {}", stored.sequence);
    }
}

/// Runs a shell script that fills a disk, with the directory as `$1` and this program as `$2`. Everything that was durable there
/// must be stored at the end. Returns what was printed.
fn fill_disk(shell: &[&str], script: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(shell[0])
        .args(&shell[1..])
        .args(["-c", script, "fill"])
        .args([dir.path(), &std::env::current_exe().unwrap()])
        .env(FULL_DIR, dir.path().join("data"))
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let last = |what: &str| -> u64 {
        let mut lines = said.lines().filter_map(|line| line.strip_prefix(what));
        lines.next_back().unwrap().trim().parse().unwrap()
    };
    assert!(said.lines().any(|line| line == "full"));
    for document in ["logged", "checkpointed"] {
        let (durable, stored) = (last(&format!("durable {document}")), last(&format!("stored {document}")));
        // The unacknowledged update may be there, whole, or not.
        assert!((durable..=durable + 1).contains(&stored), "{document}: {durable} durable, {stored} stored");
    }
    said
}

#[test]
fn where_a_file_may_not_grow_the_log_goes_on_in_another() {
    // 2 MiB for each file, and the signal that goes with it is ignored: the write fails.
    let script = r#"
        trap "" XFSZ
        (ulimit -f 4096; exec "$2" --exact filler --nocapture) || exit 1
        exec "$2" --exact survivor --nocapture
    "#;
    let said = fill_disk(&["sh"], script);
    assert!(said.lines().any(|line| line == "went on"));
}

#[test]
fn a_full_disk_loses_nothing_that_was_durable_and_the_store_goes_on_when_there_is_room() {
    let shell = ["unshare", "--user", "--map-root-user", "--mount", "sh"];
    let probe = r#"dir=$(mktemp -d) && mount -t tmpfs tmpfs "$dir"; code=$?; umount "$dir"; rmdir "$dir"; exit $code"#;
    let allowed = Command::new(shell[0]).args(&shell[1..]).args(["-c", probe]).output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: this system does not let an ordinary process mount a file system of its own");
        return;
    }
    // Several sizes, so that it is not always the same file that finds the disk full.
    let said = ["5m", "6m", "7m", "8m"].map(|size| {
        let script = r#"
            mount -t tmpfs -o size=SIZE tmpfs "$1" || exit 1
            mkfifo "$1.said" || exit 1
            "$2" --exact filler --nocapture >"$1.said" &
            while read -r line; do
                echo "$line"
                [ "$line" != full ] || mount -o remount,size=64m "$1" || exit 1
            done <"$1.said"
            wait $! || exit 1
            exec "$2" --exact survivor --nocapture
        "#;
        fill_disk(&shell, &script.replace("SIZE", size))
    });
    assert!(said.iter().all(|said| said.lines().any(|line| line == "went on")));
    assert!(said.iter().any(|said| said.contains("no checkpoint")), "the snapshots found it full, too");
}
