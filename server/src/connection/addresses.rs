//! What a Hocuspocus provider's connection knows of the addresses that its client has used.

use std::collections::HashMap;

use bytes::Bytes;

use crate::limits::DOCUMENTS_PER_CONNECTION;

/// The addresses, each with the state of its document.
#[derive(Default)]
pub(super) struct Addresses {
    documents: HashMap<Bytes, Document>,
}

/// The state of a document on one connection.
#[derive(Debug, Copy, Clone)]
pub(super) enum Document {
    /// It is the member with this number. Providers before version 4 don't tell their version.
    Open { number: usize, tells_version: bool },
    /// It is being asked who may have it; the question has this number.
    Undecided { number: u64 },
    /// It was denied, or the room has sent the client away: nothing of it is heard until the client opens it again.
    Shut,
}

impl Addresses {
    /// The document with this address, if it was ever opened or denied, and not closed by the client since.
    pub(super) fn get(&self, address: &[u8]) -> Option<Document> {
        self.documents.get(address).copied()
    }

    /// Whether there is no place for one more with this address.
    pub(super) fn is_full(&self, address: &[u8]) -> bool {
        self.documents.len() >= DOCUMENTS_PER_CONNECTION && !self.documents.contains_key(address)
    }

    /// A document is open, or shut. Gives its state before.
    pub(super) fn set(&mut self, address: Bytes, document: Document) -> Option<Document> {
        self.documents.insert(address, document)
    }

    /// The client has closed a document.
    pub(super) fn forget(&mut self, address: &[u8]) {
        self.documents.remove(address);
    }
}
