//! Why a peer's message makes the room send it away.

use crate::dialect::MessageError;
use crate::lib0::ReadError;
use crate::message::{Parting, Reason};
use crate::update::UpdateError;

/// What is left to do for somebody whose update is refused for good.
const ADVICE: &str = "this copy cannot be saved any more: keep its text elsewhere, then reload";

/// Why a peer's message makes the room send it away.
#[derive(Debug, thiserror::Error)]
pub(super) enum Violation {
    #[error("malformed message: {0}")]
    Message(#[from] MessageError),
    #[error("malformed state vector: {0}")]
    StateVector(ReadError),
    #[error("malformed update: {0}")]
    Update(#[from] UpdateError),
    #[error("bad awareness: {0}")]
    Awareness(ReadError),
    #[error("the message is too large")]
    MessageTooLarge,
    #[error("the document would be too large")]
    DocumentTooLarge,
    #[error("too many clients have written to the document")]
    TooManyClients,
    #[error("another copy has written as the same client")]
    Contradiction,
    #[error("too much waits for updates that are missing")]
    TooMuchWaits,
    #[error("{}", .0.words)]
    AfterRefused(Parting),
    #[error("acknowledgement request too large")]
    SyncStatusTooLarge,
    #[error("too many unanswered acknowledgement requests")]
    TooManySyncStatuses,
    #[error("stateless message too large")]
    StatelessTooLarge,
}

impl Violation {
    fn reason(&self) -> Reason {
        match self {
            Self::MessageTooLarge | Self::DocumentTooLarge | Self::TooManyClients => Reason::TooLarge,
            Self::AfterRefused(parting) => parting.reason,
            Self::TooMuchWaits => Reason::Overload,
            _ => Reason::Violation,
        }
    }

    /// What a person is told whose update is refused for good. A Close frame holds 123 bytes.
    pub(super) fn for_good(&self) -> Parting {
        match self {
            Self::AfterRefused(parting) => parting.clone(),
            _ => Parting::new(self.reason(), format!("{self}; {ADVICE}")),
        }
    }
}

impl From<Violation> for Parting {
    fn from(violation: Violation) -> Self {
        Self::new(violation.reason(), violation.to_string())
    }
}

impl From<ReadError> for Violation {
    fn from(error: ReadError) -> Self {
        Self::Message(error.into())
    }
}
