//! What people may do who do not say who they are.

use clap::ValueEnum;
use coscribe_engine::room::Access;
use serde::{Deserialize, Deserializer};

use super::values::choice;

/// What anybody may do with any document.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
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

impl<'de> Deserialize<'de> for Anonymous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Anonymous, D::Error> {
        choice(deserializer)
    }
}
