//! Tokens that this server signs, for one document each. Clients don't look into them.
//!
//! They are JWTs (RFC 7519), signed with HS256: `aud` says that they are ours, `doc` is the document, `access` is `full` or
//! `read-only`, `exp` the end of their validity.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use coscribe_engine::room::Access;
use coscribe_persistence::DocumentName;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};

use super::Grant;
use super::grant::TokenIdentity;
use super::keys::{Unsigned, install};
use crate::limits::TOKEN_BYTES;

/// Tells these tokens from others that somebody may sign with the same key.
const AUDIENCE: &str = "coscribe:y-sweet";

/// What a token allows, as y-sweet calls it.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Authorization {
    /// To read and to write.
    #[default]
    Full,
    /// To read, and to be seen.
    ReadOnly,
}

impl From<Authorization> for Access {
    fn from(authorization: Authorization) -> Access {
        match authorization {
            Authorization::Full => Access::Write,
            Authorization::ReadOnly => Access::Read,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Claims {
    aud: String,
    doc: String,
    access: Authorization,
    exp: u64,
    /// When it was signed; 0 in tokens of earlier builds.
    #[serde(default)]
    iat: u64,
    /// The application's user id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
}

/// Signs tokens, and checks them.
pub(crate) struct Tokens {
    signs: EncodingKey,
    verifies: DecodingKey,
    validation: Validation,
}

/// Why a token grants nothing.
#[derive(Debug, Copy, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    /// It is not signed by this server, or is no token.
    #[error("the token is not valid")]
    Invalid,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// It is for another document.
    #[error("the token is for another document")]
    Foreign,
    /// Its time has not begun.
    #[error("the token is not valid yet")]
    Early,
    /// It was issued for somebody else than this server.
    #[error("the token is not for this server: its audience is another")]
    Audience,
    /// It does not say for whom it was issued.
    #[error("the token names no audience (`aud`), and has to name one of this server's (`access.audience`)")]
    NoAudience,
    /// Somebody else has issued it.
    #[error("the token is from another issuer")]
    Issuer,
    /// It was taken back.
    #[error("the token was revoked")]
    Revoked,
}

impl TokenError {
    /// The reason under which metrics count it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            TokenError::Invalid => "token_invalid",
            TokenError::Expired => "token_expired",
            TokenError::Foreign => "token_foreign",
            TokenError::Early => "token_early",
            TokenError::Audience | TokenError::NoAudience => "token_audience",
            TokenError::Issuer => "token_issuer",
            TokenError::Revoked => "token_revoked",
        }
    }
}

impl Tokens {
    /// Tokens that are signed with this key.
    pub(crate) fn new(key: &[u8]) -> Tokens {
        install();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["aud", "exp"]);
        Tokens { signs: EncodingKey::from_secret(key), verifies: DecodingKey::from_secret(key), validation }
    }

    /// A token for a document and a user of the application, if that is known, valid for so long from now.
    ///
    /// # Errors
    /// If it cannot be signed.
    pub(crate) fn sign(
        &self,
        document: &DocumentName,
        access: Authorization,
        subject: Option<String>,
        valid: Duration,
    ) -> Result<String, Unsigned> {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let exp = since_epoch.saturating_add(valid).as_secs();
        let claims = Claims {
            aud: AUDIENCE.to_owned(),
            doc: document.as_str().to_owned(),
            access,
            exp,
            iat: since_epoch.as_secs(),
            sub: subject,
        };
        encode(&Header::default(), &claims, &self.signs).map_err(|_| Unsigned)
    }

    /// What a token allows to do with a document.
    ///
    /// # Errors
    /// If it allows nothing.
    pub(crate) fn check(&self, token: &str, document: &DocumentName) -> Result<Grant, TokenError> {
        if token.len() > TOKEN_BYTES {
            return Err(TokenError::Invalid);
        }
        let decoded = decode(token, &self.verifies, &self.validation);
        let decoded = decoded.map_err(|error| match error.kind() {
            ErrorKind::ExpiredSignature => TokenError::Expired,
            _ => TokenError::Invalid,
        })?;
        // Extensions that would have to be understood.
        if decoded.header.crit.is_some() {
            return Err(TokenError::Invalid);
        }
        let Claims { doc, access, exp, iat, sub, .. } = decoded.claims;
        let expires = UNIX_EPOCH.checked_add(Duration::from_secs(exp)).ok_or(TokenError::Invalid)?;
        if doc != document.as_str() {
            return Err(TokenError::Foreign);
        }
        let issued = UNIX_EPOCH.checked_add(Duration::from_secs(iat));
        Ok(Grant {
            access: access.into(),
            subject: sub.unwrap_or_default().into(),
            name: None,
            expires: Some(expires),
            token: Some(Arc::new(TokenIdentity { id: None, issued })),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"a key that nobody knows";

    fn name(name: &str) -> DocumentName {
        DocumentName::new(name).unwrap()
    }

    fn signed(claims: &serde_json::Value) -> String {
        encode(&Header::default(), claims, &EncodingKey::from_secret(KEY)).unwrap()
    }

    #[test]
    fn a_token_grants_what_was_signed_for_its_document_and_no_other() {
        let tokens = Tokens::new(KEY);
        for (authorization, access) in
            [(Authorization::Full, Access::Write), (Authorization::ReadOnly, Access::Read)]
        {
            let before = SystemTime::now();
            let token = tokens.sign(&name("mine"), authorization, None, Duration::from_secs(60)).unwrap();
            let grant = tokens.check(&token, &name("mine")).unwrap();
            assert_eq!(grant.access, access);
            let left = grant.expires.unwrap().duration_since(before).unwrap();
            assert!(left > Duration::from_secs(58) && left <= Duration::from_secs(61), "{left:?}");
            assert_eq!(tokens.check(&token, &name("other")), Err(TokenError::Foreign));
            assert_eq!(Tokens::new(b"another key").check(&token, &name("mine")), Err(TokenError::Invalid));
        }
    }

    #[test]
    fn nothing_is_granted_by_what_was_not_signed_so() {
        let tokens = Tokens::new(KEY);
        let claims = |aud: &str, exp: u64| serde_json::json!({ "aud": aud, "doc": "mine", "access": "full", "exp": exp });
        let sound = signed(&claims(AUDIENCE, 1 << 40));
        assert!(tokens.check(&sound, &name("mine")).is_ok());
        let (head, rest) = sound.split_once('.').unwrap();
        let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", rest.split_once('.').unwrap().0);
        let header = Header { crit: Some(vec!["b64".to_owned()]), ..Header::default() };
        let critical = encode(&header, &claims(AUDIENCE, 1 << 40), &EncodingKey::from_secret(KEY)).unwrap();
        let mut changed = sound.clone().into_bytes();
        changed[head.len() + 5] ^= 1;
        for (token, error) in [
            (signed(&claims(AUDIENCE, 1_000_000_000)), TokenError::Expired),
            (signed(&claims("somebody", 1 << 40)), TokenError::Invalid),
            (format!("{}.{rest}", "eyJhbGciOiJIUzUxMiJ9"), TokenError::Invalid),
            (signed(&serde_json::json!({ "doc": "mine", "access": "full" })), TokenError::Invalid),
            (critical, TokenError::Invalid),
            (unsigned, TokenError::Invalid),
            (String::from_utf8(changed).unwrap(), TokenError::Invalid),
            (String::new(), TokenError::Invalid),
            ("x".repeat(TOKEN_BYTES + 1), TokenError::Invalid),
        ] {
            assert_eq!(tokens.check(&token, &name("mine")), Err(error), "{token:.100}");
        }
    }
}
