//! Rooms: opened once, closed when nobody needs them, and never in place of a document that cannot be read.

use std::fs;
use std::path::Path;
use std::thread::available_parallelism;

use tempfile::tempdir;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::client::Client;
use crate::process::{PATIENCE, Server, until};
use crate::raw::Raw;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_at_once_open_a_document_once_and_see_each_other() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let address = server.address;
    let connecting: Vec<_> = (0..100).map(|_| tokio::spawn(Client::connect(address, "new"))).collect();
    let mut clients = Vec::new();
    for client in connecting {
        clients.push(client.await.unwrap());
    }
    for (n, client) in clients.iter_mut().enumerate() {
        client.write(&format!("<{n}>")).await.unwrap();
    }
    for client in &mut clients {
        client.shows(|text| text.matches('>').count() == 100).await;
    }
    let text = clients[0].text();
    assert!(clients.iter().all(|client| client.text() == text));
    assert_eq!(server.log().matches("opened").count(), 1, "{}", server.log());
}

#[tokio::test]
async fn an_idle_document_is_checkpointed_evicted_and_read_again() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &["--grace", "10ms"]);
    let mut client = Client::connect(server.address, "doc").await;
    client.save("kept").await;
    client.leave().await;
    server.logs("checkpointed").await;
    server.logs("closed document=\"doc\"").await;

    let mut again = Client::connect(server.address, "doc").await;
    again.synced().await;
    assert_eq!(again.text(), "kept");
    again.save(", and more").await;
    again.leave().await;
    until("evicted twice", || server.log().matches("closed document=\"doc\"").count() == 2).await;
    assert_eq!(server.log().matches("checkpointed").count(), 2);
}

#[tokio::test]
async fn a_document_that_nobody_writes_to_goes_at_once_and_leaves_nothing_on_disk() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &["--grace", "1h"]);
    let mut client = Client::connect(server.address, "looked-at").await;
    client.synced().await;
    client.leave().await;
    server.logs("closed document=\"looked-at\"").await;
    assert!(!server.log().contains("checkpointed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn coming_and_going_during_evictions_loses_nothing() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &["--grace", "0s"]);
    let address = server.address;
    let visitors: Vec<_> = (0..4)
        .map(|visitor| {
            tokio::spawn(async move {
                for visit in 0..25 {
                    let mut client = Client::connect(address, "busy").await;
                    client.synced().await;
                    client.save(&format!("<{visitor}.{visit}>")).await;
                    client.leave().await;
                }
            })
        })
        .collect();
    for visitor in visitors {
        visitor.await.unwrap();
    }
    let mut client = Client::connect(address, "busy").await;
    client.synced().await;
    for visitor in 0..4 {
        for visit in 0..25 {
            let word = format!("<{visitor}.{visit}>");
            assert_eq!(client.text().matches(&word).count(), 1, "{word}");
        }
    }
}

#[tokio::test]
async fn a_long_lived_document_is_checkpointed_while_it_is_open() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &["--checkpoint-bytes", "4KiB"]);
    let mut client = Client::connect(server.address, "long").await;
    while server.log().matches("checkpointed").count() < 2 {
        client.save(&"x".repeat(1000)).await;
    }
    let written = client.text();
    server.kill();
    let server = Server::start(data.path(), &[]);
    let mut again = Client::connect(server.address, "long").await;
    again.synced().await;
    assert_eq!(again.text(), written);
}

#[tokio::test]
async fn what_a_crash_left_in_the_log_is_checkpointed_after_the_start() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    for n in 0..100 {
        Client::connect(server.address, &format!("doc-{n}")).await.save("logged").await;
    }
    server.kill();

    let server = Server::start(data.path(), &["--grace", "1h"]);
    until("all are checkpointed", || server.log().matches("checkpointed document").count() == 100).await;
    until("and closed", || server.log().matches("closed document").count() == 100).await;
    server.stop().await;

    let server = Server::start(data.path(), &[]);
    let mut client = Client::connect(server.address, "doc-42").await;
    client.synced().await;
    assert_eq!(client.text(), "logged");
    assert!(!server.log().contains("checkpointed"), "nothing was left to do");
}

#[tokio::test]
async fn a_document_that_cannot_be_read_is_an_error_and_never_empty() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    Client::connect(server.address, "broken").await.save("a word that is looked for").await;
    Client::connect(server.address, "sound").await.save("fine").await;
    server.kill();
    damage(data.path(), b"a word that is looked for");

    let server = Server::start(data.path(), &[]);
    for _ in 0..2 {
        let mut client = Client::connect(server.address, "broken").await;
        let close = client.close_frame().await;
        assert_eq!((u16::from(close.code), close.reason.as_str()), (1011, "the document cannot be read"));
    }
    let mut client = Client::connect(server.address, "sound").await;
    client.synced().await;
    assert_eq!(client.text(), "fine");
}

/// Changes a bit in the one file below `dir` that has these bytes.
fn damage(dir: &Path, content: &[u8]) {
    let mut found = 0;
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
                continue;
            }
            let mut bytes = fs::read(&path).unwrap();
            if let Some(at) = bytes.windows(content.len()).position(|window| window == content) {
                bytes[at] ^= 1;
                fs::write(&path, bytes).unwrap();
                found += 1;
            }
        }
    }
    assert_eq!(found, 1);
}

/// How many documents a connection of a Hocuspocus provider opens here.
const OPENED: u32 = 900;

/// Opens empty documents, as a Hocuspocus provider does.
async fn open_many(server: &Server, names: &str) -> Raw {
    const AUTH: [u8; 3] = [2, 0, 0];
    let mut connection = Raw::connect(server, "", "").await;
    let address = |n: u32| format!("{names}-{n:03}");
    for n in 0..OPENED {
        let address = address(n);
        let mut frame = vec![u8::try_from(address.len()).unwrap()];
        frame.extend(address.as_bytes());
        frame.extend(AUTH);
        connection.send(0x82, &frame).await;
    }
    let mut opened = 0;
    while opened < OPENED {
        let (_, message) = connection.message().await;
        let after_address = usize::from(message[0]) + 1;
        opened += u32::from(message[after_address] == AUTH[0]);
    }
    connection
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_document_takes_four_kilobytes_with_its_peer_and_none_when_both_are_gone() {
    let data = tempdir().unwrap();
    let flags = ["--log", "warn", "--grace", "1s", "--max-messages-per-second", "10000"];
    let server = Server::start(data.path(), &flags);
    let _first = open_many(&server, "first").await;
    let before = server.memory();
    let mut connections = Vec::new();
    for name in ["second", "third", "fourth", "fifth", "sixth"] {
        connections.push(open_many(&server, name).await);
    }
    server.memory_settles(before, u64::from(5 * OPENED) * 4096).await;
    assert_eq!(server.metric("coscribe_rooms").await, f64::from(6 * OPENED));
    drop(connections);
    let closed = async { while server.metric("coscribe_rooms").await > f64::from(OPENED) {} };
    timeout(PATIENCE, closed).await.expect("the documents are closed");
    server.memory_settles(before, 4 << 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn threads_that_opened_documents_end_when_there_is_nothing_to_do() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    // Those of the runtime, and the one that looks at the directory now and then. Others have the same name.
    let (name, always) = ("tokio-rt-worker", available_parallelism().unwrap().get() + 1);
    let address = server.address;
    let mut clients = JoinSet::new();
    for document in 0..1000 {
        clients.spawn(async move { Client::connect(address, &document.to_string()).await });
        if document % 50 == 0 {
            clients.join_next().await.unwrap().unwrap();
        }
        if server.threads(name) > always + 2 {
            break;
        }
    }
    drop(clients);
    until("they end", || server.threads(name) <= always).await;
}
