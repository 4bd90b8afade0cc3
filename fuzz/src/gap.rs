//! Gaps: elements that updates build on, and that are missing.

use std::ops::Range;

use coscribe_engine::document::id_set::IdSet;
use coscribe_engine::document::state_vector::StateVector;
use coscribe_engine::update::{ClientId, Clock, Content, Id, Run, Update};

/// Whether an update builds on elements that are neither known nor in it.
pub(crate) fn has_gap(update: &Update, known: &StateVector) -> bool {
    let mut then = known.clone();
    for run in update.runs() {
        for block in run.blocks() {
            if block.content == Content::Skip || block.id.clock > then.get(run.client()) {
                return true;
            }
            then.set(run.client(), block.end().max(then.get(run.client())));
        }
    }
    let builds_on_others =
        |run: &Run| run.blocks().any(|block| block.dependencies().any(|id| !then.contains(id)));
    update.runs().any(|run| builds_on_others(&run))
        || update.deletions().any(|(client, range)| range.end > then.get(client))
}

/// The elements that updates build on or delete, and that none of them has.
pub(crate) fn missing(updates: &[Update]) -> Vec<(ClientId, Range<Clock>)> {
    let (mut there, mut needed) = (IdSet::default(), IdSet::default());
    for update in updates {
        for run in update.runs() {
            for block in run.blocks().filter(|block| block.content != Content::Skip) {
                there.insert(run.client(), block.id.clock..block.end(), |_| {});
                needed.insert(run.client(), 0..block.end(), |_| {});
                for Id { client, clock } in block.dependencies() {
                    needed.insert(client, 0..clock + 1, |_| {});
                }
            }
        }
        for (client, range) in update.deletions() {
            needed.insert(client, 0..range.end, |_| {});
        }
    }
    let mut missing = Vec::new();
    for (client, range) in needed.iter() {
        there.insert(client, range, |part| missing.push((client, part)));
    }
    missing
}
