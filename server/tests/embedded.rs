//! A server in the process of a program that embeds it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in what its functions share")]

use std::net::SocketAddr;

use bytes::Bytes;
use coscribe::{Config, Running};
use coscribe_engine::dialect::y_websocket::{Replies, encode_inbound};
use coscribe_engine::message::{Inbound, Outbound};
use coscribe_provider::line::{Incoming, Line};
use tempfile::tempdir;

/// An update that sets the text `t` to `a`.
const UPDATE: [u8; 11] = [1, 1, 1, 0, 0x04, 1, 1, b't', 1, b'a', 0];

async fn start(data: &std::path::Path) -> Running {
    let config = format!("listen = \"127.0.0.1:0\"\ndata = {data:?}\nshutdown_spread = \"0s\"");
    Running::start(Config::from_toml(&config).unwrap()).await.unwrap()
}

/// Sends messages to the document, and reads up to this answer.
async fn ask(server: SocketAddr, messages: &[Inbound], answer: &Outbound) {
    let mut line = Line::open(&format!("ws://{server}/doc").parse().unwrap()).await.unwrap();
    for frame in messages.iter().filter_map(encode_inbound) {
        line.send(frame).await.unwrap();
    }
    loop {
        let Incoming::Frame(frame) = line.next().await else { panic!("the connection has ended") };
        if Replies::of(frame).any(|message| message.unwrap() == *answer) {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_when_it_is_started_again() {
    let data = tempdir().unwrap();
    let server = start(data.path()).await;
    let (update, token) = (Bytes::from_static(&UPDATE), Bytes::from_static(b"saved"));
    let messages = [Inbound::Update(update.clone()), Inbound::Confirm(token.clone())];
    ask(server.addresses()[0], &messages, &Outbound::Confirmed(token)).await;
    server.stop().await.unwrap();

    let server = start(data.path()).await;
    let question = Inbound::Step1(Bytes::from_static(&[0]));
    ask(server.addresses()[0], &[question], &Outbound::Step2(update.into())).await;
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
