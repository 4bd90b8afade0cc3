//! Files of a later version: they are refused in words, and the directory is left as it is.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod scene;

use std::fs;
use std::path::{Path, PathBuf};

use coscribe_persistence::{FORMAT_VERSION, ReadOptions, Store, StoreError, verify};
use scene::*;

/// Raises the version in the header of a segment by one.
fn raise(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[8..12].copy_from_slice(&(FORMAT_VERSION + 1).to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..28]).to_le_bytes();
    bytes[28..32].copy_from_slice(&crc);
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_log_segment_a_snapshot_segment_or_a_catalog_of_a_later_version_is_refused_and_everything_is_left_alone()
{
    for file in ["00000001.log", "snapshots/00000001.states", "catalog"] {
        let scene = Scene::new();
        let store = scene.open_clean();
        write(&store, "a", 1..=2);
        checkpoint(&store, "a", 2).unwrap();
        write(&store, "a", 3..=3);
        drop(store);
        let later: PathBuf = scene.path().join(file);
        raise(&later);
        let before = contents(scene.path());
        let opened = Store::open(scene.path(), scene.options.clone()).map(drop);
        let verified = verify(scene.path(), &ReadOptions::default()).map(drop);
        for error in [opened.unwrap_err(), verified.unwrap_err()] {
            let StoreError::UnknownVersion { path, version } = &error else { panic!("{file}: {error}") };
            assert_eq!((path, *version), (&later, FORMAT_VERSION + 1));
            assert!(error.to_string().contains("use the version of coscribe that wrote it"), "{error}");
        }
        assert_eq!(contents(scene.path()), before, "{file}");
    }
}

#[test]
fn verify_names_the_version_of_the_format() {
    let scene = Scene::new();
    drop(scene.open_clean());
    let report = verify(scene.path(), &ReadOptions::default()).unwrap().to_string();
    assert!(report.contains(&format!("data format: version {FORMAT_VERSION}\n")), "{report}");
}
