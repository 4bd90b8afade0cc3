//! The address of a server, the dialect that is spoken there, and the URLs of its documents.

use std::str::FromStr;

use bytes::Bytes;
use coscribe_provider::line::{Address, Line, OpenError};

use super::y_sweet::Api;
use crate::checked_provider::Speech;
use crate::scenario::Dialect;

/// The schemes of the Hocuspocus dialect, with those of their WebSockets.
const HOCUSPOCUS: [(&str, &str); 2] = [("hocuspocus+wss://", "wss://"), ("hocuspocus://", "ws://")];

/// The scheme of y-sweet.
const Y_SWEET: &str = "y-sweet://";
/// Where coscribe has y-sweet's API.
const Y_SWEET_ROOT: &str = "/y-sweet";

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
    /// The server's API says where a document is.
    YSweet(Api),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        if let Some(rest) = url.strip_prefix(Y_SWEET) {
            return y_sweet(rest);
        }
        let hocuspocus =
            HOCUSPOCUS.iter().find_map(|(scheme, of)| Some(format!("{of}{}", url.strip_prefix(scheme)?)));
        let is_hocuspocus = hocuspocus.is_some();
        let url = hocuspocus.unwrap_or_else(|| url.to_owned());
        let address = Address::from_str(&url)
            .map_err(|error| format!("{error}, or {}, {} or {Y_SWEET}", HOCUSPOCUS[1].0, HOCUSPOCUS[0].0))?;
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
        let hocuspocus = |url: String| {
            let with_scheme =
                |(scheme, of): &(&str, &str)| Some(format!("{scheme}{}", url.strip_prefix(of)?));
            HOCUSPOCUS.iter().find_map(with_scheme).unwrap_or_default()
        };
        match self {
            Self::YWebsocket { address } => in_path(address, document).to_string(),
            Self::Hocuspocus { address, .. } => hocuspocus(address.to_string()),
            // The key is secret.
            Self::YSweet(Api { root, key }) => {
                let key = if key.is_empty() { "" } else { "KEY@" };
                format!("{Y_SWEET}{key}{}{}", root.authority(), root.path())
            }
        }
    }

    /// The dialect that is spoken there.
    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Self::YWebsocket { .. } | Self::YSweet(_) => Dialect::YWebsocket,
            Self::Hocuspocus { .. } => Dialect::Hocuspocus,
        }
    }

    /// Opens a connection for a document.
    pub(super) async fn open(&self, document: &str) -> Result<Line, OpenError> {
        match self {
            Self::YWebsocket { address } => Line::open(&in_path(address, document)).await,
            Self::Hocuspocus { address, .. } => Line::open(address).await,
            Self::YSweet(api) => Line::open(&api.address(document).await?).await,
        }
    }

    /// How a provider of a document speaks here. Of y-websocket it asks for receipts if the server gives them.
    pub(super) fn speech(&self, document: &str, acknowledges: bool) -> Speech {
        match self {
            Self::YWebsocket { .. } | Self::YSweet(_) => Speech::YWebsocket { asks: acknowledges },
            Self::Hocuspocus { token, .. } => {
                let address = Bytes::copy_from_slice(document.as_bytes());
                Speech::Hocuspocus { address, token: token.clone() }
            }
        }
    }
}

fn in_path(address: &Address, document: &str) -> Address {
    address.with_path(address.path().replace("{}", document))
}

/// `KEY@host:port/path`. Without a path it is that of coscribe.
fn y_sweet(rest: &str) -> Result<Target, String> {
    let (key, place) = rest.split_once('@').unwrap_or(("", rest));
    let root = if place.contains('/') { "" } else { Y_SWEET_ROOT };
    let root = Address::from_str(&format!("ws://{place}{root}")).map_err(|error| error.to_string())?;
    Ok(Target::YSweet(Api { root, key: key.to_owned() }))
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
    fn y_sweets_paths_begin_where_coscribe_has_them_unless_the_url_says_so_and_the_key_is_not_shown() {
        let parts = |url: &str| {
            let target = Target::from_str(url).unwrap();
            let shown = format!("{} {target:?}", target.url("d"));
            let Target::YSweet(Api { root, key }) = target else { panic!("{shown}") };
            assert!(key.is_empty() || !shown.contains(&key), "{shown}");
            (root.to_string(), key)
        };
        assert_eq!(parts("y-sweet://h:1234"), ("ws://h:1234/y-sweet".to_owned(), String::new()));
        assert_eq!(parts("y-sweet://secret@h/"), ("ws://h/".to_owned(), "secret".to_owned()));
        assert_eq!(parts("y-sweet://secret@h/a"), ("ws://h/a".to_owned(), "secret".to_owned()));
        assert!(Target::from_str("y-sweet://secret@").is_err_and(|error| !error.contains("secret")));
    }

    #[test]
    fn other_addresses_are_refused_with_the_reason() {
        let error = |url: &str| Target::from_str(url).unwrap_err();
        assert!(error("http://h").contains("ws://") && error("http://h").contains("hocuspocus://"));
        assert!(error("hocuspocus://").contains("\"\""));
    }
}
