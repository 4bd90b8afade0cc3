//! What people may do who do not say who they are.

use clap::ValueEnum;
use coscribe_engine::room::Access;
use serde::Deserialize;

/// What anybody may do with any document.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Anonymous {
    /// Nothing.
    None,
    /// Read.
    Read,
    /// Read and write.
    Write,
}

impl Anonymous {
    /// The access that this is, if it is any.
    pub(crate) fn access(self) -> Option<Access> {
        match self {
            Anonymous::None => None,
            Anonymous::Read => Some(Access::Read),
            Anonymous::Write => Some(Access::Write),
        }
    }
}
