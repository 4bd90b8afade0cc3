//! Who may use `/y-sweet`: the back end of an application has the key, and its clients have tokens.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};
use coscribe_engine::room::Access;
use coscribe_persistence::DocumentName;
use subtle::ConstantTimeEq;

use super::{Grant, TokenError, Tokens};
use crate::config::{Secret, is_local};
use crate::limits::LEAST_KEY_CHARS;

/// The way in.
pub(crate) struct Gate {
    key: Option<Secret>,
    /// Whether this machine gets in without a key.
    serves_this_machine: bool,
    tokens: Tokens,
}

/// Why the server does not start with a key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    /// It could be guessed.
    #[error("y_sweet_key is too short: it needs at least {LEAST_KEY_CHARS} random characters")]
    Short,
    /// It could not stand in a connection string as it is.
    #[error("y_sweet_key has other characters than letters, digits and -._~")]
    Characters,
    /// There is no randomness to be had.
    #[error("no random bytes: {0}")]
    Random(#[from] getrandom::Error),
}

/// Why somebody may not do what they ask for. Answered with 401.
#[derive(Debug, Copy, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// The server has no key, and the request may come from elsewhere.
    #[error(
        "without a key (y_sweet_key) this server's y-sweet serves its own machine only, by no other name than localhost, and nobody where tokens or the application decide"
    )]
    Elsewhere,
    /// Nothing says who it is.
    #[error("a key or a token is needed")]
    Nothing,
    /// The key is another one.
    #[error("the key is not that of this server")]
    Key,
    /// The token is not sound.
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl Refused {
    /// The reason under which metrics count it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Refused::Elsewhere => "elsewhere",
            Refused::Nothing => "no_token",
            Refused::Key => "key",
            Refused::Token(error) => error.label(),
        }
    }
}

impl Gate {
    /// A way in for those who have this key. Without one, it is for this machine alone, if for anybody, and tokens are good for
    /// as long as the server runs.
    ///
    /// # Errors
    /// If it is no good key.
    pub(crate) fn new(key: Option<&Secret>, serves_this_machine: bool) -> Result<Gate, KeyError> {
        let tokens = match key.map(Secret::reveal) {
            Some(key) if key.len() < LEAST_KEY_CHARS => return Err(KeyError::Short),
            Some(key) if !key.chars().all(|c| c.is_ascii_alphanumeric() || "-._~".contains(c)) => {
                return Err(KeyError::Characters);
            }
            Some(key) => Tokens::new(key.as_bytes()),
            None => {
                let mut random = [0; 32];
                getrandom::fill(&mut random)?;
                Tokens::new(&random)
            }
        };
        Ok(Gate { key: key.cloned(), serves_this_machine, tokens })
    }

    /// Lets the back end of an application in.
    ///
    /// # Errors
    /// If it is somebody else.
    pub(crate) fn back_end(&self, from: IpAddr, headers: &HeaderMap) -> Result<(), Refused> {
        let Some(key) = self.key(is_local(from, headers))? else { return Ok(()) };
        let given = bearer(headers).ok_or(Refused::Nothing)?;
        let is_same: bool = given.as_bytes().ct_eq(key.reveal().as_bytes()).into();
        if is_same { Ok(()) } else { Err(Refused::Key) }
    }

    /// What somebody may do with a document who has this token, or none, and is on this machine or not.
    ///
    /// # Errors
    /// If nothing.
    pub(crate) fn client(
        &self,
        is_local: bool,
        token: Option<&str>,
        document: &DocumentName,
    ) -> Result<Grant, Refused> {
        let key = self.key(is_local)?;
        match token {
            Some(token) => Ok(self.tokens.check(token, document)?),
            None if key.is_none() => Ok(Grant::anonymous(Access::Write)),
            None => Err(Refused::Nothing),
        }
    }

    /// Whether there is a key.
    pub(crate) fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// The tokens of clients.
    pub(crate) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// The key that a request needs; none if it comes from this machine and there is none.
    fn key(&self, is_local: bool) -> Result<Option<&Secret>, Refused> {
        match &self.key {
            None if !(is_local && self.serves_this_machine) => Err(Refused::Elsewhere),
            key => Ok(key.as_ref()),
        }
    }
}

/// What a request has to show.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::HeaderValue;

    use super::*;
    use crate::access::Authorization;

    const KEY: &str = "0123456789abcdef";

    fn gate(key: Option<&str>) -> Result<Gate, KeyError> {
        Gate::new(key.map(|key| key.parse().unwrap()).as_ref(), true)
    }

    fn request(host: &'static str, authorization: Option<&'static str>) -> HeaderMap {
        let mut headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]);
        headers.extend(authorization.map(|value| (header::AUTHORIZATION, HeaderValue::from_static(value))));
        headers
    }

    #[test]
    fn with_a_key_the_back_end_has_to_show_it_wherever_it_is() {
        let (gate, from) = (gate(Some(KEY)).unwrap(), IpAddr::from([127, 0, 0, 1]));
        let back_end = |authorization| gate.back_end(from, &request("localhost", authorization));
        assert_eq!(back_end(Some("Bearer 0123456789abcdef")), Ok(()));
        assert_eq!(back_end(Some("bearer 0123456789abcdef")), Ok(()));
        for wrong in ["Bearer 0123456789abcdeg", "Bearer 0123456789abcdef0", "Bearer "] {
            assert_eq!(back_end(Some(wrong)), Err(Refused::Key));
        }
        for none in [None, Some("Basic 0123456789abcdef"), Some("Bearer")] {
            assert_eq!(back_end(none), Err(Refused::Nothing));
        }
        let name = DocumentName::new("a").unwrap();
        assert_eq!(gate.client(true, None, &name), Err(Refused::Nothing));
    }

    #[test]
    fn without_a_key_this_machine_may_do_everything_and_others_nothing() {
        let (gate, from) = (gate(None).unwrap(), IpAddr::from([127, 0, 0, 1]));
        let (here, name) = (request("localhost:1234", None), DocumentName::new("a").unwrap());
        assert_eq!(gate.back_end(from, &here), Ok(()));
        assert_eq!(gate.client(true, None, &name).unwrap().access, Access::Write);
        let token =
            gate.tokens().sign(&name, Authorization::ReadOnly, None, Duration::from_secs(60)).unwrap();
        assert_eq!(gate.client(true, Some(&token), &name).unwrap().access, Access::Read);
        let other = IpAddr::from([10, 0, 0, 1]);
        for (from, headers) in [(other, here), (from, request("docs.example", None))] {
            assert_eq!(gate.back_end(from, &headers), Err(Refused::Elsewhere));
            assert_eq!(gate.client(false, Some(&token), &name), Err(Refused::Elsewhere));
        }
    }

    #[test]
    fn a_key_that_can_be_guessed_or_not_be_written_is_none() {
        assert!(matches!(gate(Some("")), Err(KeyError::Short)));
        assert!(matches!(gate(Some("0123456789abcde")), Err(KeyError::Short)));
        assert!(matches!(gate(Some("0123456789 abcdef")), Err(KeyError::Characters)));
    }
}
