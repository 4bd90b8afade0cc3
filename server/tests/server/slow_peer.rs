//! A peer that does not read: it costs little, disturbs nobody, and is resynced on the same connection.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tempfile::tempdir;
use tokio::net::{TcpSocket, TcpStream};

use crate::client::Client;
use crate::process::Server;

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_stops_reading_for_30_mb_converges_on_the_same_connection() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &["--outbox-bytes", "256KiB"]);
    let mut slow = Client::over(narrow(server.address).await, "doc").await;
    slow.synced().await;
    let mut writer = Client::connect(server.address, "doc").await;
    let mut reader = Client::connect(server.address, "doc").await;
    reader.synced().await;

    // Text that replaces itself: 30 MB go over the wire, and little of it stays in the document.
    let text = |n: u32| format!("{n:04}{}", "x".repeat(100_000));
    let mut n = 0;
    while !server.log().contains("lagging") {
        writer.replace(&text(n)).await;
        reader.shows(|shown| shown == text(n)).await;
        n += 1;
    }
    let before = server.memory();
    let last = n + 300;
    while n < last {
        n += 1;
        writer.replace(&text(n)).await;
        reader.shows(|shown| shown == text(n)).await;
    }
    server.memory_settles(before, 15 << 20).await;
    assert_eq!(server.log().matches("lagging").count(), 1, "only the slow one");

    tokio::time::timeout(Duration::from_secs(60), slow.shows(|shown| shown == text(last))).await.unwrap();
    assert_eq!(slow.text(), writer.text());
    slow.write("!").await.unwrap();
    reader.shows(|text| text.ends_with('!')).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_queued_behind_a_full_socket_follows_of_itself_when_the_peer_reads() {
    let data = tempdir().unwrap();
    // Nothing else that would make the server look after the connection.
    let flags = ["--outbox-bytes", "64MiB", "--keep-alive", "10m", "--ping-interval", "10m"];
    let server = Server::start(data.path(), &flags);
    let mut slow = Client::over(narrow(server.address).await, "doc").await;
    slow.synced().await;
    let mut writer = Client::connect(server.address, "doc").await;
    let mut reader = Client::connect(server.address, "doc").await;
    // More than the kernel takes of what nobody reads.
    let text = |n: u32| format!("{n:04}{}", "x".repeat(100_000));
    for n in 1..=150 {
        writer.replace(&text(n)).await;
        reader.shows(|shown| shown == text(n)).await;
    }
    slow.shows(|shown| shown == text(150)).await;
    assert!(!server.log().contains("lagging"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_with_a_full_socket_is_not_taken_for_dead_by_pings_but_by_the_stall_timeout() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &["--ping-interval", "1s", "--stall-timeout", "6s"]);
    let mut slow = Client::over(narrow(server.address).await, "doc").await;
    slow.synced().await;
    let mut writer = Client::connect(server.address, "doc").await;
    let mut n = 0;
    while !server.log().contains("lagging") {
        n += 1;
        writer.save(&format!("<{n}>{}", "x".repeat(100_000))).await;
    }
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(4) {
        writer.save("y").await;
    }
    assert!(!server.log().contains("no sign of life"), "two ping intervals have passed, but it is only slow");
    while !server.log().contains("no sign of life") {
        writer.save("y").await;
    }
    assert!(start.elapsed() < Duration::from_secs(20));
}

/// A TCP connection with a small receive buffer, so that the kernel does not hold all that is sent to it.
async fn narrow(server: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    socket.connect(server).await.unwrap()
}

#[tokio::test]
async fn a_peer_that_is_gone_without_a_word_is_found_by_pings() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &["--ping-interval", "200ms"]);
    let mut dead = Client::connect(server.address, "doc").await;
    dead.synced().await;
    // It does not read, so it does not answer pings either, and the kernel has room for all that is sent to it.
    server.logs("no sign of life").await;
}

#[tokio::test]
async fn a_quiet_connection_gets_keep_alive_messages_and_stays_open() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &["--ping-interval", "500ms", "--keep-alive", "100ms"]);
    let mut quiet = Client::connect(server.address, "doc").await;
    quiet.synced().await;
    for _ in 0..20 {
        quiet.keep_alive().await;
    }
    assert!(!server.log().contains("no sign of life"));
}
