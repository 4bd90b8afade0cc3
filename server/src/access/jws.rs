//! Signed tokens in their compact form (RFC 7515): `header.payload.signature`, each in base64url.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::limits::TOKEN_BYTES;

/// How tokens are signed. A key has one; a token only says which one it takes its key to have.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// RSA with PKCS #1 v1.5 and SHA-256.
    Rs256,
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

/// A token, of which nothing is believed yet.
pub(crate) struct Jws<'a> {
    header: Header,
    payload: Vec<u8>,
    signed: &'a [u8],
    signature: Vec<u8>,
}

/// The part of a header that counts. A header may name keys as well (`jwk`, `jku`, `x5c`), which are the sender's.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood.
    crit: Option<IgnoredAny>,
}

impl Algorithm {
    /// Its name in headers and JWKs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Algorithm::Hs256 => "HS256",
            Algorithm::Rs256 => "RS256",
            Algorithm::Es256 => "ES256",
            Algorithm::EdDsa => "EdDSA",
        }
    }

    /// Whether this is its name. RFC 9864 calls EdDSA with our curve Ed25519.
    pub(crate) fn is_called(self, name: &str) -> bool {
        name == self.name() || self == Algorithm::EdDsa && name == "Ed25519"
    }
}

impl<'a> Jws<'a> {
    /// Takes a token apart. O(its bytes), and nothing above [`TOKEN_BYTES`].
    pub(crate) fn parse(token: &'a str) -> Option<Jws<'a>> {
        if token.len() > TOKEN_BYTES {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let header: Header = serde_json::from_slice(&decode(header)?).ok()?;
        if header.crit.is_some() {
            return None;
        }
        Some(Jws {
            header,
            payload: decode(payload)?,
            signed: signed.as_bytes(),
            signature: decode(signature)?,
        })
    }

    /// The algorithm that its header names.
    pub(crate) fn algorithm(&self) -> &str {
        &self.header.alg
    }

    /// The id of its key, if its header names one.
    pub(crate) fn kid(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// The claims.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The bytes that the signature is for.
    pub(crate) fn signed(&self) -> &[u8] {
        self.signed
    }

    /// The signature.
    pub(crate) fn signature(&self) -> &[u8] {
        &self.signature
    }
}

/// The bytes of base64url without padding.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Bytes as base64url without padding.
pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parses(header: &str) -> bool {
        Jws::parse(&format!("{}.{}.{}", encode(header), encode("{}"), encode("s"))).is_some()
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
            "[\"HS256\"]",
        ] {
            assert!(!parses(header), "{header}");
        }
        let whole = format!("{}.{}.", encode("{\"alg\":\"none\"}"), encode("{}"));
        assert!(Jws::parse(&whole).is_some_and(|jws| jws.algorithm() == "none"));
        for token in [
            "",
            "a",
            "a.b",
            "..",
            "a.b.c.d",
            &whole.replace('.', "="),
            &format!("{whole}="),
            &format!(" {whole}"),
        ] {
            assert!(Jws::parse(token).is_none(), "{token}");
        }
        assert!(Jws::parse(&format!("{whole}{}", "A".repeat(TOKEN_BYTES))).is_none());
    }
}
