//! What lies below deleted types goes as it goes in Yjs, whatever comes when; and nothing else does.

mod oracle;

use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::blocks::Blocks;
use coscribe_engine::message::Inbound;
use coscribe_engine::room::{PeerId, Room};
use coscribe_engine::update::Update;
use coscribe_engine::work::finish;
use oracle::Random;
use oracle::yjs::Yjs;
use serde_json::{Value, json};

const PEER: PeerId = PeerId(1);

/// A room that has one peer.
fn room() -> Room {
    let mut room = Room::default();
    room.connect(PEER, Duration::ZERO);
    tick(&mut room);
    room
}

/// An update comes from the peer, and the room does all that is due.
fn receive(room: &mut Room, update: &Bytes) {
    finish(room.receive(PEER, Inbound::Update(update.clone()), Duration::ZERO));
    tick(room);
}

fn tick(room: &mut Room) {
    let now = Duration::from_secs(1);
    loop {
        finish(room.tick(now));
        while room.poll_effect().is_some() {}
        if room.next_tick().is_none_or(|at| at > now) {
            return;
        }
    }
}

fn room_with(updates: &[Bytes]) -> Room {
    let mut room = room();
    updates.iter().for_each(|update| receive(&mut room, update));
    room
}

/// A room that is opened with what another has stored.
fn reopened(room: &mut Room) -> Room {
    finish(room.disconnect(PEER));
    let stored = finish(room.snapshot()).state.to_bytes();
    let mut room = Room::default();
    room.load(&stored).expect("a snapshot has no gap");
    room.resume_at(1);
    assert_eq!(room.blocks().encode_state(), stored, "nothing is left to collect");
    room
}

/// What is kept is at most a fifth more than what Yjs would send, and so is what a room keeps whose document is in use, but
/// for what is not worth a walk.
#[track_caller]
fn assert_as_small_as_in_yjs(yjs: &mut Yjs, room: &mut Room, updates: &[Bytes], name: &str) {
    let theirs = yjs.state(updates, true).len();
    let [live, stored] = [room.blocks().encode_state().len(), reopened(room).blocks().encode_state().len()];
    println!("{name}: {theirs} bytes in Yjs, {live} in the room, {stored} stored");
    assert!(stored * 5 <= theirs * 6, "{name}: {stored} bytes are stored, {theirs} would be in Yjs");
    assert!(live * 5 <= (theirs + 512) * 6, "{name}: {live} bytes are sent, {theirs} would be in Yjs");
}

#[test]
fn what_is_made_anew_again_and_again_takes_what_it_takes_in_yjs() {
    let Some(mut yjs) = Yjs::start() else { return };
    for (story, parameters) in [
        ("tables", json!({ "rounds": 300 })),
        ("paragraphs", json!({ "rounds": 10_000 })),
        ("chain", json!({ "depth": 2_000 })),
        ("turns", json!({})),
        ("losers", json!({})),
    ] {
        let (updates, roots, canonical) = yjs.story(story, parameters);
        let mut room = room_with(&updates);
        let state = room.blocks().encode_state();
        assert_eq!(yjs.canonical(&roots, &[state]), canonical, "{story}");
        assert_as_small_as_in_yjs(&mut yjs, &mut room, &updates, story);
        let memory = room.blocks().memory();
        let theirs = yjs.state(&updates, true).len();
        assert!(memory * 5 <= (theirs + 512) * 6, "{story}: {memory} bytes of memory, {theirs} in Yjs");
    }
}

/// Everything that can be asked of a history: what the server keeps after a part of it, or after all of it in some order, and
/// whether replicas that are anywhere arrive where Yjs does.
fn assert_converges(yjs: &mut Yjs, random: &mut Random, history: (&[Bytes], &Value, &Value), name: &str) {
    let (updates, roots, canonical) = history;
    let mut shuffled = updates.to_vec();
    let doubled = random.below(shuffled.len() + 1);
    shuffled.extend_from_within(..doubled);
    random.shuffle(&mut shuffled);
    for (order, updates) in [("in order", updates), ("shuffled", &shuffled)] {
        let state = collected(updates).encode_state();
        assert_eq!(&yjs.canonical(roots, &[state]), canonical, "{name}, {order}");

        // A part is collected early, what follows refers to it, and both are what a new replica gets.
        let (early, late) = updates.split_at(random.below(updates.len() + 1));
        let mut blocks = collected(early);
        let mut replica = vec![blocks.encode_state()];
        replica.extend_from_slice(late);
        // In any order there may be parked updates, which are not in the early state but come again with the rest.
        if order == "in order" {
            assert_eq!(&yjs.canonical(roots, &replica), canonical, "{name}: what came later, {order}");
        }
        late.iter().for_each(|update| admit(&mut blocks, update));
        blocks.collect();
        assert_eq!(
            &yjs.canonical(roots, &[blocks.encode_state()]),
            canonical,
            "{name}: in two parts, {order}"
        );

        // A replica that has seen some of it as it was, with or without garbage collection, and gets what it lacks.
        let seen = &updates[..random.below(updates.len() + 1)];
        let mut known = Blocks::default();
        seen.iter().for_each(|update| admit(&mut known, update));
        let diff = blocks.diff(known.state_vector());
        let replica: Vec<_> = seen.iter().cloned().chain([diff]).collect();
        assert_eq!(&yjs.canonical(roots, &replica), canonical, "{name}: a diff from {}, {order}", seen.len());
        let kept = yjs.state(&replica, false);
        assert_eq!(&yjs.canonical(roots, &[kept]), canonical, "{name}: one that keeps all, {order}");
    }
}

fn admit(blocks: &mut Blocks, update: &Bytes) {
    blocks.admit(&Update::scan(update.clone()).expect("an update of Yjs"), 1);
}

fn collected(updates: &[Bytes]) -> Blocks {
    let mut blocks = Blocks::default();
    updates.iter().for_each(|update| admit(&mut blocks, update));
    blocks.collect();
    blocks
}

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |value| value.parse().expect("a number"))
}

/// `COSCRIBE_HISTORIES` asks for more than the usual number, `COSCRIBE_SEED` for others.
#[test]
fn random_histories_converge_and_are_as_small_as_in_yjs() {
    let Some(mut yjs) = Yjs::start() else { return };
    let (first, count) = (number("COSCRIBE_SEED", 1), number("COSCRIBE_HISTORIES", 20));
    for seed in first..first + count {
        let rich = json!({ "seed": seed, "clients": 2 + seed % 3, "steps": 200 });
        let histories = [("rich", yjs.story("rich", rich)), ("random", yjs.history(seed))];
        for (kind, (updates, roots, canonical)) in histories {
            let (mut random, name) = (Random(seed), format!("{kind} {seed}"));
            assert_converges(&mut yjs, &mut random, (&updates, &roots, &canonical), &name);
            let mut room = room_with(&updates);
            assert_as_small_as_in_yjs(&mut yjs, &mut room, &updates, &name);
        }
    }
}
