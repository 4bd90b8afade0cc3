//! The paths of y-sweet, and the documents that they name.

use coscribe_persistence::{DocumentName, NameError};
use percent_encoding::percent_decode_str;

/// Where y-sweet is.
pub(crate) const ROOT: &str = "/y-sweet";

/// Why a path or an ID names no document.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PathError {
    /// y-sweet has no WebSockets there.
    #[error("y-sweet's WebSockets are at {ROOT}/d/ID/ws/ID")]
    Unknown,
    /// The ID is empty, or has other characters.
    #[error("a document ID has letters, digits, - and _")]
    Id,
    /// The ID is no name.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// The document with this ID.
///
/// # Errors
/// If y-sweet has no such IDs.
pub(crate) fn document(id: &str) -> Result<DocumentName, PathError> {
    let is_sound = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if id.is_empty() || !id.chars().all(is_sound) {
        return Err(PathError::Id);
    }
    Ok(DocumentName::new(id)?)
}

/// The document of a WebSocket with this path; `None` if the path is not one of y-sweet.
///
/// # Errors
/// If y-sweet has none there.
pub(crate) fn socket(path: &str) -> Option<Result<DocumentName, PathError>> {
    let below = path.strip_prefix(ROOT)?.strip_prefix('/')?;
    let ids = below.strip_prefix("d/").and_then(|rest| rest.split_once("/ws/"));
    Some(match ids {
        Some((id, again)) if id == again => document(id),
        _ => Err(PathError::Unknown),
    })
}

/// The token in the query of a WebSocket's URL.
pub(crate) fn token(query: Option<&str>) -> Option<String> {
    let value = query?.split('&').find_map(|pair| pair.strip_prefix("token="))?;
    Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
}

/// An ID that nobody has.
///
/// # Errors
/// If there is no randomness to be had.
pub(crate) fn random_id() -> Result<String, getrandom::Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)?;
    Ok(format!("{:032x}", u128::from_be_bytes(random)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_path_of_one_document_is_a_socket() {
        assert_eq!(socket("/y-sweet/d/a-B_1/ws/a-B_1").unwrap().unwrap().as_str(), "a-B_1");
        for other in ["/", "/y-sweet", "/y-sweets/d/a/ws/a", "/d/a/ws/a"] {
            assert!(socket(other).is_none(), "{other}");
        }
        for unknown in
            ["/y-sweet/", "/y-sweet/d/a/ws", "/y-sweet/d/a/ws/b", "/y-sweet/d/a/ws/a/", "/y-sweet/doc"]
        {
            assert!(matches!(socket(unknown), Some(Err(PathError::Unknown))), "{unknown}");
        }
        for wrong in
            ["/y-sweet/d//ws/", "/y-sweet/d/a.b/ws/a.b", "/y-sweet/d/%61/ws/%61", "/y-sweet/d/a/b/ws/a/b"]
        {
            assert!(matches!(socket(wrong), Some(Err(PathError::Id))), "{wrong}");
        }
        assert!(matches!(document(&"a".repeat(1025)), Err(PathError::Name(_))));
    }

    #[test]
    fn the_token_is_decoded() {
        assert_eq!(token(Some("token=a.b-c_d")).as_deref(), Some("a.b-c_d"));
        assert_eq!(token(Some("z=1&token=a%2eb")).as_deref(), Some("a.b"));
        for none in [None, Some(""), Some("tokens=a"), Some("z=token=a")] {
            assert_eq!(token(none), None);
        }
    }

    #[test]
    fn a_random_id_is_an_id_and_another_one_each_time() {
        let [one, two] = [(); 2].map(|()| random_id().unwrap());
        assert!(document(&one).is_ok() && one != two);
    }
}
