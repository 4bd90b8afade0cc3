//! TLS: the certificate and its key, read again when their files change, and handshakes with them.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use coscribe_websocket::Stream;
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{Error, InconsistentKeys, ServerConfig};
use tracing::{info, warn};

use crate::config::{Config, shown};
use crate::limits::CERTIFICATE_INTERVAL;

/// The protocol that is spoken over TLS, as ALPN calls it.
const HTTP_1_1: &[u8] = b"http/1.1";

/// The certificate that the server shows, and handshakes with it.
pub(crate) struct Tls {
    files: Files,
    /// The state of the files when they were read.
    read: Stamps,
    /// The certificate in force.
    config: RwLock<Arc<ServerConfig>>,
}

/// Why there is no certificate to show.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// Only one file was named.
    #[error("{given} is given without {missing}: TLS takes both")]
    Half {
        /// The key of the configuration that has a value.
        given: &'static str,
        /// The other one.
        missing: &'static str,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A file is not what it should be.
    #[error("{} {fault}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: Fault,
    },
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// There is no certificate in it.
    #[error("has no certificate in it, as PEM")]
    NoCertificate,
    /// There is no key in it.
    #[error("has no private key in it, as PEM")]
    NoKey,
    /// A password would be needed.
    #[error("has a key that is encrypted: `openssl pkey -in FILE -out FILE` decrypts it")]
    Encrypted,
    /// The key belongs to another certificate.
    #[error("has a key that does not fit the certificate in {}", .0.display())]
    OtherKey(PathBuf),
    /// It has PEM that is damaged.
    #[error("is damaged: {0}")]
    Damaged(pem::Error),
    /// The certificate or the key is of no use.
    #[error("cannot be used: {0}")]
    Unusable(Error),
}

/// The two files.
#[derive(Clone)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// The states of the two files.
type Stamps = [Stamp; 2];

/// What changes when a file is written or another takes its place, also behind a link. `None` while there is no file.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

impl Tls {
    /// Reads certificate and key, if the configuration names them.
    ///
    /// # Errors
    /// If it names only one of them, or they cannot be used.
    pub(crate) fn of(config: &Config) -> Result<Option<Tls>, TlsError> {
        let (certificate, key) = match (&config.tls_cert, &config.tls_key) {
            (None, None) => return Ok(None),
            (Some(_), None) => return Err(TlsError::Half { given: "tls_cert", missing: "tls_key" }),
            (None, Some(_)) => return Err(TlsError::Half { given: "tls_key", missing: "tls_cert" }),
            (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
        };
        let files = Files { certificate, key };
        // Before they are read: what changes meanwhile is read again.
        let read = files.stamps();
        let config = RwLock::new(Arc::new(files.load()?));
        Ok(Some(Tls { files, read, config }))
    }

    /// Makes a stream of a connection.
    ///
    /// # Errors
    /// If the other side does not speak TLS.
    pub(crate) async fn handshake(&self, stream: TcpStream) -> io::Result<Stream> {
        let config = Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner));
        Ok(TlsAcceptor::from(config).accept(stream).await?.into())
    }

    /// Reads the files again whenever they have changed. New connections are shown the new certificate; where it cannot be used,
    /// the log says why, and the old one stays.
    pub(crate) async fn keep_up(self: Arc<Tls>) {
        let (mut read, mut last) = (self.read, self.read);
        loop {
            sleep(CERTIFICATE_INTERVAL).await;
            let files = self.files.clone();
            let Ok(now) = spawn_blocking(move || files.stamps()).await else { return };
            let is_settled = now == std::mem::replace(&mut last, now);
            if now == read || !is_settled {
                continue;
            }
            read = now;
            let files = self.files.clone();
            match spawn_blocking(move || files.load()).await {
                Ok(Ok(config)) => {
                    *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                    info!(certificate = %self.files.certificate.display(), "new certificate");
                }
                Ok(Err(error)) => warn!("the certificate stays as it was: {error}"),
                // The server stops.
                Err(_) => return,
            }
        }
    }
}

impl Files {
    fn stamps(&self) -> Stamps {
        [stamp(&self.certificate), stamp(&self.key)]
    }

    fn load(&self) -> Result<ServerConfig, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| wrong(&self.certificate, Fault::Unusable(error)))?;
        let (certificates, key) = (self.certificates()?, self.key()?);
        let config = builder.with_no_client_auth().with_single_cert(certificates, key);
        let mut config = config.map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                wrong(&self.key, Fault::OtherKey(self.certificate.clone()))
            }
            Error::InvalidCertificate(_) => wrong(&self.certificate, Fault::Unusable(error)),
            error => wrong(&self.key, Fault::Unusable(error)),
        })?;
        config.alpn_protocols = vec![HTTP_1_1.to_vec()];
        // Who comes back needs no signature. The keys of the tickets go with the certificate.
        config.ticketer =
            ring::Ticketer::new().map_err(|error| wrong(&self.certificate, Fault::Unusable(error)))?;
        Ok(config)
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let text = read(&self.certificate)?;
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        let found = found.map_err(|error| wrong(&self.certificate, Fault::Damaged(error)))?;
        if found.is_empty() { Err(wrong(&self.certificate, Fault::NoCertificate)) } else { Ok(found) }
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        let text = read(&self.key)?;
        // `ENCRYPTED PRIVATE KEY`, or the header `Proc-Type: 4,ENCRYPTED` of older files.
        let is_encrypted = text.windows(b"ENCRYPTED".len()).any(|word| word == b"ENCRYPTED");
        PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
            let fault = match error {
                _ if is_encrypted => Fault::Encrypted,
                pem::Error::NoItemsFound => Fault::NoKey,
                error => Fault::Damaged(error),
            };
            wrong(&self.key, fault)
        })
    }
}

fn wrong(path: &Path, fault: Fault) -> TlsError {
    TlsError::Wrong { path: shown(path), fault }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error| TlsError::Unreadable { path: shown(path), error })
}

fn stamp(path: &Path) -> Stamp {
    let file = fs::metadata(path).ok()?;
    Some((file.dev(), file.ino(), file.len(), file.mtime(), file.mtime_nsec()))
}
