//! What a client shows to say who it is, and where that may stand in a request.

use axum::http::{HeaderMap, Uri, header};
use percent_encoding::percent_decode_str;
use ring::digest;

use super::y_sweet::bearer;
use crate::config::{AccessConfig, Secret};

/// What each offered subprotocol with a token begins with. A page of a browser can name subprotocols, and no headers.
const SUBPROTOCOL_TOKEN: &str = "coscribe.token.";

/// What a client shows to say who it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Credentials {
    /// Its token.
    pub(crate) token: Option<Secret>,
    /// The headers that the application is told of.
    pub(crate) headers: Vec<(String, Secret)>,
    /// The cookies that the application is told of.
    pub(crate) cookies: Vec<(String, Secret)>,
}

impl Credentials {
    /// What a request shows. Of several tokens the one counts that was put there for this request: the URL's before the header's,
    /// that before the subprotocol's, and a cookie's last.
    pub(crate) fn of(config: &AccessConfig, uri: &Uri, headers: &HeaderMap) -> Credentials {
        let is_given = |token: &String| !token.is_empty();
        let token = parameter(uri, &config.token_parameter)
            .filter(is_given)
            .or_else(|| bearer(headers).map(str::to_owned).filter(is_given))
            .or_else(|| in_subprotocol(headers).filter(is_given))
            .or_else(|| cookie(headers, config.token_cookie.as_deref()?).filter(is_given));
        let header = |name: &String| {
            let values: Vec<_> =
                headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
            (!values.is_empty()).then(|| (name.clone(), Secret::new(values.join(", "))))
        };
        Credentials {
            token: token.map(Secret::new),
            headers: config.ask_headers.iter().filter_map(header).collect(),
            cookies: config
                .ask_cookies
                .iter()
                .filter_map(|name| Some((name.clone(), Secret::new(cookie(headers, name)?))))
                .collect(),
        }
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.token.is_none() && self.headers.is_empty() && self.cookies.is_empty()
    }

    /// A hash, by which they are found again without being kept. O(their bytes).
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut hash = digest::Context::new(&digest::SHA256);
        let mut add = |kind: u8, name: &str, value: &str| {
            hash.update(&[kind]);
            for text in [name, value] {
                hash.update(&(text.len() as u64).to_le_bytes());
                hash.update(text.as_bytes());
            }
        };
        if let Some(token) = &self.token {
            add(0, "", token.reveal());
        }
        self.headers.iter().for_each(|(name, value)| add(1, name, value.reveal()));
        self.cookies.iter().for_each(|(name, value)| add(2, name, value.reveal()));
        hash.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
    }

    /// A token, or nothing.
    pub(crate) fn of_token(token: Option<String>) -> Credentials {
        Credentials { token: token.map(Secret::new), ..Credentials::default() }
    }

    /// The same with another token, unless that is empty.
    pub(crate) fn with_token(&self, token: &str) -> Credentials {
        let mut credentials = self.clone();
        if !token.is_empty() {
            credentials.token = Some(Secret::new(token));
        }
        credentials
    }
}

/// Whether a subprotocol may be chosen: never one with a token, which would be sent back.
pub(crate) fn is_plain_subprotocol(word: &str) -> bool {
    !word.starts_with(SUBPROTOCOL_TOKEN)
}

fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let value = uri.query()?.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    // As forms write it; a space is in no token.
    Some(percent_decode_str(&value.replace('+', " ")).decode_utf8_lossy().into_owned())
}

fn in_subprotocol(headers: &HeaderMap) -> Option<String> {
    let lines = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|line| line.to_str().ok());
    let mut offered = lines.flat_map(|line| line.split(',')).map(str::trim);
    offered.find_map(|word| word.strip_prefix(SUBPROTOCOL_TOKEN)).map(str::to_owned)
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut cookies = lines.flat_map(|line| line.split(';')).map(str::trim);
    let value = cookies.find_map(|cookie| cookie.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;
    use crate::config::Config;

    fn shown(config: &str, uri: &str, lines: &[(&'static str, &'static str)]) -> Credentials {
        let config = Config::from_toml(config).unwrap();
        let line = |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        Credentials::of(&config.access, &uri.parse().unwrap(), &lines.iter().map(line).collect())
    }

    fn token(config: &str, uri: &str, lines: &[(&'static str, &'static str)]) -> Option<String> {
        shown(config, uri, lines).token.map(|token| token.reveal().to_owned())
    }

    #[test]
    fn a_token_may_stand_in_several_places() {
        let bearer = ("authorization", "Bearer from-header");
        let protocols = ("sec-websocket-protocol", "coscribe, coscribe.token.from-protocol");
        let cookies = ("cookie", "a=b; session=\"from-cookie\"; c=d");
        let cookie = "[access]\ntoken_cookie = 'session'";
        for (config, uri, lines, expected) in [
            ("", "/a?token=from%2Durl", &[bearer][..], Some("from-url")),
            ("", "/a?x=1&token=from-url&y", &[], Some("from-url")),
            ("", "/a?tokens=no&atoken=no", &[], None),
            ("", "/a?token=", &[bearer], Some("from-header")),
            ("", "/a", &[bearer, protocols], Some("from-header")),
            ("", "/a", &[protocols, cookies], Some("from-protocol")),
            ("", "/a", &[cookies], None),
            (cookie, "/a", &[cookies], Some("from-cookie")),
            (cookie, "/a", &[("cookie", "sessions=a; a=session")], None),
            ("[access]\ntoken_parameter = 'jwt'", "/a?token=no&jwt=yes", &[], Some("yes")),
        ] {
            assert_eq!(token(config, uri, lines).as_deref(), expected, "{config} {uri} {lines:?}");
        }
    }

    #[test]
    fn the_application_is_told_of_what_is_named_and_of_nothing_else() {
        let config = "[access]\nask_headers = ['x-team']\nask_cookies = ['session', 'other']";
        let lines =
            [("x-team", "a"), ("x-team", "b"), ("x-else", "c"), ("cookie", "session=s"), ("cookie", "no=n")];
        let shown = shown(config, "/a", &lines);
        assert_eq!(shown.headers, [("x-team".to_owned(), Secret::new("a, b"))]);
        assert_eq!(shown.cookies, [("session".to_owned(), Secret::new("s"))]);
        assert!(!format!("{shown:?}").contains("a, b"));
    }

    #[test]
    fn different_credentials_have_different_digests() {
        let secret = |text: &str| Secret::new(text);
        let pairs = |name: &str, value: &str| vec![(name.to_owned(), secret(value))];
        let all = [
            Credentials::default(),
            Credentials { token: Some(secret("")), ..Credentials::default() },
            Credentials { token: Some(secret("ab")), ..Credentials::default() },
            Credentials { headers: pairs("a", "b"), ..Credentials::default() },
            Credentials { cookies: pairs("a", "b"), ..Credentials::default() },
            Credentials { cookies: pairs("", "ab"), ..Credentials::default() },
        ];
        let digests: std::collections::BTreeSet<_> = all.iter().map(Credentials::digest).collect();
        assert_eq!(digests.len(), all.len());
        assert_eq!(all[3].digest(), all[3].clone().digest());
    }
}
