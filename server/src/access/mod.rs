//! Who may do what with which document.

mod grant;
mod tokens;
pub(crate) mod y_sweet;

pub(crate) use self::grant::{Denied, Grant, TokenIdentity};
pub(crate) use self::tokens::{Authorization, TokenError, Tokens};
