//! Where keys of tokens are.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;

use super::Url;

/// A file or a URL with keys of tokens.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum KeySource {
    /// A PEM file, or a JWKS file.
    File {
        /// The id of the key in a PEM file, which has no place for it.
        kid: Option<String>,
        /// Where it is.
        path: PathBuf,
    },
    /// The URL of a JWKS.
    Url(Url),
}

impl FromStr for KeySource {
    type Err = String;

    fn from_str(text: &str) -> Result<KeySource, String> {
        if text.contains("://") {
            return text.parse().map(KeySource::Url);
        }
        let (kid, path) = match text.split_once('=') {
            Some((kid, path)) => (Some(kid.to_owned()), path),
            None => (None, text),
        };
        if path.is_empty() || kid.as_deref() == Some("") {
            return Err("keys are in FILE, KID=FILE or at a URL".to_owned());
        }
        Ok(KeySource::File { kid, path: PathBuf::from(path) })
    }
}

impl TryFrom<String> for KeySource {
    type Error = String;

    fn try_from(text: String) -> Result<KeySource, String> {
        text.parse()
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeySource::File { path, .. } => write!(f, "{}", path.display()),
            KeySource::Url(url) => write!(f, "{url}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_files_with_or_without_an_id_and_at_urls() {
        let file = |kid: Option<&str>, path: &str| KeySource::File {
            kid: kid.map(str::to_owned),
            path: path.into(),
        };
        assert_eq!("a.pem".parse(), Ok(file(None, "a.pem")));
        assert_eq!("2026=/etc/a=b.pem".parse(), Ok(file(Some("2026"), "/etc/a=b.pem")));
        assert!(matches!("https://a.example/jwks?a=b".parse(), Ok(KeySource::Url(_))));
        for wrong in ["", "=", "=a.pem", "kid=", "ftp://a.example/jwks", "https://"] {
            assert!(wrong.parse::<KeySource>().is_err(), "{wrong:?}");
        }
    }
}
