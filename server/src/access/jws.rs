//! Signed tokens in their compact form (RFC 7515): `header.payload.signature`, each in base64url.
//!
//! `jsonwebtoken` verifies and signs them, and reads JWKs. Headers and the checks of claims are ours: it does not know the algorithm
//! Ed25519 by this name (RFC 9864), does not look at `crit` and `iat`, accepts two claims with one name, and takes the time from the
//! system's clock only.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::dangerous::insecure_decode_claims;
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::map::Entry;
use serde_json::{Map, Value};

use crate::limits::TOKEN_BYTES;

/// A token, of which nothing is believed yet.
pub(crate) struct Jws<'a> {
    header: Header,
    claims: Value,
    signed: &'a str,
    signature: &'a str,
}

/// The part of a header that counts. A header may name keys as well (`jwk`, `jku`, `x5c`), which are the sender's.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood.
    crit: Option<IgnoredAny>,
}

/// The algorithm with this name in headers and JWKs. RFC 9864 calls EdDSA with our curve Ed25519.
pub(crate) fn algorithm(name: &str) -> Option<Algorithm> {
    if name == "Ed25519" { Some(Algorithm::EdDSA) } else { name.parse().ok() }
}

impl<'a> Jws<'a> {
    /// Takes a token apart. O(its bytes), and nothing above [`TOKEN_BYTES`].
    pub(crate) fn parse(token: &'a str) -> Option<Jws<'a>> {
        if token.len() > TOKEN_BYTES {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, _) = signed.split_once('.')?;
        let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        let Unique(claims) = insecure_decode_claims(token).ok()?;
        header.crit.is_none().then_some(Jws { header, claims, signed, signature })
    }

    /// The algorithm that its header names.
    pub(crate) fn algorithm(&self) -> &str {
        &self.header.alg
    }

    /// The id of its key, if its header names one.
    pub(crate) fn kid(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// The claims, an object.
    pub(crate) fn claims(&self) -> &Value {
        &self.claims
    }

    /// Whether it is signed with a key and its algorithm, and names this one.
    pub(crate) fn is_signed(&self, key: &DecodingKey, algorithm: Algorithm) -> bool {
        let verify = || crypto::verify(self.signature, self.signed.as_bytes(), key, algorithm);
        self::algorithm(self.algorithm()) == Some(algorithm) && verify().unwrap_or(false)
    }
}

/// An object in which no name is there twice: readers disagree which of the values counts (RFC 7519, section 4).
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Unique, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Unique;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique, A::Error> {
                let mut claims = Map::new();
                while let Some((name, value)) = map.next_entry::<String, _>()? {
                    match claims.entry(name) {
                        Entry::Vacant(entry) => entry.insert(value),
                        Entry::Occupied(_) => return Err(A::Error::custom("a claim is there twice")),
                    };
                }
                Ok(Unique(Value::Object(claims)))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::application::base64url;

    fn token(header: &str, claims: &str) -> String {
        format!("{}.{}.c2lnbmF0dXJl", base64url(header), base64url(claims))
    }

    fn parses(header: &str) -> bool {
        Jws::parse(&token(header, "{}")).is_some()
    }

    #[test]
    fn a_token_has_three_parts_and_a_header_without_surprises() {
        assert!(parses("{\"alg\":\"HS256\",\"typ\":\"JWT\",\"jku\":\"https://evil.example\"}"));
        for header in [
            "{}",
            "{\"alg\":1}",
            "{\"alg\":\"HS256\",\"alg\":\"RS256\"}",
            "{\"alg\":\"HS256\",\"kid\":7}",
            "{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}",
            "{\"alg\":\"HS256\",\"crit\":[]}",
            "[\"HS256\"]",
        ] {
            assert!(!parses(header), "{header}");
        }
        assert!(Jws::parse(&token("{\"alg\":\"none\"}", "{}")).is_some_and(|jws| jws.algorithm() == "none"));
        let whole = token("{\"alg\":\"HS256\"}", "{}");
        for token in [
            "",
            "a",
            "a.b",
            "..",
            "a.b.c.d",
            &whole.replace('.', "="),
            &whole.replace('.', "=."),
            &format!(" {whole}"),
            &format!("a.{whole}"),
            &token("{\"alg\":\"HS256\"}", "{\"exp\":1,\"exp\":2}"),
            &token("{\"alg\":\"HS256\"}", "[]"),
        ] {
            assert!(Jws::parse(token).is_none(), "{token}");
        }
        assert!(Jws::parse(&format!("{whole}{}", "A".repeat(TOKEN_BYTES))).is_none());
    }

    #[test]
    fn a_signature_is_nothing_but_base64url() {
        crate::access::keys::install();
        let secret = b"a secret of thirty-two bytes, or more";
        let key = jsonwebtoken::EncodingKey::from_secret(secret);
        let signed = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &Map::new(), &key).unwrap();
        let verifies = |token: &str| {
            let key = DecodingKey::from_secret(secret);
            Jws::parse(token).is_some_and(|jws| jws.is_signed(&key, Algorithm::HS256))
        };
        assert!(verifies(&signed));
        for changed in
            [format!("{signed}="), format!("{signed}A"), format!("{signed} "), signed.replace('.', ". ")]
        {
            assert!(!verifies(&changed), "{changed}");
        }
    }
}
