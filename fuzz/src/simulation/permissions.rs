//! Who may write, as the simulation knows it: what writers have sent, and what readers have tried.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use coscribe_engine::document::blocks::Blocks;
use coscribe_engine::document::id_set::IdSet;
use coscribe_engine::message::{Inbound, Outbound};
use coscribe_engine::peer::{Access, PeerId};
use coscribe_engine::room::Effect;
use coscribe_engine::update::{ClientId, Clock, Id, Update};

use super::Broken;
use crate::acknowledged::Acknowledged;
use crate::outcome::Oracle;

/// Who may write, and what was written by those who may.
#[derive(Debug, Default)]
pub(super) struct Permissions {
    peers: BTreeMap<PeerId, Permission>,
    /// Elements in updates from peers that might write when these came.
    elements: IdSet,
    /// Deletions in them.
    deletions: IdSet,
    updates: Vec<Update>,
}

/// What one connection may do, and what it has tried.
#[derive(Debug, Clone)]
pub(super) struct Permission {
    /// What it may do now.
    pub(super) access: Access,
    /// Whether that was something else before.
    pub(super) has_changed: bool,
    /// Updates that it sent as a reader, and that had something new.
    pub(super) refused_updates: usize,
    /// Answers to the room's questions that it sent as a reader, and that had something new.
    pub(super) refused_answers: usize,
}

impl Permissions {
    /// A connection has opened.
    pub(super) fn open(&mut self, peer: PeerId, access: Access) {
        let permission = Permission { access, has_changed: false, refused_updates: 0, refused_answers: 0 };
        self.peers.insert(peer, permission);
    }

    /// A connection has ended.
    pub(super) fn close(&mut self, peer: PeerId) {
        self.peers.remove(&peer);
    }

    /// All connections have ended.
    pub(super) fn clear(&mut self) {
        self.peers.clear();
    }

    /// The permission of a connection, if it is open.
    pub(super) fn of(&self, peer: PeerId) -> Option<&Permission> {
        self.peers.get(&peer)
    }

    /// Whether a peer may only read.
    pub(super) fn is_reader(&self, peer: PeerId) -> bool {
        self.of(peer).is_some_and(|permission| permission.access == Access::Read)
    }

    /// A peer may do this from now on.
    pub(super) fn change(&mut self, peer: PeerId, access: Access) {
        if let Some(permission) = self.peers.get_mut(&peer) {
            permission.has_changed |= permission.access != access;
            permission.access = access;
        }
    }

    /// A peer's message is about to reach a room with these blocks.
    pub(super) fn note(&mut self, peer: PeerId, message: &Inbound, known: &Blocks) {
        let (Inbound::Update(update) | Inbound::Step2(update)) = message else { return };
        let Some(permission) = self.peers.get_mut(&peer) else { return };
        if permission.access == Access::Write {
            self.write(update);
        } else if has_new(update, known) && matches!(message, Inbound::Update(_)) {
            permission.refused_updates += 1;
        } else if has_new(update, known) {
            permission.refused_answers += 1;
        }
    }

    fn write(&mut self, update: &Bytes) {
        let Ok(update) = Update::scan(update.clone()) else { return };
        for run in update.runs() {
            for block in run.blocks() {
                self.elements.insert(run.client(), block.id.clock..block.end(), |_| {});
            }
        }
        for (client, range) in update.deletions() {
            self.deletions.insert(client, range, |_| {});
        }
        self.updates.push(update);
    }

    /// Nothing leaves a room for the log or a peer but what writers have sent.
    pub(super) fn check(&self, effect: &Effect) -> Result<(), Broken> {
        let (update, whereto) = match effect {
            // A record of what waits has another format, and is written only of what the room parked.
            Effect::Append { update, waits: false, .. } => (update, "the log"),
            Effect::Send { message: Outbound::Step2(update) | Outbound::Update(update), .. }
            | Effect::Broadcast { message: Outbound::Step2(update) | Outbound::Update(update), .. } => {
                (update, "a peer")
            }
            _ => return Ok(()),
        };
        let broken = |what| (Oracle::Access, format!("{what}, which no writer has sent, reaches {whereto}"));
        self.unwritten_in(update.to_bytes()).map_or(Ok(()), |what| Err(broken(what)))
    }

    /// What of an update from the room no writer has sent, in words.
    fn unwritten_in(&self, update: Bytes) -> Option<String> {
        let Ok(update) = Update::scan(update) else {
            return Some("an update that cannot be read".to_owned());
        };
        for run in update.runs() {
            let mut elements = run.blocks().flat_map(|block| ids(run.client(), block.id.clock..block.end()));
            if let Some(id) = elements.find(|id| !self.elements.contains(*id)) {
                return Some(format!("{id:?}"));
            }
        }
        let deleted = update.deletions().flat_map(|(client, range)| ids(client, range));
        let mut outside = deleted.filter(|id| !self.deletions.contains(*id)).peekable();
        outside.peek()?;
        // The room deletes what lies below deleted types.
        let collected = self.collected();
        outside.find(|id| !collected.contains(*id)).map(|id| format!("the deletion of {id:?}"))
    }

    /// The deletions of a document that has all that writers have sent, after its collection.
    fn collected(&self) -> IdSet {
        let mut blocks = Blocks::default();
        for update in &self.updates {
            blocks.admit(update, 0);
        }
        blocks.collect();
        blocks.delete_set().clone()
    }
}

fn has_new(update: &Bytes, known: &Blocks) -> bool {
    let mut content = Acknowledged::default();
    content.add(update.clone());
    content.missing_in(known.state_vector(), known.delete_set()).is_some()
}

fn ids(client: ClientId, clocks: Range<Clock>) -> impl Iterator<Item = Id> {
    clocks.map(move |clock| Id { client, clock })
}
