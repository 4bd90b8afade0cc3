//! A replica that runs yrs.

mod edits;
mod roots;
pub(super) mod view;

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use coscribe_engine::document::id_set::IdSet;
use coscribe_engine::update::ClientId;
use serde_json::json;
use yrs::block::ClientID;
use yrs::undo::UndoManager;
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{Doc, OffsetKind, Options, ReadTxn, StateVector, Transact, TransactionMut, Update};

use self::edits::SharedType;
use self::roots::Roots;
use super::interface::{Replica, ReplicaError};
use super::view::View;
use crate::edit::{Action, Edit, Root};

/// Origin of the replica's own changes: those that can be undone.
const OWN: &str = "own";
/// Origin of changes that came from others.
const OTHERS: &str = "others";
/// The empty update.
const NOTHING: &[u8] = &[0, 0];

/// An editor's document in yrs.
pub struct YrsReplica {
    doc: Doc,
    undo: Option<UndoManager<()>>,
    /// The updates of undo and redo.
    undone: Arc<Mutex<Vec<Bytes>>>,
    /// Updates behind a gap of their client: yrs would take in a GC beyond the gap, and then fail on one that ends beyond
    /// the gap.
    held: Vec<Bytes>,
}

impl YrsReplica {
    /// An empty document. Undo costs time with every edit: `undo` says whether there will be any.
    pub fn new(client: ClientId, undo: bool) -> Self {
        let doc = Doc::with_options(Options {
            offset_kind: OffsetKind::Utf16,
            // To free deleted sub-documents is one of the uses after free.
            skip_gc: true,
            cleanup_formatting: false,
            ..Options::with_guid_and_client_id("document".into(), ClientID::new(client))
        });
        let roots = Roots::of(&doc);
        let undo = undo.then(|| undo_manager(&doc, &roots));
        Self { doc, undo, undone: Arc::default(), held: Vec::new() }
    }

    /// The document that updates make, each taken in at once.
    ///
    /// # Errors
    /// If yrs refuses one.
    pub fn from_updates(updates: &[impl AsRef<[u8]>]) -> Result<Self, ReplicaError> {
        let mut replica = Self::new(0, false);
        for update in updates {
            replica.integrate(update.as_ref())?;
        }
        Ok(replica)
    }

    fn integrate(&mut self, update: &[u8]) -> Result<(), ReplicaError> {
        let refused = |error: &dyn std::fmt::Display| ReplicaError::Refused(format!("by yrs: {error}"));
        let update = Update::decode_v1(update).map_err(|error| refused(&error))?;
        self.doc.transact_mut_with(OTHERS).apply_update(update).map_err(|error| refused(&error))
    }

    /// Whether no element is missing before the blocks of an update. An update that cannot be read is for yrs to refuse.
    fn follows(&self, update: &Bytes) -> bool {
        let known = self.doc.transact().state_vector();
        let Ok(update) = coscribe_engine::update::Update::scan(update.clone()) else { return true };
        update.runs().all(|run| {
            let first = run.blocks().next();
            first.is_none_or(|block| block.id.clock <= known.get(&ClientID::new(block.id.client)))
        })
    }

    fn change(&self, root: Root, path: &[u32], action: &Action) -> Vec<Bytes> {
        let start = SharedType::root(root, &Roots::of(&self.doc));
        let mut txn = self.doc.transact_mut_with(OWN);
        let target = path.iter().fold(start, |target, &step| target.descend(step, &txn));
        target.carry_out(action, &mut txn);
        let update = txn.encode_update_v1();
        if update == NOTHING { Vec::new() } else { vec![update.into()] }
    }

    /// Undoes or redoes, with a transaction of the undo manager's.
    fn undo(&mut self, act: fn(&mut UndoManager<()>) -> bool) -> Vec<Bytes> {
        let Some(undo) = &mut self.undo else { return Vec::new() };
        let undone = Arc::clone(&self.undone);
        let watch = move |_: &TransactionMut<'_>, event: &yrs::UpdateEvent| {
            undone.lock().expect("nobody panics here").push(Bytes::copy_from_slice(&event.update));
        };
        self.doc.observe_update_v1(OWN, watch).expect("no transaction is open");
        act(undo);
        self.doc.unobserve_update_v1(OWN).expect("no transaction is open");
        let mut undone = std::mem::take(&mut *self.undone.lock().expect("nobody panics here"));
        undone.retain(|update| update != NOTHING);
        undone
    }
}

impl Replica for YrsReplica {
    fn client(&self) -> ClientId {
        self.doc.client_id().get()
    }

    fn edit(&mut self, edit: &Edit) -> Result<Vec<Bytes>, ReplicaError> {
        Ok(match edit {
            Edit::Change { root, path, action } => self.change(*root, path, action),
            Edit::Undo => self.undo(UndoManager::undo_blocking),
            Edit::Redo => self.undo(UndoManager::redo_blocking),
        })
    }

    fn apply(&mut self, update: &[u8]) -> Result<Vec<Bytes>, ReplicaError> {
        self.held.push(Bytes::copy_from_slice(update));
        while let Some(next) = self.held.iter().position(|update| self.follows(update)) {
            let update = self.held.remove(next);
            self.integrate(&update)?;
        }
        Ok(Vec::new())
    }

    fn state_vector(&mut self) -> Result<Bytes, ReplicaError> {
        Ok(self.doc.transact().state_vector().encode_v1().into())
    }

    fn diff(&mut self, known: &[u8]) -> Result<Bytes, ReplicaError> {
        let known =
            StateVector::decode_v1(known).map_err(|error| ReplicaError::Refused(error.to_string()))?;
        Ok(self.doc.transact().encode_diff_v1(&known).into())
    }

    fn view(&mut self) -> Result<View, ReplicaError> {
        let roots = Roots::of(&self.doc);
        let txn = self.doc.transact();
        let content = json!({
            "text": view::delta(&roots.text, &txn),
            "map": view::entries(&roots.map, &txn),
            "array": view::elements(&roots.array, &txn),
            "xml": view::nodes(&roots.xml, &txn),
        });
        let snapshot = txn.snapshot();
        let mut delete_set = IdSet::default();
        for (client, ranges) in snapshot.delete_set.iter() {
            for range in ranges.iter().filter(|range| !range.is_empty()) {
                delete_set.insert(client.get(), range.clone(), |_| {});
            }
        }
        let state_vector = snapshot.state_map.iter().map(|(client, &clock)| (client.get(), clock)).collect();
        Ok(View { content, state_vector, delete_set })
    }

    fn is_waiting(&mut self) -> Result<bool, ReplicaError> {
        Ok(!self.held.is_empty() || self.doc.transact().has_missing_updates())
    }
}

fn undo_manager(doc: &Doc, roots: &Roots) -> UndoManager<()> {
    let mut undo = UndoManager::with_options(yrs::undo::Options {
        capture_timeout_millis: 0,
        tracked_origins: [OWN.into()].into(),
        timestamp: Arc::new(|| 1),
        ..yrs::undo::Options::default()
    });
    undo.expand_scope(doc, &roots.text);
    undo.expand_scope(doc, &roots.map);
    undo.expand_scope(doc, &roots.array);
    undo.expand_scope(doc, &roots.xml);
    undo
}
