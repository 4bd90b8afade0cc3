//! Why a peer's message makes the room close its connection.

use super::refusal::Reason;
use crate::lib0::ReadError;
use crate::protocol::MessageError;
use crate::update::UpdateError;

/// WebSocket close codes that a room uses.
pub(super) mod close {
    /// The peer broke a rule.
    pub(crate) const POLICY: u16 = 1008;
    /// More than fits.
    pub(crate) const TOO_BIG: u16 = 1009;
    /// Over a limit that may not last.
    pub(crate) const TRY_AGAIN_LATER: u16 = 1013;
}

/// What is left to do for somebody whose update is refused for good.
const ADVICE: &str = "this copy cannot be saved any more: keep its text elsewhere, then reload";

/// Why a peer's frame makes the room close its connection.
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
    #[error("too much waits for updates that are missing")]
    TooMuchWaits,
    #[error("{}", .0.words)]
    AfterRefused(Reason),
    #[error("acknowledgement request too large")]
    SyncStatusTooLarge,
    #[error("too many unanswered acknowledgement requests")]
    TooManySyncStatuses,
}

impl Violation {
    /// The close code that says so.
    pub(super) fn close_code(&self) -> u16 {
        match self {
            Self::MessageTooLarge | Self::DocumentTooLarge => close::TOO_BIG,
            Self::AfterRefused(reason) => reason.code,
            Self::TooMuchWaits => close::TRY_AGAIN_LATER,
            _ => close::POLICY,
        }
    }

    /// What a person is told whose update is refused for good. A Close frame holds 123 bytes.
    pub(super) fn for_good(&self) -> Reason {
        match self {
            Self::AfterRefused(reason) => reason.clone(),
            _ => Reason { code: self.close_code(), words: format!("{self}; {ADVICE}") },
        }
    }
}

impl From<ReadError> for Violation {
    fn from(error: ReadError) -> Self {
        Self::Message(error.into())
    }
}
