//! Who may come in: what the server wants to know before it starts, and what it records of those who write.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::tempdir;

use crate::client::Client;
use crate::process::{Server, coscribe};

/// A secret for tokens.
const SECRET: &str = "a secret of more than thirty-two bytes, for tests";

/// What a command says that ends.
fn ended(command: &mut Command) -> (bool, String) {
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

/// A token that `coscribe token` signs.
fn token(args: &[&str]) -> String {
    let (success, text) =
        ended(coscribe().args(["token", "--access-secret", SECRET, "--expires", "1h"]).args(args));
    assert!(success, "{text}");
    text.trim().to_owned()
}

#[tokio::test]
async fn where_others_could_reach_it_the_server_does_not_start_before_it_knows_who_may_come_in() {
    let data = tempdir().unwrap();
    let serve = || {
        let mut command = coscribe();
        command.args(["serve", "--listen", "0.0.0.0:0", "--data"]).arg(data.path());
        command
    };
    let (success, text) = ended(&mut serve());
    assert!(!success);
    for way in ["--anonymous", "--access-secret", "--access-keys", "--access-ask", "127.0.0.1"] {
        assert!(text.contains(way), "{text}");
    }
    for (flag, value) in [
        ("--anonymous", "write"),
        ("--anonymous", "none"),
        ("--access-secret", SECRET),
        ("--access-ask", "http://127.0.0.1:1/"),
        ("--y-sweet-key", "0123456789abcdef"),
    ] {
        let mut command = serve();
        command.args([flag, value]);
        Server::spawn(command).stop().await;
    }
}

#[tokio::test]
async fn each_update_is_recorded_with_the_subject_who_wrote_it() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &["--access-secret", SECRET]);
    let mut editors = Vec::new();
    for subject in ["user-17", "user-18"] {
        let token = token(&["--subject", subject, "--write", "team/**"]);
        editors.push(Client::connect(server.address, &format!("team/plan?token={token}")).await);
    }
    for editor in &mut editors {
        editor.write("x").await.unwrap();
        let receipt = editor.ask().await.unwrap();
        editor.acknowledged(receipt).await.unwrap();
    }
    let log = everything_below(data.path());
    for subject in ["user-17", "user-18"] {
        assert!(log.windows(subject.len()).any(|bytes| bytes == subject.as_bytes()), "{subject}");
    }
}

/// The bytes of all files of a directory.
fn everything_below(directory: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        bytes.extend(if path.is_dir() { everything_below(&path) } else { fs::read(path).unwrap() });
    }
    bytes
}
