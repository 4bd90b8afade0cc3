//! Bytes that were made to crash, hang or bloat their reader.

mod oracle;

use bytes::Bytes;
use coscribe_engine::awareness::{Awareness, Speaker};
use coscribe_engine::document::blocks::Blocks;
use coscribe_engine::document::state_vector::StateVector;
use coscribe_engine::lib0::{write_var_buf, write_var_uint};
use coscribe_engine::limits::MAX_SAFE_INTEGER;
use coscribe_engine::peer::PeerId;
use coscribe_engine::update::{Update, UpdateError};
use proptest::prelude::*;
use std::time::Duration;

const SPEAKER: Speaker = Speaker { peer: PeerId(1), came: Duration::ZERO, begins: true };

/// An update of one block by client 1 at the start of the root `t`.
fn block(content: u8, body: &[u8]) -> Vec<u8> {
    [&[1, 1, 1, 0, content, 1, 1, b't'], body, &[0]].concat()
}

fn var_uint(number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    write_var_uint(&mut out, number);
    out
}

/// One block by each client, whose origin is the next client's block.
fn chain(clients: u64) -> Vec<u8> {
    let mut update = var_uint(clients);
    for client in 1..=clients {
        update.push(1);
        update.extend(var_uint(client));
        if client == clients {
            update.extend([0, 4, 1, 1, b't', 1, b'x']);
        } else {
            update.extend([0, 0x84]);
            update.extend(var_uint(client + 1));
            update.extend([0, 1, b'x']);
        }
    }
    update.push(0);
    update
}

/// All that the engine does with an update from the network.
fn take(bytes: &[u8]) -> Result<Blocks, UpdateError> {
    let update = Update::scan(Bytes::copy_from_slice(bytes))?;
    let mut blocks = Blocks::default();
    blocks.admit(&update, 1);
    let state = blocks.encode_state();
    let read_back = Blocks::from_update(&state).expect("what was admitted can be read back");
    assert_eq!(read_back.state_vector(), blocks.state_vector());
    assert_eq!(read_back.delete_set(), blocks.delete_set());
    Ok(blocks)
}

/// The most memory that was in use at once.
fn peak<T>(run: impl FnOnce() -> T) -> (usize, T) {
    let mut result = None;
    let allocations = allocation_counter::measure(|| result = Some(run()));
    (usize::try_from(allocations.bytes_max).expect("small"), result.expect("it ran"))
}

#[test]
fn updates_that_break_others_are_refused_in_little_memory() {
    let deep = |depth: usize| block(8, &[&[1][..], &[117, 1].repeat(depth), &[126]].concat());
    let claims = [&[118][..], &var_uint(1 << 26), &[1, b'k']].concat().repeat(12);
    let refused: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", vec![]),
        ("2^28 clients", vec![0xff, 0xff, 0xff, 0x7f]),
        ("arrays nested 6,200 deep", deep(6_200)),
        ("arrays nested 1,000,000 deep", deep(1_000_000)),
        ("nested maps of 2^26 entries", block(8, &[&[1][..], &claims].concat())),
        ("no content and a byte too many", vec![1, 1, 0x1e, 0, 2, 0x68, 0x65, 0x3f, 0, 0, 0]),
        ("a string of 2^53 bytes", block(4, &var_uint(MAX_SAFE_INTEGER))),
        ("a GC of 2^53 elements", [&[1, 1, 1, 0, 0][..], &var_uint(MAX_SAFE_INTEGER), &[0]].concat()),
        ("a clock of 2^53", [&[1, 1, 1][..], &var_uint(MAX_SAFE_INTEGER), &[0, 1, 0]].concat()),
        ("a deletion of 2^53 elements", [&[0, 1, 1, 1, 0][..], &var_uint(MAX_SAFE_INTEGER)].concat()),
        ("2^53 deletions", [&[0, 1, 1][..], &var_uint(MAX_SAFE_INTEGER)].concat()),
        (
            "clocks that add up to more than 2^31",
            [&[1, 2, 1, 0][..], &[0, 0xff, 0xff, 0xff, 0xff, 7].repeat(2), &[0]].concat(),
        ),
        ("a string that is not UTF-8", block(4, &[3, 0xff, 0xfe, 0xfd])),
        ("an embed that is not JSON", block(5, &[1, b'{'])),
        ("a format that is not JSON", block(6, &[1, b'b', 1, b'{'])),
        ("old JSON that is not JSON", block(2, &[1, 1, b'{'])),
        ("content that nobody knows", block(11, &[1])),
        ("a type that nobody knows", block(7, &[7])),
        ("a block that is its own origin", vec![1, 1, 1, 0, 0x84, 1, 0, 1, b'x', 0]),
        ("a block whose parent is a later one", vec![1, 1, 1, 0, 4, 0, 1, 9, 1, b'x', 0]),
        ("bytes after the end", vec![0, 0, 0]),
    ];
    for (name, bytes) in refused {
        let (memory, result) = peak(|| take(&bytes));
        assert!(result.is_err(), "{name} is refused");
        assert!(memory < 64 * 1024 + bytes.len(), "{name} took {memory} bytes");
    }
}

#[test]
fn updates_that_break_others_are_taken_in_little_memory() {
    let taken: Vec<(&str, Vec<u8>)> = vec![
        ("a chain of 18,500 clients", chain(18_500)),
        (
            "blocks that are each other's origin",
            vec![2, 1, 1, 0, 0x84, 2, 0, 1, b'x', 1, 2, 0, 0x84, 1, 0, 1, b'y', 0],
        ),
        ("blocks of no length", vec![1, 3, 1, 0, 0, 0, 4, 1, 1, b't', 0, 8, 1, 1, b't', 0, 0]),
        ("one client twice", vec![2, 1, 1, 0, 4, 1, 1, b't', 1, b'x', 1, 1, 0, 4, 1, 1, b't', 1, b'y', 0]),
        (
            "two billion elements",
            [&[1, 1, 1, 0, 0][..], &var_uint(i32::MAX.unsigned_abs().into()), &[0]].concat(),
        ),
        ("deletions of what nobody wrote", vec![0, 1, 9, 2, 0, 5, 7, 100]),
        ("text in an array", block(4, &[4, 0xf0, 0x9f, 0x98, 0x80])),
    ];
    for (name, bytes) in taken {
        let (memory, result) = peak(|| take(&bytes));
        assert!(result.is_ok(), "{name}: {:?}", result.err());
        assert!(memory < 16_000_000, "{name} took {memory} bytes");
    }
}

#[test]
fn other_messages_that_break_others_are_refused_in_little_memory() {
    let (memory, result) = peak(|| StateVector::decode(&[0xff, 0xff, 0xff, 0xff, 1]));
    assert!(result.is_err() && memory < 1024, "state vector: {memory} bytes");
    let claim = [var_uint(100_000_000), vec![1, 1, 2, b'{', b'}']].concat();
    let (memory, result) = peak(|| Awareness::default().receive(&SPEAKER, &claim, Duration::ZERO));
    assert!(result.is_err() && memory < 1024, "awareness: {memory} bytes");
}

#[test]
fn a_part_that_waits_does_not_keep_a_large_update_in_memory() {
    let mut update = var_uint(2);
    update.extend([1, 1, 0, 4, 1, 1, b't']);
    write_var_buf(&mut update, "x".repeat(1_000_000).as_bytes());
    update.extend([1, 2, 5, 0x84, 2, 4, 1, b'y', 0]);
    let update = Update::scan(update.into()).expect("an update");
    let mut blocks = Blocks::default();
    blocks.admit(&update, 1);
    assert!(!blocks.parked().is_empty());
    assert!(blocks.parked().bytes() < 1000);
    blocks.admit(&Update::scan(vec![1, 1, 2, 0, 0, 5, 0].into()).expect("an update"), 2);
    assert!(blocks.parked().is_empty());
    assert_eq!(blocks.parked().bytes(), 0);
}

/// Updates of real Yjs, to start from.
fn seeds() -> Vec<Bytes> {
    let groups = ["content", "text", "garbage", "late"];
    groups.iter().flat_map(|group| oracle::yjs::fixtures(group)).flat_map(|case| case.updates).collect()
}

/// Checks what holds for all bytes: no panic, and memory in proportion to the input. Gives whether they were taken.
fn scan_and_take(bytes: &[u8]) -> bool {
    let input = Bytes::copy_from_slice(bytes);
    let (memory, scanned) = peak(|| Update::scan(input));
    assert!(memory <= 1024 + 32 * bytes.len(), "scanning {} bytes took {memory}", bytes.len());
    if scanned.is_ok() {
        let (memory, taken) = peak(|| take(bytes));
        assert!(taken.is_ok());
        assert!(memory <= 16_384 + 512 * bytes.len(), "taking {} bytes took {memory}", bytes.len());
        return true;
    }
    false
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        scan_and_take(&bytes);
        let _ = StateVector::decode(&bytes);
        let _ = Awareness::default().receive(&SPEAKER, &bytes, Duration::ZERO);
    }

    #[test]
    fn small_numbers_make_blocks(bytes in prop::collection::vec(0u8..12, 0..120)) {
        scan_and_take(&bytes);
    }
}

#[test]
fn damaged_updates_are_read_or_refused() {
    let seeds = seeds();
    let (mut random, mut taken) = (oracle::Random(6), 0);
    for _ in 0..40_000 {
        let mut bytes = seeds[random.below(seeds.len())].to_vec();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len());
            match random.below(4) {
                0 => bytes[at] ^= 1 << random.below(8),
                1 => bytes[at] = random.next().to_le_bytes()[0],
                2 => bytes.truncate(at.max(1)),
                _ => drop(bytes.splice(at..at, [random.next().to_le_bytes()[0] & 0x8f])),
            }
        }
        taken += u32::from(scan_and_take(&bytes));
    }
    assert!(taken > 2_000, "only {taken} were worth a look");
}
