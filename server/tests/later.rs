//! A data directory that a later version has written: each command says so in words, and changes nothing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::process::Command;

use coscribe_persistence::{DocumentName, FORMAT_VERSION, NewRecord, Store, StoreOptions};

#[test]
fn a_directory_of_a_later_version_is_refused_in_words_by_the_server_and_by_each_command() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    let (store, _) = Store::open(&data, StoreOptions::default()).unwrap();
    let name = &DocumentName::new("notes").unwrap();
    let record = NewRecord { name, sequence: 1, time: 1, subject: "", payload: &[0, 0], waits: false };
    store.append(&[record]).unwrap();
    drop(store);
    let segment = data.join("00000001.log");
    let mut later = fs::read(&segment).unwrap();
    later[8..12].copy_from_slice(&(FORMAT_VERSION + 1).to_le_bytes());
    let crc = crc32c::crc32c(&later[..28]).to_le_bytes();
    later[28..32].copy_from_slice(&crc);
    fs::write(&segment, &later).unwrap();
    fs::write(place.path().join("update"), [0, 0]).unwrap();

    let commands: [&[&str]; 4] = [
        &["serve", "--data", "data", "--listen", "127.0.0.1:0"],
        &["verify", "--data", "data"],
        &["export", "--data", "data", "--to", "out"],
        &["import", "--data", "data", "--from", "update", "plan"],
    ];
    for arguments in commands {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coscribe"));
        let output = command.current_dir(place.path()).env_clear().args(arguments).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        let said = format!("has format version {}, and this program reads version", FORMAT_VERSION + 1);
        assert!(stderr.contains(&said), "{arguments:?}: {stderr}");
        assert_eq!(fs::read(&segment).unwrap(), later, "{arguments:?}");
    }
}
