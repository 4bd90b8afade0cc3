//! Who may do what with which document.
#![allow(dead_code, unused_imports, reason = "connections ask for grants next")]

#[cfg(test)]
mod application;
pub(crate) mod ask;
mod claims;
mod client;
mod credentials;
mod grant;
mod jws;
pub(crate) mod keys;
mod tokens;
pub(crate) mod y_sweet;

pub(crate) use self::claims::{ClaimError, Claims, Rules};
pub(crate) use self::client::{CaError, HttpClient};
pub(crate) use self::credentials::Credentials;
pub(crate) use self::grant::{Denied, Grant, TokenIdentity};
pub(crate) use self::jws::{Algorithm, Jws};
pub(crate) use self::tokens::{Authorization, TokenError, Tokens};
