//! Commands whose output nobody reads: they do the same work.

use std::fs::{self, File};
use std::io::{Read, Write, pipe};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Place;
use crate::documents::text;

/// How long a server may take for anything, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A pipe that nobody reads.
fn closed() -> Stdio {
    let (_, writer) = pipe().unwrap();
    writer.into()
}

/// The exit code of a command without readers.
fn unread(mut command: Command) -> Option<i32> {
    command.stdout(closed()).stderr(closed()).status().unwrap().code()
}

#[test]
fn an_import_stores_all_documents_though_nobody_reads_what_it_says() {
    let place = Place::new();
    let names: Vec<_> = (0..16).map(|number| format!("document-{number:02}")).collect();
    for name in &names {
        place.store(name, &[text(1, 0, name)]);
    }
    place.run(&["export", "--data", "data", "--to", "archive"]).expect(0, "16 documents", "");
    // Every second one is there, which is said on stderr, line by line.
    for name in names.iter().step_by(2) {
        place.run(&["import", name, "--data", "copy", "--from", "archive"]).expect(0, "1 document", "");
    }
    let import = place.command(&["import", "--data", "copy", "--from", "archive"]);
    assert_eq!(unread(import), Some(1));
    place.run(&["verify", "--data", "copy"]).expect(0, "16 documents looked into: all sound", "");
}

#[test]
fn a_command_that_nobody_reads_ends_as_any_other() {
    let place = Place::new();
    place.store("sound", &[text(1, 0, "a")]);
    place.store("malformed", &[vec![1, 2, 3]]);
    let token = ["token", "--subject", "a", "--write", "a", "--access-secret", &"s".repeat(32)];
    for (arguments, code) in [
        (&["verify", "--data", "data"][..], 1),
        (&["verify", "--data", "none"], 2),
        (&["export", "--data", "data", "--to", "all"], 1),
        (&["export", "sound", "--data", "data", "--to", "one"], 0),
        (&["export", "sound", "--data", "data", "--to", "-"], 0),
        (&["key", "new", "--data", "data"], 0),
        (&["key", "list", "--data", "data"], 0),
        (&["key", "new", "--data", "data"], 1),
        (&token, 0),
        (&["token", "inspect", "nonsense"], 1),
        (&["health", "--listen", "127.0.0.1:1"], 1),
        (&["generate", "out"], 0),
        (&["--help"], 0),
        (&["--version"], 0),
        (&["--grase", "1s"], 2),
    ] {
        assert_eq!(unread(place.command(arguments)), Some(code), "{arguments:?}");
    }
    assert!(place.path("all/manifest.json").exists() && place.path("one").exists());
    place.run(&["key", "list", "--data", "data"]).expect(0, "default", "");
}

/// A full disk is no reader who had enough.
#[test]
fn what_cannot_be_written_is_an_error() {
    let place = Place::new();
    place.store("a", &[text(1, 0, "a")]);
    for arguments in [&["export", "a", "--data", "data", "--to", "-"][..], &["key", "new", "--data", "data"]]
    {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = place.command(arguments).stdout(full).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.starts_with("error: cannot write to stdout: No space left"), "{said}");
    }
}

/// The answer to a request, as soon as there is one.
fn answer(address: SocketAddr) -> String {
    let start = Instant::now();
    loop {
        if let Ok(mut socket) = TcpStream::connect(address) {
            let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
            socket.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            socket.read_to_string(&mut answer).unwrap();
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "no answer");
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_server_serves_though_nobody_reads_its_log() {
    let place = Place::new();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let listen = address.to_string();
    let mut command = place.command(&["--listen", &listen, "--data", "data", "--log", "debug"]);
    let mut server = command.stdout(closed()).stderr(closed()).spawn().unwrap();
    for _ in 0..3 {
        assert!(answer(address).contains("alive"));
    }
    let kill = Command::new("kill").args(["-s", "TERM", &server.id().to_string()]).status().unwrap();
    assert!(kill.success());
    assert!(server.wait().unwrap().success());
    assert!(fs::exists(place.path("data/catalog")).unwrap());
}
