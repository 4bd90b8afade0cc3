//! Accepts connections and gives each request to the WebSocket side or to plain HTTP.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Response;
use coscribe_websocket::{is_wanted, serve_http};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tracing::warn;

use super::server::Server;
use super::upgrade;
use crate::config::{Listen, in_order};
use crate::http::y_sweet::paths;
use crate::limits::{ACCEPT_BACK_OFF, MAX_REQUESTING};
use crate::observe::Span;

/// Listens on all addresses of a host that this machine has, on one port.
pub(crate) async fn listen(listen: &Listen) -> anyhow::Result<Vec<TcpListener>> {
    let found = lookup_host((listen.host(), listen.port())).await;
    let found = found.with_context(|| format!("cannot find the address of {}", listen.host()))?;
    let (mut listeners, mut refused, mut port) = (Vec::new(), None, listen.port());
    for mut address in in_order(found.collect()) {
        address.set_port(port);
        match TcpListener::bind(address).await {
            Ok(listener) => {
                // The others are to have the one that was free.
                port = listener.local_addr().context("cannot listen")?.port();
                listeners.push(listener);
            }
            // Many machines resolve localhost to ::1 and have no IPv6.
            Err(error) if is_not_ours(&error) => refused = Some((address, error)),
            Err(error) => return Err(error).with_context(|| format!("cannot listen on {address}")),
        }
    }
    match refused {
        Some((address, error)) if listeners.is_empty() => {
            Err(error).with_context(|| format!("cannot listen on {address}"))
        }
        None if listeners.is_empty() => anyhow::bail!("{} has no address", listen.host()),
        _ => Ok(listeners),
    }
}

fn is_not_ours(error: &io::Error) -> bool {
    const FAMILY_NOT_SUPPORTED: i32 = rustix::io::Errno::AFNOSUPPORT.raw_os_error();
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(FAMILY_NOT_SUPPORTED)
}

/// Accepts connections for ever; stops when it is dropped.
pub(crate) async fn run(listeners: Vec<TcpListener>, server: Arc<Server>) {
    let requesting = Arc::new(Semaphore::new(MAX_REQUESTING));
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept(listener, Arc::clone(&server), Arc::clone(&requesting)));
    }
    accepting.join_all().await;
}

async fn accept(listener: TcpListener, server: Arc<Server>, requesting: Arc<Semaphore>) {
    let mut failing = false;
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                failing = false;
                match Arc::clone(&requesting).try_acquire_owned() {
                    Ok(turn) => drop(tokio::spawn(serve(stream, from, Arc::clone(&server), turn))),
                    Err(_) => server.metrics.reject("requests"),
                }
            }
            Err(error) => {
                // Once for a whole series: it is usually EMFILE, and lasts until others leave.
                if !failing {
                    warn!("cannot accept connections: {error}");
                }
                failing = true;
                tokio::time::sleep(ACCEPT_BACK_OFF).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, from: SocketAddr, server: Arc<Server>, _turn: OwnedSemaphorePermit) {
    let timeout = server.config.header_timeout.get();
    let plain = TowerToHyperService::new(server.routes.clone());
    let service = service_fn(move |request| answer(request, from, Arc::clone(&server), plain.clone()));
    serve_http(stream, from, timeout, service).await;
}

/// A document may have the name of a plain route: a request for a WebSocket never gets to the routes.
async fn answer(
    mut request: hyper::Request<Incoming>,
    from: SocketAddr,
    server: Arc<Server>,
    plain: TowerToHyperService<Router>,
) -> Result<Response<Body>, Infallible> {
    if is_wanted(&request) {
        let span = server.tracer.request("upgrade", request.headers());
        let mut response = upgrade::answer(&server, request, from, &span);
        span.answer(&mut response);
        return Ok(response);
    }
    request.extensions_mut().insert(ConnectInfo(from));
    let is_y_sweet = request.uri().path().starts_with(paths::ROOT);
    let span = if is_y_sweet { server.tracer.request("y-sweet", request.headers()) } else { Span::default() };
    let mut response = plain.call(request).await?;
    span.answer(&mut response);
    Ok(response)
}
