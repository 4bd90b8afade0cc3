//! What is left after a process was killed. The test has a file of its own, since a child process that is being started shares
//! its parent's open files and locks for a moment: no other test could reopen its store.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod scene;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use coscribe_persistence::{Store, StoreOptions};
use scene::*;

const VICTIM_DIR: &str = "COSCRIBE_TEST_VICTIM_DIR";

/// Not a test by itself: the process that the next test kills. It prints each record that is durable.
#[test]
fn victim() {
    let Some(dir) = std::env::var_os(VICTIM_DIR) else { return };
    let options = StoreOptions { segment_bytes: 2000, ..StoreOptions::default() };
    let (store, recovery) = Store::open(Path::new(&dir), options).unwrap();
    assert!(recovery.damage.is_empty() && recovery.unreadable.is_empty(), "{recovery:?}");
    for sequence in store.last_sequence(&name("a")) + 1.. {
        write(&store, "a", sequence..=sequence);
        println!("\ndurable {sequence}");
        if sequence % 7 == 0 {
            checkpoint(&store, "a", sequence).unwrap();
        }
    }
}

#[test]
fn a_killed_process_loses_nothing_that_was_durable() {
    let scene = Scene::new();
    let mut durable = 0;
    for round in 1..=12 {
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "victim", "--nocapture"])
            .env(VICTIM_DIR, scene.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(victim.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut said =
            lines.filter_map(|line| line.strip_prefix("durable ").map(|number| number.parse().unwrap()));
        durable = said.by_ref().take(round * 9).last().unwrap_or(durable);
        victim.kill().unwrap();
        durable = said.last().unwrap_or(durable);
        victim.wait().unwrap();

        let (store, recovery) = scene.open();
        assert!(recovery.damage.is_empty() && recovery.unreadable.is_empty(), "{recovery:?}");
        let stored = load(&store, "a").unwrap();
        assert!(stored.sequence >= durable, "{} of {durable}", stored.sequence);
        let snapshot = stored.covered();
        assert_eq!(stored.updates, payloads("a", snapshot + 1..=stored.sequence));
        assert_eq!(stored.snapshot, (snapshot > 0).then(|| state("a", snapshot)));
    }
    assert!(durable > 500, "the processes must have got somewhere: {durable}");
}
