//! From a connection that speaks HTTP/1.1 to the WebSocket that a request makes of it.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use http::Request;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::HttpService;
use hyper_util::rt::{TokioIo, TokioTimer};
use tracing::debug;

use crate::stream::Stream;

/// Answers the requests of one connection, up to the one that makes it a WebSocket. `timeout` is how long the header of a
/// request may take, and how long the connection may be idle between requests. Errors end the connection and are logged.
pub async fn serve_http<S, B>(stream: Stream, from: SocketAddr, timeout: Duration, service: S)
where
    S: HttpService<Incoming, ResBody = B, Error = Infallible>,
    S::Future: Send + 'static,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    if let Err(error) = stream.tcp().set_nodelay(true) {
        debug!(%from, "gone already: {error}");
        return;
    }
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timeout)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = connection.await {
        debug!(%from, "HTTP: {error}");
    }
}

/// The other side left before the answer was on its way.
#[derive(Debug)]
pub struct Gone;

/// The stream of a request that came through [`serve_http`], as soon as the request has been answered, and the bytes
/// that were read behind the handshake. Hyper's layers and buffer are left behind: they would only cost memory.
///
/// # Errors
/// If the connection is closed before that.
pub fn stream_of(
    request: &mut Request<Incoming>,
) -> impl Future<Output = Result<(Stream, Vec<u8>), Gone>> + use<> {
    let upgrade = hyper::upgrade::on(request);
    async move {
        let upgraded = upgrade.await.map_err(|_| Gone)?;
        let parts = upgraded.downcast::<TokioIo<Stream>>().map_err(|_| Gone)?;
        Ok((parts.io.into_inner(), parts.read_buf.to_vec()))
    }
}
