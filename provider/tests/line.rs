//! Providers over real sockets, to a server in this process that has one room of the engine.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::future::pending;
use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::dialect::y_websocket::{Replies, encode_request};
use coscribe_provider::Effect;
use coscribe_provider::awareness::ClientAwareness;
use coscribe_provider::line::{Address, End, Incoming, Line, OpenError};
use coscribe_provider::y_websocket::{Provider, Reconnect, Step};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_async};

const NOTHING: Bytes = Bytes::from_static(&[0, 0]);

async fn listen() -> (TcpListener, Address) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("ws://{}/doc", listener.local_addr().unwrap()).parse().unwrap();
    (listener, address)
}

async fn accept(listener: &TcpListener) -> WebSocketStream<TcpStream> {
    accept_async(listener.accept().await.unwrap().0).await.unwrap()
}

#[tokio::test]
async fn frames_go_both_ways_and_pings_are_answered() {
    let (listener, address) = listen().await;
    let (line, mut server) = tokio::join!(Line::open(&address), accept(&listener));
    let mut line = line.unwrap();
    line.send(NOTHING).await.unwrap();
    assert_eq!(server.next().await.unwrap().unwrap(), Message::Binary(NOTHING));
    server.send(Message::Ping(Bytes::from_static(b"?"))).await.unwrap();
    server.send(Message::text("no Yjs client reads it")).await.unwrap();
    server.send(Message::Binary(NOTHING)).await.unwrap();
    assert!(matches!(line.next().await, Incoming::Frame(frame) if frame == NOTHING));
    assert_eq!(server.next().await.unwrap().unwrap(), Message::Pong(Bytes::from_static(b"?")));
    line.close().await;
    assert_eq!(server.next().await.unwrap().unwrap(), Message::Close(None));
}

#[tokio::test]
async fn how_a_connection_ends_is_told() {
    let (listener, address) = listen().await;
    let (line, mut server) = tokio::join!(Line::open(&address), accept(&listener));
    server.close(Some(CloseFrame { code: 4403.into(), reason: "not yours".into() })).await.unwrap();
    let Incoming::Ended(end) = line.unwrap().next().await else { panic!("a frame") };
    assert_eq!((end.code(), end.to_string()), (Some(4403), "with 4403: \"not yours\"".to_owned()));

    let (line, server) = tokio::join!(Line::open(&address), accept(&listener));
    drop(server);
    let Incoming::Ended(end) = line.unwrap().next().await else { panic!("a frame") };
    assert!(end.code().is_none() && matches!(end, End::Lost | End::Failed(_)), "{end}");
}

#[tokio::test]
async fn why_a_connection_does_not_open_is_told() {
    let (listener, address) = listen().await;
    let refuse = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        let answer = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nfull";
        stream.write_all(answer.as_bytes()).await.unwrap();
    };
    let (opened, ()) = tokio::join!(Line::open(&address), refuse);
    assert_eq!(opened.unwrap_err().to_string(), "the server answers 503 to GET /doc: full");
    drop(listener);
    assert!(matches!(Line::open(&address).await, Err(OpenError::Connect(..))));
}

#[tokio::test]
async fn nothing_is_sent_in_the_clear_where_tls_was_asked_for() {
    let (listener, address) = listen().await;
    let secure: Address = address.to_string().replace("ws://", "wss://").parse().unwrap();
    let answer = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        let len = stream.read(&mut request).await.unwrap();
        assert!(!request[..len].starts_with(b"GET"));
        stream.write_all(b"no TLS").await.unwrap();
    };
    tokio::select! {
        opened = Line::open(&secure) => match (opened.unwrap_err(), cfg!(feature = "tls")) {
            (OpenError::NoTls(_), false) | (OpenError::NotWebSocket(..), true) => {}
            (error, _) => panic!("{error}"),
        },
        never = async { answer.await; pending().await } => never,
    }
}

/// A whole client: a provider, its connections, and its document, which is nothing.
async fn stay_connected(address: &Address, connections: usize) -> Vec<Instant> {
    let start = Instant::now();
    let mut provider = Provider::new(ClientAwareness::new(7, Duration::ZERO));
    let mut reconnect = Reconnect::new(Duration::ZERO);
    let (mut line, mut opened): (Option<Line>, _) = (None, Vec::new());
    while opened.len() < connections || line.is_some() {
        while let Some(effect) = provider.poll_effect() {
            match (effect, &mut line) {
                (Effect::Send(request), Some(line)) => {
                    line.send(encode_request(&request).unwrap()).await.unwrap();
                }
                (Effect::Answer(_), _) => provider.answer(NOTHING),
                (Effect::Synced, _) => reconnect.synced(),
                _ => {}
            }
        }
        let due = reconnect.next_step().into_iter().chain(provider.next_tick()).min();
        let due = start + due.unwrap_or(Duration::from_secs(60));
        let incoming = async { line.as_mut()?.next().await.into() };
        tokio::select! {
            Some(incoming) = incoming => match incoming {
                Incoming::Frame(frame) => {
                    reconnect.heard(start.elapsed());
                    for message in Replies::of(frame) {
                        provider.receive(message.unwrap(), start.elapsed()).unwrap();
                    }
                }
                Incoming::Ended(end) => {
                    provider.closed();
                    reconnect.closed(end.code(), start.elapsed());
                    line = None;
                }
            },
            () = sleep_until(due) => {
                provider.tick(start.elapsed());
                if reconnect.step(start.elapsed()) == Some(Step::Connect) {
                    line = Some(Line::open(address).await.unwrap());
                    opened.push(Instant::now());
                    reconnect.opened(start.elapsed());
                    provider.opened(Bytes::from_static(&[0]), start.elapsed());
                }
            }
        }
    }
    assert_eq!(reconnect.is_stopped(), connections == 3);
    opened
}

#[tokio::test]
async fn a_client_comes_back_until_it_is_told_not_to() {
    let (listener, address) = listen().await;
    let serve = async {
        for code in [1001, 1013, 4403] {
            let mut server = accept(&listener).await;
            assert_eq!(
                server.next().await.unwrap().unwrap(),
                Message::Binary(Bytes::from_static(&[0, 0, 1, 0]))
            );
            server.send(Message::Binary(Bytes::from_static(&[0, 0, 1, 0]))).await.unwrap();
            let awareness = server.next().await.unwrap().unwrap();
            assert!(matches!(awareness, Message::Binary(frame) if frame[0] == 1));
            assert_eq!(
                server.next().await.unwrap().unwrap(),
                Message::Binary(Bytes::from_static(&[0, 1, 2, 0, 0]))
            );
            server.close(Some(CloseFrame { code: code.into(), reason: "".into() })).await.unwrap();
        }
    };
    let (opened, ()) = tokio::join!(stay_connected(&address, 3), serve);
    let waited = [opened[1] - opened[0], opened[2] - opened[1]];
    assert!(waited[0] >= Duration::from_millis(200) && waited[1] >= Duration::from_millis(400), "{waited:?}");
}
