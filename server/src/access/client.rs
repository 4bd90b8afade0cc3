//! Requests to servers of the application: bounded in size and time, and never redirected.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::vec::IntoIter;

use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use coscribe_websocket::awake;
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tower_service::Service;

use super::trust::Trust;
use crate::config::{AccessConfig, shown};
use crate::limits::{CLIENT_IDLE, LOOKUPS_AT_ONCE};

/// Makes requests. Clones share their connections.
#[derive(Clone)]
pub(crate) struct HttpClient(Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>);

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its body.
    pub(crate) body: Bytes,
}

/// Why there is no answer. It tells neither the URL nor content.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// No connection, or a broken one.
    #[error("{0}")]
    Broken(String),
    /// It takes too long.
    #[error("no answer within {} s", .0.as_secs_f64())]
    Slow(Duration),
    /// The body is larger than any sound one, or breaks off.
    #[error("the body of the answer is too large, or not whole")]
    Body,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CaError {
    /// The file cannot be read.
    #[error("access.ca: cannot read {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The file has no certificates.
    #[error("access.ca: {} is no PEM file with certificates", .0.display())]
    NoCertificate(PathBuf),
}

impl HttpClient {
    /// A client that trusts Mozilla's list of authorities, and those of the configuration.
    ///
    /// # Errors
    /// If these cannot be read.
    pub(crate) fn new(config: &AccessConfig) -> Result<HttpClient, CaError> {
        let given = config.ca.as_deref().map_or_else(|| Ok(Vec::new()), certificates)?;
        let trust = Trust::new(given)
            .ok_or_else(|| CaError::NoCertificate(config.ca.as_deref().map(shown).unwrap_or_default()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has the usual versions of TLS")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(trust))
            .with_no_client_auth();
        let mut tcp = HttpConnector::new_with_resolver(Resolver::default());
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(CLIENT_IDLE)
            .build(connector.wrap_connector(tcp));
        Ok(HttpClient(client))
    }

    /// Makes a request, and reads the answer up to so many bytes and within this time.
    ///
    /// # Errors
    /// If there is no such answer.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        most: usize,
        within: Duration,
    ) -> Result<Answer, NoAnswer> {
        awake::within(within, self.answer(request, most)).await.unwrap_or(Err(NoAnswer::Slow(within)))
    }

    async fn answer(&self, request: Request<Full<Bytes>>, most: usize) -> Result<Answer, NoAnswer> {
        let response = self.0.request(request).await.map_err(|error| NoAnswer::Broken(words(&error)))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, most).collect().await.map_err(|_| NoAnswer::Body)?;
        Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() })
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CaError> {
    let pem = std::fs::read(path).map_err(|error| CaError::Unreadable { path: shown(path), error })?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or_else(|| CaError::NoCertificate(shown(path)))
}

/// An error with its causes.
fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}

/// Looks names up, few at a time: each occupies one of the threads that read documents, for as long as a broken name server
/// makes it wait.
#[derive(Clone)]
struct Resolver {
    turns: Arc<Semaphore>,
}

impl Default for Resolver {
    fn default() -> Resolver {
        Resolver { turns: Arc::new(Semaphore::new(LOOKUPS_AT_ONCE)) }
    }
}

impl Service<Name> for Resolver {
    type Response = IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<IntoIter<SocketAddr>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let turns = Arc::clone(&self.turns);
        Box::pin(async move {
            let turn = turns.acquire_owned().await.map_err(io::Error::other)?;
            let lookup = move || {
                let addresses = (name.as_str(), 0).to_socket_addrs();
                // Also where nobody waits for the addresses any more.
                drop(turn);
                addresses
            };
            spawn_blocking(lookup).await.map_err(io::Error::other)?
        })
    }
}
