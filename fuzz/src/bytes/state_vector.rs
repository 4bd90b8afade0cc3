//! A state vector is decoded; what is accepted is encoded to the same, and a diff from it is just what it lacks. A room that
//! is asked with it, once and often, does no more than it may.

use std::sync::OnceLock;

use bytes::Bytes;
use coscribe_engine::dialect::sync::SyncMessage;
use coscribe_engine::dialect::y_websocket::sync_frame;
use coscribe_engine::document::blocks::Blocks;
use coscribe_engine::document::state_vector::StateVector;
use coscribe_engine::room::PeerId;
use coscribe_engine::update::{Id, Update};

use super::allocation::{Limit, bounded};
use super::elements::{self, Elements};
use super::rounds;

/// An entry takes at least 2 bytes, and some 40 in a map, parts of which are empty.
const DECODE: Limit = Limit { peak: 64, sum: 64 };

/// Decodes `data` as a state vector.
pub fn state_vector(data: &[u8]) {
    let question = sync_frame(&SyncMessage::Step1(data));
    rounds::check(Some(&document().0.encode_state()), &[(PeerId(1), question)]);
    let Ok(state) = bounded(data.len(), DECODE, || StateVector::decode(data)) else { return };
    let encoded = state.encode();
    assert_eq!(StateVector::decode(&encoded).as_ref(), Ok(&state), "what was written can be read");
    assert!(state.len() <= data.len() / 2);
    for (client, clock) in state.iter() {
        assert_eq!(state.get(client), clock);
        assert!(state.contains(Id { client, clock: clock - 1 }) && !state.contains(Id { client, clock }));
    }
    assert_eq!(state.iter().collect::<StateVector>(), state);
    diff(&state);
}

/// A document that clients 1, 2, 3 and 127 have written, in blocks of every kind that can be cut, and its elements.
fn document() -> &'static (Blocks, Elements) {
    static DOCUMENT: OnceLock<(Blocks, Elements)> = OnceLock::new();
    DOCUMENT.get_or_init(|| {
        let update: &[u8] = &[
            &[4][..],
            // Three characters, the second of which takes two units.
            &[1, 127, 0, 4, 1, 1, b't', 6, b'a', 0xf0, 0x9f, 0x98, 0x80, b'b'],
            &[2, 3, 0, 8, 1, 1, b'a', 3, 126, 119, 1, b'x', 120, 0x81, 127, 1, 5],
            &[1, 2, 0, 0, 9],
            &[1, 1, 0, 2, 1, 1, b'a', 2, 1, b'1', 1, b'2'],
            &[1, 127, 1, 3, 1],
        ]
        .concat();
        let blocks = Blocks::from_update(update).expect("an update without gaps");
        let elements = elements_of(&blocks.encode_state());
        (blocks, elements)
    })
}

fn elements_of(update: &Bytes) -> Elements {
    let update = Update::scan(update.clone()).expect("an update");
    elements::of_update(&update).expect("not many").into_iter().collect()
}

/// A peer that knows this much gets all the rest, and nothing of what it knows.
fn diff(known: &StateVector) {
    let (document, all) = document();
    let found = elements_of(&document.diff(known));
    let lacking = || all.iter().filter(|(id, _)| !known.contains(**id));
    assert!(lacking().map(|(id, _)| id).eq(found.keys()), "just what is lacking is sent");
    for ((id, element), found) in lacking().zip(found.values()) {
        assert!(element.is(found), "{id:?}: {element:?} became {found:?}");
    }
}
