//! From a connection that speaks HTTP/1.1 to the WebSocket that a request makes of it.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use http::Request;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::HttpService;
use hyper_util::rt::TokioIo;
use tracing::debug;

use crate::answering::Answering;
use crate::awake::Timer;
use crate::limits::HTTP_BUFFER;
use crate::stream::Stream;

/// How long a client may take. After a pause of the process it has all of that again.
#[derive(Debug, Copy, Clone)]
pub struct HttpTimeouts {
    /// For the header of a request. A connection may be idle for as long between requests.
    pub header: Duration,
    /// Without taking any more of an answer.
    pub stall: Duration,
}

/// Answers the requests of one connection, up to the one that makes it a WebSocket. Errors end the connection and are logged.
///
/// A client that pipelines requests and reads no answers is not read for long: 64 KiB of requests, 32 KiB of answers and one that
/// may be larger are the most that wait for it.
pub async fn serve_http<S, B>(stream: Stream, from: SocketAddr, timeouts: HttpTimeouts, service: S)
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
        .timer(Timer)
        .header_read_timeout(timeouts.header)
        .max_buf_size(HTTP_BUFFER)
        .serve_connection(TokioIo::new(Answering::new(stream, timeouts.stall)), service)
        .with_upgrades();
    if let Err(error) = connection.await {
        let cause = error.source().map(ToString::to_string);
        debug!(%from, cause, "HTTP: {error}");
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
        let parts = upgraded.downcast::<TokioIo<Answering>>().map_err(|_| Gone)?;
        Ok((parts.io.into_inner().into_inner(), parts.read_buf.to_vec()))
    }
}
