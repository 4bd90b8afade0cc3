//! What a provider wants done. The order counts.

use bytes::Bytes;
use coscribe_engine::dialect::y_websocket::Request;
use coscribe_engine::peer::Access;

use crate::receipts::Receipt;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send this to the server.
    Send(Request),
    /// Take this update into the document. If that makes the document write one of its own, it is given back as a change.
    Apply(Bytes),
    /// The server has what this encoded state vector says: give the provider what the server lacks, as an update.
    Answer(Bytes),
    /// The server has answered for the first time on this connection: the document is up to date.
    Synced,
    /// All that was sent before this receipt was asked for is durable.
    Durable(Receipt),
    /// The server denies access, for the reason in these words. Also to write any more, where the connection stays.
    Denied(String),
    /// The server grants this access from now on.
    Granted(Access),
    /// It is time to ask the server once more what the document lacks: give the provider the document's state vector.
    Resync,
}
