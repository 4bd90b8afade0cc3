//! permessage-deflate (RFC 7692) over real sockets, spoken by a client that frames and compresses by itself.

use std::time::{Duration, Instant};

use bytes::Bytes;
use coscribe_engine::dialect::sync::SyncMessage;
use coscribe_engine::dialect::y_websocket;
use flate2::FlushCompress;
use tempfile::tempdir;

use crate::client::Client;
use crate::process::Server;
use crate::raw::{Raw, compressed, deflate};

fn update(bytes: &[u8]) -> Bytes {
    y_websocket::sync_frame(&SyncMessage::Update(bytes))
}

/// Text that compresses, but not to nothing.
fn prose(words: u32) -> String {
    (0..words).map(|n| format!("word {} ", n.wrapping_mul(n) % 977)).collect()
}

#[tokio::test]
async fn compressed_and_plain_connections_work_together() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let mut plain = Client::connect(server.address, "doc").await;
    let mut raw = Raw::connect(&server, "doc", "permessage-deflate; client_no_context_takeover").await;
    let agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    assert_eq!(raw.extensions.as_deref(), Some(agreed));

    // From it: in one frame, and in several with a ping between them.
    let mut author = Client::connect(server.address, "elsewhere").await;
    raw.send(0xc2, &compressed(&update(&author.edit("small")))).await;
    plain.shows(|text| text == "small").await;
    let message = compressed(&update(&author.edit(&prose(20_000))));
    let (head, tail) = message.split_at(message.len() / 2);
    raw.send(0x42, head).await;
    raw.send(0x89, b"are you there").await;
    loop {
        let (firsts, content) = raw.message().await;
        if firsts == [0x8a] && content == b"are you there" {
            break;
        }
    }
    raw.send(0x80, tail).await;
    plain.shows(|text| text.len() > 100_000).await;

    // To it: small messages as they are, large ones compressed, in frames of which only the first says so.
    let written = plain.edit(&prose(30_000));
    plain.send(update(&written)).await.unwrap();
    let (firsts, content) = raw.compressed_message().await;
    assert_eq!(content, update(&written));
    assert!(firsts.len() > 2 && firsts[0] == 0x42 && firsts[1] == 0x00 && firsts.last() == Some(&0x80));
    let written = plain.edit("small");
    plain.send(update(&written)).await.unwrap();
    assert_eq!(raw.message().await, (vec![0x82], update(&written).to_vec()));
}

#[tokio::test]
async fn everyone_who_joins_gets_the_whole_document_compressed_with_the_window_they_asked_for() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let mut writer = Client::connect(server.address, "doc").await;
    let written = writer.edit(&prose(100_000));
    writer.send(update(&written)).await.unwrap();
    let saved = writer.ask().await.unwrap();
    writer.acknowledged(saved).await.unwrap();
    let mut seen = Vec::new();
    for offer in ["permessage-deflate", "permessage-deflate; server_max_window_bits=9", "permessage-deflate"]
    {
        let mut raw = Raw::connect(&server, "doc", offer).await;
        raw.send(0x82, &y_websocket::sync_frame(&SyncMessage::Step1(&[0]))).await;
        let (_, content) = raw.compressed_message().await;
        assert!(content.len() > 500_000);
        seen.push(content);
    }
    assert!(seen[0] == seen[1] && seen[0] == seen[2]);
}

#[tokio::test]
async fn what_inflates_to_a_gigabyte_is_closed_at_once_and_costs_little_memory() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let mut bystander = Client::connect(server.address, "doc").await;
    bystander.synced().await;
    let bomb = deflate(&vec![0; 1 << 20], FlushCompress::Full).repeat(1024);
    assert!((900_000..1_200_000).contains(&bomb.len()), "{}", bomb.len());
    let before = server.memory();
    let mut raw = Raw::connect(&server, "doc", "permessage-deflate").await;
    let start = Instant::now();
    raw.send(0xc2, &bomb).await;
    assert_eq!(raw.close_code().await, 1009);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    let grown = server.peak_memory().saturating_sub(before);
    assert!(grown < 80 << 20, "grown by {grown} bytes");
    bystander.save("still here").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_inflate_to_much_at_the_same_time_take_turns() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    // 31 MiB of zeros each: a message that is not too large, and that no room understands.
    let bomb = deflate(&vec![0; 1 << 20], FlushCompress::Full).repeat(31);
    let mut crowd = Vec::new();
    for n in 0..60 {
        crowd.push(Raw::connect(&server, &format!("doc-{n}"), "permessage-deflate").await);
    }
    for raw in &mut crowd {
        raw.send(0xc2, &bomb).await;
    }
    for raw in &mut crowd {
        // It depends on who is first: the room, or the connection that counts what is in the frame.
        let code = raw.close_code().await;
        assert!(matches!(code, 1008 | 1013), "{code}");
    }
    let peak = server.peak_memory();
    assert!(peak < 700 << 20, "{peak} bytes, and all at once would be 1,860 MiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_frame_with_more_messages_than_may_come_in_a_second_is_given_up() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let mut raw = Raw::connect(&server, "doc", "permessage-deflate").await;
    raw.send(0xc2, &compressed(&[3].repeat(2 << 20))).await;
    assert_eq!(raw.close_code().await, 1013);
    // A smaller one is delivered, and counted.
    let mut raw = Raw::connect(&server, "doc", "permessage-deflate").await;
    raw.send(0xc2, &compressed(&[3].repeat(2500))).await;
    raw.send(0xc2, &compressed(b"\x66\x01\x07")).await;
    while raw.message().await.1 != b"\x66\x01\x07" {}
}

#[tokio::test]
async fn what_is_wrong_with_compressed_messages_is_said_by_close_codes() {
    let data = tempdir().unwrap();
    let server =
        Server::start(data.path(), &["--max-message-bytes", "100KB", "--max-document-bytes", "100KB"]);
    let small = compressed(b"\x03");
    for (what, first, payload, code) in [
        ("damaged", 0xc2, vec![0xff; 50], 1007),
        ("too large when inflated", 0xc2, compressed(&[0; 100_001]), 1009),
        ("too large before that", 0xc2, vec![0; 100_001], 1009),
        ("a compressed ping", 0xc9, small.clone(), 1002),
        ("RSV2", 0xa2, small.clone(), 1002),
        ("RSV1 and RSV3", 0xd2, small.clone(), 1002),
        ("text", 0xc1, compressed(b"text"), 1003),
    ] {
        let mut raw = Raw::connect(&server, "doc", "permessage-deflate").await;
        raw.send(first, &payload).await;
        assert_eq!(raw.close_code().await, code, "{what}");
    }
    let mut raw = Raw::connect(&server, "doc", "permessage-deflate").await;
    raw.send(0x42, &small).await;
    raw.send(0xc0, &small).await;
    assert_eq!(raw.close_code().await, 1002, "RSV1 on a continuation");
}

#[tokio::test]
async fn compression_is_not_used_where_it_was_not_agreed_on() {
    let data = tempdir().unwrap();
    let off = Server::start(data.path(), &["--compression", "off"]);
    let mut raw = Raw::connect(&off, "doc", "permessage-deflate").await;
    assert_eq!(raw.extensions, None);
    raw.send(0xc2, &compressed(b"\x03")).await;
    assert_eq!(raw.close_code().await, 1002);

    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let mut raw = Raw::connect(&server, "doc", "permessage-deflate; unheard_of").await;
    assert_eq!(raw.extensions, None);
    let mut writer = Client::connect(server.address, "doc").await;
    let written = writer.edit(&prose(500));
    writer.send(update(&written)).await.unwrap();
    while raw.message().await != (vec![0x82], update(&written).to_vec()) {}
}
