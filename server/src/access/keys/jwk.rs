//! Keys in JSON: JWKs and sets of them (RFC 7517, RFC 7518, RFC 8037).

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use serde::Deserialize;
use serde_json::Value;

use super::key::{Key, KeyError};
use crate::access::jws::algorithm;
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
        match key(jwk) {
            Ok(key) => found.keys.push(key),
            Err(error) => found.unused.push(error),
        }
    }
    Ok(found)
}

fn key(mut json: Value) -> Result<Key, KeyError> {
    let unsupported = |what: &str| Err(KeyError::Unsupported(what.to_owned()));
    for part in ["n", "e", "x", "y", "k"] {
        if let Some(Value::String(base64)) = json.get_mut(part) {
            // Some pad it, although RFC 7515 does not.
            base64.truncate(base64.trim_end_matches('=').len());
        }
    }
    let jwk = Jwk::deserialize(&json).map_err(|error| KeyError::Malformed(no_content(&error)))?;
    if jwk.common.public_key_use.as_ref().is_some_and(|purpose| *purpose != PublicKeyUse::Signature) {
        return unsupported("another use than sig");
    }
    if jwk.common.key_operations.as_ref().is_some_and(|uses| !uses.contains(&KeyOperations::Verify)) {
        return unsupported("other operations than verify");
    }
    let is_known = match &jwk.algorithm {
        AlgorithmParameters::EllipticCurve(key) => key.curve == EllipticCurve::P256,
        AlgorithmParameters::OctetKeyPair(key) => key.curve == EllipticCurve::Ed25519,
        AlgorithmParameters::RSA(_) | AlgorithmParameters::OctetKey(_) => true,
        _ => false,
    };
    if !is_known {
        return unsupported("another type or curve");
    }
    let malformed = |_| KeyError::Malformed("a part of a key is not base64url".to_owned());
    let key = Key::new(jwk.common.key_id.clone(), DecodingKey::from_jwk(&jwk).map_err(malformed)?)?;
    match json["alg"].as_str() {
        Some(name) if algorithm(name) != Some(key.algorithm()) => unsupported(name),
        _ => Ok(key),
    }
}

/// An error without the JSON that it is about, which may be secret.
fn no_content(error: &serde_json::Error) -> String {
    format!("no set of keys in JSON (line {}, column {})", error.line(), error.column())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_for_other_purposes_are_left_out() {
        let key = |others: Value| {
            let mut jwk = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "a", "x": "A".repeat(43) });
            jwk.as_object_mut().unwrap().append(&mut others.as_object().unwrap().clone());
            keys(json!({ "keys": [jwk, 7] }).to_string().as_bytes()).unwrap().keys.len() == 1
        };
        for (others, is_used) in [
            (json!({}), true),
            (json!({ "use": "sig", "key_ops": ["verify"], "alg": "EdDSA" }), true),
            (json!({ "alg": "Ed25519" }), true),
            (json!({ "x": format!("{}=", "A".repeat(43)) }), true),
            (json!({ "use": "enc" }), false),
            (json!({ "key_ops": ["sign"] }), false),
            (json!({ "alg": "ES256" }), false),
            (json!({ "alg": "ECDH-ES" }), false),
            (json!({ "crv": "X25519" }), false),
            (json!({ "crv": "Ed448" }), false),
            (json!({ "crv": "P-256" }), false),
            (json!({ "kty": "new" }), false),
            (json!({ "x": "A" }), false),
            (json!({ "x": 7 }), false),
            (json!({ "kid": 7 }), false),
        ] {
            assert_eq!(key(others.clone()), is_used, "{others}");
        }
        assert!(keys(b"[]").is_err() && keys(b"{}").is_err());
    }
}
