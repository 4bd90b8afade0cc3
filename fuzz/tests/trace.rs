//! Recorded updates, read in many orders.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use coscribe_engine::lib0::{Reader, write_var_buf, write_var_uint};
use coscribe_fuzz::edit::{Action, Content, Edit, Root};
use coscribe_fuzz::replica::{Replica, YrsReplica};
use serde_json::Value;

/// What `coscribe-fuzz trace` says as JSON, and its exit code.
fn trace(path: &Path, flags: &[&str]) -> (Value, i32) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coscribe-fuzz"));
    command.arg("trace").arg(path).args(["--json", "--shuffles", "2", "--patience", "5s"]).args(flags);
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    (
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{told}")),
        output.status.code().unwrap(),
    )
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/yjs/fixtures")
}

fn write(at: u32, text: &str) -> Edit {
    let action = Action::Insert { at, content: Content::Text(text.to_owned()) };
    Edit::Change { root: Root::Text, path: Vec::new(), action }
}

/// The updates of a client that writes these texts, each at the beginning.
fn written(client: u64, texts: &[&str]) -> Vec<Bytes> {
    let mut replica = YrsReplica::new(client, false);
    texts.iter().flat_map(|text| replica.edit(&write(0, text)).unwrap()).collect()
}

/// A folder with an update in each file.
fn folder(updates: &[Bytes]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (number, update) in updates.iter().enumerate() {
        fs::write(folder.path().join(format!("{number:03}.yjs")), update).unwrap();
    }
    folder
}

#[test]
fn what_yjs_has_written_is_the_same_in_every_order() {
    for group in ["array", "content", "garbage", "late", "map", "text", "xml"] {
        let (told, code) = trace(&fixtures().join(group).with_extension("bin"), &[]);
        assert_eq!(code, 0, "{group}: {told:#}");
        assert_eq!(told["sound"], true);
        assert!(!told["recordings"].as_array().unwrap().is_empty());
    }
}

#[test]
fn what_is_missing_is_told_and_is_no_finding() {
    let mut updates = written(7, &["a", "b", "c"]);
    updates.remove(1);
    let folder = folder(&updates);
    let (told, code) = trace(folder.path(), &[]);
    assert_eq!(told["recordings"][0]["gaps"], serde_json::json!(["client 7, clock 1"]));
    assert_eq!(code, 0, "{told:#}");
    let (told, code) = trace(&fixtures().join("unfilled.bin"), &[]);
    assert_eq!(code, 0, "{told:#}");
    assert!(
        told["recordings"]
            .as_array()
            .unwrap()
            .iter()
            .all(|recording| recording["gaps"] != serde_json::json!([]))
    );
}

#[test]
fn two_editors_with_one_client_id_are_found() {
    let updates: Vec<_> = written(7, &["left"]).into_iter().chain(written(7, &["right"])).collect();
    let folder = folder(&updates);
    let (told, code) = trace(folder.path(), &[]);
    assert_eq!(code, 1, "{told:#}");
    let findings = told["recordings"][0]["findings"].as_array().unwrap();
    let detail = |finding: &Value| finding["detail"].as_str().unwrap().to_owned();
    assert!(findings.iter().any(|finding| finding["way"] == "reversed"), "{told:#}");
    assert!(
        findings.iter().map(detail).any(|detail| detail.contains("left") || detail.contains("clock")),
        "{told:#}"
    );
}

#[test]
fn files_of_all_formats_are_read() {
    let updates = written(7, &["a", "b"]);
    let mut var_bufs = Vec::new();
    updates.iter().for_each(|update| write_var_buf(&mut var_bufs, update));
    let mut counted = Vec::new();
    write_var_uint(&mut counted, 2);
    counted.extend_from_slice(&var_bufs);
    let fixed = |length: fn(u32) -> [u8; 4]| {
        let len = |update: &Bytes| length(u32::try_from(update.len()).unwrap());
        updates.iter().flat_map(|update| [&len(update), &update[..]].concat()).collect::<Vec<_>>()
    };
    let folder = tempfile::tempdir().unwrap();
    for (file, count) in [
        (var_bufs, 2),
        (counted, 2),
        (fixed(u32::to_le_bytes), 2),
        (fixed(u32::to_be_bytes), 2),
        (updates[0].to_vec(), 1),
    ] {
        let path = folder.path().join("recorded");
        fs::write(&path, file).unwrap();
        let (told, code) = trace(&path, &["--no-yjs"]);
        assert_eq!((code, &told["recordings"][0]["updates"]), (0, &count.into()), "{told:#}");
        assert_eq!(told["recordings"][0]["roots"], serde_json::json!({ "text": "text" }));
    }
}

#[test]
fn what_is_no_recording_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("notes.txt"), "nothing").unwrap();
    for path in [folder.path().to_owned(), folder.path().join("notes.txt"), folder.path().join("missing")] {
        let output =
            Command::new(env!("CARGO_BIN_EXE_coscribe-fuzz")).arg("trace").arg(&path).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", path.display());
    }
}

#[test]
fn recordings_of_others_are_the_same_in_every_order() {
    let Some(corpora) = std::env::var_os("COSCRIBE_CORPORA").map(PathBuf::from) else {
        return eprintln!("skipped: COSCRIBE_CORPORA is not set");
    };
    let (told, code) = trace(&corpora.join("b4-update.bin"), &[]);
    assert_eq!(code, 0, "{told:#}");
    assert_eq!(told["recordings"][0]["elements"], 182_315);
    let folder = tempfile::tempdir().unwrap();
    let cases = folder.path().join("cases.bin");
    fs::write(&cases, some_cases(&fs::read(corpora.join("yjs-random-cases.bin")).unwrap(), 20)).unwrap();
    let (told, code) = trace(&cases, &[]);
    assert_eq!(code, 0, "{told:#}");
    assert_eq!(told["recordings"].as_array().unwrap().len(), 133);
}

/// One in so many of the cases of a file.
fn some_cases(file: &[u8], one_in: u64) -> Vec<u8> {
    let mut reader = Reader::new(file);
    let count = reader.var_uint().unwrap();
    let mut some = Vec::new();
    write_var_uint(&mut some, count.div_ceil(one_in));
    for number in 0..count {
        let start = reader.position();
        for _ in 0..reader.var_uint().unwrap() {
            reader.var_buf().unwrap();
        }
        reader.var_string().unwrap();
        reader.skip_any().unwrap();
        reader.skip_any().unwrap();
        if number % one_in == 0 {
            some.extend_from_slice(reader.read_since(start));
        }
    }
    some
}
