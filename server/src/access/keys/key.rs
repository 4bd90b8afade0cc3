//! One key that tokens are verified with.

use std::fmt;

use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind};

use super::crypto::{install, significant};
use crate::access::jws::{Jws, algorithm};
use crate::limits::LEAST_SECRET_BYTES;

/// The sizes of an RSA modulus in bytes: 2,048 to 8,192 bits.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// A point of P-256: 4, and two coordinates.
const P256_BYTES: usize = 65;

/// A key of Ed25519.
const ED25519_BYTES: usize = 32;

/// A key that tokens are verified with. It has one algorithm, whatever a token says.
pub(crate) struct Key {
    kid: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// Why something is no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    /// A secret that could be guessed.
    #[error(
        "the secret is too short: it takes at least {LEAST_SECRET_BYTES} bytes; `openssl rand -hex 32` makes one"
    )]
    Short,
    /// A modulus that is too small to be safe, or too large to be usable.
    #[error("an RSA key has 2,048 to 8,192 bits")]
    RsaSize,
    /// A curve other than P-256 and Ed25519, or bytes that are not on it.
    #[error("the public key is not one of P-256 or Ed25519")]
    Curve,
    /// Another kind of key.
    #[error("keys are for HS256, RS256, ES256 or EdDSA, and this one is for {0}")]
    Unsupported(String),
    /// Not the form of a key.
    #[error("it is malformed: {0}")]
    Malformed(String),
}

impl Key {
    /// A key, whose kind and size say which algorithm it is for.
    ///
    /// # Errors
    /// If its size is not one that is safe, or it is on another curve.
    pub(crate) fn new(kid: Option<String>, key: DecodingKey) -> Result<Key, KeyError> {
        use AlgorithmFamily::{Ec, Ed, Hmac, Rsa};
        use DecodingKeyKind::{RsaModulusExponent, SecretOrDer};
        install();
        let algorithm = match (key.family(), key.kind()) {
            (Hmac, SecretOrDer(secret)) if secret.len() >= LEAST_SECRET_BYTES => Algorithm::HS256,
            (Rsa, RsaModulusExponent { n, .. }) if RSA_BYTES.contains(&significant(n).len()) => {
                Algorithm::RS256
            }
            (Ec, SecretOrDer(point)) if point.len() == P256_BYTES && point[0] == 4 => Algorithm::ES256,
            (Ed, SecretOrDer(key)) if key.len() == ED25519_BYTES => Algorithm::EdDSA,
            (Hmac, _) => return Err(KeyError::Short),
            (Rsa, _) => return Err(KeyError::RsaSize),
            (Ec | Ed, _) => return Err(KeyError::Curve),
        };
        Ok(Key { kid, algorithm, key })
    }

    /// Its id.
    pub(crate) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// What it verifies.
    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether a token may be signed with it: the token names its algorithm, and its id where both have one.
    pub(crate) fn may_fit(&self, jws: &Jws<'_>) -> bool {
        let has_id = match (self.kid(), jws.kid()) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => true,
        };
        has_id && algorithm(jws.algorithm()) == Some(self.algorithm)
    }

    /// Whether it has signed a token. Some tens of microseconds.
    pub(crate) fn verifies(&self, jws: &Jws<'_>) -> bool {
        jws.is_signed(&self.key, self.algorithm)
    }
}

impl fmt::Display for Key {
    /// "RS256 key 2026-11".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} key", self.algorithm)?;
        self.kid().map_or(Ok(()), |kid| write!(f, " {kid}"))
    }
}
