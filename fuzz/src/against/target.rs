//! The address of a server, the dialect that is spoken there, and the URLs of its documents.

use std::str::FromStr;

use bytes::Bytes;
use coscribe_provider::line::{Address, Line, OpenError};

use crate::checked_provider::Speech;
use crate::scenario::Dialect;

/// The schemes of the Hocuspocus dialect, with those of their WebSockets.
const HOCUSPOCUS: [(&str, &str); 2] = [("hocuspocus+wss://", "wss://"), ("hocuspocus://", "ws://")];

/// The address of a server, for any of its documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// The documents are at URLs of their own.
    YWebsocket {
        /// Its path has `{}` for the document.
        address: Address,
    },
    /// All documents are at one URL.
    Hocuspocus {
        /// The URL.
        address: Address,
        /// The token that providers send.
        token: Bytes,
    },
}

impl FromStr for Target {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let hocuspocus =
            HOCUSPOCUS.iter().find_map(|(scheme, of)| Some(format!("{of}{}", url.strip_prefix(scheme)?)));
        let is_hocuspocus = hocuspocus.is_some();
        let url = hocuspocus.unwrap_or_else(|| url.to_owned());
        let address = Address::from_str(&url)
            .map_err(|error| format!("{error}, or {} or {}", HOCUSPOCUS[1].0, HOCUSPOCUS[0].0))?;
        if is_hocuspocus {
            let token = Bytes::copy_from_slice(token(&address).as_bytes());
            return Ok(Self::Hocuspocus { address, token });
        }
        if address.path().contains("{}") {
            return Ok(Self::YWebsocket { address });
        }
        let end = address.path().find('?').unwrap_or(address.path().len());
        let (path, query) = address.path().split_at(end);
        let path = format!("{}/{{}}{query}", path.trim_end_matches('/'));
        Ok(Self::YWebsocket { address: address.with_path(path) })
    }
}

impl Target {
    /// The URL of all documents, with `{}` for their names where they are a part of it.
    pub(super) fn template(&self) -> String {
        self.url("{}")
    }

    /// The URL of a document, with the scheme of the dialect.
    pub(super) fn url(&self, document: &str) -> String {
        let url = self.address(document).to_string();
        let with_scheme = |(scheme, of): &(&str, &str)| Some(format!("{scheme}{}", url.strip_prefix(of)?));
        match self {
            Self::YWebsocket { .. } => url,
            Self::Hocuspocus { .. } => HOCUSPOCUS.iter().find_map(with_scheme).unwrap_or(url),
        }
    }

    /// The dialect that is spoken there.
    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Self::YWebsocket { .. } => Dialect::YWebsocket,
            Self::Hocuspocus { .. } => Dialect::Hocuspocus,
        }
    }

    /// Opens a connection for a document.
    pub(super) async fn open(&self, document: &str) -> Result<Line, OpenError> {
        Line::open(&self.address(document)).await
    }

    /// How a provider of a document speaks here. Of y-websocket it asks for receipts if the server gives them.
    pub(super) fn speech(&self, document: &str, acknowledges: bool) -> Speech {
        match self {
            Self::YWebsocket { .. } => Speech::YWebsocket { asks: acknowledges },
            Self::Hocuspocus { token, .. } => {
                let address = Bytes::copy_from_slice(document.as_bytes());
                Speech::Hocuspocus { address, token: token.clone() }
            }
        }
    }

    fn address(&self, document: &str) -> Address {
        match self {
            Self::YWebsocket { address } => address.with_path(address.path().replace("{}", document)),
            Self::Hocuspocus { address, .. } => address.clone(),
        }
    }
}

/// The token in the query, as it stands there.
fn token(address: &Address) -> &str {
    let (_, query) = address.path().split_once('?').unwrap_or_default();
    query.split('&').find_map(|pair| pair.strip_prefix("token=")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by it")]

    use super::*;

    #[test]
    fn a_document_has_its_place_in_the_path() {
        let url = |url: &str| Target::from_str(url).unwrap().url("d");
        assert_eq!(url("ws://h:1234"), "ws://h:1234/d");
        assert_eq!(url("wss://h:1234/"), "wss://h:1234/d");
        assert_eq!(url("ws://h/a/b?token=x/y&z=1"), "ws://h/a/b/d?token=x/y&z=1");
        assert_eq!(url("ws://h?token=x"), "ws://h/d?token=x");
        assert_eq!(url("ws://[::1]:80/d/{}/ws/{}?token=x"), "ws://[::1]:80/d/d/ws/d?token=x");
        assert_eq!(url("ws://h/collaboration?document={}"), "ws://h/collaboration?document=d");
    }

    #[test]
    fn all_documents_of_hocuspocus_are_at_one_url_and_the_token_is_sent_to_it() {
        let parts = |url: &str| {
            let target = Target::from_str(url).unwrap();
            let Speech::Hocuspocus { address, token } = target.speech("d", true) else {
                panic!("{target:?}")
            };
            (target.url("d"), address, token)
        };
        let (document, none) = (Bytes::from_static(b"d"), Bytes::new());
        assert_eq!(parts("hocuspocus://h:1234"), ("hocuspocus://h:1234/".to_owned(), document.clone(), none));
        let token = Bytes::from_static(b"x");
        let url = "hocuspocus+wss://h/c?a=1&token=x".to_owned();
        assert_eq!(parts("hocuspocus+wss://h/c?a=1&token=x"), (url, document, token));
    }

    #[test]
    fn other_addresses_are_refused_with_the_reason() {
        let error = |url: &str| Target::from_str(url).unwrap_err();
        assert!(error("http://h").contains("ws://") && error("http://h").contains("hocuspocus://"));
        assert!(error("hocuspocus://").contains("\"\""));
    }
}
