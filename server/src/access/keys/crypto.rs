//! The cryptography of `jsonwebtoken`, by ring: its own choices are slower, or need a C compiler with cmake.
//!
//! Public keys are as `jsonwebtoken` has them: the numbers of RSA, an uncompressed point of P-256, the bytes of Ed25519. Private
//! keys are in PKCS #8, and those of RSA also in PKCS #1.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{self, ErrorKind};
use jsonwebtoken::signature::{self, Signer, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::error::Unspecified;
use ring::hmac::{self, HMAC_SHA256};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents, UnparsedPublicKey,
};

static RING: CryptoProvider = CryptoProvider {
    signer_factory: |&algorithm, key| Ok(With::new(algorithm, key.family(), key)?),
    verifier_factory: |&algorithm, key| Ok(With::new(algorithm, key.family(), key)?),
    // These make JWKs, and none are made here.
    key_utils: KeyUtils::new_unimplemented(),
};

/// Has `jsonwebtoken` use ring. All that has a key calls it first.
pub(crate) fn install() {
    // It is there already from the second time on.
    let _ = RING.install_default();
}

/// A key, and how it is used.
struct With<K> {
    algorithm: Algorithm,
    key: K,
}

impl<K: Clone> With<K> {
    /// Fails where the key is not for the algorithm: a public key must not be taken for a secret.
    fn new(algorithm: Algorithm, family: AlgorithmFamily, key: &K) -> errors::Result<Box<With<K>>> {
        if algorithm.family() != family {
            return Err(ErrorKind::InvalidAlgorithm.into());
        }
        Ok(Box::new(With { algorithm, key: key.clone() }))
    }
}

impl JwtVerifier for With<DecodingKey> {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for With<DecodingKey> {
    fn verify(&self, signed: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        use DecodingKeyKind::{RsaModulusExponent, SecretOrDer};
        let verified = match (self.algorithm, self.key.kind()) {
            (Algorithm::HS256, SecretOrDer(secret)) => {
                hmac::verify(&hmac::Key::new(HMAC_SHA256, secret), signed, signature)
            }
            (Algorithm::RS256, RsaModulusExponent { n, e }) => {
                let key = RsaPublicKeyComponents { n: significant(n), e: significant(e) };
                key.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature)
            }
            (Algorithm::ES256, SecretOrDer(point)) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, signature)
            }
            (Algorithm::EdDSA, SecretOrDer(key)) => {
                UnparsedPublicKey::new(&ED25519, key).verify(signed, signature)
            }
            _ => Err(Unspecified),
        };
        verified.map_err(|_| signature::Error::new())
    }
}

impl JwtSigner for With<EncodingKey> {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Signer<Vec<u8>> for With<EncodingKey> {
    fn try_sign(&self, bytes: &[u8]) -> Result<Vec<u8>, signature::Error> {
        let (key, random) = (self.key.as_bytes(), SystemRandom::new());
        let signed = match self.algorithm {
            Algorithm::HS256 => Ok(hmac::sign(&hmac::Key::new(HMAC_SHA256, key), bytes).as_ref().to_vec()),
            Algorithm::RS256 => {
                let pair = RsaKeyPair::from_pkcs8(key).or_else(|_| RsaKeyPair::from_der(key));
                pair.map_err(|_| Unspecified).and_then(|pair| {
                    let mut signature = vec![0; pair.public().modulus_len()];
                    pair.sign(&RSA_PKCS1_SHA256, &random, bytes, &mut signature).map(|()| signature)
                })
            }
            Algorithm::ES256 => EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key, &random)
                .map_err(|_| Unspecified)
                .and_then(|pair| Ok(pair.sign(&random, bytes)?.as_ref().to_vec())),
            Algorithm::EdDSA => Ed25519KeyPair::from_pkcs8_maybe_unchecked(key)
                .map_err(|_| Unspecified)
                .map(|pair| pair.sign(bytes).as_ref().to_vec()),
            _ => Err(Unspecified),
        };
        signed.map_err(|_| signature::Error::new())
    }
}

/// A number without zeros before it.
pub(super) fn significant(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|&&byte| byte == 0).count();
    &number[zeros..]
}
