//! An application for tests: a real HTTP server on this machine, which answers as it is told.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::serve::Listener;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::pending;
use http_body_util::BodyExt;
use rcgen::CertifiedKey;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How it answers.
#[derive(Debug, Clone)]
pub(super) enum Says {
    /// With a status, a header and a body.
    This(u16, (&'static str, &'static str), String),
    /// Not at all.
    Nothing,
    /// With a body that does not end.
    Endless,
}

/// An application that runs in the background.
pub(super) struct Application {
    /// Its URL.
    pub(super) url: String,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    says: watch::Sender<Says>,
    asked: AtomicUsize,
    last: Mutex<Option<(HeaderMap, Bytes)>>,
    /// Questions that are not answered yet.
    waiting: watch::Sender<usize>,
    /// Answers wait until this is true.
    open: watch::Sender<bool>,
}

impl Application {
    /// Starts one that answers so.
    pub(super) async fn start(says: Says) -> Application {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Application::on("http", listener, says)
    }

    /// Starts one that answers so over TLS. Gives its certificate, which it has signed itself, too.
    pub(super) async fn start_with_tls(says: Says) -> (Application, String) {
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listener = Tls(listener, TlsAcceptor::from(Arc::new(tls.unwrap())));
        (Application::on("https", listener, says), cert.pem())
    }

    fn on<L: Listener<Addr = SocketAddr>>(scheme: &str, listener: L, says: Says) -> Application {
        let url = format!("{scheme}://{}/answer?key=do-not-log", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            says: watch::Sender::new(says),
            asked: AtomicUsize::new(0),
            last: Mutex::default(),
            waiting: watch::Sender::new(0),
            open: watch::Sender::new(true),
        });
        let routes = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Application { url, shared, server }
    }

    /// Answers so from now on.
    pub(super) fn says(&self, says: Says) {
        self.shared.says.send_replace(says);
    }

    /// How often it was asked.
    pub(super) fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::Relaxed)
    }

    /// The last request.
    pub(super) fn last(&self) -> (HeaderMap, String) {
        let (headers, body) = self.shared.last.lock().unwrap().clone().unwrap();
        (headers, String::from_utf8(body.to_vec()).unwrap())
    }

    /// Holds answers back, or lets them go.
    pub(super) fn answers(&self, now: bool) {
        self.shared.open.send_replace(now);
    }

    /// Waits for so many questions that have no answer.
    pub(super) async fn has_waiting(&self, questions: usize) {
        self.shared.waiting.subscribe().wait_for(|waiting| *waiting >= questions).await.unwrap();
    }
}

/// Takes connections whose handshakes succeed.
struct Tls(TcpListener, TlsAcceptor);

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (tcp, address) = self.0.accept().await.unwrap();
            if let Ok(tls) = self.1.accept(tcp).await {
                return (tls, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Bytes as parts of tokens have them.
pub(super) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response {
    let (Parts { headers, .. }, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    *shared.last.lock().unwrap() = Some((headers, body));
    shared.asked.fetch_add(1, Ordering::Relaxed);
    shared.waiting.send_modify(|waiting| *waiting += 1);
    shared.open.subscribe().wait_for(|open| *open).await.unwrap();
    shared.waiting.send_modify(|waiting| *waiting -= 1);
    let says = shared.says.borrow().clone();
    match says {
        Says::This(status, header, body) => {
            (StatusCode::from_u16(status).unwrap(), [header], body).into_response()
        }
        Says::Nothing => pending().await,
        Says::Endless => {
            let chunks =
                futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 65536])));
            Body::from_stream(chunks).into_response()
        }
    }
}
