//! One or two ordinary connections that try to stop or kill the server, beside somebody who works in another document.
//!
//! What messages cost is counted in `engine/tests/cost/`; here is what the process makes of them.

use std::path::Path;

use bytes::Bytes;
use coscribe_engine::dialect::sync::SyncMessage;
use coscribe_engine::dialect::y_websocket::{awareness_frame, sync_frame, sync_status_frame};
use coscribe_engine::lib0::{write_var_buf, write_var_uint};
use tempfile::tempdir;
use tokio::task::JoinSet;

use crate::client::Client;
use crate::process::Server;
use crate::raw::Raw;

const MIB: usize = 1 << 20;

fn update(update: &[u8]) -> Bytes {
    sync_frame(&SyncMessage::Update(update))
}

/// Text by client 1 from a clock on, which is behind the one before.
fn text(clock: u64, text: &str) -> Vec<u8> {
    let mut update = vec![1, 1, 1];
    write_var_uint(&mut update, clock);
    match clock.checked_sub(1) {
        None => update.extend([4, 1, 1, b't']),
        Some(before) => {
            update.extend([0x84, 1]);
            write_var_uint(&mut update, before);
        }
    }
    write_var_buf(&mut update, text.as_bytes());
    update.push(0);
    update
}

/// Deletes every second one of so many characters.
fn every_second(characters: u64) -> Vec<u8> {
    let mut update = vec![0, 1, 1];
    write_var_uint(&mut update, characters / 2);
    for clock in (0..characters).step_by(2) {
        write_var_uint(&mut update, clock);
        update.push(1);
    }
    update
}

fn question() -> Bytes {
    sync_frame(&SyncMessage::Step1(&[1, 9, 1]))
}

/// A peer whose messages are made by hand. It reads only where it waits for something.
async fn attacker(server: &Server, document: &str) -> Raw {
    Raw::connect(server, document, "").await
}

/// Sends a message and waits until all of it is on disk.
async fn save(attacker: &mut Raw, message: &[u8]) {
    attacker.send(0x82, message).await;
    attacker.send(0x82, &sync_status_frame(b"fence")).await;
    while attacker.message().await.1 != sync_status_frame(b"fence") {}
}

/// What the server has grown by at most since `before`.
fn grown(server: &Server, before: u64) -> u64 {
    server.peak_memory().saturating_sub(before)
}

fn size(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    files
        .map(|file| if file.path().is_dir() { size(&file.path()) } else { file.metadata().unwrap().len() })
        .sum()
}

/// Runs attacks while somebody saves words in another document, and gives how often that was possible.
async fn beside(server: &Server, mut attacks: JoinSet<()>) -> usize {
    let mut bystander = Client::connect(server.address, "elsewhere").await;
    let mut saved = 0;
    while attacks.try_join_next().is_none() || !attacks.is_empty() {
        bystander.save("word ").await;
        saved += 1;
    }
    saved
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_of_twenty_thousand_questions_gets_one_answer() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let mut author = attacker(&server, "doc").await;
    save(&mut author, &update(&text(0, &"x".repeat(MIB)))).await;
    let before = server.memory();
    let mut asks = attacker(&server, "doc").await;
    asks.send(0x82, &question().repeat(20_000)).await;
    asks.send(0x82, &sync_status_frame(b"fence")).await;
    let mut answers = 0;
    loop {
        let (_, message) = asks.message().await;
        answers += usize::from(message.len() > MIB);
        if message == sync_status_frame(b"fence") {
            break;
        }
    }
    // The questions of one turn have one answer. They take some turns, because each counts as a message.
    assert!((1..100).contains(&answers), "{answers} answers");
    assert!(grown(&server, before) < 64 << 20, "grown by {}", grown(&server, before));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_of_ten_thousand_queries_is_answered_once() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let mut peer = attacker(&server, "doc").await;
    let json = format!("\"{}\"", "x".repeat(60_000));
    for client in 1..=64 {
        let mut states = vec![1, client, 1];
        write_var_buf(&mut states, json.as_bytes());
        peer.send(0x82, &awareness_frame(&states)).await;
    }
    save(&mut peer, &question()).await;
    let before = server.memory();
    save(&mut peer, &[3].repeat(10_000)).await;
    assert!(grown(&server, before) < 64 << 20, "grown by {}", grown(&server, before));
}

#[tokio::test(flavor = "multi_thread")]
async fn tiny_updates_take_no_more_of_the_log_than_they_weigh() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &["--max-messages-per-second", "1000000"]);
    let mut peer = attacker(&server, &"n".repeat(1000)).await;
    let frame: Vec<u8> = (0..50_000).flat_map(|clock| update(&text(clock, "x"))).collect();
    save(&mut peer, &frame).await;
    let logged = size(data.path());
    assert!(logged < 2 * frame.len() as u64, "{} bytes became {logged}", frame.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_many_ask_for_and_do_not_read_is_in_memory_once() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &["--checkpoint-bytes", "1GiB"]);
    let mut author = attacker(&server, "doc").await;
    for n in 0..3 {
        let piece = 10 * MIB as u64;
        save(&mut author, &update(&text(n * piece, &"x".repeat(10 * MIB)))).await;
    }
    let before = server.memory();
    let mut readers = Vec::new();
    for clock in 1..=40 {
        let mut reader = attacker(&server, "doc").await;
        reader.send(0x82, &sync_frame(&SyncMessage::Step1(&[1, 1, clock]))).await;
        readers.push(reader);
    }
    server.logs_times("lagging", 40).await;
    assert!(grown(&server, before) < 64 << 20, "grown by {}", grown(&server, before));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lagging_peers_miss_is_kept_once() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let mut author = attacker(&server, "doc").await;
    // More than the kernel takes of what nobody reads.
    save(&mut author, &update(&text(0, &"x".repeat(12 * MIB)))).await;
    let mut readers = Vec::new();
    for _ in 0..100 {
        let mut reader = attacker(&server, "doc").await;
        reader.send(0x82, &question()).await;
        readers.push(reader);
    }
    server.logs_times("lagging", 100).await;
    let before = server.memory();
    save(&mut author, &update(&every_second(200_000))).await;
    assert!(grown(&server, before) < 100 << 20, "grown by {}", grown(&server, before));
}

#[tokio::test(flavor = "multi_thread")]
async fn others_go_on_while_long_texts_are_taken_in() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let mut attacks = JoinSet::new();
    for name in ["one", "other", "third", "fourth"] {
        let mut peer = attacker(&server, name).await;
        attacks.spawn(async move {
            save(&mut peer, &update(&text(0, &"ü".repeat(10 * MIB)))).await;
        });
    }
    let saved = beside(&server, attacks).await;
    assert!(saved > 10, "only {saved} times");
}

#[tokio::test(flavor = "multi_thread")]
async fn others_go_on_while_a_fast_sender_never_ends_a_compressed_message() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let mut attacks = JoinSet::new();
    for _ in 0..4 {
        let mut raw = Raw::connect(&server, "doc", "permessage-deflate").await;
        attacks.spawn(async move {
            raw.send(0x42, b"").await;
            let empty: Vec<u8> = [0x00, 0x80, 1, 2, 3, 4].repeat(100_000);
            for _ in 0..60 {
                // It may be slowed down, or sent away.
                if raw.try_write(&empty).await.is_err() {
                    break;
                }
            }
        });
    }
    let saved = beside(&server, attacks).await;
    assert!(saved > 10, "only {saved} times");
}

#[tokio::test(flavor = "multi_thread")]
async fn others_go_on_while_what_inflates_to_nothing_is_inflated() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let mut attacks = JoinSet::new();
    for name in ["one", "other"] {
        let mut raw = Raw::connect(&server, name, "permessage-deflate").await;
        attacks.spawn(async move {
            // Blocks that call themselves the last, without anything in them.
            raw.send(0xc2, &[0x03, 0x00].repeat(8 * MIB)).await;
            raw.send(0x82, &sync_status_frame(b"fence")).await;
            raw.close_code().await;
        });
    }
    let saved = beside(&server, attacks).await;
    assert!(saved > 10, "only {saved} times");
}
