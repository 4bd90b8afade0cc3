//! How a client of y-sweet comes to its document: the server's API makes the document, and signs a token for it.

use std::io;

use bytes::Bytes;
use coscribe_provider::line::{Address, OpenError};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::limits;

/// A server of y-sweet's protocol.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Api {
    /// Where its paths begin, without a slash at the end.
    pub(super) root: Address,
    /// Its key; empty where it wants none.
    pub(super) key: String,
}

#[derive(Deserialize)]
struct ClientToken {
    token: String,
}

impl Api {
    /// Makes a document if there is none, and gives the URL of its WebSocket, with a new token.
    pub(super) async fn address(&self, document: &str) -> Result<Address, OpenError> {
        self.post("doc/new", &json!({ "docId": document })).await?;
        let answer = self.post(&format!("doc/{document}/auth"), &json!({})).await?;
        let ClientToken { token } = serde_json::from_slice(&answer).map_err(|error| self.failed(error))?;
        Ok(self.root.with_path(self.path(&format!("d/{document}/ws/{document}?token={token}"))))
    }

    fn path(&self, below: &str) -> String {
        format!("{}/{below}", self.root.path().trim_end_matches('/'))
    }

    async fn post(&self, below: &str, body: &Value) -> Result<Bytes, OpenError> {
        let asked = timeout(limits::FIRST_ANSWER, self.ask(self.path(below), body));
        asked.await.map_err(|_| self.failed(io::ErrorKind::TimedOut))?
    }

    async fn ask(&self, path: String, body: &Value) -> Result<Bytes, OpenError> {
        let stream = TcpStream::connect((self.root.host(), self.root.port())).await;
        let stream = TokioIo::new(stream.map_err(|error| self.failed(error))?);
        let (mut sender, connection) =
            http1::handshake(stream).await.map_err(|error| self.failed(io::Error::other(error)))?;
        let mut request = Request::builder().method(Method::POST).uri(&path);
        request = request.header(HOST, self.root.authority()).header(CONTENT_TYPE, "application/json");
        if !self.key.is_empty() {
            request = request.header(AUTHORIZATION, format!("Bearer {}", self.key));
        }
        let request = request.body(Full::new(Bytes::from(body.to_string())));
        let answer = sender.send_request(request.map_err(|error| self.failed(io::Error::other(error)))?);
        let (answer, _) = tokio::join!(
            async {
                let answer = answer.await.map_err(|error| self.failed(io::Error::other(error)))?;
                let status = answer.status();
                let body = answer
                    .into_body()
                    .collect()
                    .await
                    .map_err(|error| self.failed(io::Error::other(error)))?
                    .to_bytes();
                // Without it the connection would stay open.
                drop(sender);
                Ok((status, body))
            },
            connection
        );
        let (status, body) = answer?;
        if status.is_success() {
            return Ok(body);
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        Err(OpenError::Refused { status: status.as_u16(), path, body })
    }

    fn failed(&self, error: impl Into<io::Error>) -> OpenError {
        OpenError::Connect(self.root.authority().to_owned(), error.into())
    }
}

/// Without the key.
impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("root", &self.root).finish_non_exhaustive()
    }
}
