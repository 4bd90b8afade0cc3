//! The process, or its machine, is stopped for a while: nobody is parted for that.

use std::time::Duration;

use coscribe_engine::dialect::y_websocket::{awareness_frame, sync_status_frame};
use coscribe_engine::lib0::write_var_buf;
use tempfile::tempdir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::client::Client;
use crate::process::Server;
use crate::raw::Raw;

/// Several times as long as a peer may be silent, with these pings.
const PAUSE: Duration = Duration::from_secs(5);

const PINGS: [&str; 6] = ["--ping-interval", "1s", "--stall-timeout", "2s", "--header-timeout", "2s"];

/// Stops the server for a while.
async fn pause(server: &Server) {
    server.signal("STOP");
    sleep(PAUSE).await;
    server.signal("CONT");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_pause_everybody_has_their_time_again() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &PINGS);
    let mut writers = Vec::new();
    for n in 0..20 {
        let mut writer = Client::connect(server.address, "doc").await;
        writer.save("begin ").await;
        let (stop, mut stopped) = oneshot::channel::<()>();
        let writing = tokio::spawn(async move {
            while stopped.try_recv().is_err() {
                writer.write("x").await.unwrap();
                writer.reads_what_there_is(Duration::from_millis(20)).await;
            }
            writer.save(&format!("<{n}>")).await;
            writer
        });
        writers.push((stop, writing));
    }
    let mut silent = Client::connect(server.address, "doc").await;
    silent.synced().await;
    let mut halfway = TcpStream::connect(server.address).await.unwrap();
    halfway.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
    pause(&server).await;
    halfway.write_all(b"Host: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    halfway.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("alive"), "{answer}");
    server.logs("all are given their time again").await;
    let mut all = Vec::new();
    for (stop, writing) in writers {
        stop.send(()).unwrap();
        all.push(writing.await.unwrap());
    }
    silent.shows(|text| (0..20).all(|n| text.contains(&format!("<{n}>")))).await;
    assert!(!server.log().contains("no sign of life"));
    server.kill();
    let server = Server::start(data.path(), &[]);
    let mut reader = Client::connect(server.address, "doc").await;
    reader.shows(|text| (0..20).all(|n| text.contains(&format!("<{n}>")))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_dead_is_parted_after_a_pause_as_well() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &PINGS);
    let mut dead = Client::connect(server.address, "doc").await;
    dead.synced().await;
    pause(&server).await;
    server.logs("no sign of life").await;
}

/// Longer than an awareness state lasts that nobody renews.
const LONG_PAUSE: Duration = Duration::from_secs(32);

#[tokio::test(flavor = "multi_thread")]
async fn who_could_not_be_heard_is_seen_after_a_pause() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let mut here = Raw::connect(&server, "doc", "").await;
    let mut state = vec![1, 7, 1];
    write_var_buf(&mut state, br#"{"name":"Ada"}"#);
    here.send(0x82, &awareness_frame(&state)).await;
    here.send(0x82, &sync_status_frame(b"known")).await;
    while here.message().await.1 != sync_status_frame(b"known") {}
    assert!(sees(&server, b"Ada").await);
    server.signal("STOP");
    sleep(LONG_PAUSE).await;
    server.signal("CONT");
    // Whatever has expired has gone by the time that an update is saved.
    Client::connect(server.address, "doc").await.save("after the pause").await;
    assert!(sees(&server, b"Ada").await);
}

/// Whether somebody who comes now gets a message with these bytes before what it sends is saved.
async fn sees(server: &Server, bytes: &[u8]) -> bool {
    let mut newcomer = Raw::connect(server, "doc", "").await;
    newcomer.send(0x82, &[3]).await;
    newcomer.send(0x82, &sync_status_frame(b"fence")).await;
    let mut is_seen = false;
    loop {
        let (_, message) = newcomer.message().await;
        is_seen |= message.windows(bytes.len()).any(|part| part == bytes);
        if message == sync_status_frame(b"fence") {
            return is_seen;
        }
    }
}
