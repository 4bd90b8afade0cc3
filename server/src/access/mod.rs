//! Who may do what with which document.

#[cfg(test)]
mod application;
mod ask;
mod authorizer;
mod bad_tokens;
mod claims;
mod client;
mod credentials;
mod grant;
mod jws;
pub(crate) mod keys;
mod refusals;
mod revocations;
pub(crate) mod server_keys;
pub(crate) mod subject;
mod tokens;
mod trust;
pub(crate) mod y_sweet;

pub(crate) use self::authorizer::{Authorizer, ClientKind, Decision, UNGUARDED, Visitor};
pub(crate) use self::claims::Claims;
pub(crate) use self::client::HttpClient;
pub(crate) use self::credentials::{Credentials, is_plain_subprotocol};
pub(crate) use self::grant::{Denied, Grant};
pub(crate) use self::jws::Jws;
pub(crate) use self::refusals::{Refusals, Told};
pub(crate) use self::revocations::{Revocation, Revocations, RevokeError};
pub(crate) use self::tokens::{Authorization, TokenError, Tokens};
