//! The tables of close codes and statuses, and the reasons that metrics count for each.

use std::net::IpAddr;

use axum::response::IntoResponse;
use coscribe_engine::message::{Parting, Reason};
use coscribe_persistence::DocumentName;
use coscribe_persistence::limits::MAX_NAME_BYTES;
use coscribe_websocket::{HandshakeError, INVALID_PAYLOAD, Malformed, PROTOCOL_ERROR, TOO_LARGE};

use super::{differences, table};
use crate::access::y_sweet::Refused;
use crate::access::{Denied, TokenError};
use crate::connection::register::NoPlace;
use crate::connection::{counted_as, told_as};
use crate::http::BodyError;
use crate::http::y_sweet::Failure;
use crate::http::y_sweet::paths::PathError;
use crate::net::upgrade::UpgradeError;
use crate::rooms::{GuestError, JoinError};

/// All reasons; what is added to them is missing here until it is listed.
fn reasons() -> [Reason; 9] {
    use Reason::{Failure, Forbidden, Overload, Shutdown, Silence, Text, TooLarge, Unauthorized, Violation};
    match Violation {
        Violation | Text | TooLarge | Overload | Silence | Unauthorized | Forbidden | Shutdown | Failure => {}
    }
    [Violation, Text, TooLarge, Overload, Silence, Unauthorized, Forbidden, Shutdown, Failure]
}

#[test]
fn every_close_code_is_in_its_table_with_the_reason_that_metrics_count() {
    let codes = reasons().into_iter().map(|reason| told_as(reason).0);
    let row = |code: u16| {
        let counted = counted_as(code).map_or_else(|| "none".to_owned(), |reason| format!("`{reason}`"));
        format!("{code} | {counted}")
    };
    let expected = codes.chain([PROTOCOL_ERROR, INVALID_PAYLOAD, TOO_LARGE]).map(row).collect();
    let found = table("docs/clients.md", "Close code").iter().map(|cells| cells[..2].join(" | ")).collect();
    let wrong = differences(&found, &expected);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Errors of each kind; a kind that is added is missing here until it is listed.
fn upgrade_errors() -> Vec<UpgradeError> {
    let handshake_errors = [
        HandshakeError::Method,
        HandshakeError::Connection,
        HandshakeError::Version,
        HandshakeError::Key,
        HandshakeError::Extensions(Malformed),
    ];
    for error in &handshake_errors {
        match error {
            HandshakeError::Method
            | HandshakeError::Connection
            | HandshakeError::Version
            | HandshakeError::Key
            | HandshakeError::Extensions(_) => {}
        }
    }
    let mut errors = vec![
        UpgradeError::NotUtf8,
        UpgradeError::Name(DocumentName::new(&"a".repeat(MAX_NAME_BYTES + 1)).unwrap_err()),
        UpgradeError::YSweet(PathError::Unknown),
        UpgradeError::YSweet(PathError::Id),
        UpgradeError::Origin,
        UpgradeError::NoPlace(NoPlace::Total),
        UpgradeError::NoPlace(NoPlace::Address(IpAddr::from([127, 0, 0, 1]))),
    ];
    for error in &errors {
        match error {
            UpgradeError::NotUtf8
            | UpgradeError::Name(_)
            | UpgradeError::YSweet(_)
            | UpgradeError::Origin
            | UpgradeError::Denied(_)
            | UpgradeError::Handshake(_)
            | UpgradeError::NoPlace(NoPlace::Total | NoPlace::Address(_)) => {}
        }
    }
    errors.extend(denials().map(UpgradeError::Denied));
    errors.extend(handshake_errors.map(UpgradeError::Handshake));
    errors
}

/// Why somebody may not have a document.
fn denials() -> impl Iterator<Item = Denied> {
    let denials = [
        Denied::NoToken,
        Denied::Unauthorized("not you".into()),
        Denied::Forbidden("not you".into()),
        Denied::Elsewhere,
        Denied::Unavailable,
    ];
    let tokens = [
        TokenError::Invalid,
        TokenError::Expired,
        TokenError::Foreign,
        TokenError::Early,
        TokenError::Audience,
        TokenError::NoAudience,
        TokenError::Issuer,
        TokenError::Revoked,
    ];
    let refused = [Refused::Elsewhere, Refused::Nothing];
    denials.into_iter().chain(tokens.map(Denied::Token)).chain(refused.map(Denied::YSweet))
}

#[test]
fn every_status_of_a_refused_handshake_is_in_its_table_with_the_reason_that_metrics_count() {
    let row = |error: UpgradeError| {
        let label = error.label();
        format!("{} | `{label}`", error.into_response().status().as_u16())
    };
    let expected = upgrade_errors().into_iter().map(row).collect();
    let found = table("docs/clients.md", "HTTP status").iter().map(|cells| cells[..2].join(" | ")).collect();
    let wrong = differences(&found, &expected);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Failures of requests to y-sweet; a kind that is added is missing here until it is listed.
fn failures() -> Vec<Failure> {
    let parted = reasons().map(|reason| GuestError::Parted(Parting::new(reason, "")));
    let joins = [
        JoinError::TooManyRooms,
        JoinError::TooManyPeers,
        JoinError::NoMemory,
        JoinError::NoDisk,
        JoinError::Stopping,
    ];
    let others = [GuestError::RefusedAgain, GuestError::Incomplete, GuestError::Unsaved];
    // What a guest does not do.
    let is_possible = |error: &GuestError| {
        use Reason::{Forbidden, Shutdown, Silence, Text, Unauthorized};
        !matches!(
            error,
            GuestError::Parted(Parting { reason: Shutdown | Silence | Text | Unauthorized | Forbidden, .. })
        )
    };
    let documents = parted.into_iter().chain(joins.map(GuestError::Join)).chain(others).filter(is_possible);
    let mut failures = vec![
        Failure::Refused(Refused::Nothing),
        Failure::ReadOnly,
        Failure::Path(PathError::Id),
        Failure::NoDocument,
        Failure::Request(String::new()),
        Failure::Validity,
        Failure::Body(BodyError::TooLarge),
        Failure::Body(BodyError::TooSlow),
        Failure::Body(BodyError::NoMemory),
        Failure::Internal(String::new()),
    ];
    failures.extend(documents.map(Failure::Document));
    for failure in &failures {
        match failure {
            Failure::Refused(_) | Failure::ReadOnly | Failure::Path(_) | Failure::NoDocument => {}
            Failure::Request(_) | Failure::Validity | Failure::Body(_) => {}
            Failure::Document(_) | Failure::Internal(_) => {}
        }
    }
    failures
}

#[test]
fn every_status_of_y_sweet_is_in_its_table_with_the_reasons_that_metrics_count() {
    let row = |failure: Failure| {
        let (status, reason) = failure.status_and_reason();
        format!("{} | `{reason}`", status.as_u16())
    };
    let expected = failures().into_iter().map(row).collect();
    let found =
        table("docs/y-sweet.md", "y-sweet's status").iter().map(|cells| cells[..2].join(" | ")).collect();
    let wrong = differences(&found, &expected);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
