//! URLs of other servers.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use axum::http::Uri;
use serde::Deserialize;

/// A URL with `http` or `https`. It may carry a secret, so it is shown without its query.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Url(Uri);

impl Url {
    /// The URL itself.
    pub(crate) fn reveal(&self) -> &Uri {
        &self.0
    }

    /// Whether nobody on the way can read or change the bytes: they are encrypted, or stay on this machine.
    pub(crate) fn is_private(&self) -> bool {
        let host = self.0.host().unwrap_or_default();
        let is_loopback = || {
            let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
            address.map_or_else(|_| host.eq_ignore_ascii_case("localhost"), |address| address.is_loopback())
        };
        self.0.scheme_str() == Some("https") || is_loopback()
    }
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Url, String> {
        let uri: Uri = text.parse().map_err(|error| format!("not a URL: {error}"))?;
        match (uri.scheme_str(), uri.host()) {
            (Some(_), Some(_))
                if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) =>
            {
                Err("a user and a password in it are not sent".to_owned())
            }
            (Some("http" | "https"), Some(host)) if !host.is_empty() => Ok(Url(uri)),
            _ => Err("it begins with http:// or https:// and a host".to_owned()),
        }
    }
}

impl TryFrom<String> for Url {
    type Error = String;

    fn try_from(text: String) -> Result<Url, String> {
        text.parse()
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host) = (self.0.scheme_str().unwrap_or_default(), self.0.host().unwrap_or_default());
        let port = self.0.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
        write!(f, "{scheme}://{host}{port}{}", self.0.path())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        let url: Url = "https://app.example:8443/keys?key=secret".parse().unwrap();
        assert_eq!(format!("{url} {url:?}"), "https://app.example:8443/keys https://app.example:8443/keys");
        for wrong in [
            "",
            "app.example",
            "/keys",
            "ftp://app.example/",
            "https:///keys",
            "https://a b/",
            "https://a:b@c/",
        ] {
            assert!(wrong.parse::<Url>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_goes_over_a_network_in_the_clear_is_not_private() {
        for (text, is_private) in [
            ("https://app.example/", true),
            ("http://127.0.0.1:3000/", true),
            ("http://[::1]:3000/", true),
            ("http://localhost/", true),
            ("http://app.example/", false),
            ("http://10.0.0.1/", false),
            ("http://localhost.example/", false),
        ] {
            assert_eq!(text.parse::<Url>().unwrap().is_private(), is_private, "{text}");
        }
    }
}
