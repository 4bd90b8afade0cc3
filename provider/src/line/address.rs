//! Where a document is: a ws:// or wss:// URL.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use tokio_tungstenite::tungstenite::http::uri::{Authority, InvalidUri};

const PLAIN: &str = "ws://";
const SECURE: &str = "wss://";

/// The address of a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    is_secure: bool,
    authority: Authority,
    port: u16,
    path: String,
}

/// Why a text is no address.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// It is a URL of something else.
    #[error("it must start with {PLAIN} or {SECURE}")]
    Scheme,
    /// There is no host, or something is wrong with it.
    #[error("{0:?}: {1}")]
    Authority(String, InvalidUri),
    /// The port is none.
    #[error("{0:?} is no port")]
    Port(String),
    /// It has a user before the host.
    #[error("user and password cannot be sent: put a token into the query")]
    User,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(url: &str) -> Result<Self, AddressError> {
        let is_secure = url.starts_with(SECURE);
        let rest = url.strip_prefix(if is_secure { SECURE } else { PLAIN }).ok_or(AddressError::Scheme)?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let invalid = |error| AddressError::Authority(authority.to_owned(), error);
        let authority = Authority::from_str(authority).map_err(invalid)?;
        let port = port(&authority)?.unwrap_or(if is_secure { 443 } else { 80 });
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { is_secure, authority, port, path })
    }
}

impl Address {
    /// Whether it is reached through TLS.
    pub fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// The host, without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        self.authority.host().trim_matches(['[', ']'])
    }

    /// The port: that of the scheme if none is given.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host and port as they were given.
    pub fn authority(&self) -> &str {
        self.authority.as_str()
    }

    /// Path and query.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Another path at the same server. It begins with a slash.
    #[must_use]
    pub fn with_path(&self, path: String) -> Self {
        Self { path, ..self.clone() }
    }
}

impl Display for Address {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secure { SECURE } else { PLAIN };
        write!(f, "{scheme}{}{}", self.authority, self.path)
    }
}

fn port(authority: &Authority) -> Result<Option<u16>, AddressError> {
    let after_host = authority.as_str().strip_prefix(authority.host()).ok_or(AddressError::User)?;
    match (after_host.strip_prefix(':'), authority.port_u16()) {
        (None, _) => Ok(None),
        (Some(_), Some(port)) => Ok(Some(port)),
        (Some(port), None) => Err(AddressError::Port(port.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_the_port_of_its_scheme_if_none_is_given() {
        let parts = |url: &str| {
            let address = Address::from_str(url).unwrap();
            (address.is_secure(), address.host().to_owned(), address.port(), address.to_string())
        };
        assert_eq!(parts("ws://h/a?b"), (false, "h".to_owned(), 80, "ws://h/a?b".to_owned()));
        assert_eq!(parts("wss://h"), (true, "h".to_owned(), 443, "wss://h/".to_owned()));
        assert_eq!(parts("ws://[::1]:81?b"), (false, "::1".to_owned(), 81, "ws://[::1]:81/?b".to_owned()));
    }

    #[test]
    fn anything_else_is_refused_with_the_reason() {
        let error = |url: &str| Address::from_str(url).unwrap_err().to_string();
        assert!(error("http://h").contains("ws://"));
        assert!(error("ws://").contains("\"\""));
        assert_eq!(error("ws://h:99999"), "\"99999\" is no port");
        assert!(error("ws://[::1]:x/d").contains('x'));
        assert!(!error("ws://ada:secret@h").contains("secret"));
    }
}
