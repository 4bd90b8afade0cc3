//! A server that sends every message back: the transport without documents, for suites that test the protocol.

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::service::service_fn;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::Data;

use super::deflate::Outgoing;
use super::extensions::WindowBits;
use super::handshake::{Handshake, stream_of};
use super::large::MessageBytes;
use super::transport::{End, Transport};
use crate::metrics::Metrics;
use crate::net::listener::serve_http;

/// The server's default.
const MAX_MESSAGE_BYTES: usize = 32 << 20;

/// How long the header of a request may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves for ever.
pub(crate) async fn run(listener: TcpListener) -> std::io::Result<Infallible> {
    let metrics = Arc::new(Metrics::new());
    loop {
        let (stream, from) = listener.accept().await?;
        let metrics = Arc::clone(&metrics);
        let service = service_fn(move |request| answer(request, Arc::clone(&metrics)));
        tokio::spawn(serve_http(stream, from, HEADER_TIMEOUT, service));
    }
}

async fn answer(
    mut request: hyper::Request<Incoming>,
    metrics: Arc<Metrics>,
) -> Result<axum::response::Response, Infallible> {
    let handshake = match Handshake::check(&request, true) {
        Ok(handshake) => handshake,
        Err(refusal) => return Ok(refusal.into_response()),
    };
    let (stream, window, client_window) =
        (stream_of(&mut request), handshake.window(), handshake.client_window());
    tokio::spawn(async move {
        if let Ok((stream, read_ahead)) = stream.await {
            serve((stream, read_ahead), window, client_window, metrics).await;
        }
    });
    Ok(handshake.response())
}

async fn serve(
    (stream, read_ahead): (TcpStream, Vec<u8>),
    window: Option<WindowBits>,
    client_window: Option<usize>,
    metrics: Arc<Metrics>,
) {
    let limit = MessageBytes::up_to(MAX_MESSAGE_BYTES);
    let mut transport = Transport::new(stream, read_ahead, client_window, limit, metrics);
    let end = echo(&mut transport, window).await;
    transport.close(end).await;
}

async fn echo(transport: &mut Transport, window: Option<WindowBits>) -> End {
    loop {
        let (kind, message) = match poll_fn(|cx| transport.poll_next_in_turn(cx)).await {
            Ok(Message::Binary(message)) => (Data::Binary, message),
            Ok(Message::Text(message)) => (Data::Text, message.into()),
            Ok(Message::Close(_)) => return End::ByPeer,
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => continue,
            Err(error) => return End::after(&error),
        };
        transport.kind = kind;
        transport.messages.push_back(Outgoing::new(message.into()).payload(window));
        if let Err(error) = poll_fn(|cx| transport.poll_write_all(cx)).await {
            return End::after(&error);
        }
    }
}
