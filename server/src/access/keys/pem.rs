//! Keys in PEM files: public keys (RFC 5280's SPKI) and certificates.

use jsonwebtoken::DecodingKey;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{PemObject, SectionKind};
use spki::SubjectPublicKeyInfoRef;
use spki::der::asn1::UintRef;
use spki::der::{Decode, Reader, SliceReader};

use super::key::{Key, KeyError};

/// The algorithms of public keys, by their object identifiers: RFC 3279, RFC 5480 and RFC 8410.
const RSA: &str = "1.2.840.113549.1.1.1";
const ELLIPTIC: &str = "1.2.840.10045.2.1";
const P256: &str = "1.2.840.10045.3.1.7";
const ED25519: &str = "1.3.101.112";

/// The keys of a PEM file. Its place has no ids, so they all have this one.
///
/// # Errors
/// If there is something else than public keys and certificates in it, or nothing.
pub(super) fn keys(pem: &[u8], kid: Option<&str>) -> Result<Vec<Key>, KeyError> {
    let malformed = |error: &dyn std::fmt::Display| KeyError::Malformed(error.to_string());
    let mut keys = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
        let (kind, der) = section.map_err(|error| malformed(&error))?;
        let kid = kid.map(str::to_owned);
        match kind {
            SectionKind::PublicKey => keys.push(public_key(&der, kid)?),
            SectionKind::Certificate => {
                let der = CertificateDer::from(der);
                let certificate = webpki::EndEntityCert::try_from(&der).map_err(|error| malformed(&error))?;
                keys.push(public_key(&certificate.subject_public_key_info(), kid)?);
            }
            SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey => {
                return Err(KeyError::Malformed(
                    "it has a private key, which stays with the signer; `openssl pkey -pubout` makes the public one".to_owned(),
                ));
            }
            _ => {}
        }
    }
    match keys.is_empty() {
        true => Err(KeyError::Malformed("no PUBLIC KEY and no CERTIFICATE is in it".to_owned())),
        false => Ok(keys),
    }
}

fn public_key(der: &[u8], kid: Option<String>) -> Result<Key, KeyError> {
    let malformed = |error: spki::Error| KeyError::Malformed(error.to_string());
    let key = SubjectPublicKeyInfoRef::try_from(der).map_err(malformed)?;
    let bytes = key.subject_public_key.as_bytes().ok_or(KeyError::Curve)?;
    match &*key.algorithm.oid.to_string() {
        RSA => {
            let (n, e) = rsa_numbers(bytes).map_err(|error| malformed(error.into()))?;
            Key::new(kid, DecodingKey::from_rsa_raw_components(n, e))
        }
        ELLIPTIC => match key.algorithm.parameters_oid() {
            Ok(curve) if curve.to_string() == P256 => Key::new(kid, DecodingKey::from_ec_der(bytes)),
            _ => Err(KeyError::Curve),
        },
        ED25519 => Key::new(kid, DecodingKey::from_ed_der(bytes)),
        other => Err(KeyError::Unsupported(format!("the algorithm {other}"))),
    }
}

/// `RSAPublicKey ::= SEQUENCE { modulus INTEGER, publicExponent INTEGER }` (RFC 8017).
fn rsa_numbers(der: &[u8]) -> spki::der::Result<(&[u8], &[u8])> {
    let mut reader = SliceReader::new(der)?;
    let numbers = reader.sequence(|reader| Ok((UintRef::decode(reader)?, UintRef::decode(reader)?)))?;
    reader.finish((numbers.0.as_bytes(), numbers.1.as_bytes()))
}
