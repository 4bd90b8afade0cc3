//! Keys in JSON: JWKs and sets of them (RFC 7517, RFC 7518, RFC 8037).

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, KeyOperations, PublicKeyUse};
use serde::Deserialize;
use serde_json::Value;

use super::key::{Key, KeyError};
use crate::limits::KEYS_PER_SET;

/// The keys of a set that can be used, and why others cannot.
pub(super) struct KeysOfSet {
    pub(super) keys: Vec<Key>,
    pub(super) unused: Vec<KeyError>,
}

/// A set whose keys are looked at one by one: one that cannot be read takes no other with it.
#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

/// The keys of a set. Sets have keys for other purposes and other algorithms, too: these are told apart, and no errors.
///
/// # Errors
/// If it is no set, or has too many keys.
pub(super) fn keys(json: &[u8]) -> Result<KeysOfSet, KeyError> {
    let set: Set = serde_json::from_slice(json).map_err(|error| KeyError::Malformed(no_content(&error)))?;
    if set.keys.len() > KEYS_PER_SET {
        return Err(KeyError::Malformed(format!("it has more than {KEYS_PER_SET} keys")));
    }
    let mut found = KeysOfSet { keys: Vec::new(), unused: Vec::new() };
    for jwk in set.keys {
        match serde_json::from_value(jwk)
            .map_err(|error| KeyError::Malformed(no_content(&error)))
            .and_then(key)
        {
            Ok(key) => found.keys.push(key),
            Err(error) => found.unused.push(error),
        }
    }
    Ok(found)
}

fn key(jwk: Jwk) -> Result<Key, KeyError> {
    let unsupported = |what: &str| Err(KeyError::Unsupported(what.to_owned()));
    if jwk.common.public_key_use.as_ref().is_some_and(|purpose| *purpose != PublicKeyUse::Signature) {
        return unsupported("another use than sig");
    }
    if jwk.common.key_operations.as_ref().is_some_and(|uses| !uses.contains(&KeyOperations::Verify)) {
        return unsupported("other operations than verify");
    }
    if matches!(jwk.algorithm, AlgorithmParameters::Other(_)) {
        return unsupported("another type or curve");
    }
    let malformed = |_| KeyError::Malformed("a part of a key is not base64url".to_owned());
    let key = Key::new(jwk.common.key_id.clone(), DecodingKey::from_jwk(&jwk).map_err(malformed)?)?;
    match jwk.common.key_algorithm {
        Some(algorithm) if algorithm != key.algorithm().into() => unsupported(&algorithm.to_string()),
        _ => Ok(key),
    }
}

/// An error without the JSON that it is about, which may be secret.
fn no_content(error: &serde_json::Error) -> String {
    format!("no set of keys in JSON (line {}, column {})", error.line(), error.column())
}
