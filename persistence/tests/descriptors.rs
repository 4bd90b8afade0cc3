//! Where the process has no descriptor left, what needs one fails, and succeeds when there are some again.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod scene;

use std::fs::File;
use std::path::Path;
use std::process::Command;

use coscribe_persistence::{Store, StoreError, StoreOptions};
use scene::*;

const DIR: &str = "COSCRIBE_TEST_DESCRIPTORS_DIR";

/// Takes all descriptors that are left.
fn take_all() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

/// Not a test by itself: the process that has few descriptors. Each record needs a new segment.
#[test]
fn victim() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let options = StoreOptions { segment_bytes: 40, ..StoreOptions::default() };
    let (store, _) = Store::open(Path::new(&dir), options).unwrap();
    write(&store, "a", 1..=2);
    write(&store, "b", 1..=1);
    write(&store, "a", 3..=3);
    let (a, payload) = (name("a"), payload("a", 4));
    let append = || store.append(&[record(&a, 4, &payload)]);
    // None at all, and one, which is enough for the file and not for its directory.
    for spare in [0, 1] {
        let mut held = take_all();
        held.truncate(held.len() - spare);
        let error = append().unwrap_err();
        assert!(matches!(error, StoreError::Scarce { .. }), "{error}");
        assert!(error.to_string().contains("no resources left"), "{error}");
        assert_eq!(store.failure(), None);
    }
    let held = take_all();
    checkpoint(&store, "a", 2).unwrap_err();
    // Its segment can go, and the directory cannot be synced then.
    let _ = store.delete(&name("b"));
    store.mark().unwrap();
    assert_eq!((store.failure(), load(&store, "b")), (None, None));
    drop(held);
    append().unwrap();
    checkpoint(&store, "a", 4).unwrap();
    write(&store, "a", 5..=5);
    assert_eq!(store.failure().or(store.checkpoint_failure()), None);
    assert_eq!(load(&store, "a"), covered("a", 4, 5));
    println!("\nwent on");
}

#[test]
fn a_segment_or_a_checkpoint_that_finds_no_descriptor_is_made_when_there_are_some_again() {
    let scene = Scene::new();
    let output = Command::new("sh")
        .args(["-c", r#"ulimit -n 128; exec "$1" --exact victim --nocapture"#, "limited"])
        .arg(std::env::current_exe().unwrap())
        .env(DIR, scene.path().join("data"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("went on"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let (store, recovery) = Store::open(&scene.path().join("data"), StoreOptions::default()).unwrap();
    assert_eq!(recovery.warnings(), Vec::<String>::new());
    assert_eq!(load(&store, "a"), covered("a", 4, 5));
    assert_eq!(load(&store, "b"), None);
}
