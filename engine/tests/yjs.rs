//! The engine against real Yjs: committed histories with every kind of content, fresh random ones, and what they read
//! back from what the engine encodes.

mod oracle;

use bytes::Bytes;
use coscribe_engine::document::blocks::Blocks;
use coscribe_engine::document::id_set::IdSet;
use coscribe_engine::document::state_vector::StateVector;
use coscribe_engine::update::Update;
use oracle::Random;
use oracle::yjs::{Fixture, Yjs, fixtures};
use serde_json::{Value, json};

const GROUPS: [&str; 8] = ["text", "map", "array", "xml", "content", "garbage", "late", "random"];

fn admit_all(updates: &[Bytes]) -> Blocks {
    let mut blocks = Blocks::default();
    for update in updates {
        blocks.admit(&Update::scan(update.clone()).expect("an update of Yjs"), 1);
    }
    blocks
}

/// A delete set in the canonical form of the Node scripts: `[[client, [[clock, length], …]], …]`.
fn canonical_delete_set(set: &IdSet) -> Value {
    let mut clients: Vec<(u64, Vec<[u32; 2]>)> = Vec::new();
    for (client, range) in set.iter() {
        let range = [range.start, range.end - range.start];
        match clients.last_mut() {
            Some((last, ranges)) if *last == client => ranges.push(range),
            _ => clients.push((client, vec![range])),
        }
    }
    json!(clients)
}

/// Checks all that can be told of a document without Node.
///
/// Yjs may know of more deletions: where two editors set one key, or one edits what another deletes, whoever integrates
/// the blocks deletes the loser. Nobody needs to be told, so that no update says it.
fn assert_same_document(blocks: &Blocks, canonical: &Value, name: &str) {
    assert!(blocks.parked().is_empty(), "{name}: everything came, so nothing waits");
    let state_vector: Vec<_> = blocks.state_vector().iter().collect();
    assert_eq!(json!(state_vector), canonical["stateVector"], "{name}");
    let in_yjs = delete_set(&canonical["deleteSet"]);
    let mut union = in_yjs.clone();
    union.extend(blocks.delete_set());
    assert_eq!(union, in_yjs, "{name}: what was deleted is deleted in Yjs");
}

fn delete_set(canonical: &Value) -> IdSet {
    let clients: Vec<(u64, Vec<[u32; 2]>)> = serde_json::from_value(canonical.clone()).expect("a delete set");
    let mut set = IdSet::default();
    for (client, [clock, len]) in
        clients.into_iter().flat_map(|(client, ranges)| ranges.into_iter().map(move |range| (client, range)))
    {
        set.insert(client, clock..clock + len, |_| {});
    }
    set
}

#[test]
fn every_kind_of_content_is_admitted_in_every_order() {
    let mut random = Random(4);
    for Fixture { name, updates, state_vector, canonical } in GROUPS.iter().flat_map(|group| fixtures(group))
    {
        let in_order = admit_all(&updates);
        assert_same_document(&in_order, &canonical, &name);
        assert_eq!(in_order.state_vector().encode(), state_vector, "{name}: the encoding of Yjs");
        for _ in 0..4 {
            let mut shuffled = updates.clone();
            let doubled = random.below(shuffled.len() + 1);
            shuffled.extend_from_within(..doubled);
            random.shuffle(&mut shuffled);
            assert_same_document(&admit_all(&shuffled), &canonical, &name);
        }
    }
}

#[test]
fn what_never_gets_its_dependencies_waits() {
    for Fixture { name, updates, state_vector, canonical } in fixtures("unfilled") {
        let blocks = admit_all(&updates);
        assert!(!blocks.parked().is_empty(), "{name}");
        assert_eq!(blocks.state_vector().encode(), state_vector, "{name}");
        assert_eq!(canonical_delete_set(blocks.delete_set()), canonical["deleteSet"], "{name}");
    }
}

/// All that Yjs can be asked about one history.
fn assert_yjs_reads_the_same(yjs: &mut Yjs, random: &mut Random, history: (&[Bytes], &Value), name: &str) {
    let (updates, canonical) = history;
    let roots = &canonical["types"];
    let whole = admit_all(updates);
    assert_same_document(&whole, canonical, name);
    assert_eq!(&yjs.canonical(roots, &[whole.encode_state()]), canonical, "{name}: the whole state");

    let seen = random.below(updates.len() + 1);
    let replica = &updates[..seen];
    let diff = whole.diff(admit_all(replica).state_vector());
    let replica_and_diff: Vec<_> = replica.iter().cloned().chain([diff]).collect();
    assert_eq!(&yjs.canonical(roots, &replica_and_diff), canonical, "{name}: a diff from {seen}");

    let mut shuffled = updates.to_vec();
    random.shuffle(&mut shuffled);
    let merged: Vec<_> = shuffled.chunks(1 + random.below(6)).map(|some| yjs.merge(some)).collect();
    let blocks = admit_all(&merged);
    assert_same_document(&blocks, canonical, name);
    assert_eq!(&yjs.canonical(roots, &[blocks.encode_state()]), canonical, "{name}: merged with gaps");

    let (mut room, mut passed_on) = (Blocks::default(), Vec::new());
    for update in &shuffled {
        passed_on.extend(room.admit(&Update::scan(update.clone()).expect("an update of Yjs"), 1).update);
    }
    assert_eq!(&yjs.canonical(roots, &passed_on), canonical, "{name}: passed on one by one");
}

#[test]
fn yjs_reads_back_every_fixture() {
    let Some(mut yjs) = Yjs::start() else { return };
    let mut random = Random(5);
    for Fixture { name, updates, canonical, .. } in GROUPS.iter().flat_map(|group| fixtures(group)) {
        assert_yjs_reads_the_same(&mut yjs, &mut random, (&updates, &canonical), &name);
    }
}

/// `COSCRIBE_HISTORIES` asks for more than the usual number, `COSCRIBE_SEED` for others.
#[test]
fn yjs_reads_back_fresh_random_histories() {
    let Some(mut yjs) = Yjs::start() else { return };
    let number =
        |name: &str, usual| std::env::var(name).map_or(usual, |value| value.parse().expect("a number"));
    let (first, count) = (number("COSCRIBE_SEED", 1_000), number("COSCRIBE_HISTORIES", 40));
    for seed in first..first + count {
        let (updates, _, canonical) = yjs.history(seed);
        let mut random = Random(seed);
        assert_yjs_reads_the_same(&mut yjs, &mut random, (&updates, &canonical), &format!("seed {seed}"));
    }
}

/// What Yjs sends when all text is replaced: a block before the former one, which is deleted.
fn paste(clock: u32, former: Option<u32>, text: &str) -> Bytes {
    use coscribe_engine::lib0::{write_var_buf, write_var_uint};
    let mut update = vec![1, 1, 1];
    write_var_uint(&mut update, clock.into());
    match former {
        None => update.extend(b"\x04\x01\x04text"),
        Some(former) => {
            update.extend([0x44, 1]);
            write_var_uint(&mut update, former.into());
        }
    }
    write_var_buf(&mut update, text.as_bytes());
    match former {
        None => update.push(0),
        Some(former) => {
            update.extend([1, 1, 1]);
            write_var_uint(&mut update, former.into());
            write_var_uint(&mut update, (clock - former).into());
        }
    }
    update.into()
}

#[test]
fn what_was_replaced_takes_no_memory() {
    let mut blocks = Blocks::default();
    let (mut clock, mut former, mut text) = (0, None, String::new());
    for round in 0..10_000 {
        text = format!("{round:-^20000}");
        blocks.admit(&Update::scan(paste(clock, former, &text)).expect("an update"), 1);
        former = Some(clock);
        clock += 20_000;
    }
    assert!(blocks.memory() < 400_000, "{} bytes", blocks.memory());
    let state = blocks.encode_state();
    assert_eq!(oracle::Roots::of(&oracle::yrs_document(&[&state])).text, text);
    if let Some(mut yjs) = Yjs::start() {
        let canonical = yjs.canonical(&json!({ "text": "text" }), &[state]);
        assert_eq!(canonical["roots"]["text"], json!([{ "insert": text }]));
        assert_eq!(canonical["deleteSet"], canonical_delete_set(blocks.delete_set()));
    }
}

#[test]
fn a_large_document_reads_back_in_yjs() {
    let (Some(folder), Some(mut yjs)) = (oracle::corpora(), Yjs::start()) else { return };
    let update = Bytes::from(std::fs::read(folder.join("b4-update.bin")).expect("readable"));
    let roots = json!({ "text": "text" });
    let expected = yjs.canonical(&roots, &[&update]);
    let blocks = admit_all(&[update]);
    assert_same_document(&blocks, &expected, "b4");
    assert_eq!(yjs.canonical(&roots, &[blocks.diff(&StateVector::default())]), expected);
}
