//! Which servers of the application are believed: those with a certificate of Mozilla's list of authorities, or of the
//! configuration's, or with exactly one of the configuration's.
//!
//! `openssl req -x509` makes a certificate that is its own authority. Used by a server it is no sound certificate for WebPKI
//! (`CaUsedAsEndEntity`), but who gives it as `access.ca` means it.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// Checks certificates of servers.
#[derive(Debug)]
pub(super) struct Trust {
    authorities: Arc<WebPkiServerVerifier>,
    given: Vec<CertificateDer<'static>>,
}

impl Trust {
    /// Mozilla's list, and these certificates. None if one of them is no certificate.
    pub(super) fn new(given: Vec<CertificateDer<'static>>) -> Option<Trust> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for certificate in &given {
            roots.add(certificate.clone()).ok()?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        Some(Trust { authorities: authorities.ok()?, given })
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified =
            self.authorities.verify_server_cert(certificate, intermediates, name, ocsp_response, now);
        match verified {
            // Its dates are not looked at: whoever has put it there can take it away.
            Err(_) if self.given.iter().any(|given| given == certificate) => {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    use super::*;

    fn authority_of_itself(name: &str) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn a_certificate_that_is_given_is_believed_itself_for_its_name() {
        let certificate = authority_of_itself("app.example");
        let trust = Trust::new(vec![certificate.clone()]).unwrap();
        let verify = |certificate: &CertificateDer<'_>, name: &'static str| {
            trust.verify_server_cert(certificate, &[], &name.try_into().unwrap(), &[], UnixTime::now())
        };
        assert!(verify(&certificate, "app.example").is_ok());
        assert!(verify(&certificate, "other.example").is_err());
        assert!(verify(&authority_of_itself("app.example"), "app.example").is_err());
        assert!(Trust::new(vec![CertificateDer::from(vec![0; 16])]).is_none());
    }
}
