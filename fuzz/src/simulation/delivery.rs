//! The frames that the simulated server sends.

use bytes::Bytes;
use coscribe_engine::room::PeerId;

/// A frame on its way to a peer.
pub(super) struct Delivery {
    pub(super) peer: PeerId,
    pub(super) frame: Bytes,
}
