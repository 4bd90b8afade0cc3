//! Plain HTTP: whether the server lives and can save, its metrics, the API, y-sweet, and the demo for people who open the
//! address in a browser.

pub(crate) mod api;
mod cors;
mod demo;
mod problem;
pub(crate) mod y_sweet;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use self::api::Api;
use self::y_sweet::YSweet;
use crate::access::server_keys::ServerKeys;
use crate::journal::SharedJournal;
use crate::metrics::{self, Metrics};

/// All routes. WebSocket upgrades never come here.
pub(crate) fn routes(y_sweet: YSweet, api: Api, keys: Arc<ServerKeys>) -> Router {
    let observed = Observed { journal: Arc::clone(&y_sweet.journal), metrics: Arc::clone(&y_sweet.metrics) };
    let cors = cors::layer(Arc::clone(&y_sweet.config));
    Router::new()
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .fallback(async || (StatusCode::NOT_FOUND, "Not found. Documents are reached by WebSocket.\n"))
        .with_state(observed.clone())
        .nest(y_sweet::paths::ROOT, y_sweet::routes(y_sweet).layer(cors.clone()))
        .merge(admin(observed, api, keys).layer(cors))
        .merge(demo::routes())
}

/// For those who run the server, and for their back ends.
fn admin(observed: Observed, api: Api, keys: Arc<ServerKeys>) -> Router {
    let routes = Router::new().route("/metrics", get(scrape)).with_state(observed);
    api::guarded(routes.nest(api::ROOT, api::routes(api)), keys)
}

/// The state that plain routes report.
#[derive(Clone)]
struct Observed {
    journal: SharedJournal,
    metrics: Arc<Metrics>,
}

/// Not ready once a write has failed: editors are still served, but nothing is saved.
async fn ready(State(observed): State<Observed>) -> impl IntoResponse {
    match observed.journal.failure() {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

/// The metrics, as text.
async fn scrape(State(observed): State<Observed>) -> Result<impl IntoResponse, StatusCode> {
    let text = observed.metrics.encode().map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text))
}
