//! Why a request fails: the one table of reasons and statuses. SDKs read the status only.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode, header};
use axum::response::IntoResponse;
use coscribe_engine::message::Parting;
use tracing::{error, info};

use super::paths::PathError;
use crate::access::y_sweet::Refused;
use crate::connection::{counted_as, told_as};
use crate::http::body::BodyError;
use crate::metrics::Metrics;
use crate::rooms::GuestError;

/// Why a request fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The key or the token does not allow it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The token allows to read.
    #[error("the token is read-only")]
    ReadOnly,
    /// No document has such an ID.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The document does not exist.
    #[error("there is no such document")]
    NoDocument,
    /// It is no sound request.
    #[error("{0}")]
    Request(String),
    /// A token cannot be valid for so long.
    #[error("validForSeconds must be from 1 to {}", crate::limits::TOKEN_VALID_AT_MOST.as_secs())]
    Validity,
    /// The body does not come, or not all of it.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The document cannot be read or written.
    #[error(transparent)]
    Document(#[from] GuestError),
    /// The server has failed, for a reason that only the log has.
    #[error("the server has failed; its log says why")]
    Internal(String),
}

/// The reason under which metrics count a response.
#[derive(Debug, Copy, Clone)]
struct Counted(&'static str);

impl Failure {
    /// The status that tells it, and the reason under which metrics count it.
    pub(crate) fn status_and_reason(&self) -> (StatusCode, &'static str) {
        match self {
            Failure::Refused(_) => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Failure::ReadOnly => (StatusCode::FORBIDDEN, "read_only"),
            Failure::NoDocument => (StatusCode::NOT_FOUND, "no_document"),
            Failure::Path(_) | Failure::Request(_) | Failure::Validity => {
                (StatusCode::BAD_REQUEST, "request")
            }
            Failure::Body(error) => (error.status(), error.label()),
            Failure::Document(GuestError::Parted(Parting { reason, .. })) => {
                let (code, status) = told_as(*reason);
                (status, counted_as(code).unwrap_or("stopping"))
            }
            Failure::Document(GuestError::RefusedAgain) => (StatusCode::BAD_REQUEST, "policy"),
            Failure::Document(GuestError::Incomplete) => (StatusCode::CONFLICT, "incomplete"),
            Failure::Document(GuestError::Unsaved) => (StatusCode::SERVICE_UNAVAILABLE, "unsaved"),
            Failure::Document(GuestError::Join(error)) => (StatusCode::SERVICE_UNAVAILABLE, error.label()),
            Failure::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response<Body> {
        let (status, reason) = self.status_and_reason();
        let mut response = (status, format!("{self}\n")).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let scheme = header::HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        if let Failure::Internal(reason) = &self {
            error!("y-sweet: a request has failed: {reason}");
        }
        info!(%status, "y-sweet: refused a request: {self}");
        response.extensions_mut().insert(Counted(reason));
        response
    }
}

/// Counts a response if it tells of a failure.
pub(super) async fn count(State(metrics): State<Arc<Metrics>>, response: Response<Body>) -> Response<Body> {
    if let Some(Counted(reason)) = response.extensions().get() {
        metrics.reject(reason);
    }
    response
}
