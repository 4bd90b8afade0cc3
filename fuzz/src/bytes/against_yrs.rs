//! Documents as yrs reads them: the engine's encoding must make the same document as the updates that came.
//!
//! Not all that can be admitted converges. The place of a block follows from its origins, and those of a hostile client need
//! not make sense (an origin to the right of the right origin, say): where it ends up then depends on the order in which
//! blocks come, in Yjs as in yrs. So a difference only counts where yrs reads the same elements, written one by one and
//! without the engine, to one document in every order that is tried.

use bytes::Bytes;
use coscribe_engine::document::blocks::Blocks;
use coscribe_engine::document::state_vector::StateVector;
use coscribe_engine::lib0::write_var_uint;
use coscribe_engine::update::{Content, Id};

use super::elements::{Element, Elements};
use super::model::Model;
use super::oracle::{self, Answer};

/// Panics if yrs has another document than the state says when it applies the updates of one of these ways in their order.
pub(super) fn check(blocks: &Blocks, model: &Model, ways: &[Vec<Bytes>]) {
    if model.written().values().any(|element| element.content == Content::Json) {
        // yrs does not write it as it has read it.
        return;
    }
    let written = Written::of(model);
    let plain = written.at_once();
    let state = oracle::read(&[blocks.encode_state()]);
    check_ids(&state, blocks);
    for way in ways.iter().chain([&plain]).filter(|way| !way.is_empty()) {
        let other = oracle::read(way);
        check_ids(&other, blocks);
        // yrs refuses more than Yjs does: a deletion of nothing, if it does not know where that would be.
        let comparable = matches!(other, Answer::Document(_)) && state != Answer::Died;
        if !comparable || json(&other) == json(&state) {
            continue;
        }
        let orders = [plain.clone(), written.one_by_one(false), written.one_by_one(true)];
        let [first, second, third] = orders.map(|order| oracle::read(&order));
        let converges =
            json(&first).is_some() && json(&first) == json(&second) && json(&second) == json(&third);
        assert!(!converges, "yrs reads {first:?}\nas the state it is {state:?}\nin another way {other:?}");
    }
}

/// yrs knows as much as the engine, and has deleted all that was deleted. It may have deleted more: map entries that lost
/// against others, and what is in a type that was deleted.
fn check_ids(answer: &Answer, blocks: &Blocks) {
    if let Answer::Document(document) = answer {
        assert_eq!(&document.state_vector, blocks.state_vector(), "yrs knows as much");
        let mut deleted = document.delete_set.clone();
        deleted.extend(blocks.delete_set());
        assert_eq!(deleted, document.delete_set, "what was deleted is deleted in yrs");
    }
}

/// What yrs shows, if it has read a document.
fn json(answer: &Answer) -> Option<&str> {
    match answer {
        Answer::Document(document) => Some(&document.json),
        Answer::Refused | Answer::Died => None,
    }
}

/// The elements of a document in their encoding, each by itself but for the halves of surrogate pairs.
struct Written {
    blocks: Vec<Block>,
    deletions: Vec<u8>,
}

struct Block {
    id: Id,
    len: u32,
    dependencies: Vec<Id>,
    bytes: Vec<u8>,
}

impl Written {
    fn of(model: &Model) -> Self {
        let mut deletions = vec![0];
        model.delete_set().encode(&mut deletions);
        Self { blocks: blocks_of(model.written()), deletions }
    }

    /// In one update, and the deletions in another.
    fn at_once(&self) -> Vec<Bytes> {
        let mut out = Vec::new();
        let of_clients = || self.blocks.chunk_by(|a, b| a.id.client == b.id.client);
        write_var_uint(&mut out, of_clients().count() as u64);
        for blocks in of_clients() {
            write_var_uint(&mut out, blocks.len() as u64);
            write_var_uint(&mut out, blocks[0].id.client);
            write_var_uint(&mut out, blocks[0].id.clock.into());
            blocks.iter().for_each(|block| out.extend_from_slice(&block.bytes));
        }
        out.push(0);
        vec![out.into(), self.deletions.clone().into()]
    }

    /// Each in an update of its own, as soon as what it depends on has come: those of all clients by turns, from the first
    /// or from the last.
    fn one_by_one(&self, backwards: bool) -> Vec<Bytes> {
        let (mut state, mut updates) = (StateVector::default(), Vec::new());
        let mut waiting: Vec<&Block> = self.blocks.iter().collect();
        if backwards {
            waiting.reverse();
        }
        while !waiting.is_empty() {
            let before = waiting.len();
            waiting.retain(|block| {
                let ready = block.dependencies.iter().all(|&on| state.contains(on));
                if !ready || block.id.clock != state.get(block.id.client) {
                    return true;
                }
                state.set(block.id.client, block.id.clock + block.len);
                updates.push(block.alone());
                false
            });
            assert!(waiting.len() < before, "the model holds nothing whose dependencies are missing");
        }
        updates.push(self.deletions.clone().into());
        updates
    }
}

impl Block {
    fn alone(&self) -> Bytes {
        let mut out = vec![1, 1];
        write_var_uint(&mut out, self.id.client);
        write_var_uint(&mut out, self.id.clock.into());
        out.extend_from_slice(&self.bytes);
        out.push(0);
        out.into()
    }
}

fn blocks_of(elements: &Elements) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut elements = elements.iter().peekable();
    while let Some((&id, element)) = elements.next() {
        let follows = |next: &(&Id, &Element)| {
            next.0.client == id.client && next.1.origin == Some(id) && element.is_paired_with(next.1)
        };
        let second = elements.next_if(follows).map(|(_, second)| second);
        let mut bytes = Vec::new();
        element.write(second, &mut bytes);
        let len = 1 + u32::from(second.is_some());
        blocks.push(Block { id, len, dependencies: element.dependencies().collect(), bytes });
    }
    blocks
}
