//! What is seen of long work: a bar on a terminal, nothing of short work elsewhere.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::thread;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::Place;
use crate::documents::text;

/// A terminal: the end of the person, and that of programs.
fn terminal() -> (OwnedFd, OwnedFd) {
    let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&person).unwrap();
    unlockpt(&person).unwrap();
    let name = ptsname(&person, Vec::new()).unwrap();
    let program = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    (person, program)
}

/// What a command shows whose stderr, or stdout as well, is a terminal.
fn shown(mut command: Command, with_stdout: bool) -> (Option<i32>, String) {
    let (person, program) = terminal();
    let reader = thread::spawn(move || {
        let mut shown = Vec::new();
        // It ends with an error when the last program has closed it.
        let _ = File::from(person).read_to_end(&mut shown);
        String::from_utf8_lossy(&shown).into_owned()
    });
    let stdout = if with_stdout { program.try_clone().unwrap().into() } else { Stdio::null() };
    let status = command.env("TERM", "xterm").stdout(stdout).stderr(program).status().unwrap();
    // Its copies of the terminal's descriptors are closed with it.
    drop(command);
    (status.code(), reader.join().unwrap())
}

#[test]
fn long_work_shows_a_bar_on_a_terminal_and_short_work_nothing_elsewhere() {
    let place = Place::new();
    for number in 0..20 {
        place.store(&format!("document-{number}"), &[text(1, 0, "hello")]);
    }
    for arguments in [
        &["verify", "--data", "data"][..],
        &["export", "--data", "data", "--to", "archive"],
        &["import", "--data", "copy", "--from", "archive"],
    ] {
        let (code, shown) = shown(place.command(arguments), false);
        assert_eq!(code, Some(0), "{shown:?}");
        assert!(shown.contains("of 20 documents") && shown.contains('█'), "{arguments:?}: {shown:?}");
    }
    place.run(&["verify", "--data", "copy"]).expect(0, "20 documents", "");
    let run = place.run(&["export", "--data", "data", "--to", "again"]).expect(0, "20 documents", "");
    assert_eq!(run.stderr, "");
}

#[test]
fn an_update_is_not_written_to_a_terminal() {
    let place = Place::new();
    place.store("a", &[text(1, 0, "hello")]);
    let export = ["export", "a", "--data", "data", "--to", "-"];
    let (code, said) = shown(place.command(&export), true);
    assert!(code == Some(1) && said.contains("an update is binary, and stdout is a terminal"), "{said}");
    let (code, said) = shown(place.command(&[&export[..], &["--as", "text"]].concat()), true);
    assert!(code == Some(0) && said.contains("hello"), "{said}");
}

#[test]
fn the_conformance_suite_shows_how_far_it_is_and_keeps_its_log() {
    if Command::new("python3").arg("--version").output().is_err() {
        return eprintln!("skipped: there is no python3");
    }
    let place = Place::new();
    let said = "Ok, will run 2 test cases against 1 servers\nRunning test case ID 1.1.1 for agent coscribe\n";
    fs::write(place.path("said"), said).unwrap();
    let mut command = Command::new("python3");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/progress.py");
    command.arg(script).arg(place.path("log")).stdin(File::open(place.path("said")).unwrap());
    let (code, shown) = shown(command, false);
    assert!(code == Some(0) && shown.contains("1 of 2 cases") && shown.contains('#'), "{shown:?}");
    assert_eq!(fs::read_to_string(place.path("log")).unwrap(), said);
}
