//! The body of a request, received within bounds of size, time and memory.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use coscribe_websocket::awake;
use http_body_util::BodyExt;

use crate::budget::{Account, Budget, Charge, Debtor, Strain};

/// A body, and what it is charged for as long as it is there.
pub(super) struct Received {
    pub(super) bytes: Bytes,
    _charge: Charge,
}

/// Bounds of a body.
#[derive(Debug, Copy, Clone)]
pub(super) struct BodyLimits {
    /// Its size.
    pub(super) bytes: usize,
    /// How long it may take.
    pub(super) time: Duration,
}

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// It has more bytes than are allowed.
    #[error("the body is too large")]
    TooLarge,
    /// It has not come in time.
    #[error("the body takes too long")]
    TooSlow,
    /// Memory is short.
    #[error("the server is short of memory; try again later")]
    NoMemory,
    /// The connection is broken, or the body is.
    #[error("the body cannot be read: {0}")]
    Broken(#[from] axum::Error),
}

impl BodyError {
    /// The reason under which metrics count it.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            BodyError::TooLarge => "too_large",
            BodyError::NoMemory => "memory",
            BodyError::TooSlow | BodyError::Broken(_) => "request",
        }
    }

    /// The status that tells it.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            BodyError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::TooSlow => StatusCode::REQUEST_TIMEOUT,
            BodyError::NoMemory => StatusCode::SERVICE_UNAVAILABLE,
            BodyError::Broken(_) => StatusCode::BAD_REQUEST,
        }
    }
}

/// Receives a body. Where memory is short, a body that has much of it waits, or is given up.
pub(super) async fn receive(
    body: Body,
    limits: BodyLimits,
    budget: &Arc<Budget>,
) -> Result<Received, BodyError> {
    awake::within(limits.time, collect(body, limits.bytes, budget)).await.ok_or(BodyError::TooSlow)?
}

async fn collect(mut body: Body, most: usize, budget: &Arc<Budget>) -> Result<Received, BodyError> {
    let account = Account::new(budget, Debtor::Request, None, 0);
    let (mut bytes, mut charge) = (BytesMut::new(), account.charge(0));
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if bytes.len() + data.len() > most {
            return Err(BodyError::TooLarge);
        }
        charge.set(bytes.len() + data.len());
        if account.held() > budget.allowance() {
            if budget.strain() == Strain::Full {
                return Err(BodyError::NoMemory);
            }
            budget.relief(&account).await;
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Received { bytes: bytes.freeze(), _charge: charge })
}
