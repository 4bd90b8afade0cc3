//! Paths on which a WebSocket is one of Hocuspocus' providers, and paths of files in errors.

use std::path::{Path, PathBuf, absolute};
use std::str::FromStr;

use serde::Deserialize;

/// The path of a file for an error. The configuration's are relative to the current directory, which the error shows so.
pub(crate) fn shown(path: &Path) -> PathBuf {
    absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// A path as applications write it into the URL of their provider, such as `/collaboration`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct SocketPath(String);

impl SocketPath {
    /// Whether a request is for it. Providers take slashes at the end of their URL away, proxies may add one.
    pub(crate) fn is_of(&self, path: &str) -> bool {
        path.strip_prefix(&*self.0).is_some_and(|rest| rest.is_empty() || rest == "/")
    }
}

impl FromStr for SocketPath {
    type Err = String;

    fn from_str(text: &str) -> Result<SocketPath, String> {
        let path = text.trim_end_matches('/');
        match path.strip_prefix('/') {
            Some(_) if path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#')) => {
                Ok(SocketPath(path.to_owned()))
            }
            _ => Err(format!(
                "{text:?} is no path for Hocuspocus: it begins with a slash, is written as in a URL, and `/` is one anyway"
            )),
        }
    }
}

impl TryFrom<String> for SocketPath {
    type Error = String;

    fn try_from(text: String) -> Result<SocketPath, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_that_of_a_url_with_or_without_a_slash_at_its_end() {
        let path: SocketPath = "/api/collab/".parse().unwrap();
        assert!(path.is_of("/api/collab") && path.is_of("/api/collab/"));
        assert!(!path.is_of("/api/collab/notes") && !path.is_of("/api/collaboration") && !path.is_of("/"));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for wrong in ["", "/", "collab", "/a b", "/a?b", "/ü"] {
            assert!(wrong.parse::<SocketPath>().is_err(), "{wrong:?}");
        }
    }
}
