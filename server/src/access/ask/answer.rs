//! What the application is asked, and what it answers.
//!
//! ```text
//! POST {"document", "dialect", "address", "token"?, "headers": {…}, "cookies": {…}}
//! 200  {"access": "write" | "read" | "none", "subject"?, "name"?, "expires"?, "cacheSeconds"?, "reason"?}
//! 401  {"reason"?}    the credentials are missing or wrong
//! 403  {"reason"?}    somebody else may have the document
//! ```
//!
//! `expires` is in seconds since 1970; a subject may be a whole number. Everything else is no answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;
use coscribe_engine::room::Access;
use coscribe_persistence::limits::MAX_SUBJECT_BYTES;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Question;
use super::cache::Decision;
use crate::access::client::Answer;
use crate::access::grant::{cut, shown_name};
use crate::access::{Denied, Grant, TokenError, subject};
use crate::config::Secret;
use crate::limits::{GRANTED_AT_MOST, REASON_BYTES};

/// What is said where the application gives no reason.
const FORBIDDEN: &str = "the application does not allow this document";

/// The same where the credentials are refused.
const UNAUTHORIZED: &str = "the application does not accept these credentials";

/// The body of a question.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Asked<'a> {
    document: &'a str,
    dialect: &'a str,
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    headers: BTreeMap<&'a str, &'a str>,
    cookies: BTreeMap<&'a str, &'a str>,
}

/// The values of an answer as they came, so that an error can name the one that is wrong.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Answered {
    access: Value,
    subject: Value,
    name: Value,
    expires: Value,
    cache_seconds: Value,
    reason: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum AnsweredAccess {
    Write,
    Read,
    None,
}

#[derive(Deserialize, Default)]
struct Refusal {
    reason: Option<String>,
}

/// A decision, and how long the application says that it holds.
#[derive(Debug, PartialEq)]
pub(super) struct Decided {
    pub(super) decision: Decision,
    pub(super) holds: Option<Duration>,
}

/// Why an answer is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoDecision {
    /// The application, or a proxy before it, is not ready.
    #[error("the application answers with the status {0}")]
    NotNow(StatusCode),
    /// Nothing that we ask for has this status.
    #[error("the application answers with the status {0}, not with 200, 401 or 403")]
    Status(StatusCode),
    /// The body is not what it should be.
    #[error("the application's answer is malformed (line {0}, column {1})")]
    Malformed(usize, usize),
    /// A value is missing, of another type, or beyond its bounds.
    #[error("the `{0}` of the application's answer is not {1}")]
    Value(&'static str, &'static str),
}

/// A question as JSON.
pub(super) fn encode(question: &Question) -> Vec<u8> {
    fn pairs(pairs: &[(String, Secret)]) -> BTreeMap<&str, &str> {
        pairs.iter().map(|(name, value)| (name.as_str(), value.reveal())).collect()
    }
    let asked = Asked {
        document: question.document.as_str(),
        dialect: question.dialect,
        address: question.address.to_string(),
        token: question.credentials.token.as_ref().map(Secret::reveal),
        headers: pairs(&question.credentials.headers),
        cookies: pairs(&question.credentials.cookies),
    };
    serde_json::to_vec(&asked).expect("strings are JSON")
}

/// The decision in an answer. O(its bytes).
///
/// # Errors
/// If there is none.
pub(super) fn decide(answer: &Answer, question: &Question, now: SystemTime) -> Result<Decided, NoDecision> {
    let denied = |denied| Ok(Decided { decision: Err(denied), holds: None });
    match answer.status {
        StatusCode::OK => accept(&answer.body, now),
        StatusCode::UNAUTHORIZED => denied(match (reason(&answer.body), question.credentials.is_empty()) {
            (None, true) => Denied::NoToken,
            (reason, _) => Denied::Unauthorized(reason.unwrap_or_else(|| UNAUTHORIZED.into())),
        }),
        StatusCode::FORBIDDEN => denied(forbidden(reason(&answer.body))),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            Err(NoDecision::NotNow(answer.status))
        }
        status if status.is_server_error() => Err(NoDecision::NotNow(status)),
        status => Err(NoDecision::Status(status)),
    }
}

fn accept(body: &[u8], now: SystemTime) -> Result<Decided, NoDecision> {
    let malformed = |error: serde_json::Error| NoDecision::Malformed(error.line(), error.column());
    let answered: Answered = serde_json::from_slice(body).map_err(malformed)?;
    let holds = seconds(answered.cache_seconds, "cacheSeconds", "a number of seconds")?;
    let reason: Option<String> = value(answered.reason, "reason", "a string")?;
    let access = match value(answered.access, "access", "\"write\", \"read\" or \"none\"")? {
        AnsweredAccess::Write => Access::Write,
        AnsweredAccess::Read => Access::Read,
        AnsweredAccess::None => {
            return Ok(Decided { decision: Err(forbidden(reason.and_then(shown_reason))), holds });
        }
    };
    let expires = seconds(answered.expires, "expires", "a time in seconds since 1970")?;
    // A time that no clock can show is as good as a year.
    let expires = expires.map(|expires| {
        let expires = UNIX_EPOCH.checked_add(expires);
        expires.map_or(now + GRANTED_AT_MOST, |expires| expires.min(now + GRANTED_AT_MOST))
    });
    let subject = subject(answered.subject)?;
    let name: Option<String> = value(answered.name, "name", "a string")?;
    let name = name.as_deref().and_then(shown_name);
    let decision = match expires {
        Some(expires) if expires <= now => Err(Denied::Token(TokenError::Expired)),
        _ => Ok(Grant { access, subject, name, expires, token: None }),
    };
    Ok(Decided { decision, holds })
}

fn value<T: DeserializeOwned>(
    value: Value,
    name: &'static str,
    expected: &'static str,
) -> Result<T, NoDecision> {
    serde_json::from_value(value).map_err(|_| NoDecision::Value(name, expected))
}

fn seconds(
    seconds: Value,
    name: &'static str,
    expected: &'static str,
) -> Result<Option<Duration>, NoDecision> {
    let seconds: Option<f64> = value(seconds, name, expected)?;
    let seconds = seconds.map(Duration::try_from_secs_f64).transpose();
    seconds.map_err(|_| NoDecision::Value(name, expected))
}

fn subject(subject: Value) -> Result<Arc<str>, NoDecision> {
    let wrong = NoDecision::Value("subject", "a string of at most 256 bytes, or a whole number");
    match subject::optional(subject) {
        Ok(subject) => {
            let subject = subject.unwrap_or_default();
            if subject.len() > MAX_SUBJECT_BYTES { Err(wrong) } else { Ok(subject.into()) }
        }
        Err(_) => Err(wrong),
    }
}

/// The reason in the body of a refusal, if it has one.
fn reason(body: &[u8]) -> Option<Arc<str>> {
    let Refusal { reason } = serde_json::from_slice(body).unwrap_or_default();
    reason.and_then(shown_reason)
}

fn shown_reason(reason: String) -> Option<Arc<str>> {
    let shown = cut(&reason, REASON_BYTES);
    (!shown.trim().is_empty()).then(|| shown.into())
}

fn forbidden(reason: Option<Arc<str>>) -> Denied {
    Denied::Forbidden(reason.unwrap_or_else(|| FORBIDDEN.into()))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;
    use coscribe_persistence::DocumentName;

    use super::*;
    use crate::access::Credentials;

    fn question(token: Option<&str>) -> Question {
        let credentials =
            Credentials { token: token.map(|token| token.parse().unwrap()), ..Credentials::default() };
        let document = DocumentName::new("team/a").unwrap();
        Question { credentials, document, dialect: "y-websocket", address: [127, 0, 0, 1].into() }
    }

    fn decided(status: u16, body: &str) -> Result<Decided, NoDecision> {
        let status = StatusCode::from_u16(status).unwrap();
        let answer = Answer { status, headers: HeaderMap::new(), body: body.to_owned().into() };
        decide(&answer, &question(Some("t")), UNIX_EPOCH + Duration::from_secs(1000))
    }

    fn denied(status: u16, body: &str) -> Denied {
        decided(status, body).unwrap().decision.unwrap_err()
    }

    #[test]
    fn a_question_is_json_with_what_is_known() {
        let mut asked = question(Some("t"));
        asked.credentials.cookies.push(("sid".to_owned(), "s".parse().unwrap()));
        let expected = r#"{"document":"team/a","dialect":"y-websocket","address":"127.0.0.1","token":"t","headers":{},"cookies":{"sid":"s"}}"#;
        assert_eq!(String::from_utf8(encode(&asked)).unwrap(), expected);
    }

    #[test]
    fn an_answer_grants_or_denies() {
        let decided_so = decided(200, r#"{"access":"write","subject":"u","name":" A\u0007da ","expires":2000,"cacheSeconds":7,"more":1}"#).unwrap();
        assert_eq!(decided_so.holds, Some(Duration::from_secs(7)));
        let grant = decided_so.decision.unwrap();
        assert_eq!((grant.access, &*grant.subject, grant.name.as_deref()), (Access::Write, "u", Some("Ada")));
        assert_eq!(grant.expires, Some(UNIX_EPOCH + Duration::from_secs(2000)));
        let far = decided(200, r#"{"access":"read","expires":1e18}"#).unwrap().decision.unwrap();
        assert_eq!(far.expires, Some(UNIX_EPOCH + Duration::from_secs(1000) + GRANTED_AT_MOST));
        assert_eq!(denied(200, r#"{"access":"read","expires":999}"#), Denied::Token(TokenError::Expired));
        assert_eq!(denied(200, r#"{"access":"none"}"#), Denied::Forbidden(FORBIDDEN.into()));
        assert_eq!(
            denied(200, r#"{"access":"none","reason":"not yours"}"#),
            Denied::Forbidden("not yours".into())
        );
        assert_eq!(denied(403, r#"{"reason":"not paid"}"#), Denied::Forbidden("not paid".into()));
        for body in ["", "<html>", "[]", r#"{"reason":7}"#] {
            assert_eq!(denied(403, body), Denied::Forbidden(FORBIDDEN.into()), "{body}");
        }
        assert_eq!(denied(401, ""), Denied::Unauthorized(UNAUTHORIZED.into()));
        assert_eq!(denied(401, r#"{"reason":"log in again"}"#), Denied::Unauthorized("log in again".into()));
        let numbered = decided(200, r#"{"access":"read","subject":17}"#).unwrap().decision.unwrap();
        assert_eq!(&*numbered.subject, "17");
        let answer = Answer { status: StatusCode::UNAUTHORIZED, headers: HeaderMap::new(), body: "".into() };
        let nobody = decide(&answer, &question(None), UNIX_EPOCH).unwrap();
        assert_eq!(nobody.decision, Err(Denied::NoToken));
    }

    #[test]
    fn a_wrong_value_of_an_answer_is_named() {
        for (body, name) in [
            ("{}", "access"),
            (r#"{"access":"admin"}"#, "access"),
            (r#"{"access":"write","subject":true}"#, "subject"),
            (r#"{"access":"write","name":7}"#, "name"),
            (r#"{"access":"write","expires":"tomorrow"}"#, "expires"),
            (r#"{"access":"none","reason":7}"#, "reason"),
        ] {
            let error = decided(200, body).unwrap_err().to_string();
            assert!(error.contains(&format!("`{name}`")), "{body}: {error}");
        }
    }

    #[test]
    fn a_lie_is_no_answer() {
        let long = "x".repeat(MAX_SUBJECT_BYTES + 1);
        for body in [
            "",
            "ok",
            "{}",
            "[]",
            r#"{"access":"admin"}"#,
            r#"{"access":"Write"}"#,
            r#"{"access":true}"#,
            r#"{"access":"write","access":"read"}"#,
            r#"{"access":"write","subject":1.5}"#,
            &format!(r#"{{"access":"write","subject":"{long}"}}"#),
            r#"{"access":"write","expires":"tomorrow"}"#,
            r#"{"access":"write","expires":-1}"#,
            r#"{"access":"write","cacheSeconds":-1}"#,
            r#"{"access":"write"} {}"#,
        ] {
            assert!(decided(200, body).is_err(), "{body:.60}");
        }
        for status in [201, 204, 301, 302, 400, 404] {
            assert!(
                matches!(decided(status, r#"{"access":"write"}"#), Err(NoDecision::Status(_))),
                "{status}"
            );
        }
        for status in [408, 429, 500, 502, 503] {
            assert!(
                matches!(decided(status, r#"{"access":"write"}"#), Err(NoDecision::NotNow(_))),
                "{status}"
            );
        }
    }
}
