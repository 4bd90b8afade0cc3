//! What no sound client sends: a close code with a reason, a log line without content, and nobody else notices.

use bytes::Bytes;
use futures_util::SinkExt;
use tempfile::tempdir;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::client::Client;
use crate::process::Server;

#[tokio::test]
async fn bad_messages_close_their_connection_and_no_other() {
    let data = tempdir().unwrap();
    let server =
        Server::start(data.path(), &["--max-message-bytes", "100KB", "--max-document-bytes", "100KB"]);
    let mut bystander = Client::connect(server.address, "doc").await;
    bystander.synced().await;
    let oversized = Bytes::from(vec![0; 200_000]);
    let reserved_bit = {
        let mut frame = Frame::message("TOP-SECRET", OpCode::Data(Data::Binary), true);
        frame.header_mut().rsv2 = true;
        frame
    };
    for (message, code) in [
        (Message::text("TOP-SECRET"), 1003),
        (Message::binary(oversized), 1009),
        (Message::Frame(reserved_bit), 1002),
        (Message::binary(Bytes::new()), 1008),
        (Message::binary(&b"\x63TOP-SECRET"[..]), 1008),
        (Message::binary(&b"\x00\x02\x20TOP-SECRET"[..]), 1008),
        (Message::binary(&b"\x00\x00\x05\xff\xff\xff\xff\x01"[..]), 1008),
        (Message::binary(&b"\x00\x02\x04\xff\xff\xff\x7f"[..]), 1008),
    ] {
        let mut client = Client::connect(server.address, "doc").await;
        client.synced().await;
        client.line.socket().send(message).await.unwrap();
        let close = client.close_frame().await;
        assert_eq!(u16::from(close.code), code, "{}", close.reason);
        assert!(!close.reason.is_empty());
    }
    let mut writer = Client::connect(server.address, "doc").await;
    writer.write("still here").await.unwrap();
    bystander.shows(|text| text == "still here").await;
    let log = server.log();
    assert!(!log.contains("TOP-SECRET"), "{log}");
    assert_eq!(log.matches("WARN").count(), 8, "{log}");
}

#[tokio::test]
async fn a_name_that_would_spoil_the_log_is_escaped_in_it() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let mut client = Client::connect(server.address, &format!("a%0Ab%1B[31m{}", "n".repeat(500))).await;
    client.synced().await;
    client.leave().await;
    server.logs("closed document").await;
    let log = server.log();
    assert!(log.contains(r"a\nb\u{1b}[31m") && !log.contains(&"n".repeat(200)), "{log}");
}

#[tokio::test]
async fn many_documents_opened_and_left_again_leave_no_memory_behind() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &["--log", "warn"]);
    let open = async |names: std::ops::Range<u32>| {
        for n in names {
            let mut client = Client::connect(server.address, &format!("name-{n}")).await;
            client.synced().await;
            client.leave().await;
        }
    };
    open(0..200).await;
    let before = server.memory();
    open(200..2200).await;
    server.memory_settles(before, 4 << 20).await;
}
