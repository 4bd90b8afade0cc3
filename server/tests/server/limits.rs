//! What there may be too much of, and what is said then.

use std::future::pending;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tempfile::tempdir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::client::Client;
use crate::process::{PATIENCE, Server};

/// A WebSocket that is held open, or the HTTP answer that says why there is none.
async fn open(server: &Server, path: &str, forwarded_for: &str) -> Result<TcpStream, String> {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let forwarded = match forwarded_for {
        "" => String::new(),
        hops => format!("X-Forwarded-For: {hops}\r\n"),
    };
    let request = format!(
        "GET /{path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{forwarded}\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let length = timeout(PATIENCE, stream.read(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
    if answer.starts_with("HTTP/1.1 101 ") { Ok(stream) } else { Err(answer) }
}

fn refused(opened: Result<TcpStream, String>, status: &str, reason: &str) {
    let answer = opened.expect_err("it was accepted");
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(reason), "{answer}");
}

#[tokio::test]
async fn no_more_connections_than_configured_are_open_in_all() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &["--max-connections", "2"]);
    let one = open(&server, "one", "").await.unwrap();
    let _two = open(&server, "two", "").await.unwrap();
    refused(open(&server, "three", "").await, "503", "too many connections");
    assert!(server.get("/healthz").await.contains("alive"), "whoever watches the server is still answered");
    drop(one);
    server.logs("gone").await;
    open(&server, "three", "").await.unwrap();
}

#[tokio::test]
async fn connections_from_one_address_are_limited_and_a_forged_header_does_not_help() {
    let data = tempdir().unwrap();
    let flags =
        ["--max-connections-per-address", "2", "--trusted-proxies", "10.0.0.0/8", "--anonymous", "write"];
    let server = Server::start(data.path(), &flags);
    let _one = open(&server, "doc", "").await.unwrap();
    let _two = open(&server, "doc", "198.51.100.1").await.unwrap();
    refused(open(&server, "doc", "198.51.100.2").await, "429", "127.0.0.1");
}

#[tokio::test]
async fn behind_a_trusted_proxy_it_is_the_address_behind_it_that_counts() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &["--max-connections-per-address", "2", "--anonymous", "write"]);
    let _one = open(&server, "doc", "203.0.113.66, 198.51.100.1").await.unwrap();
    let _two = open(&server, "doc", "198.51.100.1").await.unwrap();
    refused(open(&server, "doc", "198.51.100.77, 198.51.100.1").await, "429", "198.51.100.1");
    let _other = open(&server, "doc", "198.51.100.2").await.unwrap();
    let _unknown = [open(&server, "doc", "").await.unwrap(), open(&server, "doc", "").await.unwrap()];
    open(&server, "doc", "").await.unwrap();
}

#[tokio::test]
async fn connections_to_one_document_are_limited_and_those_to_others_are_not() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &["--max-connections-per-document", "2"]);
    let mut one = Client::connect(server.address, "doc").await;
    let mut two = Client::connect(server.address, "doc").await;
    one.synced().await;
    two.synced().await;
    let mut three = Client::connect(server.address, "doc").await;
    Client::connect(server.address, "other").await.synced().await;
    let CloseFrame { code, reason } = three.close_frame().await;
    assert!(u16::from(code) == 1013 && reason.contains("to this document"), "{code} {reason}");
    one.leave().await;
    server.logs("closed by its peer").await;
    Client::connect(server.address, "doc").await.synced().await;
}

#[tokio::test]
async fn a_crowd_before_one_document_keeps_nobody_from_another() {
    let data = tempdir().unwrap();
    let flags = ["--max-connections", "3", "--max-connections-per-document", "1"];
    let server = Server::start(data.path(), &flags);
    let mut member = Client::connect(server.address, "doc").await;
    member.synced().await;
    let mut crowd = Vec::new();
    for refused in 1..=6 {
        crowd.push(Client::connect(server.address, "doc").await);
        server.logs_times("too many connections to this document", refused).await;
    }
    Client::connect(server.address, "other").await.synced().await;
    for mut refused in crowd {
        assert_eq!(u16::from(refused.close_frame().await.code), 1013);
    }
}

#[tokio::test]
async fn whoever_is_slow_with_a_header_or_sends_none_is_let_go() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &["--header-timeout", "300ms"]);
    let start = Instant::now();
    for beginning in ["", "GET /doc HTTP/1.1\r\nHost: localhost\r\nUpgrade: webso"] {
        let mut slow = TcpStream::connect(server.address).await.unwrap();
        slow.write_all(beginning.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        timeout(PATIENCE, slow.read_to_end(&mut answer)).await.expect("still connected").unwrap();
        assert!(!answer.starts_with(b"HTTP/1.1 101"));
    }
    assert!(start.elapsed() > Duration::from_millis(500));
    // The time for the header is not a time for the WebSocket.
    let mut client = Client::connect(server.address, "doc").await;
    client.save("in time").await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    client.save(", and later").await;
}

#[tokio::test]
async fn a_burst_is_slowed_down_and_nothing_of_it_is_lost() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &["--max-messages-per-second", "200"]);
    let mut reader = Client::connect(server.address, "doc").await;
    reader.synced().await;
    let mut writer = Client::connect(server.address, "doc").await;
    let start = Instant::now();
    for _ in 0..800 {
        writer.write("x").await.unwrap();
    }
    let done = writer.ask().await.unwrap();
    reader.shows(|text| text.len() == 800).await;
    writer.acknowledged(done).await.unwrap();
    assert!(start.elapsed() > Duration::from_millis(2900), "{:?}", start.elapsed());
    writer.save("and on").await;
}

/// Sends as fast as it can until it is closed.
async fn flood(server: &Server, message: Bytes) -> CloseFrame {
    let mut client = Client::connect(server.address, "doc").await;
    let (mut sink, mut stream) = client.line.socket().split();
    let flood = async {
        while sink.feed(Message::Binary(message.clone())).await.is_ok() {
            tokio::task::yield_now().await;
        }
        pending().await
    };
    let close = async {
        loop {
            match stream.next().await.expect("no Close frame").unwrap() {
                Message::Close(frame) => return frame.expect("a Close frame with a code"),
                _ => continue,
            }
        }
    };
    tokio::select! {
        close = timeout(PATIENCE, close) => close.expect("not closed"),
        never = flood => never,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_sends_too_much_for_too_long_is_closed() {
    let data = tempdir().unwrap();
    let flags = ["--max-messages-per-second", "1000", "--max-bytes-per-second", "1MB"];
    let server = Server::start(data.path(), &flags);
    let mut bystander = Client::connect(server.address, "doc").await;
    bystander.synced().await;
    let large: Vec<u8> = [&[1, 0x80, 0x80, 0x02][..], &[0; 32 << 10]].concat();
    let start = Instant::now();
    let (many, much) =
        tokio::join!(flood(&server, Bytes::from_static(&[3])), flood(&server, Bytes::from(large)));
    assert!(start.elapsed() > Duration::from_secs(9), "neither is closed for a burst");
    for close in [many, much] {
        assert!(u16::from(close.code) == 1013 && close.reason.contains("too many"), "{close}");
    }
    bystander.save("undisturbed").await;
}

#[tokio::test]
async fn a_document_does_not_become_larger_than_configured() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &["--max-document-bytes", "100KB"]);
    let mut reader = Client::connect(server.address, "doc").await;
    let mut writer = Client::connect(server.address, "doc").await;
    writer.save(&"x".repeat(60_000)).await;
    writer.write(&"y".repeat(60_000)).await.unwrap();
    let close = writer.close_frame().await;
    assert!(u16::from(close.code) == 1009 && close.reason.contains("document"), "{close}");
    reader.shows(|text| text.len() == 60_000).await;
    reader.save("still editable").await;
}
