//! The opening handshake (RFC 6455, section 4.2): whether a request is one, the negotiation, and the answer.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use tungstenite::handshake::derive_accept_key;

use crate::extensions::{self, Agreed, Malformed, WindowBits};

/// The only version of the protocol.
const VERSION: &str = "13";

/// Why a request is no sound handshake. The words are for the client.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// A WebSocket handshake is a GET.
    #[error("a WebSocket handshake must be a GET request")]
    Method,
    /// `Upgrade` without `Connection: upgrade`.
    #[error("the Connection header must say upgrade")]
    Connection,
    /// Another version of the protocol.
    #[error("only version 13 of the WebSocket protocol is spoken here")]
    Version,
    /// No key, or not 16 bytes in Base64.
    #[error("the Sec-WebSocket-Key header is missing or wrong")]
    Key,
    /// The header that offers extensions does not follow its grammar.
    #[error(transparent)]
    Extensions(#[from] Malformed),
}

/// Whether a request wants to become a WebSocket, soundly or not.
pub fn is_wanted<B>(request: &Request<B>) -> bool {
    has_token(request.headers(), &header::UPGRADE, "websocket")
}

/// A sound handshake, and the answer to it.
#[derive(Debug)]
pub struct Handshake {
    accept_key: HeaderValue,
    agreed: Option<Agreed>,
    subprotocol: Option<HeaderValue>,
}

impl Handshake {
    /// Checks a request by RFC 6455, section 4.2.1, and negotiates compression if there is to be any, and the first subprotocol
    /// that may be chosen. O(bytes of the headers).
    ///
    /// # Errors
    /// If the request is no sound handshake: it is to be answered with [`HandshakeError::response`].
    pub fn check<B>(
        request: &Request<B>,
        compression: bool,
        may_choose: impl Fn(&str) -> bool,
    ) -> Result<Handshake, HandshakeError> {
        let accept_key = accept_key(request.method(), request.headers())?;
        let agreed = if compression { extensions::negotiate(request.headers())? } else { None };
        Ok(Handshake { accept_key, agreed, subprotocol: subprotocol(request.headers(), may_choose) })
    }

    /// The window that we compress with, if compression was agreed on.
    pub fn window(&self) -> Option<WindowBits> {
        self.agreed.map(Agreed::window_bits)
    }

    /// How many bytes of the messages before it a compressed message of the other side may refer to, if compression was
    /// agreed on.
    pub fn client_window(&self) -> Option<usize> {
        self.agreed.map(Agreed::client_window)
    }

    /// The answer, which has no body.
    pub fn response(self) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, self.accept_key);
        if let Some(agreed) = self.agreed {
            headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, agreed.answer());
        }
        if let Some(subprotocol) = self.subprotocol {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
        }
        response
    }
}

impl HandshakeError {
    /// The answer: status, headers, and the error in words.
    pub fn response(&self) -> Response<String> {
        let status = match self {
            HandshakeError::Method => StatusCode::METHOD_NOT_ALLOWED,
            HandshakeError::Version => StatusCode::UPGRADE_REQUIRED,
            HandshakeError::Connection | HandshakeError::Key | HandshakeError::Extensions(_) => {
                StatusCode::BAD_REQUEST
            }
        };
        let mut response = Response::new(format!("{self}\n"));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        match self {
            HandshakeError::Version => {
                headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
            }
            HandshakeError::Method => {
                headers.insert(header::ALLOW, HeaderValue::from_static("GET"));
            }
            _ => {}
        }
        response
    }
}

/// Checks the headers that a handshake must have, and gives the value of `Sec-WebSocket-Accept`.
fn accept_key(method: &Method, headers: &HeaderMap) -> Result<HeaderValue, HandshakeError> {
    if method != Method::GET {
        return Err(HandshakeError::Method);
    }
    if !has_token(headers, &header::CONNECTION, "upgrade") {
        return Err(HandshakeError::Connection);
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != VERSION) {
        return Err(HandshakeError::Version);
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
    let key = key.filter(|key| is_16_bytes_in_base64(key)).ok_or(HandshakeError::Key)?;
    HeaderValue::try_from(derive_accept_key(key)).map_err(|_| HandshakeError::Key)
}

/// The first subprotocol that is offered and may be chosen, if any is: a client that offers some fails when none is chosen, and
/// here they make no difference. A word that is not a token is not offered (RFC 6455, section 4.1).
fn subprotocol(headers: &HeaderMap, may_choose: impl Fn(&str) -> bool) -> Option<HeaderValue> {
    let values =
        headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let mut offered = values.flat_map(|value| value.split(',')).map(str::trim);
    let is_token = |word: &&str| !word.is_empty() && word.chars().all(extensions::is_token_char);
    offered
        .find(|word| is_token(word) && may_choose(word))
        .and_then(|token| HeaderValue::try_from(token).ok())
}

fn is_16_bytes_in_base64(key: &[u8]) -> bool {
    let digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.len() == 24 && key.ends_with(b"==") && key[..22].iter().all(digit)
}

/// Whether a comma-separated header has this word, in any case.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_subprotocol_that_is_a_token_is_chosen() {
        let chosen = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(line));
            }
            subprotocol(&headers, |word| word != "secret").map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(chosen(&[]), None);
        assert_eq!(chosen(&["yjs"]).as_deref(), Some("yjs"));
        assert_eq!(chosen(&["yjs-v2 , yjs", "other"]).as_deref(), Some("yjs-v2"));
        assert_eq!(chosen(&["secret, yjs"]).as_deref(), Some("yjs"));
        assert_eq!(chosen(&["secret"]), None);
        assert_eq!(chosen(&[" ,(no token), a b", "last"]).as_deref(), Some("last"));
    }

    #[test]
    fn only_a_key_of_16_bytes_is_a_key() {
        assert!(is_16_bytes_in_base64(b"dGhlIHNhbXBsZSBub25jZQ=="));
        for wrong in [
            "",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZQ=!",
            "ZGhlIHNhbXBsZSBub25jZQ==AAAA",
            "dGhlIHNhbXBsZSBub25 ZQ==",
        ] {
            assert!(!is_16_bytes_in_base64(wrong.as_bytes()), "{wrong}");
        }
    }
}
