//! Why a run does not go on.

use crate::checked_provider::ProviderError;
use crate::outcome::Oracle;
use crate::replica::ReplicaError;

/// Why a run does not go on.
#[derive(Debug)]
pub(super) enum Stop {
    /// A promise is broken.
    Broken(Oracle, String),
    /// It cannot be tried.
    Impossible(anyhow::Error),
}

/// The stop after a frame that a peer does not take.
pub(super) fn refused(who: &str, error: ProviderError) -> Stop {
    match error {
        ProviderError::Gap(_) => Stop::Broken(
            Oracle::Gap,
            format!("{who} was sent what builds on something it does not have: {error}"),
        ),
        ProviderError::Message(_) => {
            Stop::Broken(Oracle::Refused, format!("{who} cannot read a message of the server's: {error}"))
        }
        ProviderError::Early(_) => Stop::Broken(Oracle::Early, format!("{who}: {error}")),
        ProviderError::Denied(_) => Stop::Impossible(error.into()),
        ProviderError::Replica(_) => {
            Stop::Broken(Oracle::Refused, format!("{who} does not take what the server sent: {error}"))
        }
    }
}

impl From<ReplicaError> for Stop {
    fn from(error: ReplicaError) -> Self {
        match error {
            ReplicaError::Refused(_) => Self::Broken(Oracle::Refused, error.to_string()),
            ReplicaError::Process(_) => Self::Impossible(error.into()),
        }
    }
}

impl From<ProviderError> for Stop {
    fn from(error: ProviderError) -> Self {
        refused("a replica", error)
    }
}
