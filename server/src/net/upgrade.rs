//! From an HTTP request to a WebSocket: which document is meant, and whether there is a place for the connection.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use coscribe_engine::message::Reason;
use coscribe_engine::room::{Confirmation, Terms};
use coscribe_persistence::{DocumentName, NameError};
use coscribe_websocket::{Handshake, HandshakeError, stream_of};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use tokio::time::Instant;
use tracing::info;

use super::server::Server;
use crate::access::{ClientKind, Credentials, Decision, Denied, Visitor, is_plain_subprotocol};
use crate::config::{Config, Encrypted, is_local};
use crate::connection::register::NoPlace;
use crate::connection::{Connection, Dialect, Orders, told_as};
use crate::http::y_sweet::paths::{self, PathError};
use crate::limits::{SHOWN_ORIGIN_BYTES, Y_SWEET_KEEP_ALIVE};
use crate::observe::Span;

/// How a client asks to be named what is saved, as y-websocket's coming version takes it.
const CONFIRM_BY_IDS: &str = "confirm=ids";

/// Why a handshake is answered with an error.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpgradeError {
    /// The path, percent-decoded, is not UTF-8.
    #[error("the document name in the path is not UTF-8")]
    NotUtf8,
    /// The path cannot be a document name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The path is not one of y-sweet's.
    #[error(transparent)]
    YSweet(#[from] PathError),
    /// Pages of this origin may not use the server.
    #[error("pages of another origin may not connect; `origins` says which ones may")]
    Origin,
    /// The client may not have the document.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// It is no sound handshake.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// There are too many connections.
    #[error(transparent)]
    NoPlace(#[from] NoPlace),
}

impl UpgradeError {
    /// The reason under which metrics count it.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            UpgradeError::NoPlace(NoPlace::Total) => "connections",
            UpgradeError::NoPlace(NoPlace::Address(_)) => "connections_from_address",
            UpgradeError::Denied(denied) => denied.label(),
            UpgradeError::Origin => "origin",
            _ => "handshake",
        }
    }
}

/// Answers a handshake. Where it is sound, the connection runs on a task of its own.
pub(crate) fn answer(
    server: &Arc<Server>,
    request: Request<Incoming>,
    from: SocketAddr,
    span: &Span,
) -> Response<Body> {
    let client = server.config.trusted_proxies.client(from.ip(), request.headers());
    let origin = request.headers().get(header::ORIGIN).cloned();
    match accept(server, request, from, client, span) {
        Ok(response) => response,
        Err(error) => {
            let _belongs = span.enter();
            if server.refusals.is_logged(client.unwrap_or(from.ip()), Instant::now()) {
                let origin = origin.filter(|_| matches!(error, UpgradeError::Origin));
                let origin = origin.as_ref().map(|origin| shown_origin(origin.as_bytes()));
                info!(%from, origin, reason = error.label(), "refused a WebSocket: {error}");
            }
            server.metrics.reject(error.label());
            if let UpgradeError::Denied(denied) = &error {
                server.metrics.denied(denied.label());
            }
            error.into_response()
        }
    }
}

/// The page of a request that is refused, as `--origins` would take it.
fn shown_origin(origin: &[u8]) -> String {
    String::from_utf8_lossy(&origin[..origin.len().min(SHOWN_ORIGIN_BYTES)]).into_owned()
}

fn accept(
    server: &Arc<Server>,
    mut request: Request<Incoming>,
    from: SocketAddr,
    client: Option<IpAddr>,
    span: &Span,
) -> Result<Response<Body>, UpgradeError> {
    let purpose = Purpose::of(&request, &server.config)?;
    purpose.dialect.tell(span);
    let handshake = Handshake::check(&request, server.config.compression.is_on(), is_plain_subprotocol)?;
    let is_encrypted = request.extensions().get() == Some(&Encrypted(true));
    if !server.config.lets_in_origin(from.ip(), is_encrypted, request.headers()) {
        return Err(UpgradeError::Origin);
    }
    let credentials = match purpose.kind {
        ClientKind::YSweet => Credentials::of_token(paths::token(request.uri().query())),
        ClientKind::YWebsocket | ClientKind::Hocuspocus => {
            Credentials::of(&server.config.access, request.uri(), request.headers())
        }
    };
    let visitor = Visitor {
        credentials: Arc::new(credentials),
        kind: purpose.kind,
        address: client.unwrap_or(from.ip()),
        is_local: is_local(from.ip(), request.headers()),
    };
    let place = server.connections.admit(client)?;
    let orders = Arc::<Orders>::default();
    // What changes from now on reaches the connection.
    let registration = place.register(Arc::clone(&orders), is_encrypted);
    let grant = span.child("grant");
    let decision = decide(server, &purpose, &visitor);
    grant.end();
    let decision = decision?;
    let connection = Connection {
        registration,
        orders,
        window: handshake.window(),
        client_window: handshake.client_window(),
        keep_alive: purpose.keep_alive,
        dialect: purpose.dialect,
        visitor,
        authorizer: Arc::clone(&server.authorizer),
        refusals: Arc::clone(&server.refusals),
        from,
        trace: span.clone(),
        rooms: Arc::clone(&server.rooms),
        config: Arc::clone(&server.config),
        metrics: Arc::clone(&server.metrics),
    };
    let stream = stream_of(&mut request);
    tokio::spawn(connection.run(decision, stream));
    Ok(handshake.response().map(|()| Body::empty()))
}

/// Decides what a client may do with its document, if it names one. A denial is told on the open WebSocket where it can be, as
/// [`crate::access::Refusals`] says.
fn decide(server: &Server, purpose: &Purpose, visitor: &Visitor) -> Result<Option<Decision>, UpgradeError> {
    let Dialect::YWebsocket { name, .. } = &purpose.dialect else { return Ok(None) };
    match server.authorizer.decide(visitor, name) {
        Decision::Now(Err(denied)) if visitor.kind == ClientKind::YSweet => Err(denied.into()),
        Decision::Now(Err(denied)) if server.refusals.are_told_cheaply(visitor.address, Instant::now()) => {
            Err(denied.into())
        }
        decision => Ok(Some(decision)),
    }
}

/// What a WebSocket is for.
struct Purpose {
    dialect: Dialect,
    kind: ClientKind,
    /// How often it gets a keep-alive while there is nothing else.
    keep_alive: Duration,
}

impl Purpose {
    fn of(request: &Request<Incoming>, config: &Config) -> Result<Purpose, UpgradeError> {
        let (path, query) = (request.uri().path(), request.uri().query());
        let keep_alive = config.keep_alive.get();
        let Some(name) = paths::socket(path) else {
            let dialect = dialect_of(path, query, config)?;
            let kind = match dialect {
                Dialect::YWebsocket { .. } => ClientKind::YWebsocket,
                Dialect::Hocuspocus => ClientKind::Hocuspocus,
            };
            return Ok(Purpose { dialect, kind, keep_alive });
        };
        let terms = Terms { confirms_answer: true, ..Terms::default() };
        Ok(Purpose {
            dialect: Dialect::YWebsocket { name: name?, terms },
            kind: ClientKind::YSweet,
            keep_alive: keep_alive.min(Y_SWEET_KEEP_ALIVE),
        })
    }
}

/// What is said on a WebSocket with this path and query. Providers of Hocuspocus name their documents later.
fn dialect_of(path: &str, query: Option<&str>, config: &Config) -> Result<Dialect, UpgradeError> {
    if config.is_for_hocuspocus(path) {
        return Ok(Dialect::Hocuspocus);
    }
    let confirmation = match query {
        Some(query) if query.split('&').any(|pair| pair == CONFIRM_BY_IDS) => Confirmation::ByIds,
        _ => Confirmation::OnRequest,
    };
    let terms = Terms { confirmation, ..Terms::default() };
    Ok(Dialect::YWebsocket { name: document_name(path)?, terms })
}

/// The document that a path names: percent-decoded, without the leading `/`, and otherwise as it is. The query string is
/// not part of the name.
fn document_name(path: &str) -> Result<DocumentName, UpgradeError> {
    let encoded = path.strip_prefix('/').unwrap_or(path);
    let name = percent_decode_str(encoded).decode_utf8().map_err(|_| UpgradeError::NotUtf8)?;
    Ok(DocumentName::new(&name)?)
}

impl IntoResponse for UpgradeError {
    fn into_response(self) -> Response<Body> {
        let status = match &self {
            UpgradeError::Handshake(error) => return error.response().map(Body::from),
            UpgradeError::Name(NameError::TooLong { .. })
            | UpgradeError::YSweet(PathError::Name(NameError::TooLong { .. })) => StatusCode::URI_TOO_LONG,
            UpgradeError::YSweet(PathError::Unknown) => StatusCode::NOT_FOUND,
            UpgradeError::Denied(denied) => told_as(denied.reason()).1,
            UpgradeError::Origin => StatusCode::FORBIDDEN,
            UpgradeError::NoPlace(NoPlace::Address(_)) => StatusCode::TOO_MANY_REQUESTS,
            UpgradeError::NoPlace(NoPlace::Total) => told_as(Reason::Overload).1,
            UpgradeError::NotUtf8 | UpgradeError::Name(_) | UpgradeError::YSweet(_) => {
                StatusCode::BAD_REQUEST
            }
        };
        (status, format!("{self}\n")).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_decoded_path_and_nothing_else_is_changed() {
        for (path, name) in [
            ("/room", "room"),
            ("/a/b", "a/b"),
            ("/room%20a/%C3%BC", "room a/ü"),
            ("//x/../y/", "/x/../y/"),
            ("/100%", "100%"),
            ("/healthz", "healthz"),
        ] {
            assert_eq!(document_name(path).unwrap().as_str(), name);
        }
        let config = Config::from_toml("hocuspocus_path = ['/collab']").unwrap();
        let is_hocuspocus = |path| matches!(dialect_of(path, None, &config), Ok(Dialect::Hocuspocus));
        assert!(is_hocuspocus("/") && is_hocuspocus("/collab") && !is_hocuspocus("/collab/notes"));
        assert!(matches!(document_name("/%ff"), Err(UpgradeError::NotUtf8)));
        assert!(matches!(document_name(&"/a".repeat(1000)), Err(UpgradeError::Name(_))));
    }
}
