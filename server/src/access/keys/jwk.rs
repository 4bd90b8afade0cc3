//! Keys in JSON: JWKs and sets of them (RFC 7517, RFC 7518, RFC 8037).

use serde::Deserialize;
use serde_json::Value;

use super::key::{Key, KeyError};
use crate::access::jws::decode;
use crate::limits::KEYS_PER_SET;

/// The keys of a set that can be used, and why others cannot.
pub(super) struct KeysOfSet {
    pub(super) keys: Vec<Key>,
    pub(super) unused: Vec<KeyError>,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    k: Option<String>,
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
    if let Some(purpose) = jwk.purpose.as_deref().filter(|&purpose| purpose != "sig") {
        return unsupported(purpose);
    }
    if jwk.key_ops.as_ref().is_some_and(|uses| !uses.iter().any(|purpose| purpose == "verify")) {
        return unsupported("other operations than verify");
    }
    let kid = jwk.kid.clone();
    let key = match (&*jwk.kty, jwk.crv.as_deref()) {
        ("oct", _) => Key::secret(kid, &bytes(jwk.k.as_deref())?)?,
        ("RSA", _) => Key::rsa(kid, &bytes(jwk.n.as_deref())?, &bytes(jwk.e.as_deref())?)?,
        ("EC", Some("P-256")) => {
            let (x, y) = (bytes(jwk.x.as_deref())?, bytes(jwk.y.as_deref())?);
            Key::p256(kid, &[&[4][..], &x, &y].concat())?
        }
        ("OKP", Some("Ed25519")) => Key::ed25519(kid, &bytes(jwk.x.as_deref())?)?,
        (kty, crv) => return unsupported(&format!("{kty} {}", crv.unwrap_or_default())),
    };
    match jwk.alg {
        Some(alg) if !key.algorithm().is_called(&alg) => unsupported(&alg),
        _ => Ok(key),
    }
}

fn bytes(number: Option<&str>) -> Result<Vec<u8>, KeyError> {
    let missing = || KeyError::Malformed("a part of a key is missing".to_owned());
    let wrong = || KeyError::Malformed("a part of a key is not base64url".to_owned());
    decode(number.ok_or_else(missing)?.trim_end_matches('=')).ok_or_else(wrong)
}

/// An error without the JSON that it is about, which may be secret.
fn no_content(error: &serde_json::Error) -> String {
    format!("no set of keys in JSON (line {}, column {})", error.line(), error.column())
}
