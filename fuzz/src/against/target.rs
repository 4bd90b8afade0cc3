//! The address of a server, and the URLs of its documents.

use std::io;
use std::str::FromStr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::http::uri::Authority;
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite};

/// How long a connection may take to open.
const PATIENCE: Duration = Duration::from_secs(10);

/// The address of a server, for any of its documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    authority: Authority,
    port: u16,
    /// Path and query, with `{}` for the document.
    path: String,
}

/// Why a connection does not open.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    /// No server accepts the connection.
    #[error("cannot connect to {0}: {1}")]
    Connect(Authority, io::Error),
    /// The server refuses the handshake.
    #[error("the server answers {status} to GET {path}{}", reason(body))]
    Refused { status: u16, path: String, body: String },
    /// The server does not speak WebSocket.
    #[error("no WebSocket at {0}: {1}")]
    NotWebSocket(String, Box<tungstenite::Error>),
    /// The server does not answer.
    #[error("{authority} does not answer for {} s", PATIENCE.as_secs())]
    Silent { authority: Authority },
}

impl FromStr for Target {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        if url.starts_with("wss://") {
            return Err(
                "there is no TLS here: give the ws:// address of the server behind the proxy".to_owned()
            );
        }
        let rest = url.strip_prefix("ws://").ok_or("it must start with ws://")?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let authority = Authority::from_str(authority).map_err(|error| format!("{authority:?}: {error}"))?;
        let port = port(&authority)?;
        let (path, query) =
            rest.split_once('?').map_or((rest, String::new()), |(path, query)| (path, format!("?{query}")));
        let path = if rest.contains("{}") {
            path.to_owned()
        } else {
            format!("{}/{{}}", path.trim_end_matches('/'))
        };
        Ok(Self { authority, port, path: path + &query })
    }
}

impl Target {
    /// The URL of all documents, with `{}` for their names.
    pub(super) fn template(&self) -> String {
        self.url("{}")
    }

    /// The URL of a document.
    pub(super) fn url(&self, document: &str) -> String {
        format!("ws://{}{}", self.authority, self.path.replace("{}", document))
    }

    /// Opens a connection to a document.
    pub(super) async fn open(&self, document: &str) -> Result<WebSocketStream<TcpStream>, OpenError> {
        let stream = self.connect().await?;
        let url = self.url(document);
        let handshake = timeout(PATIENCE, client_async(&url, stream)).await;
        match handshake.map_err(|_| self.silent())? {
            Ok((socket, _)) => Ok(socket),
            Err(tungstenite::Error::Http(response)) => Err(OpenError::Refused {
                status: response.status().as_u16(),
                path: self.path.replace("{}", document),
                body: String::from_utf8_lossy(response.body().as_deref().unwrap_or_default()).into_owned(),
            }),
            Err(error) => Err(OpenError::NotWebSocket(url, Box::new(error))),
        }
    }

    fn silent(&self) -> OpenError {
        OpenError::Silent { authority: self.authority.clone() }
    }

    async fn connect(&self) -> Result<TcpStream, OpenError> {
        let host = self.authority.host().trim_matches(['[', ']']);
        let connected = timeout(PATIENCE, TcpStream::connect((host, self.port))).await;
        let cannot = |error| OpenError::Connect(self.authority.clone(), error);
        let stream = connected.map_err(|_| self.silent())?.map_err(cannot)?;
        // Where nobody listens, the system may have taken the very port to connect from: then it is connected to itself.
        if stream.local_addr().ok() == stream.peer_addr().ok() {
            return Err(cannot(io::ErrorKind::ConnectionRefused.into()));
        }
        // Without it small frames wait for each other.
        stream.set_nodelay(true).map_err(cannot)?;
        Ok(stream)
    }
}

/// The port; 80 if none is given.
fn port(authority: &Authority) -> Result<u16, String> {
    let Some(after_host) = authority.as_str().strip_prefix(authority.host()) else {
        return Err("user and password cannot be sent: put a token into the query".to_owned());
    };
    match (after_host.strip_prefix(':'), authority.port_u16()) {
        (None, _) => Ok(80),
        (Some(_), Some(port)) => Ok(port),
        (Some(port), None) => Err(format!("{port:?} is no port")),
    }
}

fn reason(body: &str) -> String {
    let line = body.lines().next().unwrap_or_default();
    if line.is_empty() { String::new() } else { format!(": {line}") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by it")]

    use super::*;

    #[test]
    fn a_document_has_its_place_in_the_path() {
        let url = |url: &str| Target::from_str(url).unwrap().url("d");
        assert_eq!(url("ws://h:1234"), "ws://h:1234/d");
        assert_eq!(url("ws://h:1234/"), "ws://h:1234/d");
        assert_eq!(url("ws://h/a/b?token=x/y&z=1"), "ws://h/a/b/d?token=x/y&z=1");
        assert_eq!(url("ws://h?token=x"), "ws://h/d?token=x");
        assert_eq!(url("ws://[::1]:80/d/{}/ws/{}?token=x"), "ws://[::1]:80/d/d/ws/d?token=x");
        assert_eq!(url("ws://h/collaboration?document={}"), "ws://h/collaboration?document=d");
    }

    #[test]
    fn other_addresses_are_refused_with_the_reason() {
        let error = |url: &str| Target::from_str(url).unwrap_err();
        assert!(error("wss://h").contains("TLS"));
        assert!(error("http://h").contains("ws://"));
        assert!(error("ws://").contains("\"\""));
        assert_eq!(error("ws://h:99999"), "\"99999\" is no port");
        assert!(error("ws://[::1]:x/d").contains('x'));
        assert!(!error("ws://ada:secret@h").contains("secret"));
    }
}
