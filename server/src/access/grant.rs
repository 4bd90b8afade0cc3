//! What somebody may do with one document, and why somebody may not.

use std::sync::Arc;
use std::time::SystemTime;

use coscribe_engine::message::Reason;
use coscribe_engine::room::Access;

use super::tokens::TokenError;
use super::y_sweet::Refused;
use crate::limits::SHOWN_NAME_BYTES;

/// What somebody may do with one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    /// What it allows.
    pub(crate) access: Access,
    /// The application's user id, which is recorded with each update; empty where nobody says who it is.
    pub(crate) subject: Arc<str>,
    /// The name that people see.
    pub(crate) name: Option<Arc<str>>,
    /// Until when, if it ends.
    pub(crate) expires: Option<SystemTime>,
    /// The token that it comes from, as a revocation names it.
    pub(crate) token: Option<Arc<TokenIdentity>>,
}

/// Which token it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct TokenIdentity {
    /// Its `jti`.
    pub(crate) id: Option<String>,
    /// Its `iat`.
    pub(crate) issued: Option<SystemTime>,
}

/// Why somebody may do nothing with a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    /// Nothing says who it is, and nobody is let in without.
    #[error("a token is needed")]
    NoToken,
    /// The token is not sound.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The application does not accept what is shown, in its words.
    #[error("{0}")]
    Unauthorized(Arc<str>),
    /// It is known who it is, who may not have this document; in the application's words, if it has any.
    #[error("{0}")]
    Forbidden(Arc<str>),
    /// Nothing is configured that says who may come in, and it may come from elsewhere.
    #[error(
        "until `anonymous`, keys of tokens or `access.ask` say who may come in, this server serves its own machine only, and by no other name than localhost"
    )]
    Elsewhere,
    /// What y-sweet's clients are refused for.
    #[error(transparent)]
    YSweet(#[from] Refused),
    /// Whoever decides cannot be reached.
    #[error("access cannot be checked now; try again later")]
    Unavailable,
}

impl Grant {
    /// What nobody in particular may do.
    pub(crate) fn anonymous(access: Access) -> Grant {
        Grant { access, subject: Arc::default(), name: None, expires: None, token: None }
    }

    /// The application's user id, where somebody says who it is.
    pub(crate) fn known_subject(&self) -> Option<&str> {
        (!self.subject.is_empty()).then_some(&*self.subject)
    }
}

impl Denied {
    /// The kind of reason, which tells it on an open connection.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Denied::Forbidden(_) => Reason::Forbidden,
            Denied::Unavailable => Reason::Overload,
            Denied::NoToken
            | Denied::Token(_)
            | Denied::Unauthorized(_)
            | Denied::Elsewhere
            | Denied::YSweet(_) => Reason::Unauthorized,
        }
    }

    /// The reason under which metrics count it.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Denied::NoToken => "no_token",
            Denied::Token(error) => error.label(),
            Denied::Unauthorized(_) => "unauthorized",
            Denied::Forbidden(_) => "forbidden",
            Denied::Elsewhere => "elsewhere",
            Denied::YSweet(refused) => refused.label(),
            Denied::Unavailable => "access_unavailable",
        }
    }
}

/// A name as people see it: without control characters, and not too long. An empty one is none.
pub(super) fn shown_name(name: &str) -> Option<Arc<str>> {
    let shown = cut(name, SHOWN_NAME_BYTES);
    let shown = shown.trim();
    (!shown.is_empty()).then(|| shown.into())
}

/// The first bytes of a text, in whole characters, without control characters.
pub(super) fn cut(text: &str, most: usize) -> String {
    let is_within = |&(at, character): &(usize, char)| at + character.len_utf8() <= most;
    let characters = text.char_indices().take_while(is_within).map(|(_, character)| character);
    characters.filter(|character| !character.is_control()).collect()
}
