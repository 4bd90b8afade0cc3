//! Signs tokens.

use jsonwebtoken::{Algorithm, EncodingKey, Header, crypto, encode};
use rustls::pki_types::pem::{PemObject, SectionKind};
use serde::Serialize;

use super::crypto::install;
use super::key::KeyError;
use crate::limits::LEAST_SECRET_BYTES;

/// A key that signs tokens.
pub(crate) struct Signer {
    header: Header,
    key: EncodingKey,
}

/// Signing has failed.
#[derive(Debug, thiserror::Error)]
#[error("the token cannot be signed")]
pub(crate) struct Unsigned;

impl Signer {
    /// Signs with HS256.
    ///
    /// # Errors
    /// If the secret could be guessed.
    pub(crate) fn secret(kid: Option<String>, secret: &[u8]) -> Result<Signer, KeyError> {
        if secret.len() < LEAST_SECRET_BYTES {
            return Err(KeyError::Short);
        }
        Ok(Signer::new(kid, Algorithm::HS256, EncodingKey::from_secret(secret)))
    }

    /// Signs with the private key of a PEM file: RSA, P-256 or Ed25519.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn pem(kid: Option<String>, pem: &[u8]) -> Result<Signer, KeyError> {
        let is_private = |kind: &SectionKind| {
            matches!(kind, SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey)
        };
        let mut sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(pem).flatten();
        let Some((_, der)) = sections.find(|(kind, _)| is_private(kind)) else {
            return Err(KeyError::Malformed("no private key is in it".to_owned()));
        };
        install();
        let mut keys = [
            (Algorithm::RS256, EncodingKey::from_rsa_der(&der)),
            (Algorithm::ES256, EncodingKey::from_ec_der(&der)),
            (Algorithm::EdDSA, EncodingKey::from_ed_der(&der)),
        ]
        .into_iter();
        let fitting = keys.find(|(algorithm, key)| crypto::sign(b"", key, *algorithm).is_ok());
        let (algorithm, key) = fitting.ok_or_else(|| {
            KeyError::Malformed(
                "it has no key of RSA, P-256 or Ed25519 in PKCS #8; `openssl pkcs8 -topk8 -nocrypt` makes one of older forms".to_owned(),
            )
        })?;
        Ok(Signer::new(kid, algorithm, key))
    }

    fn new(kid: Option<String>, algorithm: Algorithm, key: EncodingKey) -> Signer {
        install();
        Signer { header: Header { kid, ..Header::new(algorithm) }, key }
    }

    /// A token with these claims.
    ///
    /// # Errors
    /// If there is no randomness, or the claims are not JSON.
    pub(crate) fn sign(&self, claims: &impl Serialize) -> Result<String, Unsigned> {
        encode(&self.header, claims, &self.key).map_err(|_| Unsigned)
    }
}
