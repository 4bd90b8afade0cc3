//! The suite as it is called, with the bare relay alone: it needs nothing else.

use std::fs;
use std::process::Command;

const PROGRAM: &str = env!("CARGO_BIN_EXE_coscribe-bench");

/// The flags of a suite of one load.
fn suite(out: &str) -> Vec<&str> {
    let load = ["suite", "--servers", "relay", "--only", "20 people in a room", "--seconds", "0.2"];
    [&load[..], &["--no-sweep", "--no-hostile", "--out", out]].concat()
}

#[test]
fn a_suite_that_nobody_reads_writes_its_results() {
    let directory = tempfile::tempdir().expect("a directory");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = Command::new(PROGRAM);
    command.args(suite(directory.path().to_str().expect("a path")));
    command.stdout(writer.try_clone().expect("a pipe")).stderr(writer);
    let status = command.status().expect("it starts");
    assert!(status.code().is_some(), "it does not die: {status}");
    let results = fs::read_to_string(directory.path().join("results.md")).expect("the results");
    assert!(results.contains("20 people in a room"), "{results}");
}

#[test]
fn a_suite_shows_a_bar_on_a_terminal() {
    let directory = tempfile::tempdir().expect("a directory");
    let flags = suite(directory.path().to_str().expect("a path"));
    let command =
        format!("{PROGRAM} {}", flags.join(" ").replace("20 people in a room", "'20 people in a room'"));
    // `script` of util-linux gives a program a terminal.
    let Ok(output) = Command::new("script").args(["-qec", &command, "/dev/null"]).output() else {
        return eprintln!("skipped: there is no `script`");
    };
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("of 1 load, 20 people in a room"), "{shown}");
}
