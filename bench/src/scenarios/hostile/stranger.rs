//! Somebody with a bad token, who may not have a document: by a URL of y-websocket, or a login of Hocuspocus.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use coscribe_engine::dialect::y_websocket::{AUTH, SYNC};
use fastrand::Rng;

use super::course::Course;
use super::peer::{Peer, framed};
use crate::dialect::Dialect;
use crate::limits;
use crate::websocket;

/// In a message about access, from a server: the client may not have the document. The dialects differ.
const DENIED_BY_Y_WEBSOCKET: u8 = 0;
const DENIED_BY_HOCUSPOCUS: u8 = 1;
/// In a message about access, from a server: the client may have the document.
const GRANTED: u8 = 2;

/// What is wrong with a token whose form is right. Whether a signature is random or made with another key shows in neither case.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It is signed with another secret (HS256).
    Secret,
    /// It names a key that nobody has.
    Kid,
    /// It is signed by another algorithm (ES256).
    Algorithm,
}

/// How a server treats somebody who may not have a document.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// It says no.
    Refused,
    /// It gives the document, or says that it would.
    LetIn,
}

/// Somebody with a bad token.
#[derive(Debug)]
pub(super) struct Stranger {
    /// What each message begins with.
    prefix: Vec<u8>,
    /// The path to ask for.
    path: String,
    /// What is said on the open WebSocket.
    login: Option<Vec<u8>>,
    /// The message that denies the document.
    denial: u8,
}

impl Stranger {
    /// Somebody who wants a document with a token.
    pub(super) fn new(dialect: Dialect, document: &str, token: &str) -> Self {
        let prefix = dialect.prefix(document);
        let login = dialect.login(&prefix, token).map(|login| framed(&login));
        let (path, denial) = match &login {
            Some(_) => ("/".to_owned(), DENIED_BY_HOCUSPOCUS),
            None => (format!("/{document}?token={token}"), DENIED_BY_Y_WEBSOCKET),
        };
        Self { prefix, path, login, denial }
    }

    /// Comes, and goes when the server has said no, or has let it in.
    ///
    /// # Errors
    /// If the server does neither within [`limits::FIRST_MESSAGE`], or the attack is over.
    pub(super) fn knock(&self, address: SocketAddr, course: &Arc<Course>) -> anyhow::Result<Answer> {
        self.knock_for(limits::FIRST_MESSAGE, address, course)
    }

    /// The same with less patience.
    ///
    /// # Errors
    /// If the server does neither for so long, or the attack is over.
    pub(super) fn knock_for(
        &self,
        patience: Duration,
        address: SocketAddr,
        course: &Arc<Course>,
    ) -> anyhow::Result<Answer> {
        let deadline = Instant::now() + patience;
        let mut peer = Peer::dial(address, None, self.prefix.clone(), course)?;
        let request = websocket::request(address, &self.path, false);
        match peer.upgrade(&request, deadline)? {
            Err(status) if status.split(' ').nth(1) == Some("401") => return Ok(Answer::Refused),
            Err(status) => bail!("answered with {status}"),
            Ok(()) => {}
        }
        if let Some(login) = &self.login {
            peer.send(login)?;
        }
        loop {
            if let Some(answer) = self.answer_in(&peer.read_message(deadline)?) {
                return Ok(answer);
            }
        }
    }

    /// What a message says about access. A message about the document says that there is some.
    fn answer_in(&self, message: &[u8]) -> Option<Answer> {
        match message.strip_prefix(&self.prefix[..])? {
            [access, denial, ..] if u64::from(*access) == AUTH && *denial == self.denial => {
                Some(Answer::Refused)
            }
            [access, GRANTED, ..] if u64::from(*access) == AUTH => Some(Answer::LetIn),
            [sync, ..] if u64::from(*sync) == SYNC => Some(Answer::LetIn),
            _ => None,
        }
    }
}

/// A token for everything with this flaw, unlike any other.
pub(super) fn bad_token(flaw: Flaw, random: &mut Rng) -> String {
    let (header, signature) = match flaw {
        Flaw::Secret => (r#"{"alg":"HS256","typ":"JWT"}"#, 32),
        Flaw::Kid => (r#"{"alg":"HS256","kid":"nobody","typ":"JWT"}"#, 32),
        Flaw::Algorithm => (r#"{"alg":"ES256","typ":"JWT"}"#, 64),
    };
    let id = random.u64(..);
    let claims = format!(
        r#"{{"aud":"coscribe","exp":4102444800,"iat":1700000000,"jti":"{id:016x}","sub":"somebody","write":"**"}}"#
    );
    let signature: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(signature).collect();
    [header.as_bytes(), claims.as_bytes(), &signature].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_a_grant_and_a_document_are_told_apart() {
        let [y_websocket, hocuspocus] =
            [Dialect::YWebsocket, Dialect::Hocuspocus].map(|dialect| Stranger::new(dialect, "d", "t"));
        for (message, answer) in [
            (&[2, 0, 2, b'n', b'o'][..], Some(Answer::Refused)),
            (&[2, 2, 8], Some(Answer::LetIn)),
            (&[0, 0, 1, 0], Some(Answer::LetIn)),
            (&[0, 1, 2, 0, 0], Some(Answer::LetIn)),
            (&[1, 1, 0], None),
        ] {
            assert_eq!(y_websocket.answer_in(message), answer, "{message:?}");
        }
        assert_eq!(hocuspocus.answer_in(b"\x01d\x02\x01\x02no"), Some(Answer::Refused));
        assert_eq!(hocuspocus.answer_in(b"\x01d\x02\x02\x0aread-write"), Some(Answer::LetIn));
        assert_eq!(hocuspocus.answer_in(b"\x01d\x00\x00\x01\x00"), Some(Answer::LetIn));
        assert_eq!(hocuspocus.answer_in(b"\x01e\x02\x01\x02no"), None);
    }

    #[test]
    fn bad_tokens_have_three_parts_and_no_two_are_the_same() {
        let mut random = Rng::with_seed(1);
        for flaw in [Flaw::Secret, Flaw::Kid, Flaw::Algorithm] {
            let [one, other] = [(); 2].map(|()| bad_token(flaw, &mut random));
            assert_ne!(one, other);
            assert_eq!(one.split('.').filter(|part| URL_SAFE_NO_PAD.decode(part).is_ok()).count(), 3);
        }
    }
}
