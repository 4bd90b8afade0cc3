//! Plain HTTP: whether the server lives and can save, its metrics, and the demo for people who open the address in a browser.

mod demo;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::journal::SharedJournal;
use crate::metrics::{self, Metrics};

/// All routes. WebSocket upgrades never come here.
pub(crate) fn routes(journal: SharedJournal, metrics: Arc<Metrics>) -> Router {
    Router::new()
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .fallback(async || (StatusCode::NOT_FOUND, "Not found. Documents are reached by WebSocket.\n"))
        .with_state(Observed { journal, metrics })
        .merge(demo::routes())
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
