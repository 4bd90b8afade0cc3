//! One key that tokens are verified with.

use std::fmt;

use ring::hmac;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};

use crate::access::jws::{Algorithm, Jws};
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
    material: Material,
}

enum Material {
    Secret(hmac::Key),
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
    P256(UnparsedPublicKey<Vec<u8>>),
    Ed25519(UnparsedPublicKey<Vec<u8>>),
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
    /// A key of HS256.
    ///
    /// # Errors
    /// If it could be guessed.
    pub(crate) fn secret(kid: Option<String>, secret: &[u8]) -> Result<Key, KeyError> {
        if secret.len() < LEAST_SECRET_BYTES {
            return Err(KeyError::Short);
        }
        Ok(Key::of_password(kid, secret))
    }

    /// A key of HS256, whatever its length is.
    pub(crate) fn of_password(kid: Option<String>, secret: &[u8]) -> Key {
        Key { kid, material: Material::Secret(hmac::Key::new(hmac::HMAC_SHA256, secret)) }
    }

    /// A key of RS256, of its modulus and its exponent.
    ///
    /// # Errors
    /// If its size is not one that is used.
    pub(crate) fn rsa(kid: Option<String>, n: &[u8], e: &[u8]) -> Result<Key, KeyError> {
        let [n, e] = [n, e].map(|number| {
            let zeros = number.iter().take_while(|&&byte| byte == 0).count();
            number[zeros..].to_vec()
        });
        if !RSA_BYTES.contains(&n.len()) {
            return Err(KeyError::RsaSize);
        }
        Ok(Key { kid, material: Material::Rsa(RsaPublicKeyComponents { n, e }) })
    }

    /// A key of ES256, of an uncompressed point.
    ///
    /// # Errors
    /// If it is none.
    pub(crate) fn p256(kid: Option<String>, point: &[u8]) -> Result<Key, KeyError> {
        if point.len() != P256_BYTES || point[0] != 4 {
            return Err(KeyError::Curve);
        }
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point.to_vec());
        Ok(Key { kid, material: Material::P256(key) })
    }

    /// A key of EdDSA.
    ///
    /// # Errors
    /// If it has another size.
    pub(crate) fn ed25519(kid: Option<String>, key: &[u8]) -> Result<Key, KeyError> {
        if key.len() != ED25519_BYTES {
            return Err(KeyError::Curve);
        }
        Ok(Key { kid, material: Material::Ed25519(UnparsedPublicKey::new(&ED25519, key.to_vec())) })
    }

    /// Its id.
    pub(crate) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// What it verifies.
    pub(crate) fn algorithm(&self) -> Algorithm {
        match self.material {
            Material::Secret(_) => Algorithm::Hs256,
            Material::Rsa(_) => Algorithm::Rs256,
            Material::P256(_) => Algorithm::Es256,
            Material::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    /// Whether a token may be signed with it: the token names its algorithm, and its id where both have one.
    pub(crate) fn may_fit(&self, jws: &Jws<'_>) -> bool {
        let has_id = match (self.kid(), jws.kid()) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => true,
        };
        has_id && self.algorithm().is_called(jws.algorithm())
    }

    /// Whether it has signed a token. Some tens of microseconds.
    pub(crate) fn verifies(&self, jws: &Jws<'_>) -> bool {
        let (signed, signature) = (jws.signed(), jws.signature());
        let is_named = self.algorithm().is_called(jws.algorithm());
        is_named
            && match &self.material {
                Material::Secret(key) => hmac::verify(key, signed, signature).is_ok(),
                Material::Rsa(key) => key.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature).is_ok(),
                Material::P256(key) | Material::Ed25519(key) => key.verify(signed, signature).is_ok(),
            }
    }
}

impl fmt::Display for Key {
    /// "RS256 key 2026-11".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} key", self.algorithm().name())?;
        self.kid().map_or(Ok(()), |kid| write!(f, " {kid}"))
    }
}
