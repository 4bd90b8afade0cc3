//! Plain HTTP: whether the server lives and can save, and a page for people who open the address in a browser.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse};
use axum::routing::get;

use crate::rooms::Rooms;

/// What a person sees who opens the server's address.
const LANDING: &str = include_str!("landing.html");

/// All routes. WebSocket upgrades never come here.
pub(crate) fn routes(rooms: Arc<Rooms>) -> Router {
    Router::new()
        .route("/", get(async || Html(LANDING)))
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .fallback(async || (StatusCode::NOT_FOUND, "Not found. Documents are reached by WebSocket.\n"))
        .with_state(rooms)
}

/// Not ready once a write has failed: editors are still served, but nothing is saved.
async fn ready(State(rooms): State<Arc<Rooms>>) -> impl IntoResponse {
    let failure = rooms.writer.failure().map(str::to_owned).or_else(|| rooms.store.failure());
    match failure {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}
