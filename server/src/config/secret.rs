//! Values that nobody may read in a log.

use std::convert::Infallible;
use std::path::Path;
use std::str::FromStr;
use std::{fmt, fs, io};

use serde::Deserialize;

/// A secret. It is checked by the part of the server that uses it: an error of the command line would show it.
#[derive(Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(transparent)]
pub(crate) struct Secret(String);

impl Secret {
    /// Keeps a text secret.
    pub(crate) fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The secret itself.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// The secret of a file, without whitespace at its end.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn read(path: &Path) -> io::Result<Secret> {
        fs::read_to_string(path).map(|text| Secret(text.trim_end().to_owned()))
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Secret, Infallible> {
        Ok(Secret(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn a_secret_is_not_shown_with_the_configuration() {
        let config = Config::from_toml("y_sweet_key = \"do-not-tell-anybody\"").unwrap();
        assert_eq!(config.y_sweet_key.as_ref().unwrap().reveal(), "do-not-tell-anybody");
        assert!(!format!("{config:?}").contains("tell"));
    }
}
