//! Whose pages may use this server from a browser.

use std::str::FromStr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, header};
use glob::{MatchOptions, Pattern};
use serde::Deserialize;

/// A star stands for anything but a slash, so it never reaches from the host into the scheme.
const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: false,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// An origin beside the server's own: `https://app.example.com`, `https://*.example.com`, `http://localhost:*`, or `*` for all.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Origin(Pattern);

impl Origin {
    /// Whether the pages of an origin, as a browser tells it, are meant.
    pub(crate) fn matches(&self, origin: &str) -> bool {
        self.is_any() || self.0.matches_with(origin, OPTIONS)
    }

    /// Whether the pages of all origins are meant.
    pub(crate) fn is_any(&self) -> bool {
        self.0.as_str() == "*"
    }
}

/// The page that makes a browser ask, if the request says which: scheme, host and port.
pub(crate) fn origin_of(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or("null"))
}

/// Whether a page is one of this server's own, which its client has reached under this address, encrypted or not. A proxy that
/// encrypts and does not say so makes no difference.
pub(crate) fn is_same(origin: &str, used: &Authority, is_encrypted: bool) -> bool {
    let Ok(origin) = origin.parse::<Uri>() else { return false };
    let (Some(scheme), Some(host)) = (origin.scheme_str(), origin.host()) else { return false };
    let usual = match scheme {
        "https" => 443,
        "http" if !is_encrypted => 80,
        _ => return false,
    };
    host.eq_ignore_ascii_case(used.host())
        && origin.port_u16().unwrap_or(usual) == used.port_u16().unwrap_or(usual)
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Origin, String> {
        let rest = ["https://", "http://"].iter().find_map(|scheme| text.strip_prefix(scheme));
        if text != "*" && rest.is_none_or(|rest| rest.is_empty() || rest.contains('/')) {
            return Err(format!(
                "{text:?} is no origin: they look like https://app.example.com or https://*.example.com, and * stands for all"
            ));
        }
        match Pattern::new(text) {
            Ok(pattern) => Ok(Origin(pattern)),
            Err(error) => Err(format!("{text:?} is no pattern of origins: {}", error.msg)),
        }
    }
}

impl TryFrom<String> for Origin {
    type Error = String;

    fn try_from(text: String) -> Result<Origin, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_names_below_a_host_and_for_ports() {
        for (pattern, origin, expected) in [
            ("https://app.example.com", "https://app.example.com", true),
            ("https://app.example.com", "https://APP.example.com", true),
            ("https://app.example.com", "http://app.example.com", false),
            ("https://app.example.com", "https://app.example.com:444", false),
            ("https://app.example.com", "https://app.example.com.evil.org", false),
            ("https://*.example.com", "https://a.b.example.com", true),
            ("https://*.example.com", "https://example.com", false),
            ("https://*.example.com", "https://evil.org/.example.com", false),
            ("http://localhost:*", "http://localhost:5173", true),
            ("*", "null", true),
            ("*", "https://a", true),
        ] {
            let pattern: Origin = pattern.parse().unwrap();
            assert_eq!(pattern.matches(origin), expected, "{pattern:?} {origin}");
        }
        for wrong in ["", "app.example.com", "https://", "https://a/b", "ftp://a", "**"] {
            assert!(wrong.parse::<Origin>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_page_of_the_server_itself_has_its_host_and_its_port() {
        for (origin, used, is_encrypted, expected) in [
            ("https://docs.example", "docs.example", true, true),
            ("https://docs.example", "docs.example", false, true),
            ("http://docs.example", "docs.example", false, true),
            ("http://docs.example", "docs.example", true, false),
            ("https://docs.example", "docs.example:443", true, true),
            ("https://docs.example:8443", "docs.example:8443", true, true),
            ("https://docs.example:8443", "docs.example", true, false),
            ("http://127.0.0.1:1234", "127.0.0.1:1234", false, true),
            ("http://127.0.0.1:1235", "127.0.0.1:1234", false, false),
            ("https://docs.example.evil.org", "docs.example", true, false),
            ("null", "docs.example", true, false),
            ("file://", "docs.example", false, false),
        ] {
            let used: Authority = used.parse().unwrap();
            assert_eq!(is_same(origin, &used, is_encrypted), expected, "{origin} {used}");
        }
    }
}
