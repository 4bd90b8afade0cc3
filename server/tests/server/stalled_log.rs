//! The reader of stderr stalls: the server goes on.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use tempfile::tempdir;

use crate::client::Client;
use crate::process::{Server, coscribe, http};

fn serve(data: &std::path::Path) -> Command {
    let mut command = coscribe();
    command.env("COSCRIBE_LOG", "debug");
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data);
    command
}

/// A handshake that the log has lines of: each comes from somebody else.
async fn bad_handshake(server: &Server, n: usize) {
    let from = format!("198.51.{}.{}", n / 250, n % 250);
    let request = format!(
        "GET /{} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\nX-Forwarded-For: {from}\r\n\
         Origin: https://{}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        "n".repeat(1024),
        "x".repeat(1000),
    );
    let answer = http(server.address, &request).await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_stops_nobody() {
    let data = tempdir().unwrap();
    let (server, stderr) = Server::with_stderr(serve(data.path()), Stdio::piped());
    let mut person = Client::connect(server.address, "doc").await;
    for n in 0..2_000 {
        bad_handshake(&server, n).await;
    }
    let mut n = 2_000;
    while server.metric("coscribe_log_lines_dropped_total").await == 0.0 {
        bad_handshake(&server, n).await;
        n += 1;
    }
    person.save("saved").await;
    assert!(server.get("/healthz").await.contains("alive"));
    let mut lines = BufReader::new(stderr.unwrap()).lines().map(Result::unwrap);
    let told = tokio::task::spawn_blocking(move || {
        let told = lines.any(|line| line.contains("stderr was not read: lines of the log were dropped"));
        (told, lines)
    });
    let (told, mut lines) = told.await.unwrap();
    assert!(told);
    server.signal("TERM");
    let last = tokio::task::spawn_blocking(move || lines.any(|line| line.contains("SIGTERM: shutting down")));
    assert!(last.await.unwrap(), "the log goes on, to its end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_ends_although_nobody_reads_its_log() {
    let data = tempdir().unwrap();
    let (mut server, stderr) = Server::with_stderr(serve(data.path()), Stdio::piped());
    let mut n = 0;
    while server.metric("coscribe_log_lines_dropped_total").await == 0.0 {
        bad_handshake(&server, n).await;
        n += 1;
    }
    server.signal("TERM");
    assert!(server.ended().await.success());
    drop(stderr);
}

#[test]
fn a_server_that_cannot_start_says_why_in_its_last_line() {
    let data = tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for format in ["text", "json"] {
        let mut command = coscribe();
        command.args(["serve", "--listen", &address, "--log-format", format, "--data"]).arg(data.path());
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1));
        let last = said.lines().last().unwrap();
        assert!(last.starts_with("error: cannot listen on "), "{said}");
    }
}
