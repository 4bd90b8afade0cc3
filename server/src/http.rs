//! Plain HTTP: whether the server lives and can save, its metrics, y-sweet, and the demo for people who open the address in a
//! browser.

mod demo;
pub(crate) mod y_sweet;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use self::y_sweet::YSweet;
use crate::journal::SharedJournal;
use crate::metrics::{self, Metrics};

/// All routes. WebSocket upgrades never come here.
pub(crate) fn routes(y_sweet: YSweet) -> Router {
    let (journal, metrics) = (Arc::clone(&y_sweet.journal), Arc::clone(&y_sweet.metrics));
    Router::new()
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .fallback(async || (StatusCode::NOT_FOUND, "Not found. Documents are reached by WebSocket.\n"))
        .with_state(Observed { journal, metrics })
        .nest(y_sweet::paths::ROOT, y_sweet::routes(y_sweet))
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
    observed.metrics.ready.set(observed.journal.failure().is_none().into());
    let text = observed.metrics.encode().map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text))
}
