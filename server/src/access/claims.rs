//! The claims of a token: who somebody is, and which documents they may read and write.
//!
//! | Claim | | |
//! |---|---|---|
//! | `exp` | needed | until when it is valid, in seconds since 1970 |
//! | `aud` | needed, unless none is configured | an audience, or a list of them, with one of ours |
//! | `iss` | needed, if one is configured | the issuer |
//! | `nbf`, `iat` | | since when it is valid; when it was signed |
//! | `jti` | | its id, by which it can be revoked |
//! | `sub`, `name` | | the subject and its name; other claims can be configured |
//! | `read`, `write` | | a pattern of document names, or a list of them; other claims can be configured |

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use coscribe_engine::room::Access;
use coscribe_persistence::DocumentName;
use coscribe_persistence::limits::MAX_SUBJECT_BYTES;
use serde_json::{Number, Value};

use super::grant::{Denied, Grant, TokenIdentity, shown_name};
use super::tokens::TokenError;
use crate::config::{AccessConfig, Pattern};
use crate::limits::PATTERNS_PER_TOKEN;

/// The year 10000: no date of a token is later.
const END_OF_TIME: u64 = 253_402_300_800;

/// The claims that count.
#[derive(Debug)]
pub(crate) struct Claims {
    /// The application's user id; empty where nobody says who it is.
    pub(crate) subject: Arc<str>,
    /// The name that people see.
    pub(crate) name: Option<Arc<str>>,
    /// The documents that may be read.
    pub(crate) read: Vec<Pattern>,
    /// The documents that may be read and written.
    pub(crate) write: Vec<Pattern>,
    /// `iss`.
    pub(crate) issuer: Option<String>,
    /// `aud`.
    pub(crate) audience: Vec<String>,
    /// `exp`.
    pub(crate) expires: SystemTime,
    /// `nbf`.
    pub(crate) begins: Option<SystemTime>,
    /// `jti` and `iat`.
    pub(crate) token: Arc<TokenIdentity>,
    /// How long the grants hold after `exp`: clocks differ.
    leeway: Duration,
}

/// A claim that makes a token useless.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ClaimError {
    /// A claim has a value of another type, or beyond its bounds.
    #[error("the claim {0} is not {1}")]
    Wrong(String, &'static str),
    /// A claim that is needed.
    #[error("the claim exp is missing")]
    Endless,
}

/// What claims have to say, and their names.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    issuers: Vec<String>,
    audiences: Vec<String>,
    leeway: Duration,
    subject: String,
    name: String,
    read: String,
    write: String,
}

impl Rules {
    /// The rules of the configuration.
    pub(crate) fn new(config: &AccessConfig) -> Rules {
        Rules {
            issuers: config.issuer.clone(),
            audiences: config.audience.clone(),
            leeway: config.leeway.get(),
            subject: config.subject_claim.clone(),
            name: config.name_claim.clone(),
            read: config.read_claim.clone(),
            write: config.write_claim.clone(),
        }
    }

    /// The claims that count. O(their bytes).
    ///
    /// # Errors
    /// If they are malformed. Whether they hold now is not looked at.
    pub(crate) fn parse(&self, claims: &Value) -> Result<Claims, ClaimError> {
        let (read, write) = (patterns(claims, &self.read)?, patterns(claims, &self.write)?);
        if read.len() + write.len() > PATTERNS_PER_TOKEN {
            return Err(ClaimError::Wrong(self.write.clone(), "within the number of patterns of one token"));
        }
        Ok(Claims {
            subject: subject(claims, &self.subject)?,
            name: text(claims, &self.name)?.and_then(|name| shown_name(&name)),
            read,
            write,
            issuer: text(claims, "iss")?,
            audience: list(claims, "aud")?,
            expires: date(claims, "exp")?.ok_or(ClaimError::Endless)?,
            begins: date(claims, "nbf")?,
            token: Arc::new(TokenIdentity { id: text(claims, "jti")?, issued: date(claims, "iat")? }),
            leeway: self.leeway,
        })
    }

    /// Whether claims are for this server, and hold now.
    ///
    /// # Errors
    /// If not.
    pub(crate) fn check(&self, claims: &Claims, now: SystemTime) -> Result<(), TokenError> {
        let is_ours = |name: &String| self.audiences.contains(name);
        if !self.audiences.is_empty() && !claims.audience.iter().any(is_ours) {
            let is_named = !claims.audience.is_empty();
            return Err(if is_named { TokenError::Audience } else { TokenError::NoAudience });
        }
        let is_known = |issuer: &String| self.issuers.contains(issuer);
        if !self.issuers.is_empty() && !claims.issuer.as_ref().is_some_and(is_known) {
            return Err(TokenError::Issuer);
        }
        let is_to_come = |time: Option<SystemTime>| time.is_some_and(|time| time > now + self.leeway);
        if claims.ends() <= now {
            Err(TokenError::Expired)
        } else if is_to_come(claims.begins) || is_to_come(claims.token.issued) {
            Err(TokenError::Early)
        } else {
            Ok(())
        }
    }
}

impl Claims {
    /// What they grant for a document. O(patterns and their length, and the name's).
    ///
    /// # Errors
    /// If nothing.
    pub(crate) fn grant(&self, document: &DocumentName) -> Result<Grant, Denied> {
        let has = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(document));
        let access = if has(&self.write) {
            Access::Write
        } else if has(&self.read) {
            Access::Read
        } else {
            return Err(Denied::Forbidden("the token does not allow this document".into()));
        };
        Ok(Grant {
            access,
            subject: Arc::clone(&self.subject),
            name: self.name.clone(),
            expires: Some(self.ends()),
            token: Some(Arc::clone(&self.token)),
        })
    }

    fn ends(&self) -> SystemTime {
        self.expires + self.leeway
    }
}

/// The claim of this name, or at this JSON pointer (RFC 6901). `null` is none.
fn claim<'a>(claims: &'a Value, name: &str) -> Option<&'a Value> {
    let nested = || claims.pointer(name).filter(|_| name.starts_with('/'));
    claims.get(name).or_else(nested).filter(|value| !value.is_null())
}

fn wrong(name: &str, expected: &'static str) -> ClaimError {
    ClaimError::Wrong(name.to_owned(), expected)
}

fn text(claims: &Value, name: &str) -> Result<Option<String>, ClaimError> {
    match claim(claims, name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(wrong(name, "a string")),
    }
}

/// Many applications number their users.
fn subject(claims: &Value, name: &str) -> Result<Arc<str>, ClaimError> {
    let subject: Arc<str> = match claim(claims, name) {
        None => Arc::default(),
        Some(Value::String(text)) => text.as_str().into(),
        Some(Value::Number(number)) if !number.is_f64() => number.to_string().into(),
        Some(_) => return Err(wrong(name, "a string")),
    };
    if subject.len() > MAX_SUBJECT_BYTES {
        return Err(wrong(name, "a subject of at most 256 bytes"));
    }
    Ok(subject)
}

/// A string, or a list of strings.
fn list(claims: &Value, name: &str) -> Result<Vec<String>, ClaimError> {
    let expected = "a string or a list of strings";
    let strings = match claim(claims, name) {
        None => return Ok(Vec::new()),
        Some(Value::Array(values)) => values.as_slice(),
        Some(value) => std::slice::from_ref(value),
    };
    let string = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(|| wrong(name, expected));
    strings.iter().map(string).collect()
}

fn patterns(claims: &Value, name: &str) -> Result<Vec<Pattern>, ClaimError> {
    let pattern = |text: String| {
        text.parse().map_err(|_| wrong(name, "a pattern of document names, or a list of them"))
    };
    list(claims, name)?.into_iter().map(pattern).collect()
}

/// Seconds since 1970, which may have a fraction.
fn date(claims: &Value, name: &str) -> Result<Option<SystemTime>, ClaimError> {
    let expected = "a time in seconds since 1970";
    let seconds = match claim(claims, name) {
        None => return Ok(None),
        Some(Value::Number(number)) => whole_seconds(number).ok_or_else(|| wrong(name, expected))?,
        Some(_) => return Err(wrong(name, expected)),
    };
    Ok(Some(UNIX_EPOCH + Duration::from_secs(seconds)))
}

fn whole_seconds(number: &Number) -> Option<u64> {
    let seconds = match number.as_u64() {
        Some(seconds) => seconds,
        None => Duration::try_from_secs_f64(number.as_f64()?).ok()?.as_secs(),
    };
    (seconds < END_OF_TIME).then_some(seconds)
}
