//! Accepts connections and gives each request to the WebSocket side or to plain HTTP.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Response, StatusCode, header};
use axum::response::IntoResponse;
use coscribe_websocket::{HttpTimeouts, Stream, awake, is_wanted, serve_http};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::task::JoinSet;
use tracing::{debug, warn};

use super::callers::{Callers, Place};
use super::server::Server;
use super::tls::Tls;
use super::upgrade;
use crate::config::{Encrypted, Listen, in_order};
use crate::http::y_sweet::paths;
use crate::limits::ACCEPT_BACK_OFF;
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

/// What the server is to those who come by one of its listeners.
pub(crate) enum Door {
    /// WebSockets and the routes for everybody.
    Public {
        /// Plain without it.
        tls: Option<Arc<Tls>>,
    },
    /// The routes for those who run the server, and no WebSockets.
    Admin,
}

/// A door of the server.
struct Entrance {
    door: Door,
    server: Arc<Server>,
    routes: Router,
    callers: Arc<Callers>,
}

/// Accepts connections for ever; stops when it is dropped. The door has so many places for those that are not WebSockets.
pub(crate) async fn run(
    listeners: Vec<TcpListener>,
    door: Door,
    places: usize,
    server: Arc<Server>,
    routes: Router,
) {
    let callers = Callers::new(places);
    let entrance = Arc::new(Entrance { door, server, routes, callers });
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept(listener, Arc::clone(&entrance)));
    }
    accepting.join_all().await;
}

async fn accept(listener: TcpListener, entrance: Arc<Entrance>) {
    let mut failing = false;
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                failing = false;
                let is_proxy = entrance.server.config.trusted_proxies.trusts(from.ip());
                let place = entrance.callers.enter(from.ip(), is_proxy);
                if place.as_ref().is_none_or(|place| place.is_of_another()) {
                    entrance.server.metrics.reject("requests");
                }
                if let Some(place) = place {
                    tokio::spawn(serve(stream, from, Arc::clone(&entrance), place));
                    entrance.callers.settled().await;
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

/// Serves a connection until it ends, becomes a WebSocket, or has to give its place to another.
async fn serve(stream: TcpStream, from: SocketAddr, entrance: Arc<Entrance>, place: Place) {
    let place = Arc::new(place);
    tokio::select! {
        () = converse(stream, from, entrance, Arc::clone(&place)) => {}
        () = place.lost() => debug!(%from, "its place is given to another"),
    }
}

async fn converse(stream: TcpStream, from: SocketAddr, entrance: Arc<Entrance>, place: Arc<Place>) {
    let config = &entrance.server.config;
    let timeouts = HttpTimeouts { header: config.header_timeout.get(), stall: config.stall_timeout.get() };
    let stream = match &entrance.door {
        Door::Public { tls: Some(tls) } => {
            // Not small, and not for plain connections to hold.
            match Box::pin(encrypted(tls, stream, from, timeouts)).await {
                Some(stream) => stream,
                None => return,
            }
        }
        Door::Public { tls: None } | Door::Admin => stream.into(),
    };
    let encrypted = Encrypted(stream.is_encrypted());
    let plain = TowerToHyperService::new(entrance.routes.clone());
    let service = service_fn(move |request| {
        place.request();
        answer(place.turn(), request, from, encrypted, Arc::clone(&entrance), plain.clone())
    });
    serve_http(stream, from, timeouts, service).await;
}

/// The stream of a connection that speaks TLS. One that speaks plain HTTP is told so.
async fn encrypted(tls: &Tls, stream: TcpStream, from: SocketAddr, timeouts: HttpTimeouts) -> Option<Stream> {
    let mut first = [0];
    let handshake = async {
        let seen = stream.peek(&mut first).await;
        // A record of TLS does not begin with a letter, a request does.
        if matches!(seen, Ok(1)) && first[0].is_ascii_alphabetic() {
            return Ok(Err(stream));
        }
        tls.handshake(stream).await.map(Ok)
    };
    match awake::within(timeouts.header, handshake).await {
        Some(Ok(Ok(stream))) => return Some(stream),
        Some(Ok(Err(plain))) => {
            serve_http(plain.into(), from, timeouts, service_fn(async |_| Ok(not_encrypted()))).await;
        }
        Some(Err(error)) => debug!(%from, "TLS: {error}"),
        None => debug!(%from, "TLS: the handshake takes too long"),
    }
    None
}

/// The answer to plain HTTP where TLS is spoken.
pub(crate) const NOT_ENCRYPTED: &str = "This port speaks TLS: use https:// or wss://\n";

fn not_encrypted() -> Response<Body> {
    let last = [(header::CONNECTION, "close")];
    (StatusCode::BAD_REQUEST, last, NOT_ENCRYPTED).into_response()
}

/// A document may have the name of a plain route: a request for a WebSocket never gets to the routes.
async fn answer(
    turn: impl Future<Output = ()>,
    mut request: hyper::Request<Incoming>,
    from: SocketAddr,
    encrypted: Encrypted,
    entrance: Arc<Entrance>,
    plain: TowerToHyperService<Router>,
) -> Result<Response<Body>, Infallible> {
    turn.await;
    request.extensions_mut().insert(encrypted);
    if is_wanted(&request) {
        let Door::Public { .. } = entrance.door else {
            return Ok((StatusCode::NOT_FOUND, "There are no documents here.\n").into_response());
        };
        let server = &entrance.server;
        let span = server.tracer.request("upgrade", request.headers());
        let mut response = upgrade::answer(server, request, from, &span);
        span.answer(&mut response);
        return Ok(response);
    }
    request.extensions_mut().insert(ConnectInfo(from));
    let is_y_sweet = request.uri().path().starts_with(paths::ROOT);
    let tracer = &entrance.server.tracer;
    let span = if is_y_sweet { tracer.request("y-sweet", request.headers()) } else { Span::default() };
    let mut response = plain.call(request).await?;
    span.answer(&mut response);
    Ok(response)
}
