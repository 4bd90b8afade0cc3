//! A server in the process of a program that embeds it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in what its functions share")]

use std::net::SocketAddr;

use coscribe::{Config, Running};
use coscribe_engine::dialect::sync::SyncMessage;
use coscribe_engine::dialect::y_websocket::sync_frame;
use futures_util::{SinkExt, StreamExt};
use tempfile::tempdir;
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

/// An update that sets the text `t` to `a`.
const UPDATE: [u8; 11] = [1, 1, 1, 0, 0x04, 1, 1, b't', 1, b'a', 0];

async fn start(data: &std::path::Path) -> Running {
    let config = format!("listen = \"127.0.0.1:0\"\ndata = {data:?}\nshutdown_spread = \"0s\"");
    Running::start(Config::from_toml(&config).unwrap()).await.unwrap()
}

/// Sends a frame to the document, and reads up to one with this content.
async fn ask(server: SocketAddr, frame: &[u8], answer: &[u8]) {
    let stream = TcpStream::connect(server).await.unwrap();
    let (mut socket, _) = client_async(format!("ws://{server}/doc"), stream).await.unwrap();
    socket.send(Message::Binary(frame.to_vec().into())).await.unwrap();
    loop {
        let Message::Binary(frame) = socket.next().await.unwrap().unwrap() else { continue };
        if frame.windows(answer.len()).any(|part| part == answer) {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_when_it_is_started_again() {
    let data = tempdir().unwrap();
    let server = start(data.path()).await;
    let update = sync_frame(&SyncMessage::Update(&UPDATE));
    ask(server.addresses()[0], &[&update[..], &[102, 1, 7]].concat(), &[102, 1, 7]).await;
    server.stop().await.unwrap();

    let server = start(data.path()).await;
    ask(server.addresses()[0], &sync_frame(&SyncMessage::Step1(&[0])), &UPDATE).await;
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_do_not_share_a_directory() {
    let data = tempdir().unwrap();
    let server = start(data.path()).await;
    let config = Config::from_toml(&format!("listen = \"127.0.0.1:0\"\ndata = {:?}", data.path())).unwrap();
    assert!(Running::start(config).await.is_err());
    server.stop().await.unwrap();
}

#[test]
fn a_wrong_configuration_says_where() {
    let error = Config::from_toml("listen = \"127.0.0.1:0\"\ngrace = 30").unwrap_err();
    assert!(error.to_string().contains("line 2"), "{error}");
}
