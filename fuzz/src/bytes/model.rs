//! A plain model of admitting updates: one element at a time, it looks at all waiting blocks again and again, and forgets
//! nothing.

use coscribe_engine::document::id_set::IdSet;
use coscribe_engine::document::state_vector::StateVector;
use coscribe_engine::update::{Clock, Content, Id, Update};

use super::elements::{self, Element, Elements};
use crate::limits;

/// The model has nothing to say: there are too many elements, or updates differ in one. Then the first one counts, and the
/// result depends on details.
#[derive(Debug)]
pub(super) struct Silent;

/// A document, and what waits for a gap to fill.
#[derive(Debug, Default)]
pub(super) struct Model {
    state: StateVector,
    elements: Elements,
    /// All that was ever said to be deleted, known or not.
    deletions: IdSet,
    waiting: Vec<Waiting>,
    /// All elements that were ever seen.
    seen: Elements,
}

/// A block whose dependencies are not known.
#[derive(Debug)]
struct Waiting {
    id: Id,
    end: Clock,
    dependencies: Vec<Id>,
    elements: Vec<(Id, Element)>,
}

impl Model {
    /// Takes in what can be of an update.
    pub(super) fn admit(&mut self, update: &Update) -> Result<(), Silent> {
        update.deletions().for_each(|(client, range)| self.deletions.insert(client, range, |_| {}));
        for (id, element) in elements::of_update(update).ok_or(Silent)? {
            if self.seen.insert(id, element.clone()).is_some_and(|before| before != element) {
                return Err(Silent);
            }
        }
        for run in update.runs() {
            self.waiting.extend(run.blocks().map(|block| Waiting {
                id: block.id,
                end: block.end(),
                dependencies: block.dependencies().collect(),
                elements: elements::of_block(&block),
            }));
        }
        if self.seen.len() > limits::MODEL_ELEMENTS || self.waiting.len() > limits::MODEL_ELEMENTS {
            return Err(Silent);
        }
        while self.take_in() {}
        Ok(())
    }

    /// Takes in every block that waits for nothing more; gives whether there was one.
    fn take_in(&mut self) -> bool {
        let before = self.waiting.len();
        for block in std::mem::take(&mut self.waiting) {
            let client = block.id.client;
            if block.end <= self.state.get(client) {
                continue;
            }
            let known = |id: &Id| id.client == client || self.state.contains(*id);
            if block.id.clock > self.state.get(client) || !block.dependencies.iter().all(known) {
                self.waiting.push(block);
                continue;
            }
            self.elements.extend(block.elements.into_iter().filter(|(id, _)| !self.state.contains(*id)));
            self.state.set(client, block.end.max(self.state.get(client)));
        }
        self.waiting.len() < before
    }

    /// How much of each client is known.
    pub(super) fn state_vector(&self) -> &StateVector {
        &self.state
    }

    /// The known elements as they came, deleted or not.
    pub(super) fn written(&self) -> &Elements {
        &self.elements
    }

    /// The known elements, those that are deleted without their content.
    pub(super) fn elements(&self) -> Elements {
        let deleted = self.delete_set();
        let seen = |(id, element): (&Id, &Element)| {
            (*id, if deleted.contains(*id) { element.without_content() } else { element.clone() })
        };
        self.elements.iter().map(seen).collect()
    }

    /// The known elements that are deleted.
    pub(super) fn delete_set(&self) -> IdSet {
        let mut set = IdSet::default();
        for (id, element) in &self.elements {
            if matches!(element.content, Content::Gc | Content::Deleted) || self.deletions.contains(*id) {
                set.insert(id.client, id.clock..id.clock + 1, |_| {});
            }
        }
        set
    }

    /// Whether anything waits.
    pub(super) fn waits(&self) -> bool {
        let waits = self.deletions.iter().any(|(client, range)| range.end > self.state.get(client));
        waits || !self.waiting.is_empty()
    }
}
