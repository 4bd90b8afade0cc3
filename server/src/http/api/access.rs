//! What changes while people are connected: grants are looked at again, and tokens are taken back.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use coscribe_persistence::DocumentName;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use tracing::{error, info};

use super::{Api, json};
use crate::access::{Revocation, RevokeError, subject};
use crate::connection::Review;
use crate::http::problem::Problem;

/// Whose grants are to be looked at again.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recheck {
    document: Option<String>,
    #[serde(default, deserialize_with = "subject::optional")]
    subject: Option<String>,
}

/// How many connections were told.
#[derive(Serialize)]
pub(super) struct Told {
    connections: usize,
}

/// Asks or evaluates again what clients may do with a document, or what a subject may do, or everybody with everything. Those whose access has changed are
/// told, and the others notice nothing.
pub(super) async fn recheck(State(api): State<Api>, request: Request) -> Result<Json<Told>, Problem> {
    let Recheck { document, subject } = json(&api, request).await?;
    let document = document.map(|name| DocumentName::new(&name)).transpose();
    let document = document.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    api.authorizer.forget(document.as_ref(), subject.as_deref());
    Ok(Json(Told { connections: api.connections.review(Review::Grants { document, subject }) }))
}

/// Takes tokens back, for good: answered when that is on disk, and open connections have heard of it.
pub(super) async fn revoke(State(api): State<Api>, request: Request) -> Result<Json<Told>, Problem> {
    let revocation: Revocation = json(&api, request).await?;
    let (authorizer, revoked) = (Arc::clone(&api.authorizer), revocation.clone());
    match spawn_blocking(move || authorizer.revocations.revoke(revoked)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            if let RevokeError::Disk(error) = &error {
                error!("a revocation cannot be stored: {error}");
            }
            return Err(Problem::new(status(&error), error.to_string()));
        }
        Err(_) => return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping")),
    }
    let Revocation { subject, token, issued_before } = &revocation;
    info!(subject, token, issued_before, "revoked");
    api.authorizer.forget(None, subject.as_deref());
    api.metrics.revocations.inc();
    Ok(Json(Told { connections: api.connections.review(Review::Revocations) }))
}

fn status(error: &RevokeError) -> StatusCode {
    match error {
        RevokeError::Unclear | RevokeError::TooLong | RevokeError::Future | RevokeError::WholeToken => {
            StatusCode::BAD_REQUEST
        }
        RevokeError::Changed => StatusCode::CONFLICT,
        RevokeError::TooMany => StatusCode::INSUFFICIENT_STORAGE,
        RevokeError::Disk(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}
