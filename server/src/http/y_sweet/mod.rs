//! `/y-sweet`: what y-sweet's SDKs and clients ask for by HTTP. Their WebSockets are a matter of [`crate::net::upgrade`].
//!
//! ```text
//! GET  ready                     -> {"ok"}
//! POST check_store               -> {"ok", "error"?}                         key
//! POST doc/new {"docId"?}        -> {"docId"}                                key
//! POST doc/ID/auth {"authorization"?, "userId"?, "validForSeconds"?}
//!                                -> {"url", "baseUrl", "docId", "token", "authorization"}   key
//! GET  d/ID/as-update            -> an update                                token (doc/ID/as-update: key)
//! POST d/ID/update an update                                                 token (doc/ID/update: key)
//! ```
//!
//! Keys and tokens come as `Authorization: Bearer`. A document's ID is its name.

mod failure;
pub(crate) mod paths;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{Response, StatusCode, header};
use axum::middleware::map_response_with_state;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use coscribe_engine::room::Access;
use coscribe_engine::rope::Rope;
use coscribe_engine::update;
use coscribe_persistence::DocumentName;
use coscribe_persistence::limits::MAX_SUBJECT_BYTES;
use futures_util::stream;
use serde::{Deserialize, Serialize};

pub(crate) use self::failure::Failure;
use crate::access::y_sweet::bearer;
use crate::access::{Authorization, Authorizer, ClientKind, Grant};
use crate::budget::Budget;
use crate::config::{Config, Encrypted, is_local};
use crate::http::UNSAVED;
use crate::http::body::{BodyLimits, Received, receive};
use crate::journal::SharedJournal;
use crate::limits::{TOKEN_VALID, TOKEN_VALID_AT_MOST};
use crate::metrics::Metrics;
use crate::rooms::Rooms;

/// The parts of the server that are needed here.
#[derive(Clone)]
pub(crate) struct YSweet {
    /// Decides who may come in.
    pub(crate) authorizer: Arc<Authorizer>,
    /// The open documents.
    pub(crate) rooms: Arc<Rooms>,
    /// The stored ones.
    pub(crate) journal: SharedJournal,
    /// The configuration in force.
    pub(crate) config: Arc<Config>,
    /// The counters.
    pub(crate) metrics: Arc<Metrics>,
    /// What requests may have in memory, with all else.
    pub(crate) budget: Arc<Budget>,
}

/// All routes below `/y-sweet`.
pub(super) fn routes(y_sweet: YSweet) -> Router {
    let metrics = Arc::clone(&y_sweet.metrics);
    Router::new()
        .route("/ready", get(ready))
        .route("/check_store", post(check_store))
        .route("/doc/new", post(create))
        .route("/doc/{id}/auth", post(authorize))
        .route("/doc/{id}/as-update", get(read_by_key))
        .route("/doc/{id}/update", post(write_by_key))
        .route("/d/{id}/as-update", get(read))
        .route("/d/{id}/update", post(write))
        .layer(map_response_with_state(metrics, failure::count))
        .with_state(y_sweet)
}

/// A request of somebody who has the key.
struct BackEnd;

impl FromRequestParts<YSweet> for BackEnd {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, y_sweet: &YSweet) -> Result<BackEnd, Failure> {
        y_sweet.authorizer.y_sweet.back_end(from(parts), &parts.headers)?;
        Ok(BackEnd)
    }
}

/// A request about one document.
struct Named(DocumentName);

impl FromRequestParts<YSweet> for Named {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, y_sweet: &YSweet) -> Result<Named, Failure> {
        let id = Path::<String>::from_request_parts(parts, y_sweet).await;
        let Path(id) = id.map_err(|error| Failure::Request(error.body_text()))?;
        Ok(Named(paths::document(&id)?))
    }
}

/// A request about one document of somebody who has a token for it.
struct Client(DocumentName, Grant);

impl FromRequestParts<YSweet> for Client {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, y_sweet: &YSweet) -> Result<Client, Failure> {
        let Named(name) = Named::from_request_parts(parts, y_sweet).await?;
        let token = bearer(&parts.headers);
        let is_local = is_local(from(parts), &parts.headers);
        let grant = y_sweet.authorizer.y_sweet.client(is_local, token, &name);
        match &grant {
            Ok(_) => y_sweet.metrics.granted(ClientKind::YSweet.name()),
            Err(refused) => y_sweet.metrics.denied(refused.label()),
        }
        Ok(Client(name, grant?))
    }
}

/// The other end of the connection.
fn from(parts: &Parts) -> IpAddr {
    let info = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    info.expect("the listener adds it to each request").0.ip()
}

/// The body of a request, which has come in time and is not too large.
async fn body(y_sweet: &YSweet, request: Request) -> Result<Received, Failure> {
    let limits = BodyLimits {
        bytes: y_sweet.config.max_message_bytes.get(),
        time: y_sweet.config.stall_timeout.get(),
    };
    Ok(receive(request.into_body(), limits, &y_sweet.budget).await?)
}

/// A body of JSON; none means that nothing is asked for.
async fn json<T: Default + for<'de> Deserialize<'de>>(
    y_sweet: &YSweet,
    request: Request,
) -> Result<T, Failure> {
    let body = body(y_sweet, request).await?;
    if body.bytes.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(&body.bytes).map_err(|error| Failure::Request(error.to_string()))
}

/// An answer of JSON.
fn told(status: StatusCode, told: &impl Serialize) -> Result<Response<Body>, Failure> {
    let text = serde_json::to_string(told).map_err(|error| Failure::Internal(error.to_string()))?;
    Ok((status, [(header::CONTENT_TYPE, "application/json")], text).into_response())
}

/// Whether documents are stored.
#[derive(Serialize)]
struct Stores {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
}

impl Stores {
    fn asked(y_sweet: &YSweet) -> Stores {
        let error = y_sweet.journal.failure().map(|_| UNSAVED);
        Stores { ok: error.is_none(), error }
    }
}

async fn ready(State(y_sweet): State<YSweet>) -> Result<Response<Body>, Failure> {
    let ok = Stores::asked(&y_sweet).ok;
    told(if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &Stores { ok, error: None })
}

/// An SDK reads the answer only with status 200.
async fn check_store(_: BackEnd, State(y_sweet): State<YSweet>) -> Result<Response<Body>, Failure> {
    told(StatusCode::OK, &Stores::asked(&y_sweet))
}

/// The document that is to be created.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct NewDocument {
    doc_id: Option<String>,
}

/// The document that was created.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Created<'a> {
    doc_id: &'a str,
}

async fn create(
    _: BackEnd,
    State(y_sweet): State<YSweet>,
    request: Request,
) -> Result<Response<Body>, Failure> {
    let NewDocument { doc_id } = json(&y_sweet, request).await?;
    let id = match doc_id {
        Some(id) => id,
        None => paths::random_id().map_err(|error| Failure::Internal(error.to_string()))?,
    };
    let name = paths::document(&id)?;
    if !y_sweet.journal.contains(&name) {
        y_sweet.rooms.create(&name).await?;
    }
    told(StatusCode::OK, &Created { doc_id: &id })
}

/// The token that is wanted.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct TokenWanted {
    authorization: Authorization,
    /// Who it is for: recorded with each update.
    user_id: Option<String>,
    valid_for_seconds: Option<u64>,
}

/// What a client needs to connect.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ClientToken<'a> {
    url: String,
    base_url: String,
    doc_id: &'a str,
    token: String,
    authorization: Authorization,
}

async fn authorize(
    _: BackEnd,
    State(y_sweet): State<YSweet>,
    Named(name): Named,
    request: Request,
) -> Result<Response<Body>, Failure> {
    let (parts, body) = request.into_parts();
    let is_encrypted = parts.extensions.get() == Some(&Encrypted(true));
    let proxies = &y_sweet.config.trusted_proxies;
    let used = proxies.address_used(from(&parts), is_encrypted, &parts.headers);
    let (host, is_encrypted) = used.ok_or_else(|| Failure::Request("Host is missing or wrong".to_owned()))?;
    let TokenWanted { authorization, user_id, valid_for_seconds } =
        json(&y_sweet, Request::from_parts(parts, body)).await?;
    let valid = valid_for_seconds.map_or(TOKEN_VALID, Duration::from_secs);
    if valid.is_zero() || valid > TOKEN_VALID_AT_MOST {
        return Err(Failure::Validity);
    }
    if user_id.as_ref().is_some_and(|id| id.len() > MAX_SUBJECT_BYTES) {
        return Err(Failure::Request(format!("userId has more than {MAX_SUBJECT_BYTES} bytes")));
    }
    existing(&y_sweet, &name).await?;
    let token = y_sweet.authorizer.y_sweet.tokens().sign(&name, authorization, user_id, valid);
    let token = token.map_err(|error| Failure::Internal(error.to_string()))?;
    let (s, id) = (if is_encrypted { "s" } else { "" }, name.as_str());
    let place = format!("{host}{}/d/{id}", paths::ROOT);
    told(
        StatusCode::OK,
        &ClientToken {
            url: format!("ws{s}://{place}/ws"),
            base_url: format!("http{s}://{place}"),
            doc_id: id,
            token,
            authorization,
        },
    )
}

async fn read(Client(name, _): Client, State(y_sweet): State<YSweet>) -> Result<Response<Body>, Failure> {
    document(&y_sweet, &name).await
}

async fn read_by_key(
    _: BackEnd,
    Named(name): Named,
    State(y_sweet): State<YSweet>,
) -> Result<Response<Body>, Failure> {
    document(&y_sweet, &name).await
}

async fn write(
    Client(name, grant): Client,
    State(y_sweet): State<YSweet>,
    request: Request,
) -> Result<StatusCode, Failure> {
    if grant.access != Access::Write {
        return Err(Failure::ReadOnly);
    }
    apply(&y_sweet, &name, request).await
}

async fn write_by_key(
    _: BackEnd,
    Named(name): Named,
    State(y_sweet): State<YSweet>,
    request: Request,
) -> Result<StatusCode, Failure> {
    apply(&y_sweet, &name, request).await
}

async fn document(y_sweet: &YSweet, name: &DocumentName) -> Result<Response<Body>, Failure> {
    let document = existing(y_sweet, name).await?;
    let described = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, document.len().to_string()),
    ];
    let parts = document.parts().to_vec().into_iter().map(Ok::<_, std::convert::Infallible>);
    Ok((described, Body::from_stream(stream::iter(parts))).into_response())
}

async fn apply(y_sweet: &YSweet, name: &DocumentName, request: Request) -> Result<StatusCode, Failure> {
    let update = body(y_sweet, request).await?;
    y_sweet.rooms.apply(name, update.bytes.clone()).await?;
    Ok(StatusCode::OK)
}

/// A document, which exists where it was created, or anybody has written to it.
async fn existing(y_sweet: &YSweet, name: &DocumentName) -> Result<Rope, Failure> {
    let document = y_sweet.rooms.read(name).await?;
    let is_empty = document.len() == update::EMPTY.len() && document.to_bytes() == update::EMPTY;
    if is_empty && !y_sweet.journal.contains(name) { Err(Failure::NoDocument) } else { Ok(document) }
}
