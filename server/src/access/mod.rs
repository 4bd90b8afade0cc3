//! Who may do what with which document.

mod tokens;
pub(crate) mod y_sweet;

use std::time::SystemTime;

use coscribe_engine::room::Access;

pub(crate) use self::tokens::{Authorization, TokenError, Tokens};

/// What somebody may do with a document.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    /// What it allows.
    pub(crate) access: Access,
    /// Until when, if it ends.
    pub(crate) expires: Option<SystemTime>,
}
