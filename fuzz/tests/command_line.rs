//! The program as it is called.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_coscribe-fuzz");

fn call(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_search_that_finds_nothing_ends_with_0() {
    let output = call(&["simulate", "--seed", "1", "--runs", "40", "--no-yjs", "--jobs", "2"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let out = stdout(&output);
    assert!(out.starts_with("seed 1: 5 replicas, 0 of them real Yjs; 60 edits\n40 runs ("), "{out}");
    assert!(out.contains(" edits, ") && out.contains("no failure"), "{out}");
}

#[test]
fn the_seed_that_was_taken_is_told() {
    let output = call(&["simulate", "--runs", "1", "--no-yjs", "--edits", "3", "--quiet"]);
    let out = stdout(&output);
    let seed = out.strip_prefix("seed ").and_then(|rest| rest.split_once(':')).unwrap().0;
    assert!(seed.parse::<u64>().unwrap() > 1_600_000_000_000, "{out}");
    assert_eq!(stderr(&output), "");
}

#[test]
fn what_cannot_be_tried_ends_with_2_and_a_reason() {
    let cases: [(&[&str], &str); 16] = [
        (&[], "Usage"),
        (&["simulate", "--runs", "many"], "--runs"),
        (&["simulate", "--time", "10 apples"], "--time"),
        (&["simulate", "--time", "0s"], "longer"),
        (&["simulate", "--runs", "0"], "--runs"),
        (&["simulate", "--replicas", "0"], "1..=100"),
        (&["simulate", "--edits", "18446744073709551615"], "0..=10000"),
        (&["replay", "file.json", "--no-yjs"], "cannot be used with"),
        (&["against", "ws://127.0.0.1:99999"], "is no port"),
        (&["against", "ws://127.0.0.1", "--settle", "0s"], "longer"),
        (&["trace", "/dev/null"], "empty"),
        (&["trace", "/dev/null", "--patience", "0s"], "longer"),
        (&["simulate", "--jobs", "0"], "--jobs"),
        (&["replay"], "--seed"),
        (&["replay", "no-such-file.json"], "no-such-file.json"),
        (&["shrink", "no-such-file.json"], "no-such-file.json"),
    ];
    for (arguments, reason) in cases {
        let output = call(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(reason), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn a_scenario_with_a_misspelt_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scenario.json");
    let with_steps = |steps: &str| {
        fs::write(&file, format!(r#"{{"scenario":{{"seed":1,"replicas":["yrs"],"steps":[{steps}]}}}}"#))
            .unwrap();
        call(&["replay", text(&file)])
    };
    assert_eq!(with_steps(r#"{"after":99,"heal":null}"#).status.code(), Some(0));
    for steps in [
        r#"{"aftr":99,"heal":null}"#,
        r#"{"heal":null,"bogus":1}"#,
        r#"{"cursor":{"replica":0,"stat":1}}"#,
        r#"{"heel":null}"#,
        "{}",
    ] {
        let output = with_steps(steps);
        assert_eq!(output.status.code(), Some(2), "{steps}");
        let error = stderr(&output);
        assert!(error.contains("holds no scenario: ") && error.lines().count() == 1, "{steps}: {error}");
    }
}

#[test]
fn the_help_has_examples() {
    for command in ["simulate", "replay", "shrink"] {
        let help = stdout(&call(&[command, "--help"]));
        assert!(help.contains(&format!("coscribe-fuzz {command} ")), "{help}");
    }
}

#[test]
fn a_replay_is_the_same_to_the_byte() {
    let directory = tempfile::tempdir().unwrap();
    let page = |name: &str| {
        let path = directory.path().join(name);
        let output = call(&["replay", "--seed", "7", "--no-yjs", "--html", text(&path)]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(stdout(&output).ends_with("nothing is wrong\n"), "{output:?}");
        fs::read(path).unwrap()
    };
    assert_eq!(page("a.html"), page("b.html"));
}

#[test]
fn a_search_leaves_a_corpus_and_a_result_for_ci() {
    let directory = tempfile::tempdir().unwrap();
    let (corpus, junit) = (directory.path().join("corpus"), directory.path().join("result.xml"));
    let search = |runs: &str| {
        let size = ["--no-yjs", "--edits", "20", "--jobs", "1"];
        let files = ["--corpus", text(&corpus), "--junit", text(&junit)];
        let output = call(&[&["simulate", "--seed", "1", "--runs", runs], &size[..], &files[..]].concat());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let files = fs::read_dir(&corpus).unwrap().count();
        (stdout(&output).lines().nth(1).unwrap().to_owned(), files)
    };
    let (_, kept) = search("30");
    assert!(kept > 1, "{kept} scenarios");
    let (line, _) = search("8");
    assert!(line.starts_with(&format!("{} runs ", kept + 8)), "the corpus is replayed: {line}");
    let xml = fs::read_to_string(&junit).unwrap();
    assert!(xml.contains("<testcase name=\"runs 0–") && xml.contains("failures=\"0\""), "{xml}");

    let case = fs::read_dir(&corpus).unwrap().next().unwrap().unwrap().path();
    assert_eq!(call(&["replay", text(&case)]).status.code(), Some(0));
    assert_eq!(call(&["shrink", text(&case)]).status.code(), Some(0), "there is nothing to shrink");
}

#[test]
fn ctrl_c_ends_a_search_with_its_result() {
    let mut child = Command::new(PROGRAM)
        .args(["simulate", "--no-yjs", "--jobs", "1", "--edits", "5"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    // The signal is listened to before this is printed.
    out.read_line(&mut line).unwrap();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    let counts_runs = rest.contains(" runs (") || rest.contains("1 run (");
    assert!(counts_runs && rest.contains("no failure"), "{rest}");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_search_that_nobody_reads_goes_on_to_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let junit = directory.path().join("result.xml");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut search = Command::new(PROGRAM);
    search.args(["simulate", "--seed", "1", "--runs", "40", "--no-yjs", "--junit", text(&junit)]);
    search.stdout(writer.try_clone().unwrap()).stderr(writer);
    assert_eq!(search.status().unwrap().code(), Some(0));
    assert!(fs::read_to_string(&junit).unwrap().contains("failures=\"0\""));
}

#[test]
fn a_search_shows_a_line_now_and_then_and_a_bar_on_a_terminal() {
    let search = ["simulate", "--no-yjs", "--jobs", "1", "--edits", "5"];
    let mut child =
        Command::new(PROGRAM).args(search).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains(" runs, ") && line.contains("no failure"), "{line}");
    child.kill().unwrap();
    child.wait().unwrap();

    // `script` of util-linux gives a program a terminal.
    let command = format!("{PROGRAM} {} --seed 1 --runs 200", search.join(" "));
    let Ok(shown) = Command::new("script").args(["-qec", &command, "/dev/null"]).output() else {
        return eprintln!("skipped: there is no `script`");
    };
    let shown = stdout(&shown);
    assert!(
        shown.contains("of 200 runs") && shown.contains('█') && shown.contains("no failure in"),
        "{shown}"
    );
}

#[cfg(feature = "planted-bugs")]
#[test]
fn what_is_found_can_be_replayed_and_ends_with_1() {
    let directory = tempfile::tempdir().unwrap();
    let (failures, junit) = (directory.path().join("failures"), directory.path().join("result.xml"));
    let plant = ["--plant", "drop-delete-set"];
    let into = ["--failures", text(&failures)];
    let search = ["simulate", "--seed", "1", "--no-yjs", "--jobs", "1", "--junit", text(&junit)];
    let output = call(&[&search[..], &plant, &into].concat());
    assert_eq!(output.status.code(), Some(1), "{output:?}");

    let files: Vec<_> = fs::read_dir(&failures).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 4, "{files:?}");
    let case =
        files.iter().find(|path| path.extension().is_some_and(|extension| extension == "json")).unwrap();
    let replay = format!("coscribe-fuzz replay {} --plant drop-delete-set", case.display());
    assert!(stdout(&output).contains(&replay), "{output:?}");
    assert!(fs::read_to_string(&junit).unwrap().contains(&replay));

    let replayed = call(&[&["replay", text(case)][..], &plant].concat());
    assert_eq!(replayed.status.code(), Some(1), "{replayed:?}");
    let first = stdout(&output).lines().nth(1).unwrap().to_owned();
    assert_eq!(stdout(&replayed).lines().nth(1), Some(first.as_str()), "the same failure, to the letter");
    assert_eq!(call(&["replay", text(case)]).status.code(), Some(0), "without the bug nothing is wrong");

    let before = fs::read(case).unwrap();
    let shrunk = call(&[&["shrink", text(case)][..], &plant, &into].concat());
    assert_eq!(
        (shrunk.status.code(), fs::read(case).unwrap()),
        (Some(1), before),
        "it is as small as it gets"
    );
}

#[cfg(feature = "planted-bugs")]
#[test]
fn a_search_that_keeps_going_counts_all_failures_and_shrinks_a_few() {
    let directory = tempfile::tempdir().unwrap();
    let size = ["simulate", "--seed", "1", "--runs", "30", "--no-yjs", "--keep-going"];
    let flags = ["--plant", "slice-off-by-one", "--failures", text(directory.path())];
    let output = call(&[&size[..], &flags].concat());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let out = stdout(&output);
    let last = out.lines().last().unwrap();
    assert!(last.starts_with("30 runs (") && last.contains(" failures in "), "{out}");
    let found = out.lines().filter(|line| line.starts_with("  page ")).count();
    assert!((2..=12).contains(&found), "{out}");
}
