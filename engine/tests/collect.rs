//! What lies below deleted types goes as it goes in Yjs, whatever comes when; and nothing else does.

mod oracle;

use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::document::blocks::Blocks;
use coscribe_engine::lib0::write_var_uint;
use coscribe_engine::limits::SLICE_STEPS;
use coscribe_engine::message::Inbound;
use coscribe_engine::room::{PeerId, Room, RoomLimits, Terms};
use coscribe_engine::update::Update;
use coscribe_engine::work::finish;
use oracle::Random;
use oracle::yjs::Yjs;
use serde_json::{Value, json};
use yrs::updates::decoder::Decode;
use yrs::{Doc, GetString, Options, Transact};

const PEER: PeerId = PeerId(1);

/// A room that has one peer.
fn room() -> Room {
    let mut room = Room::default();
    room.connect(PEER, Terms::default(), Duration::ZERO);
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

/// What yrs shows after these updates. It never frees what is deleted, as it has faults there.
fn in_yrs(updates: &[impl AsRef<[u8]>]) -> (oracle::Roots, String) {
    let document = Doc::with_options(Options { skip_gc: true, ..Options::default() });
    let xml = document.get_or_insert_xml_fragment("xml");
    oracle::Roots::of(&document);
    for update in updates {
        let update = yrs::Update::decode_v1(update.as_ref()).expect("an update");
        document.transact_mut().apply_update(update).expect("applies");
    }
    let roots = oracle::Roots::of(&document);
    let xml = xml.get_string(&document.transact());
    (roots, xml.split('<').map(with_sorted_attributes).collect())
}

/// An element as yrs shows it, without `<`: in which order it shows attributes is not decided.
fn with_sorted_attributes(element: &str) -> String {
    let (tag, text) = element.split_once('>').unwrap_or((element, ""));
    let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
    let mut attributes: Vec<_> = attributes.split(' ').collect();
    attributes.sort_unstable();
    format!("<{name} {}>{text}", attributes.join(" "))
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
            // yrs cannot read all that is in the others.
            if kind == "rich" {
                let state = room.blocks().encode_state();
                assert_eq!(in_yrs(&[state]), in_yrs(&updates), "{name} in yrs");
            }
        }
    }
}

#[test]
fn a_room_that_keeps_what_is_deleted_has_all_that_yjs_keeps_without_garbage_collection() {
    let Some(mut yjs) = Yjs::start() else { return };
    for seed in 0..10 {
        let story = json!({ "seed": seed, "gc": false, "steps": 120 });
        let (updates, roots, canonical) = yjs.story("rich", story);
        let mut room = Room::new(RoomLimits { keep_deleted: true, ..RoomLimits::default() });
        room.connect(PEER, Terms::default(), Duration::ZERO);
        updates.iter().for_each(|update| receive(&mut room, update));
        room.resume_at(1);
        let state = room.blocks().encode_state();
        assert_eq!(yjs.canonical(&roots, std::slice::from_ref(&state)), canonical, "seed {seed}");
        assert_eq!(yjs.state(&[state], false).len(), yjs.state(&updates, false).len(), "seed {seed}");
    }
}

/// An update of blocks: each with its client, its clock and its bytes; then deletions of one element each.
fn update_of(blocks: impl IntoIterator<Item = (u64, u64, Vec<u8>)>, deleted: &[(u64, u64)]) -> Bytes {
    let blocks: Vec<_> = blocks.into_iter().collect();
    let mut update = Vec::new();
    write_var_uint(&mut update, blocks.len() as u64);
    for (client, clock, bytes) in blocks {
        update.push(1);
        write_var_uint(&mut update, client);
        write_var_uint(&mut update, clock);
        update.extend(bytes);
    }
    write_var_uint(&mut update, deleted.len() as u64);
    for &(client, clock) in deleted {
        write_var_uint(&mut update, client);
        update.push(1);
        write_var_uint(&mut update, clock);
        update.push(1);
    }
    update.into()
}

/// A `Y.Array` in the root `array`, or in the type of another item.
fn array_in(parent: Option<(u64, u64)>) -> Vec<u8> {
    let mut block = vec![7];
    match parent {
        None => block.extend(b"\x01\x05array"),
        Some((client, clock)) => {
            block.push(0);
            write_var_uint(&mut block, client);
            write_var_uint(&mut block, clock);
        }
    }
    block.push(0);
    block
}

/// `true` behind an element.
fn behind((client, clock): (u64, u64)) -> Vec<u8> {
    let mut block = vec![0x88];
    write_var_uint(&mut block, client);
    write_var_uint(&mut block, clock);
    block.extend([1, 120]);
    block
}

/// Types of as many clients, each in the one of the client before it, or after it.
fn nested(depth: u64, inner_first: bool) -> Bytes {
    let client = |level: u64| 1 + if inner_first { depth - level } else { level };
    let types = (0..depth).map(|level| {
        let parent = level.checked_sub(1).map(|outer| (client(outer), 0));
        (client(level), 0, array_in(parent))
    });
    update_of(types, &[])
}

#[test]
fn a_hundred_thousand_types_of_as_many_clients_in_each_other_go_in_slices() {
    const DEPTH: u64 = 100_000;
    for inner_first in [false, true] {
        let mut room = room_with(&[nested(DEPTH, inner_first)]);
        let outermost = if inner_first { DEPTH + 1 } else { 1 };
        receive(&mut room, &update_of([], &[(outermost, 0)]));
        assert_eq!(room.blocks().delete_set().len(), 1);
        let (steps, memory) = (room.work(), room.blocks().memory());
        // One deletion is not worth a walk, but when all have left nobody waits for it.
        finish(room.disconnect(PEER));
        let taken = allocation_counter::measure(|| drop(finish(room.snapshot()))).bytes_max;
        assert_eq!(room.blocks().delete_set().len() as u64, DEPTH);
        let steps = room.work() - steps;
        println!("{} steps for each type, {taken} bytes beside {memory}", steps / DEPTH);
        assert!(steps < 40 * DEPTH && taken < 4 * memory as u64);
        assert!(room.longest_slice() < 2 * SLICE_STEPS, "{} steps at once", room.longest_slice());
    }
}

/// Two who write in turns in a type, which is the first block of the first of them.
fn in_turns(clients: [u64; 2], rounds: u64) -> Bytes {
    let [a, b] = clients;
    let mut blocks = vec![(a, 0, array_in(None))];
    let mut first = vec![8, 0];
    write_var_uint(&mut first, a);
    first.extend([0, 1, 120]);
    blocks.push((a, 1, first));
    for round in 0..rounds {
        blocks.push((b, round, behind((a, round + 1))));
        blocks.push((a, round + 2, behind((b, round))));
    }
    update_of(blocks, &[])
}

#[test]
fn what_two_wrote_in_turns_is_found_in_one_walk() {
    const ROUNDS: u64 = 20_000;
    for clients in [[1, 2], [2, 1]] {
        let mut room = room_with(&[in_turns(clients, ROUNDS)]);
        receive(&mut room, &update_of([], &[(clients[0], 0)]));
        let before = room.work();
        finish(room.disconnect(PEER));
        let state = finish(room.snapshot()).state;
        let bytes = state.len();
        assert!(bytes < 60, "{bytes} bytes");
        let steps = room.work() - before;
        assert!(steps < 40 * ROUNDS, "{steps} steps for {} blocks", 2 * ROUNDS);
    }
}

/// A client and a clock.
type Element = (u64, u64);

/// Types in each other, written by several clients, and what is behind them; as updates that each add one, or delete one.
struct Tree {
    random: Random,
    /// Each with its last element.
    types: Vec<(Element, Option<Element>)>,
    clocks: [u64; 9],
}

impl Tree {
    fn grow(&mut self) -> (u64, u64, Vec<u8>) {
        let writer = self.random.below(9);
        let id @ (client, clock) = (1 + writer as u64, self.clocks[writer]);
        self.clocks[writer] += 1;
        let among = self.types.len();
        // Mostly in the newest, so that many lie deep.
        let at = if self.random.below(4) > 0 {
            among.saturating_sub(1 + self.random.below(9))
        } else {
            self.random.below(among + 1)
        };
        let mut block = match self.types.get_mut(at) {
            None => array_in(None),
            Some((parent, last)) => match last.replace(id) {
                None => array_in(Some(*parent)),
                Some(before) => behind(before),
            },
        };
        if block[0] == 0x88 && self.random.below(3) > 0 {
            // A type behind the element, too.
            block.truncate(block.len() - 2);
            block[0] = 0x87;
            block.push(0);
        }
        if block[0] & 0x1f == 7 {
            self.types.push((id, None));
        }
        (client, clock, block)
    }

    fn update(&mut self) -> Bytes {
        if self.random.below(6) == 0 {
            let first = self.random.below(self.types.len());
            let deleted: Vec<_> = self.types[first..].iter().step_by(7).take(30).map(|(id, _)| *id).collect();
            return update_of([], &deleted);
        }
        let block = self.grow();
        update_of([block], &[])
    }
}

#[test]
fn edits_between_the_slices_of_a_collection_do_not_confuse_it() {
    for seed in 0..number("COSCRIBE_HISTORIES", 3) {
        let mut tree = Tree { random: Random(seed), types: Vec::new(), clocks: [0; 9] };
        let mut updates: Vec<Bytes> = (0..60_000).map(|_| update_of([tree.grow()], &[])).collect();
        let mut room = room_with(&updates);
        let (mut slices, mut now) = (0, Duration::from_secs(2));
        for step in 0..6_000 {
            let update = tree.update();
            updates.push(update.clone());
            finish(room.receive(PEER, Inbound::Update(update), now));
            let before = room.work();
            now += Duration::from_millis(20);
            finish(room.tick(now));
            while room.poll_effect().is_some() {}
            slices += u64::from(room.work() - before > SLICE_STEPS / 2);
            if step % 2_000 == 1_999 {
                let [live, expected] = [collected(&[room.blocks().encode_state()]), collected(&updates)];
                assert_eq!(live.state_vector(), expected.state_vector());
                assert_eq!(live.delete_set(), expected.delete_set(), "seed {seed}, step {step}");
            }
        }
        println!(
            "{slices} slices, {} bytes of {}",
            room.blocks().memory(),
            updates.iter().map(Bytes::len).sum::<usize>()
        );
        assert!(slices > 20 && room.longest_slice() < 3 * SLICE_STEPS);
    }
}

/// An array in the root `array`, and so many in it behind each other, all of client 1 from a clock on.
fn arrays(clock: u64, inner: u64) -> Bytes {
    let outer = [(1, clock, array_in(None)), (1, clock + 1, array_in(Some((1, clock))))];
    let others = (clock + 2..=clock + inner).map(|clock| {
        let mut block = vec![0x87, 1];
        write_var_uint(&mut block, clock - 1);
        block.push(0);
        (1, clock, block)
    });
    update_of(outer.into_iter().chain(others), &[])
}

#[test]
fn each_deleted_byte_pays_for_the_walks_over_what_stays() {
    const STAYS: u64 = 100_000;
    const ANEW: u64 = 5_000;
    let mut room = room_with(&[arrays(0, STAYS - 1)]);
    let (steps, mut bytes) = (room.work(), 0);
    for clock in (STAYS..).step_by(5_000).take(40) {
        let mut gone = vec![0, 1, 1, 1];
        write_var_uint(&mut gone, clock);
        write_var_uint(&mut gone, ANEW);
        for update in [arrays(clock, ANEW - 1), gone.into()] {
            bytes += update.len() as u64;
            receive(&mut room, &update);
        }
    }
    let steps = room.work() - steps;
    println!("{steps} steps for {bytes} bytes, {} of memory", room.blocks().memory());
    assert!(steps < 6 * bytes, "{steps} steps for {bytes} bytes");
    let memory = room.blocks().memory() as u64;
    assert!(memory < 10 * STAYS, "{memory} bytes are kept");
    assert!(room.longest_slice() < 2 * SLICE_STEPS);
}

#[test]
fn a_keystroke_never_waits_for_a_collection() {
    const INNER: u64 = 100_000;
    let inner = (1..=INNER).map(|clock| (1, clock, array_in(Some((1, 0)))));
    let document = [(1, 0, array_in(None))].into_iter().chain(inner);
    let mut room = room_with(&[update_of(document, &[])]);
    let mut all = vec![0, 1, 1, 1, 0];
    write_var_uint(&mut all, INNER + 1);
    let now = Duration::from_secs(2);
    finish(room.receive(PEER, Inbound::Update(all.into()), now));
    let mut most = 0;
    for clock in 0..200 {
        finish(room.tick(now));
        while room.poll_effect().is_some() {}
        let before = room.work();
        let keystroke = update_of([(2, clock, array_in(None))], &[]);
        finish(room.receive(PEER, Inbound::Update(keystroke), now));
        finish(room.tick(now));
        most = most.max(room.work() - before);
    }
    assert!(most > SLICE_STEPS / 2 && most < 2 * SLICE_STEPS, "{most} steps");
    let bytes = room.blocks().encode_state().len();
    assert!(bytes < 4_000, "{bytes} bytes");
}
