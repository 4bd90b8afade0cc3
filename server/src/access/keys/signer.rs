//! Signs tokens.

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use ring::{hmac, signature};
use rustls::pki_types::pem::{PemObject, SectionKind};
use serde::Serialize;
use serde_json::json;

use super::key::KeyError;
use crate::access::jws::{Algorithm, encode};
use crate::limits::LEAST_SECRET_BYTES;

/// A key that signs tokens.
pub(crate) struct Signer {
    kid: Option<String>,
    material: Material,
}

enum Material {
    Secret(hmac::Key),
    Rsa(Box<RsaKeyPair>),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
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
        Ok(Signer::of_password(kid, secret))
    }

    /// Signs with HS256, whatever the length of the secret is.
    pub(crate) fn of_password(kid: Option<String>, secret: &[u8]) -> Signer {
        Signer { kid, material: Material::Secret(hmac::Key::new(hmac::HMAC_SHA256, secret)) }
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
        let Some((kind, der)) = sections.find(|(kind, _)| is_private(kind)) else {
            return Err(KeyError::Malformed("no private key is in it".to_owned()));
        };
        let material = match kind {
            SectionKind::RsaPrivateKey => RsaKeyPair::from_der(&der).ok().map(Box::new).map(Material::Rsa),
            _ => pkcs8(&der),
        };
        let material = material.ok_or_else(|| {
            KeyError::Malformed(
                "it has no key of RSA, P-256 or Ed25519 in PKCS #8; `openssl pkcs8 -topk8 -nocrypt` makes one of older forms".to_owned(),
            )
        })?;
        Ok(Signer { kid, material })
    }

    /// How it signs.
    pub(crate) fn algorithm(&self) -> Algorithm {
        match self.material {
            Material::Secret(_) => Algorithm::Hs256,
            Material::Rsa(_) => Algorithm::Rs256,
            Material::P256(_) => Algorithm::Es256,
            Material::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    /// A token with these claims.
    ///
    /// # Errors
    /// If there is no randomness, or the claims are not JSON.
    pub(crate) fn sign(&self, claims: &impl Serialize) -> Result<String, Unsigned> {
        let mut header = json!({ "typ": "JWT", "alg": self.algorithm().name() });
        if let Some(kid) = &self.kid {
            header["kid"] = json!(kid);
        }
        let claims = serde_json::to_vec(claims).map_err(|_| Unsigned)?;
        let mut token = format!("{}.{}", encode(header.to_string()), encode(claims));
        let signature = self.signature(token.as_bytes())?;
        token.push('.');
        token.push_str(&encode(signature));
        Ok(token)
    }

    fn signature(&self, bytes: &[u8]) -> Result<Vec<u8>, Unsigned> {
        let random = SystemRandom::new();
        match &self.material {
            Material::Secret(key) => Ok(hmac::sign(key, bytes).as_ref().to_vec()),
            Material::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                let signed = key.sign(&RSA_PKCS1_SHA256, &random, bytes, &mut signature);
                signed.map(|()| signature).map_err(|_| Unsigned)
            }
            Material::P256(key) => key.sign(&random, bytes).map(bytes_of).map_err(|_| Unsigned),
            Material::Ed25519(key) => Ok(bytes_of(key.sign(bytes))),
        }
    }
}

fn bytes_of(signature: signature::Signature) -> Vec<u8> {
    signature.as_ref().to_vec()
}

fn pkcs8(der: &[u8]) -> Option<Material> {
    let random = SystemRandom::new();
    let rsa = || RsaKeyPair::from_pkcs8(der).ok().map(Box::new).map(Material::Rsa);
    let p256 =
        || EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &random).ok().map(Material::P256);
    let ed25519 = || Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok().map(Material::Ed25519);
    rsa().or_else(p256).or_else(ed25519)
}
