//! Why connections end: the one table of reasons, close codes and HTTP statuses.
//!
//! Close codes come from RFC 6455, section 7.4.1, and 1013 from IANA's registry. Clients come back after all of them but 4401
//! and 4403, after which y-websocket's stay away until the application acts; y-sweet's ask it for a new token. The transport has codes of its own for a peer that breaks the WebSocket protocol, and for a message that is too large to be
//! read.

use axum::http::StatusCode;
use coscribe_engine::message::{Parting, Reason};
use coscribe_websocket::{Close, End, INVALID_PAYLOAD, PROTOCOL_ERROR, TOO_LARGE};

/// The close code and, where no WebSocket is open yet, the HTTP status that tell a reason.
pub(crate) fn told_as(reason: Reason) -> (u16, StatusCode) {
    match reason {
        Reason::Violation => (1008, StatusCode::BAD_REQUEST),
        Reason::Text => (1003, StatusCode::BAD_REQUEST),
        Reason::TooLarge => (TOO_LARGE, StatusCode::PAYLOAD_TOO_LARGE),
        Reason::Overload => (1013, StatusCode::SERVICE_UNAVAILABLE),
        Reason::Silence => (1001, StatusCode::REQUEST_TIMEOUT),
        Reason::Shutdown => (1001, StatusCode::SERVICE_UNAVAILABLE),
        Reason::Unauthorized => (4401, StatusCode::UNAUTHORIZED),
        Reason::Forbidden => (4403, StatusCode::FORBIDDEN),
        Reason::Failure => (1011, StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// The reason under which metrics count a close code; `None` if nobody is at fault.
pub(crate) fn counted_as(code: u16) -> Option<&'static str> {
    match code {
        1001 => None,
        PROTOCOL_ERROR => Some("protocol"),
        1003 => Some("text"),
        INVALID_PAYLOAD => Some("damaged"),
        1008 => Some("policy"),
        TOO_LARGE => Some("too_large"),
        1013 => Some("overload"),
        4401 => Some("unauthorized"),
        4403 => Some("forbidden"),
        _ => Some("internal"),
    }
}

/// The end of a connection whose peer is sent away.
pub(super) fn end_by(Parting { reason, words }: Parting) -> End {
    End::ByUs(Close { code: told_as(reason).0, reason: words })
}

/// The end of a connection for a reason, in these words.
pub(super) fn end(reason: Reason, words: &'static str) -> End {
    end_by(Parting::new(reason, words))
}
