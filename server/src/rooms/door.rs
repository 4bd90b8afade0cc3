//! The door of a room: its place in the register, its document and its peers.

use std::sync::Arc;

use coscribe_engine::message::{Parting, Reason};
use coscribe_engine::room::{PeerMap, RoomLimits};
use coscribe_persistence::DocumentName;
use coscribe_turns::Party;
use tokio::task::spawn_blocking;
use tracing::error;

use super::inbox::{Input, Place};
use super::opened::Opened;
use super::{Mailbox, Rooms, shown};

/// The room's place in the register and its peers. However the task ends, nobody is left waiting at the door.
pub(crate) struct Door {
    /// Where it is registered.
    pub(super) rooms: Arc<Rooms>,
    /// Its document.
    pub(super) name: DocumentName,
    /// The way in.
    pub(super) mailbox: Arc<Mailbox>,
    /// Who is here.
    pub(super) peers: PeerMap<Place>,
    /// For whom the room works: whoever was heard last.
    pub(super) party: Party,
    /// Whether it is still in the register.
    pub(super) registered: bool,
    /// What those hear who are still here when the task ends.
    pub(super) farewell: &'static str,
}

impl Door {
    /// The door of a room that is in the register, and was opened for this party.
    pub(super) fn new(rooms: Arc<Rooms>, name: DocumentName, mailbox: Arc<Mailbox>, party: Party) -> Door {
        let (peers, farewell) = (PeerMap::default(), "internal error");
        Door { rooms, name, mailbox, peers, party, registered: true, farewell }
    }

    /// Reads the document. `None`: it cannot be read, and the log says why.
    pub(super) async fn open(&mut self) -> Option<Box<Opened>> {
        let (journal, name) = (Arc::clone(&self.rooms.journal), self.name.clone());
        let account = Arc::clone(&self.mailbox.account);
        let config = &self.rooms.config;
        let limits = RoomLimits {
            document_bytes: config.max_document_bytes.get(),
            keep_deleted: config.keeps_deleted(&name),
            ..RoomLimits::default()
        };
        let _turn = self.rooms.loading.next(self.party).await;
        // Replaying a large log takes long enough to be in the way of others.
        match spawn_blocking(move || Opened::load(&*journal, &name, limits, &account).map(Box::new)).await {
            Ok(Ok(opened)) => return Some(opened),
            Ok(Err(error)) => {
                self.farewell = "the document cannot be read";
                error!(document = shown(&self.name), "the document cannot be read: {error}");
            }
            Err(error) => error!(document = shown(&self.name), "opening the document failed: {error}"),
        }
        None
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if self.registered {
            self.rooms.remove(&self.name);
        }
        // From here on nobody can send a Join here any more.
        for input in self.mailbox.inbox.close() {
            if let Input::Join { peer, place, .. } = input {
                self.peers.insert(peer, place);
            }
        }
        for place in self.peers.values() {
            place.outbox.part(Parting::new(Reason::Failure, self.farewell));
        }
    }
}
