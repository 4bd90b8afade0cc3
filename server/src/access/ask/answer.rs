//! What the application is asked, and what it answers.
//!
//! ```text
//! POST {"document", "dialect", "address", "token"?, "headers": {…}, "cookies": {…}}
//! 200  {"access": "write" | "read" | "none", "subject"?, "name"?, "expires"?, "cacheSeconds"?, "reason"?}
//! 401                 the credentials are missing or wrong
//! 403  {"reason"?}    somebody else may have the document
//! ```
//!
//! `expires` is in seconds since 1970. Everything else is no answer.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;
use coscribe_engine::room::Access;
use coscribe_persistence::limits::MAX_SUBJECT_BYTES;
use serde::{Deserialize, Serialize};

use super::Question;
use super::cache::Decision;
use crate::access::client::Answer;
use crate::access::grant::{cut, shown_name};
use crate::access::{Denied, Grant, TokenError};
use crate::config::Secret;
use crate::limits::{GRANTED_AT_MOST, REASON_BYTES};

/// What is said where the application gives no reason.
const FORBIDDEN: &str = "the application does not allow this document";

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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answered {
    access: AnsweredAccess,
    #[serde(default)]
    subject: String,
    name: Option<String>,
    expires: Option<f64>,
    cache_seconds: Option<f64>,
    reason: Option<String>,
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
    /// A value is beyond its bounds.
    #[error("the application's answer has an impossible {0}")]
    Impossible(&'static str),
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
        StatusCode::UNAUTHORIZED if question.credentials.is_empty() => denied(Denied::NoToken),
        StatusCode::UNAUTHORIZED => denied(Denied::Token(TokenError::Invalid)),
        StatusCode::FORBIDDEN => {
            let Refusal { reason } = serde_json::from_slice(&answer.body).unwrap_or_default();
            denied(forbidden(reason))
        }
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
    if answered.subject.len() > MAX_SUBJECT_BYTES {
        return Err(NoDecision::Impossible("subject"));
    }
    let seconds =
        |seconds: f64, name| Duration::try_from_secs_f64(seconds).map_err(|_| NoDecision::Impossible(name));
    let holds = answered.cache_seconds.map(|holds| seconds(holds, "cacheSeconds")).transpose()?;
    let access = match answered.access {
        AnsweredAccess::Write => Access::Write,
        AnsweredAccess::Read => Access::Read,
        AnsweredAccess::None => return Ok(Decided { decision: Err(forbidden(answered.reason)), holds }),
    };
    let expires = match answered.expires {
        None => None,
        // A time that no clock can show is as good as a year.
        Some(expires) => {
            let expires = UNIX_EPOCH.checked_add(seconds(expires, "expires")?);
            Some(expires.map_or(now + GRANTED_AT_MOST, |expires| expires.min(now + GRANTED_AT_MOST)))
        }
    };
    let (subject, name) = (answered.subject.into(), answered.name.as_deref().and_then(shown_name));
    let decision = match expires {
        Some(expires) if expires <= now => Err(Denied::Token(TokenError::Expired)),
        _ => Ok(Grant { access, subject, name, expires, token: None }),
    };
    Ok(Decided { decision, holds })
}

fn forbidden(reason: Option<String>) -> Denied {
    let reason = reason.map(|reason| cut(&reason, REASON_BYTES)).filter(|reason| !reason.trim().is_empty());
    Denied::Forbidden(reason.map_or_else(|| FORBIDDEN.into(), Into::into))
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
        assert_eq!(denied(401, ""), Denied::Token(TokenError::Invalid));
        let answer = Answer { status: StatusCode::UNAUTHORIZED, headers: HeaderMap::new(), body: "".into() };
        let nobody = decide(&answer, &question(None), UNIX_EPOCH).unwrap();
        assert_eq!(nobody.decision, Err(Denied::NoToken));
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
            r#"{"access":"write","subject":17}"#,
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
