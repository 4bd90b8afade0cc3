//! How a connection is opened.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
#[cfg(feature = "tls")]
use tokio_tungstenite::client_async_tls;
use tokio_tungstenite::tungstenite::Error;
#[cfg(not(feature = "tls"))]
use tokio_tungstenite::{MaybeTlsStream, client_async};

use super::{Address, Line, Socket};

/// How long the TCP connection may take to open, and after it the WebSocket.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a connection does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Nobody is there.
    #[error("cannot connect to {0}: {1}")]
    Connect(String, io::Error),
    /// The server answers, and does not want it.
    #[error("the server answers {status} to GET {path}{}", reason(body))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Path and query of the request.
        path: String,
        /// The content of the answer.
        body: String,
    },
    /// The server does not speak WebSocket, or not well.
    #[error("no WebSocket at {0}: {1}")]
    NotWebSocket(String, Box<Error>),
    /// The server does not answer.
    #[error("{authority} does not answer for {} s", PATIENCE.as_secs())]
    Silent {
        /// Its host and port.
        authority: String,
    },
    /// The address has wss://, which needs the feature `tls`.
    #[error("{0}: there is no TLS here")]
    NoTls(String),
}

impl Line {
    /// Opens a connection.
    ///
    /// # Errors
    /// If nobody is there, or the server refuses.
    pub async fn open(address: &Address) -> Result<Self, OpenError> {
        Self::over(connect(address).await?, address).await
    }

    /// Opens a connection over a TCP stream that was made otherwise.
    ///
    /// # Errors
    /// If the server refuses.
    pub async fn over(stream: TcpStream, address: &Address) -> Result<Self, OpenError> {
        if address.is_secure() && !cfg!(feature = "tls") {
            return Err(OpenError::NoTls(address.to_string()));
        }
        // Without it small frames wait for each other.
        stream.set_nodelay(true).map_err(|error| cannot(address, error))?;
        match timeout(PATIENCE, handshake(stream, address)).await.map_err(|_| silent(address))? {
            Ok(socket) => Ok(Self { socket }),
            Err(Error::Http(response)) => Err(OpenError::Refused {
                status: response.status().as_u16(),
                path: address.path().to_owned(),
                body: String::from_utf8_lossy(response.body().as_deref().unwrap_or_default()).into_owned(),
            }),
            Err(error) => Err(OpenError::NotWebSocket(address.to_string(), Box::new(error))),
        }
    }
}

async fn connect(address: &Address) -> Result<TcpStream, OpenError> {
    let connected = timeout(PATIENCE, TcpStream::connect((address.host(), address.port()))).await;
    let stream = connected.map_err(|_| silent(address))?.map_err(|error| cannot(address, error))?;
    // Where nobody listens, the system may have taken the very port to connect from: then it is connected to itself.
    if stream.local_addr().ok() == stream.peer_addr().ok() {
        return Err(cannot(address, io::ErrorKind::ConnectionRefused.into()));
    }
    Ok(stream)
}

#[cfg(feature = "tls")]
async fn handshake(stream: TcpStream, address: &Address) -> Result<Socket, Error> {
    let (socket, _) = client_async_tls(address.to_string(), stream).await?;
    Ok(socket)
}

#[cfg(not(feature = "tls"))]
async fn handshake(stream: TcpStream, address: &Address) -> Result<Socket, Error> {
    let (socket, _) = client_async(address.to_string(), MaybeTlsStream::Plain(stream)).await?;
    Ok(socket)
}

fn cannot(address: &Address, error: io::Error) -> OpenError {
    OpenError::Connect(address.authority().to_owned(), error)
}

fn silent(address: &Address) -> OpenError {
    OpenError::Silent { authority: address.authority().to_owned() }
}

fn reason(body: &str) -> String {
    let line = body.lines().next().unwrap_or_default();
    if line.is_empty() { String::new() } else { format!(": {line}") }
}
