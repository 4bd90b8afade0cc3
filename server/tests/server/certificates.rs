//! Certificates of the tests' own authority, in files as servers get them.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

/// The name that all certificates are for.
pub(crate) const NAME: &str = "localhost";

/// An authority, and a directory with a pair that it has signed.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    home: TempDir,
}

/// A certificate and its key.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    /// A new one, with a pair in its directory.
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Authority { issuer, home: tempfile::tempdir().unwrap() };
        authority.put(&authority.issue());
        authority
    }

    /// A pair that is in no file.
    pub(crate) fn issue(&self) -> Pair {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        let certificate = certificate.signed_by(&key, &self.issuer).unwrap().pem();
        Pair { certificate, key: key.serialize_pem() }
    }

    /// Puts a pair in place of the one that is there, as Kubernetes does: the files lead to a directory through a link, which is
    /// replaced.
    pub(crate) fn put(&self, pair: &Pair) {
        let new = tempfile::tempdir_in(self.home.path()).unwrap().keep();
        fs::write(new.join("tls.crt"), &pair.certificate).unwrap();
        fs::write(new.join("tls.key"), &pair.key).unwrap();
        let link = self.home.path().join("link");
        std::os::unix::fs::symlink(&new, &link).unwrap();
        fs::rename(&link, self.home.path().join("current")).unwrap();
    }

    /// The flags of a server that uses the pair.
    pub(crate) fn flags(&self) -> [String; 2] {
        let current = self.home.path().join("current");
        let file = |flag: &str, name: &str| format!("--{flag}={}", current.join(name).display());
        [file("tls-cert", "tls.crt"), file("tls-key", "tls.key")]
    }

    /// The directory, for further files.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// A client that believes this authority, and speaks these versions and protocols.
    pub(crate) fn client(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[&str],
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_protocol_versions(versions).unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}
