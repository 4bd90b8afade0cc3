//! The address of a server, and the URLs of its documents.

use std::str::FromStr;

use coscribe_provider::line::{Address, Line, OpenError};

/// The address of a server, for any of its documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// Its path has `{}` for the document.
    address: Address,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let address = Address::from_str(url).map_err(|error| error.to_string())?;
        if address.is_secure() {
            return Err(
                "there is no TLS here: give the ws:// address of the server behind the proxy".to_owned()
            );
        }
        if address.path().contains("{}") {
            return Ok(Self { address });
        }
        let end = address.path().find('?').unwrap_or(address.path().len());
        let (path, query) = address.path().split_at(end);
        let path = format!("{}/{{}}{query}", path.trim_end_matches('/'));
        Ok(Self { address: address.with_path(path) })
    }
}

impl Target {
    /// The URL of all documents, with `{}` for their names.
    pub(super) fn template(&self) -> String {
        self.url("{}")
    }

    /// The URL of a document.
    pub(super) fn url(&self, document: &str) -> String {
        self.address(document).to_string()
    }

    /// Opens a connection to a document.
    pub(super) async fn open(&self, document: &str) -> Result<Line, OpenError> {
        Line::open(&self.address(document)).await
    }

    fn address(&self, document: &str) -> Address {
        self.address.with_path(self.address.path().replace("{}", document))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by it")]

    use super::*;

    #[test]
    fn a_document_has_its_place_in_the_path() {
        let url = |url: &str| Target::from_str(url).unwrap().url("d");
        assert_eq!(url("ws://h:1234"), "ws://h:1234/d");
        assert_eq!(url("ws://h:1234/"), "ws://h:1234/d");
        assert_eq!(url("ws://h/a/b?token=x/y&z=1"), "ws://h/a/b/d?token=x/y&z=1");
        assert_eq!(url("ws://h?token=x"), "ws://h/d?token=x");
        assert_eq!(url("ws://[::1]:80/d/{}/ws/{}?token=x"), "ws://[::1]:80/d/d/ws/d?token=x");
        assert_eq!(url("ws://h/collaboration?document={}"), "ws://h/collaboration?document=d");
    }

    #[test]
    fn other_addresses_are_refused_with_the_reason() {
        let error = |url: &str| Target::from_str(url).unwrap_err();
        assert!(error("wss://h").contains("TLS"));
        assert!(error("http://h").contains("ws://"));
    }
}
