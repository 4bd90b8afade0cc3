//! What a provider of a document wants done. The order counts.

use bytes::Bytes;
use coscribe_engine::dialect::hocuspocus::Request;
use coscribe_engine::peer::Access;

use crate::receipts::Receipt;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send this to the server, with the document's address.
    Send(Request),
    /// Take this update into the document. If that makes the document write one of its own, it is given back as a change.
    Apply(Bytes),
    /// The server has what this encoded state vector says: give the provider what the server lacks, as an update.
    Answer(Bytes),
    /// The provider takes the document for up to date, for the first time on this connection.
    Synced,
    /// One more message with an update is durable: the one with this receipt, or none where the server counts more than there
    /// were.
    Saved(Option<Receipt>),
    /// One message with an update was refused: the one with this receipt, which is owed no more.
    Refused(Option<Receipt>),
    /// The server has opened the document for this access.
    Granted(Access),
    /// The server denies access, for the reason in these words. Nothing more is sent until the provider is opened again.
    Denied(String),
    /// The server wants the token once more.
    TokenWanted,
    /// A text of the application.
    Stateless(Bytes),
    /// The server has closed the document, for this reason. Nothing more is sent until the provider is opened again.
    Closed(String),
}
