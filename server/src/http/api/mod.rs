//! `/api/v1`: what the back end of an application asks for. Who is not on this machine has to show a server key.
//!
//! ```text
//! POST access/recheck {"document"?, "subject"?}                 -> {"connections"}
//! POST access/revoke  {"token"} or {"subject"?, "issuedBefore"?} -> {"connections"}
//! ```

mod access;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Response, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::post;
use serde::de::DeserializeOwned;
use tracing::error;

use super::body::{BodyLimits, receive};
use super::problem::Problem;
use crate::access::Authorizer;
use crate::access::server_keys::ServerKeys;
use crate::access::y_sweet::bearer;
use crate::budget::Budget;
use crate::config::{Config, is_local};
use crate::connection::register::Connections;
use crate::limits::API_BODY_BYTES;
use crate::metrics::Metrics;

/// Where the API is.
pub(super) const ROOT: &str = "/api/v1";

/// The parts of the server that are needed here.
#[derive(Clone)]
pub(crate) struct Api {
    /// Decides who may do what.
    pub(crate) authorizer: Arc<Authorizer>,
    /// The open connections.
    pub(crate) connections: Arc<Connections>,
    /// The configuration in force.
    pub(crate) config: Arc<Config>,
    /// The counters.
    pub(crate) metrics: Arc<Metrics>,
    /// What requests may have in memory, with all else.
    pub(crate) budget: Arc<Budget>,
}

/// All routes below [`ROOT`].
pub(super) fn routes(api: Api) -> Router {
    Router::new()
        .route("/access/recheck", post(access::recheck))
        .route("/access/revoke", post(access::revoke))
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "the API has no such path"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "the API has no such method here")
        })
        .with_state(api)
}

/// Lets a request go on that comes from this machine, or shows a server key.
pub(super) async fn guard(
    State(keys): State<Arc<ServerKeys>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let headers = request.headers();
    if is_local(from.ip(), headers) {
        return next.run(request).await;
    }
    let Some(key) = bearer(headers) else {
        let detail = "from elsewhere than this machine, a server key is needed: `coscribe key new` makes one, and it is shown \
                      as `Authorization: Bearer KEY`";
        return Problem::new(StatusCode::UNAUTHORIZED, detail).into_response();
    };
    match keys.allow(key) {
        Ok(true) => next.run(request).await,
        Ok(false) => {
            let detail =
                "this server key is not known: `coscribe key list` shows the names of those that are";
            Problem::new(StatusCode::UNAUTHORIZED, detail).into_response()
        }
        Err(error) => {
            error!("the server keys cannot be read: {error}");
            let detail = "the server keys cannot be read; the server's log says why";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response()
        }
    }
}

/// Puts a guard before routes.
pub(super) fn guarded(routes: Router, keys: Arc<ServerKeys>) -> Router {
    routes.layer(from_fn_with_state(keys, guard))
}

/// The JSON in a body, which has come in time.
async fn json<T: DeserializeOwned>(api: &Api, request: Request) -> Result<T, Problem> {
    let limits = BodyLimits { bytes: API_BODY_BYTES, time: api.config.stall_timeout.get() };
    let body = receive(request.into_body(), limits, &api.budget).await;
    let body = body.map_err(|error| Problem::new(error.status(), error.to_string()))?;
    let bad = |error: serde_json::Error| Problem::new(StatusCode::BAD_REQUEST, error.to_string());
    serde_json::from_slice(&body.bytes).map_err(bad)
}
