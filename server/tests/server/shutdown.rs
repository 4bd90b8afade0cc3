//! How the server ends.

use std::time::{Duration, Instant};

use tempfile::tempdir;

use crate::client::Client;
use crate::process::Server;

#[tokio::test]
async fn both_signals_end_the_server_in_order() {
    for signal in ["INT", "TERM"] {
        let data = tempdir().unwrap();
        let mut server = Server::start(data.path(), &["--shutdown-spread", "0s"]);
        let mut client = Client::connect(server.address, "doc").await;
        client.synced().await;
        // Without asking for an acknowledgement: shutdown must not lose what has arrived either.
        for _ in 0..100 {
            client.write("x").await.unwrap();
        }
        client.ask().await.unwrap();
        server.signal(signal);
        let close = client.close_frame().await;
        assert_eq!((u16::from(close.code), close.reason.as_str()), (1001, "the server is shutting down"));
        client.leave().await;
        let status = server.ended().await;
        assert_eq!(status.code(), Some(0), "{}", server.log());

        let server = Server::start(data.path(), &[]);
        let mut client = Client::connect(server.address, "doc").await;
        client.synced().await;
        assert_eq!(client.text(), "x".repeat(client.text().len()));
    }
}

#[tokio::test]
async fn what_the_others_have_seen_is_on_disk_after_a_shutdown() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &["--shutdown-spread", "0s"]);
    let mut writer = Client::connect(server.address, "doc").await;
    let mut reader = Client::connect(server.address, "doc").await;
    for _ in 0..500 {
        writer.write("x").await.unwrap();
    }
    reader.shows(|text| text.len() == 500).await;
    drop((writer, reader));
    server.stop().await;

    let server = Server::start(data.path(), &[]);
    let mut client = Client::connect(server.address, "doc").await;
    client.synced().await;
    assert_eq!(client.text().len(), 500);
}

#[tokio::test]
async fn connections_are_closed_one_after_another() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &["--shutdown-spread", "1s"]);
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut client = Client::connect(server.address, "doc").await;
        client.synced().await;
        clients.push(client);
    }
    server.signal("TERM");
    let start = Instant::now();
    let closing = clients.into_iter().map(|mut client| {
        tokio::spawn(async move {
            client.close_frame().await;
            start.elapsed()
        })
    });
    let mut closed = Vec::new();
    for time in closing.collect::<Vec<_>>() {
        closed.push(time.await.unwrap());
    }
    closed.sort();
    assert!(closed[9] - closed[0] >= Duration::from_millis(600), "{closed:?}");
    assert!(closed[5] - closed[0] >= Duration::from_millis(200), "{closed:?}");
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let data = tempdir().unwrap();
    let mut server = Server::start(data.path(), &["--shutdown-spread", "1h"]);
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = Client::connect(server.address, "doc").await;
        client.synced().await;
        clients.push(client);
    }
    server.signal("INT");
    server.logs("SIGINT").await;
    server.signal("INT");
    assert_eq!(server.ended().await.code(), Some(130));
}

#[tokio::test]
async fn a_peer_that_does_not_answer_a_close_does_not_hold_up_the_end() {
    let data = tempdir().unwrap();
    let mut server = Server::start(data.path(), &["--shutdown-spread", "0s"]);
    let mut silent = Client::connect(server.address, "doc").await;
    silent.synced().await;
    server.signal("TERM");
    assert_eq!(server.ended().await.code(), Some(0));
}
