//! Plain HTTP: whether the server lives and can save, its metrics, the API, y-sweet, and the demo for people who open the
//! address in a browser.

pub(crate) mod api;
mod body;
mod cors;
mod demo;
mod problem;
pub(crate) mod y_sweet;

#[cfg(test)]
pub(crate) use self::body::BodyError;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get};

use self::api::Api;
use self::y_sweet::YSweet;
use crate::access::server_keys::ServerKeys;
use crate::journal::SharedJournal;
use crate::metrics::{self, Metrics};

/// The routes of each listener. WebSocket upgrades never come to them.
pub(crate) struct Routes {
    /// Those of the listener for everybody.
    pub(crate) public: Router,
    /// Those of the listener for those who run the server, if there is one.
    pub(crate) admin: Option<Router>,
}

/// All routes. The admin's are where everybody's are, unless they have a listener of their own.
pub(crate) fn routes(y_sweet: YSweet, api: Api, keys: Arc<ServerKeys>) -> Routes {
    let observed = Observed { journal: Arc::clone(&y_sweet.journal), metrics: Arc::clone(&y_sweet.metrics) };
    let config = Arc::clone(&y_sweet.config);
    let (public, admin) = (public(&observed, y_sweet), admin(&observed, api, keys));
    let admin = admin.layer(cors::layer(Arc::clone(&config)));
    if config.admin_listen.is_some() {
        let admin = admin
            .merge(probes(&observed, get(ready_in_detail)))
            .fallback(async || (StatusCode::NOT_FOUND, "Not found.\n"));
        Routes { public, admin: Some(admin) }
    } else {
        Routes { public: public.merge(admin), admin: None }
    }
}

/// For those who watch whether the server lives: on each listener.
fn probes(observed: &Observed, ready: MethodRouter<Observed>) -> Router {
    Router::new()
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", ready)
        .with_state(observed.clone())
}

/// For editors, and for people with a browser.
fn public(observed: &Observed, y_sweet: YSweet) -> Router {
    let cors = cors::layer(Arc::clone(&y_sweet.config));
    probes(observed, get(ready))
        .fallback(async || (StatusCode::NOT_FOUND, "Not found. Documents are reached by WebSocket.\n"))
        .nest(y_sweet::paths::ROOT, y_sweet::routes(y_sweet).layer(cors))
        .merge(demo::routes())
}

/// For those who run the server, and for their back ends: metrics and the API.
fn admin(observed: &Observed, api: Api, keys: Arc<ServerKeys>) -> Router {
    let metrics = Router::new().route("/metrics", get(scrape)).with_state(observed.clone());
    api::guarded(metrics.nest(api::ROOT, api::routes(api)), keys)
}

/// The state that plain routes report.
#[derive(Clone)]
struct Observed {
    journal: SharedJournal,
    metrics: Arc<Metrics>,
}

/// What strangers are told while nothing is saved: paths and the words of the system are for those who run the server.
const UNSAVED: &str = "nothing can be saved now; the server's log says why";

/// Not ready once a write has failed: editors are still served, but nothing is saved.
async fn ready(State(observed): State<Observed>) -> impl IntoResponse {
    readiness(observed.journal.failure().as_deref().map(|_| UNSAVED))
}

/// The same with the reason.
async fn ready_in_detail(State(observed): State<Observed>) -> impl IntoResponse {
    readiness(observed.journal.failure().as_deref())
}

fn readiness(failure: Option<&str>) -> (StatusCode, String) {
    match failure {
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
