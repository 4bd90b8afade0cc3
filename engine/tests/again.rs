//! What honest clients send again, whole or cut in another way, by Yjs or by yrs, never counts as another client's.

mod oracle;

use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::lib0::Reader;
use coscribe_engine::message::Inbound;
use coscribe_engine::room::{Effect, PeerId, Room, Terms};
use coscribe_engine::update::Update;
use coscribe_engine::work::finish;
use oracle::yjs::{Fixture, Yjs, fixtures};
use oracle::{Random, corpora};
use yrs::updates::decoder::Decode;
use yrs::{Doc, ReadTxn, StateVector, Transact};

const GROUPS: [&str; 8] = ["text", "map", "array", "xml", "content", "garbage", "late", "random"];

const PEER: PeerId = PeerId(1);

/// A room that takes in everything.
struct Taking {
    room: Room,
    name: String,
}

impl Taking {
    fn all_of(updates: &[Bytes], name: &str) -> Self {
        let mut taking = Self { room: Room::default(), name: name.to_owned() };
        taking.room.connect(PEER, Terms::default(), Duration::ZERO);
        updates.iter().for_each(|update| taking.take(update));
        taking
    }

    fn take(&mut self, update: &Bytes) {
        finish(self.room.receive(PEER, Inbound::Step2(update.clone()), Duration::ZERO));
        finish(self.room.tick(Duration::ZERO));
        while let Some(effect) = self.room.poll_effect() {
            assert!(!matches!(effect, Effect::Part { .. }), "{}: {effect:?} for {update:?}", self.name);
        }
    }
}

/// What a client with yrs sends; `None` where it cannot read something that Yjs writes. It overlooks the name of an XML hook, and
/// what it sends then is no update.
fn state_in_yrs(updates: &[Bytes]) -> Option<Bytes> {
    let document = Doc::new();
    for update in updates {
        let update = yrs::Update::decode_v1(update).ok()?;
        document.transact_mut().apply_update(update).ok()?;
    }
    let state = Bytes::from(document.transact().encode_state_as_update_v1(&StateVector::default()));
    Update::scan(state.clone()).is_ok().then_some(state)
}

/// What clients that were here until different moments send.
fn states(updates: &[Bytes], yjs: Option<&mut Yjs>, random: &mut Random) -> Vec<Bytes> {
    let until = [updates.len(), random.below(updates.len() + 1), random.below(updates.len() + 1)];
    let mut states: Vec<_> = until.iter().filter_map(|&until| state_in_yrs(&updates[..until])).collect();
    if let Some(yjs) = yjs {
        for until in until {
            states.extend([true, false].map(|gc| yjs.state(&updates[..until], gc)));
        }
        let mut shuffled = updates.to_vec();
        random.shuffle(&mut shuffled);
        states.extend(shuffled.chunks(1 + random.below(6)).map(|some| yjs.merge(some)));
    }
    states
}

/// A document that was made in some order takes in everything in any other.
fn assert_taken_again(updates: &[Bytes], yjs: Option<&mut Yjs>, random: &mut Random, name: &str) {
    let states = states(updates, yjs, random);
    let everything: Vec<_> = updates.iter().chain(&states).cloned().collect();
    for first in [updates, &states] {
        let mut taking = Taking::all_of(first, name);
        everything.iter().for_each(|update| taking.take(update));
        let whole = taking.room.blocks().encode_state();
        taking.take(&whole);
    }
    let mut shuffled = everything;
    random.shuffle(&mut shuffled);
    let mut taking = Taking::all_of(&shuffled, name);
    taking.room.resume_at(0);
    shuffled.iter().for_each(|update| taking.take(update));
}

#[test]
fn every_kind_of_content() {
    let (mut yjs, mut random) = (Yjs::start(), Random(6));
    for Fixture { name, updates, .. } in GROUPS.iter().flat_map(|group| fixtures(group)) {
        assert_taken_again(&updates, yjs.as_mut(), &mut random, &name);
    }
}

/// `COSCRIBE_HISTORIES` asks for more than the usual number, `COSCRIBE_SEED` for others.
#[test]
fn fresh_random_histories() {
    let Some(mut yjs) = Yjs::start() else { return };
    let number =
        |name: &str, usual| std::env::var(name).map_or(usual, |value| value.parse().expect("a number"));
    let (first, count) = (number("COSCRIBE_SEED", 9_000), number("COSCRIBE_HISTORIES", 20));
    for seed in first..first + count {
        let (updates, ..) = yjs.history(seed);
        assert_taken_again(&updates, Some(&mut yjs), &mut Random(seed), &format!("seed {seed}"));
    }
}

#[test]
fn the_corpora() {
    let Some(folder) = corpora() else { return };
    let read = |name| Bytes::from(std::fs::read(folder.join(name)).expect("readable"));
    let whole = read("b4-update.bin");
    assert_taken_again(&[whole], Yjs::start().as_mut(), &mut Random(7), "b4");
    let bytes = read("yjs-random-cases.bin");
    let mut reader = Reader::new(&bytes);
    for case in 0..reader.var_uint().expect("a count") {
        let updates = reader.var_uint().expect("a count");
        let updates: Vec<_> =
            (0..updates).map(|_| bytes.slice_ref(reader.var_buf().expect("an update"))).collect();
        reader.var_buf().expect("text");
        reader.skip_any().expect("a map");
        reader.skip_any().expect("an array");
        assert_taken_again(&updates, None, &mut Random(case), &format!("case {case}"));
    }
}
