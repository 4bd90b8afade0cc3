//! A plain model of collection: element by element, again and again until nothing changes.

use bytes::Bytes;
use coscribe_engine::document::blocks::Blocks;
use coscribe_engine::document::id_set::IdSet;
use coscribe_engine::update::{Content, Id, Update};

use super::elements::{self, Element, Elements};
use crate::limits;

/// Checks what becomes of a document, which may have been collected in between: `states` are states of the same.
pub(super) fn check(states: &[Bytes]) {
    let Some(mut expected) =
        elements_of(&states[0]).filter(|elements| elements.len() <= limits::COLLECTED_ELEMENTS)
    else {
        return;
    };
    let mut deleted = Blocks::from_update(&states[0]).expect("it was read before").delete_set().clone();
    collect(&mut expected, &mut deleted);
    for state in states {
        let mut blocks = Blocks::from_update(state).expect("the state has no gap");
        blocks.collect();
        assert_eq!(blocks.delete_set(), &deleted, "what is collected is deleted");
        let found = blocks.encode_state();
        elements::assert_same(&expected, &elements_of(&found).expect("there are as many as before"));
        blocks.collect();
        assert_eq!(blocks.encode_state(), found, "nothing is left to collect");
    }
}

fn elements_of(state: &Bytes) -> Option<Elements> {
    let update = Update::scan(state.clone()).expect("what was written can be read");
    Some(elements::of_update(&update)?.into_iter().collect())
}

fn collect(elements: &mut Elements, deleted: &mut IdSet) {
    loop {
        let goes = |element: &Element| {
            let is_gone = |on: Id| elements.get(&on).is_some_and(|on| on.content == Content::Gc);
            let below = element.parent.is_some_and(|parent| deleted.contains(parent));
            element.content != Content::Gc && (below || element.dependencies().any(is_gone))
        };
        let going: Vec<_> = elements.iter().filter(|(_, element)| goes(element)).map(|(&id, _)| id).collect();
        if going.is_empty() {
            return;
        }
        for id in going {
            deleted.insert(id.client, id.clock..id.clock + 1, |_| {});
            elements.insert(id, Element::gone());
        }
    }
}
