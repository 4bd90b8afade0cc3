//! A server that sends every message back: the transport alone, for suites that test the protocol.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use tokio::net::TcpListener;
use tungstenite::Message;
use tungstenite::protocol::frame::coding::Data;

use crate::deflate::Outgoing;
use crate::end::End;
use crate::extensions::WindowBits;
use crate::handshake::Handshake;
use crate::large::MessageBytes;
use crate::limits::{ECHO_HEADER_TIMEOUT, ECHO_MESSAGE_BYTES, ECHO_STALL_TIMEOUT};
use crate::socket::WireBytes;
use crate::stream::Stream;
use crate::transport::Transport;
use crate::upgrade::{HttpTimeouts, serve_http, stream_of};

/// Serves for ever, each connection on a task of its own.
///
/// # Errors
/// If no connection can be accepted any more.
pub async fn run(listener: TcpListener) -> io::Result<Infallible> {
    loop {
        let (stream, from) = listener.accept().await?;
        let timeouts = HttpTimeouts { header: ECHO_HEADER_TIMEOUT, stall: ECHO_STALL_TIMEOUT };
        tokio::spawn(serve_http(stream.into(), from, timeouts, service_fn(answer)));
    }
}

async fn answer(mut request: Request<Incoming>) -> Result<Response<String>, Infallible> {
    let handshake = match Handshake::check(&request, true, |_| true) {
        Ok(handshake) => handshake,
        Err(refusal) => return Ok(refusal.response()),
    };
    let (stream, window, client_window) =
        (stream_of(&mut request), handshake.window(), handshake.client_window());
    tokio::spawn(async move {
        if let Ok((stream, read_ahead)) = stream.await {
            serve((stream, read_ahead), window, client_window).await;
        }
    });
    Ok(handshake.response().map(|()| String::new()))
}

async fn serve(
    (stream, read_ahead): (Stream, Vec<u8>),
    window: Option<WindowBits>,
    client_window: Option<usize>,
) {
    let limit = MessageBytes::up_to(ECHO_MESSAGE_BYTES);
    let mut transport = Transport::new(stream, read_ahead, client_window, limit, WireBytes::default(), None);
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
