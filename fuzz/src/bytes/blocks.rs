//! Updates are admitted into a document, which is checked against [`super::model`] and against yrs. The updates that it passes on
//! and encodes have no gap and make the same document. A room that gets the same updates does no more than it may.

use bytes::Bytes;
use coscribe_engine::dialect::sync::SyncMessage;
use coscribe_engine::dialect::y_websocket::sync_frame;
use coscribe_engine::document::blocks::{Blocks, Changes};
use coscribe_engine::document::state_vector::StateVector;
use coscribe_engine::lib0::Reader;
use coscribe_engine::room::PeerId;
use coscribe_engine::update::{Clock, Update};

use super::allocation::{Limit, bounded};
use super::elements::{self, Elements};
use super::model::Model;
use super::{against_yrs, collection, oracle, rounds};

/// Each client and each chunk takes some hundred bytes beside its content, and the shortest block has 5. A deletion, of 3
/// bytes, may copy one whole chunk.
const ADMIT: Limit = Limit { peak: 256, sum: 8192 };

/// Takes `data` as updates, each preceded by its length, of two peers who take turns.
pub fn blocks(data: &[u8]) {
    let mut history = History { model: Some(Model::default()), ..History::default() };
    for update in frames(data) {
        // Not every time: what follows a look is what costs.
        if history.came.len().is_power_of_two() {
            history.look();
        }
        history.admit(&update);
    }
    history.look();
    history.check_diffs();
    history.check_collection();
    history.check_cost();
    if oracle::is_to_be_asked(data) {
        history.check_with_yrs();
    }
}

/// What can be scanned among the updates in `data`.
fn frames(data: &[u8]) -> Vec<Update> {
    let mut reader = Reader::new(data);
    let mut updates = Vec::new();
    while let Ok(len) = reader.var_uint() {
        let len = usize::try_from(len).map_or(usize::MAX, |len| len).min(reader.remaining());
        let bytes = reader.take(len).expect("no more than there is");
        updates.extend(Update::scan(Bytes::copy_from_slice(bytes)));
    }
    updates
}

/// A document as it was at some point.
#[derive(Debug)]
struct Past {
    state: Bytes,
    state_vector: StateVector,
}

/// A document, what was made of it in several ways, and what led to it.
#[derive(Debug, Default)]
struct History {
    blocks: Blocks,
    /// `None` when it has nothing more to say.
    model: Option<Model>,
    came: Vec<Bytes>,
    /// Bytes of all that came.
    len: usize,
    passed_on: Vec<Bytes>,
    /// Whether anything ever waited.
    parked: bool,
    /// Loads what is passed on, one by one.
    follower: Blocks,
    /// Loads what is passed on, two by two.
    flushed: Blocks,
    unflushed: Changes,
    past: Vec<Past>,
}

impl History {
    fn admit(&mut self, update: &Update) {
        self.came.push(update.bytes().clone());
        self.len += update.bytes().len();
        let source = self.came.len() as u64 % 2;
        let blocks = &mut self.blocks;
        let (before, growth, parked) = (blocks.memory(), blocks.growth(update), blocks.parked().bytes());
        let admission = bounded(self.len, ADMIT, || blocks.admit(update, source));
        assert_eq!(admission.update.is_none(), admission.changes.is_empty());
        assert!(!admission.parked || self.blocks.parked().waits_for(source), "what is parked waits");
        assert!(!admission.woken || parked > 0, "only what is parked can wake");
        assert!(
            growth <= 64 * update.bytes().len() && self.blocks.memory() <= before + 256 * self.len + 4096
        );
        self.parked |= !self.blocks.parked().is_empty();
        let most = before + 2 * growth + 4096;
        assert!(self.parked || self.blocks.memory() <= most, "{} of {most}", self.blocks.memory());
        self.pass_on(admission.update, &admission.changes);
        if self.model.as_mut().is_some_and(|model| model.admit(update).is_err()) {
            self.model = None;
        }
    }

    /// The new part of an update has no gap for a replica that has everything before, and neither has a flush of several.
    fn pass_on(&mut self, update: Option<Bytes>, changes: &Changes) {
        if let Some(update) = update {
            self.follower.load(&update).expect("what is passed on has no gap");
            self.passed_on.push(update);
        }
        assert_same(&self.follower, &self.blocks);
        self.unflushed.extend(changes);
        if self.came.len().is_multiple_of(2) {
            let flush = self.blocks.diff_changes(&std::mem::take(&mut self.unflushed));
            self.flushed.load(&flush).expect("a flush has no gap");
            assert_same(&self.flushed, &self.blocks);
        }
    }

    /// Checks the document as it is now, and remembers it.
    fn look(&mut self) {
        let state = self.blocks.encode_state();
        self.check_state(&state);
        self.check_model(&state);
        self.past.push(Past { state, state_vector: self.blocks.state_vector().clone() });
    }

    /// The whole state can be read, and says the same.
    fn check_state(&self, state: &Bytes) {
        assert!(state.len() <= 4 * self.len + 16, "{} bytes became {}", self.len, state.len());
        let again = Blocks::from_update(state).expect("the state has no gap");
        assert_same(&again, &self.blocks);
        assert_eq!(elements_of(&again.encode_state()), elements_of(state), "encoding again changes nothing");
    }

    /// The document says what the model says, and nothing waits without a reason.
    fn check_model(&self, state: &Bytes) {
        let Some(model) = &self.model else { return };
        assert_eq!(self.blocks.state_vector(), model.state_vector());
        assert_eq!(self.blocks.delete_set(), &model.delete_set());
        assert_eq!(!self.blocks.parked().is_empty(), model.waits(), "waits for what is missing");
        if let Some(found) = elements_of(state) {
            elements::assert_same(&model.elements(), &found);
        }
    }

    /// A replica that was passed on everything has the same document, and one that stood anywhere gets just the missing elements.
    fn check_diffs(&self) {
        let state = self.blocks.encode_state();
        let all = elements_of(&state);
        if let (Some(all), Some(found)) = (&all, elements_of(&self.follower.encode_state())) {
            elements::assert_same(all, &found);
        }
        for Past { state, state_vector } in &self.past {
            let mut replica = Blocks::from_update(state).expect("it was read before");
            let diff = self.blocks.diff(state_vector);
            replica.load(&diff).expect("a diff has no gap");
            assert_same(&replica, &self.blocks);
            if let (Some(all), Some(found)) = (&all, elements_of(&replica.encode_state())) {
                elements::assert_same(all, &found);
            }
        }
        let halves: StateVector = self
            .blocks
            .state_vector()
            .iter()
            .map(|(client, clock): (_, Clock)| (client, clock / 2))
            .collect();
        let halves_diff = Update::scan(self.blocks.diff(&halves)).expect("a diff can be read");
        if let (Some(mut all), Some(found)) = (all, elements::of_update(&halves_diff)) {
            all.retain(|id, _| !halves.contains(*id));
            elements::assert_same(&all, &found.into_iter().collect());
        }
    }

    /// What lies below deleted types goes, whether that is looked for once or after each update.
    fn check_collection(&self) {
        let mut often = Blocks::default();
        for (update, source) in self.came.iter().zip([1, 0].into_iter().cycle()) {
            often.admit(&Update::scan(update.clone()).expect("it was read before"), source);
            often.collect();
        }
        collection::check(&[self.blocks.encode_state(), often.encode_state()]);
    }

    /// A room to which two peers send the same does no more than it may.
    fn check_cost(&self) {
        let frame = |(update, peer): (&Bytes, _)| (peer, sync_frame(&SyncMessage::Update(update)));
        let peers = [PeerId(2), PeerId(1)].into_iter().cycle();
        rounds::check(None, &self.came.iter().zip(peers).map(frame).collect::<Vec<_>>());
    }

    /// However yrs gets there, it has the same document in the end.
    fn check_with_yrs(&self) {
        let Some(model) = &self.model else { return };
        let diffs =
            self.past.iter().map(|past| vec![past.state.clone(), self.blocks.diff(&past.state_vector)]);
        let mut ways: Vec<_> = diffs.chain([self.passed_on.clone()]).collect();
        if !self.parked {
            ways.push(self.came.clone());
        }
        against_yrs::check(&self.blocks, model, &ways);
    }
}

/// The elements of an update; `None` if they are too many.
fn elements_of(update: &Bytes) -> Option<Elements> {
    let update = Update::scan(update.clone()).expect("what was written can be read");
    Some(elements::of_update(&update)?.into_iter().collect())
}

fn assert_same(copy: &Blocks, blocks: &Blocks) {
    assert_eq!(copy.state_vector(), blocks.state_vector());
    assert_eq!(copy.delete_set(), blocks.delete_set());
}
