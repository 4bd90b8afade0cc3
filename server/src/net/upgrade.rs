//! From an HTTP request to a WebSocket: which document is meant, and whether there is a place for the connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::response::IntoResponse;
use coscribe_engine::message::Reason;
use coscribe_engine::room::{Confirmation, Terms};
use coscribe_persistence::{DocumentName, NameError};
use coscribe_websocket::{Gone, Handshake, HandshakeError, stream_of};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use tokio::time::Instant;
use tracing::{debug, info};

use super::server::Server;
use crate::access::y_sweet::Refused;
use crate::config::Config;
use crate::connection::register::NoPlace;
use crate::connection::{Closing, Connection, Dialect, told_as};
use crate::http::y_sweet::paths::{self, PathError};
use crate::limits::Y_SWEET_KEEP_ALIVE;
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
    /// The client may not have the document.
    #[error(transparent)]
    Refused(#[from] Refused),
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
            UpgradeError::Refused(_) => "unauthorized",
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
    match accept(server, request, from, span) {
        Ok(response) => response,
        Err(error) => {
            let _belongs = span.enter();
            info!(%from, "refused a WebSocket: {error}");
            server.metrics.reject(error.label());
            if let UpgradeError::Refused(refused) = error {
                server.metrics.denied(refused.label());
            }
            error.into_response()
        }
    }
}

fn accept(
    server: &Arc<Server>,
    mut request: Request<Incoming>,
    from: SocketAddr,
    span: &Span,
) -> Result<Response<Body>, UpgradeError> {
    let grant = span.child("grant");
    let Purpose { dialect, keep_alive, expires } = Purpose::of(server, &request, from)?;
    grant.end();
    dialect.tell(span);
    let handshake = Handshake::check(&request, server.config.compression.is_on())?;
    let client = server.config.trusted_proxies.client(from.ip(), request.headers());
    let place = server.connections.admit(client)?;
    let closing = Arc::<Closing>::default();
    let connection = Connection {
        registration: place.register(Arc::clone(&closing)),
        closing,
        window: handshake.window(),
        client_window: handshake.client_window(),
        dialect,
        keep_alive,
        expires,
        from,
        trace: span.clone(),
        rooms: Arc::clone(&server.rooms),
        config: Arc::clone(&server.config),
        metrics: Arc::clone(&server.metrics),
    };
    let stream = stream_of(&mut request);
    tokio::spawn(async move {
        match stream.await {
            Ok((socket, read_ahead)) => connection.run(socket, read_ahead).await,
            Err(Gone) => debug!(%from, "gone before the handshake was over"),
        }
    });
    Ok(handshake.response().map(|()| Body::empty()))
}

/// What a WebSocket is for.
struct Purpose {
    dialect: Dialect,
    /// How often it gets a keep-alive while there is nothing else.
    keep_alive: Duration,
    /// When the client's grant ends.
    expires: Option<Instant>,
}

impl Purpose {
    fn of(server: &Server, request: &Request<Incoming>, from: SocketAddr) -> Result<Purpose, UpgradeError> {
        let (path, query) = (request.uri().path(), request.uri().query());
        let keep_alive = server.config.keep_alive.get();
        let Some(name) = paths::socket(path) else {
            let dialect = dialect_of(path, query, &server.config)?;
            return Ok(Purpose { dialect, keep_alive, expires: None });
        };
        let (name, token) = (name?, paths::token(query));
        let grant = server.gate.client(from.ip(), request.headers(), token.as_deref(), &name)?;
        server.metrics.granted("y-sweet");
        let terms = Terms { access: grant.access, confirms_answer: true, ..Terms::default() };
        Ok(Purpose {
            dialect: Dialect::YWebsocket { name, terms },
            keep_alive: keep_alive.min(Y_SWEET_KEEP_ALIVE),
            expires: grant.expires.map(instant_of),
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

/// A moment of the calendar for timers. What is past is now.
fn instant_of(time: SystemTime) -> Instant {
    Instant::now() + time.duration_since(SystemTime::now()).unwrap_or_default()
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
        let status = match self {
            UpgradeError::Handshake(error) => return error.response().map(Body::from),
            UpgradeError::Name(NameError::TooLong { .. })
            | UpgradeError::YSweet(PathError::Name(NameError::TooLong { .. })) => StatusCode::URI_TOO_LONG,
            UpgradeError::YSweet(PathError::Unknown) => StatusCode::NOT_FOUND,
            UpgradeError::Refused(_) => StatusCode::UNAUTHORIZED,
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
