//! Why connections end, and what their peers are told: the one table of reasons, close codes and HTTP statuses.
//!
//! Close codes are those of RFC 6455, section 7.4.1, and 1013 of IANA's registry. Clients come back after all of them. What a
//! peer does against the WebSocket protocol itself, `ws/transport.rs` knows: 1002, 1007, and 1009 for what is not read.

use axum::http::StatusCode;
use coscribe_engine::message::{Parting, Reason};

use crate::ws::transport::{Close, End};

/// The close code and, where no WebSocket is open yet, the HTTP status that tell a reason.
pub(crate) fn told_as(reason: Reason) -> (u16, StatusCode) {
    match reason {
        Reason::Violation => (1008, StatusCode::BAD_REQUEST),
        Reason::Text => (1003, StatusCode::BAD_REQUEST),
        Reason::TooLarge => (1009, StatusCode::PAYLOAD_TOO_LARGE),
        Reason::Overload => (1013, StatusCode::SERVICE_UNAVAILABLE),
        Reason::Silence => (1001, StatusCode::REQUEST_TIMEOUT),
        Reason::Shutdown => (1001, StatusCode::SERVICE_UNAVAILABLE),
        Reason::Failure => (1011, StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// What a close code is counted as; `None` if that is nobody's fault.
pub(super) fn counted_as(code: u16) -> Option<&'static str> {
    match code {
        1001 => None,
        1002 => Some("protocol"),
        1003 => Some("text"),
        1007 => Some("damaged"),
        1008 => Some("policy"),
        1009 => Some("too_large"),
        1013 => Some("overload"),
        _ => Some("internal"),
    }
}

impl From<Parting> for End {
    fn from(Parting { reason, words }: Parting) -> End {
        End::ByUs(Close { code: told_as(reason).0, reason: words })
    }
}

/// The end of a connection for a reason, in these words.
pub(super) fn end(reason: Reason, words: &'static str) -> End {
    Parting::new(reason, words).into()
}
