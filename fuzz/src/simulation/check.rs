//! The promises that must hold when everything is healed.

use std::collections::BTreeMap;
use std::time::Duration;

use coscribe_engine::document::blocks::Blocks;
use coscribe_engine::work::finish;

use super::{Broken, Simulation};
use crate::acknowledged::Acknowledged;
use crate::difference;
use crate::limits;
use crate::outcome::{Failure, Oracle};
use crate::replica::{Replica, View, YrsReplica};

/// After so long every editor has renewed its awareness, also where the room did not ask for it.
const RENEWED: Duration = Duration::from_secs(20);
/// The time between two looks whether everything has come to rest.
const REST: Duration = Duration::from_millis(50);

impl Simulation<'_> {
    /// Everything is mended, comes to rest, and is compared.
    pub(super) fn heal(&mut self) -> Result<(), Failure> {
        self.mend()?;
        self.bury()?;
        self.wait(RENEWED)?;
        self.rest()?;
        if self.has_readers() {
            self.check_readers()?;
            self.let_all_write()?;
            self.rest()?;
        }
        self.check().map_err(|broken| self.broken(broken))?;
        self.transcript.healed();
        Ok(())
    }

    fn rest(&mut self) -> Result<(), Failure> {
        for _ in 0..limits::REST_LOOKS {
            self.wait(REST)?;
            let now = self.now;
            let next = self.room(|room| room.next_tick())?;
            let flushes = next.is_some_and(|at| at < now + REST);
            if self.busy == 0 && !flushes && !self.server.has_unwritten() {
                return Ok(());
            }
        }
        Err(self.broken((Oracle::Rest, format!("{} messages are still on their way", self.busy))))
    }

    fn check(&mut self) -> Result<(), Broken> {
        self.check_providers()?;
        self.check_awareness()?;
        let first = self.check_replicas()?;
        self.check_server(&first)?;
        let stored = self.server.stored()?;
        let room = self.server.room(self.now)?;
        if stored.state_vector() != room.blocks().state_vector() {
            let (stored, live) = (stored.state_vector(), room.blocks().state_vector());
            return Err((Oracle::Stored, format!("state vector {stored:?}, in the room {live:?}")));
        }
        // What is opened is collected; the room may have more to collect.
        let mut live = Blocks::from_update(&room.blocks().encode_state())
            .map_err(|error| (Oracle::ServerDocument, error.to_string()))?;
        live.collect();
        if stored.delete_set() != live.delete_set() {
            let (stored, live) = (stored.delete_set(), live.delete_set());
            return Err((Oracle::Stored, format!("delete set {stored:?}, in the room {live:?}")));
        }
        Ok(())
    }

    /// Nobody waits for anything.
    fn check_providers(&mut self) -> Result<(), Broken> {
        for (number, editor) in self.editors.iter_mut().enumerate() {
            let waits = |what: &str| Err((Oracle::Waiting, format!("replica {number} waits for {what}")));
            if !editor.provider.is_synced() {
                return waits("the server's state");
            }
            if !editor.provider.is_confirmed() {
                return waits("an acknowledgement");
            }
        }
        // The replica that had the rest may have lost it, and be another one now.
        let blocks = self.server.room(self.now)?.blocks();
        if let Some(id) = blocks.parked().missing().find(|id| blocks.state_vector().contains(*id)) {
            return Err((Oracle::Waiting, format!("updates are parked in the room, though {id:?} has come")));
        }
        Ok(())
    }

    /// All replicas are equal; gives their common view.
    fn check_replicas(&mut self) -> Result<View, Broken> {
        let mut first: Option<View> = None;
        for (number, editor) in self.editors.iter_mut().enumerate() {
            let view = editor.replica.view().map_err(|error| (Oracle::Refused, error.to_string()))?;
            let Some(first) = &first else {
                first = Some(view);
                continue;
            };
            let broken = |oracle, what: String| Err((oracle, format!("replica 0 and {number}: {what}")));
            if first.state_vector != view.state_vector {
                let (left, right) = (&first.state_vector, &view.state_vector);
                return broken(Oracle::StateVector, format!("{left:?} and {right:?}"));
            }
            if let Some(difference) = difference::contents(&first.content, &view.content) {
                return broken(Oracle::Content, difference);
            }
            if first.delete_set != view.delete_set {
                let (left, right) = (&first.delete_set, &view.delete_set);
                return broken(Oracle::DeleteSet, format!("{left:?} and {right:?}"));
            }
        }
        Ok(first.expect("there is a replica"))
    }

    /// The server has the same document as the replicas, in yrs and in Yjs.
    fn check_server(&mut self, replicas: &View) -> Result<(), Broken> {
        let room = self.server.room(self.now)?;
        let state = finish(room.snapshot()).state.to_bytes();
        let broken = |what: String| Err((Oracle::ServerDocument, what));
        if *room.blocks().state_vector() != replicas.state_vector {
            let (server, replicas) = (room.blocks().state_vector(), &replicas.state_vector);
            return broken(format!("state vector {server:?}, at the replicas {replicas:?}"));
        }
        // Replicas also delete what loses against a concurrent change, which no update says.
        let deletions =
            Acknowledged { delete_set: room.blocks().delete_set().clone(), ..Acknowledged::default() };
        if let Some(extra) = deletions.missing_in(&replicas.state_vector, &replicas.delete_set) {
            return broken(format!("the server has a deletion that the replicas do not have: {extra}"));
        }
        let refused = |error: crate::replica::ReplicaError| (Oracle::ServerDocument, error.to_string());
        let yrs =
            YrsReplica::from_updates(&[&state]).and_then(|mut replica| replica.view()).map_err(refused)?;
        if let Some(difference) = difference::contents(&yrs.content, &replicas.content) {
            return broken(format!("in yrs: {difference}"));
        }
        check_reencoding(&state, &yrs)?;
        if let Some(node) = self.surroundings.node {
            let yjs = node.view_of(&[&state]).map_err(refused)?;
            if let Some(difference) = difference::contents(&yjs.content, &replicas.content) {
                return broken(format!("in Yjs: {difference}"));
            }
        }
        Ok(())
    }

    /// Every replica sees the awareness states of all others.
    pub(super) fn check_awareness(&mut self) -> Result<(), Broken> {
        let own = |editor: &super::SimulatedEditor<'_>| {
            Some((editor.replica.client(), editor.provider.awareness().own()?.to_owned()))
        };
        let expected: BTreeMap<_, _> = self.editors.iter().filter_map(own).collect();
        for (number, editor) in self.editors.iter().enumerate() {
            let seen = editor.provider.awareness().states();
            if *seen != expected {
                return Err((
                    Oracle::Awareness,
                    format!("replica {number} sees {seen:?} instead of {expected:?}"),
                ));
            }
        }
        Ok(())
    }

    /// Acknowledged updates are there after the server has started again.
    pub(super) fn check_acknowledged(&mut self) -> Result<(), Failure> {
        let mut acknowledged = self.acknowledged.clone();
        for editor in &self.editors {
            acknowledged.extend(editor.provider.acknowledged());
        }
        let stored = self.server.stored().map_err(|broken| self.broken(broken))?;
        match acknowledged.missing_in(stored.state_vector(), stored.delete_set()) {
            Some(lost) => Err(self.broken((Oracle::Acknowledged, lost))),
            None => Ok(()),
        }
    }
}

/// A state that is decoded and encoded again is the same document. Its blocks may be cut differently, as those that were typed
/// one after the other are, but only once.
fn check_reencoding(state: &[u8], view: &View) -> Result<(), Broken> {
    let broken = |error: &dyn std::fmt::Display| (Oracle::Reencoding, error.to_string());
    let again = |state: &[u8]| Blocks::from_update(state).map(|blocks| blocks.encode_state());
    let once = again(state).map_err(|error| broken(&error))?;
    if once == state {
        return Ok(());
    }
    let twice = again(&once).map_err(|error| broken(&error))?;
    let reread = YrsReplica::from_updates(&[&once]).and_then(|mut replica| replica.view());
    let reread = reread.map_err(|error| broken(&error))?;
    if let Some(difference) = difference::contents(&reread.content, &view.content) {
        return Err(broken(&difference));
    }
    if reread != *view {
        return Err(broken(&"state vector or delete set are others"));
    }
    if twice != once {
        return Err(broken(&"encoded for the third time, it is different again"));
    }
    Ok(())
}
