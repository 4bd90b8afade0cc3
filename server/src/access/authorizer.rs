//! Decides who may do what with a document: by the token that is shown, by what the application says, or by what anybody may do.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context;
use coscribe_engine::room::Access;
use coscribe_persistence::DocumentName;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::ask::{Ask, Question, Scope};
use super::bad_tokens::BadTokens;
use super::grant::TokenIdentity;
use super::keys::{KeyRefresh, KeySet};
use super::y_sweet::Gate;
use super::{Claims, Credentials, Denied, Grant, HttpClient, Revocations, TokenError};
use crate::config::{Anonymous, Config, Secret};
use crate::limits::TOKEN_BYTES;

/// Decides who may do what.
pub(crate) struct Authorizer {
    anonymous: Option<Anonymous>,
    keys: KeySet,
    bad_tokens: BadTokens,
    ask: Option<Ask>,
    /// Who may use y-sweet.
    pub(crate) y_sweet: Gate,
    /// What was taken back.
    pub(crate) revocations: Revocations,
}

/// Why the server does not start where others could reach it.
pub(crate) const UNGUARDED: &str =
    "other machines can reach this address, and nothing says who may come in. Give one of these:
  --access-secret-file FILE  clients with a token that is signed with the secret in this file; or COSCRIBE_ACCESS_SECRET, with
                             the secret itself (`coscribe token` signs some)
  --access-keys FILE|URL     clients with a token that is signed with one of these keys
  --access-ask URL           clients that the application at this URL lets in
  --anonymous write          anybody, to read and write (or `read`, to read only)
or listen on this machine only, as it is by default: --listen 127.0.0.1:1234";

/// Somebody who wants a document.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    /// What it shows.
    pub(crate) credentials: Arc<Credentials>,
    /// The way by which it comes.
    pub(crate) kind: ClientKind,
    /// Where it comes from, as far as that is known.
    pub(crate) address: IpAddr,
    /// Whether it is on this machine: see [`crate::config::is_local`].
    pub(crate) is_local: bool,
}

/// The ways by which clients come.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum ClientKind {
    /// With a client of y-websocket.
    YWebsocket,
    /// With a provider of Hocuspocus.
    Hocuspocus,
    /// With a client of y-sweet, which has a token that this server has signed.
    YSweet,
}

impl ClientKind {
    /// Its name for the application, and for metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            ClientKind::YWebsocket => "y-websocket",
            ClientKind::Hocuspocus => "hocuspocus",
            ClientKind::YSweet => "y-sweet",
        }
    }
}

impl Visitor {
    /// The same, who shows something else.
    pub(crate) fn with(&self, credentials: Arc<Credentials>) -> Visitor {
        Visitor { credentials, ..self.clone() }
    }
}

/// What is decided about somebody, or when.
pub(crate) enum Decision {
    /// It is decided.
    Now(Result<Grant, Denied>),
    /// The application is being asked.
    Later(BoxFuture<'static, Result<Grant, Denied>>),
}

impl Authorizer {
    /// As configured. Reads what was revoked.
    ///
    /// # Errors
    /// If a key is no good, or cannot be read, or what was revoked cannot.
    pub(crate) fn new(config: &Config) -> anyhow::Result<Authorizer> {
        let client = HttpClient::new(&config.access)?;
        let (keys, ask) = (KeySet::new(&config.access, &client)?, Ask::new(&config.access, &client)?);
        let serves_this_machine = match config.anonymous {
            Some(anonymous) => anonymous == Anonymous::Write,
            None => keys.is_empty() && ask.is_none(),
        };
        Ok(Authorizer {
            anonymous: config.anonymous,
            keys,
            bad_tokens: BadTokens::default(),
            ask,
            y_sweet: Gate::new(config.y_sweet_key.as_ref(), serves_this_machine)?,
            revocations: Revocations::open(&config.data)
                .with_context(|| format!("cannot read what was revoked in {}", config.data.display()))?,
        })
    }

    /// Keeps the keys of URLs current while it runs.
    pub(crate) fn refresh(&self) -> KeyRefresh {
        self.keys.refresh()
    }

    /// Decides what somebody may do with a document. O(bytes of the token), and what its signature takes.
    pub(crate) fn decide(self: &Arc<Self>, visitor: &Visitor, document: &DocumentName) -> Decision {
        let (authorizer, visitor, document) = (Arc::clone(self), visitor.clone(), document.clone());
        let mut grant: BoxFuture<'static, _> =
            Box::pin(async move { authorizer.grant(&visitor, &document).await });
        // Only what has to be asked elsewhere is not there at once.
        match (&mut grant).now_or_never() {
            Some(decided) => Decision::Now(decided),
            None => Decision::Later(grant),
        }
    }

    /// What somebody may do with a document. A valid token decides alone; without one the application is asked, if it can be,
    /// and otherwise anybody may do the same.
    async fn grant(&self, visitor: &Visitor, document: &DocumentName) -> Result<Grant, Denied> {
        let token = visitor.credentials.token.as_ref().map(Secret::reveal);
        if visitor.kind == ClientKind::YSweet {
            return self.unless_revoked(self.y_sweet.client(visitor.is_local, token, document)?);
        }
        if token.is_some_and(|token| token.len() > TOKEN_BYTES) {
            return Err(TokenError::Invalid.into());
        }
        let verified = match token {
            Some(token) if !self.keys.is_empty() => Some(self.verify(token).await),
            _ => None,
        };
        match (verified, &self.ask) {
            (Some(Ok(claims)), _) => self.unless_revoked(claims.grant(document)?),
            (Some(Err(Denied::Token(TokenError::Invalid))) | None, Some(ask)) => {
                let question = Question {
                    credentials: Credentials::clone(&visitor.credentials),
                    document: document.clone(),
                    dialect: visitor.kind.name(),
                    address: visitor.address,
                };
                // Whoever revokes the tokens of a subject means what was granted before as well.
                let token = TokenIdentity { id: None, issued: Some(SystemTime::now()) };
                let grant = ask.decide(question).await?;
                self.unless_revoked(Grant { token: Some(Arc::new(token)), ..grant })
            }
            (Some(Err(denied)), _) => Err(denied),
            (None, None) => self.anonymous(visitor),
        }
    }

    async fn verify(&self, token: &str) -> Result<Claims, Denied> {
        if let Some(error) = self.bad_tokens.get(token, Instant::now()) {
            return Err(error.into());
        }
        let verified = self.keys.verify(token, SystemTime::now()).await;
        if let Err(Denied::Token(error)) = &verified {
            self.bad_tokens.note(token, *error, Instant::now());
        }
        verified
    }

    fn unless_revoked(&self, grant: Grant) -> Result<Grant, Denied> {
        if self.revocations.cover(&grant) { Err(TokenError::Revoked.into()) } else { Ok(grant) }
    }

    /// What somebody may do who shows nothing that could be checked.
    fn anonymous(&self, visitor: &Visitor) -> Result<Grant, Denied> {
        let access = match self.anonymous {
            Some(anonymous) => anonymous.access().ok_or(Denied::NoToken)?,
            None if self.is_unguarded() && visitor.is_local => Access::Write,
            None if self.is_unguarded() => return Err(Denied::Elsewhere),
            None => return Err(Denied::NoToken),
        };
        Ok(Grant::anonymous(access))
    }

    /// Whether nothing is configured that says who may come in.
    fn is_unguarded(&self) -> bool {
        self.keys.is_empty() && self.ask.is_none()
    }

    /// Whether anything is configured that says who may come in from other machines.
    pub(crate) fn is_told_who_may_come(&self) -> bool {
        self.anonymous.is_some() || !self.is_unguarded() || self.y_sweet.has_key()
    }

    /// Whether there is anybody who may come in.
    pub(crate) fn lets_anybody_in(&self) -> bool {
        self.anonymous != Some(Anonymous::None) || !self.is_unguarded() || self.y_sweet.has_key()
    }

    /// Forgets what the application has said of a document or a subject: it is asked again.
    pub(crate) fn forget(&self, document: Option<&DocumentName>, subject: Option<&str>) {
        if let Some(ask) = &self.ask {
            ask.forget(&Scope { document: document.cloned(), subject: subject.map(Arc::from) });
        }
    }
}
