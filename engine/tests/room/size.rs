//! The limit of a document holds, whatever an update is made of; and a document at its limit can be shrunk and stored.

use bytes::Bytes;
use coscribe_engine::lib0::{write_var_buf, write_var_uint};
use coscribe_engine::limits::DELETIONS_SHARE;
use coscribe_engine::message::Reason;
use coscribe_engine::room::{PeerId, Room, RoomLimits};
use coscribe_engine::work::finish;

use super::stage::{A, B, Stage, number, typed, update};

const LIMIT: usize = 512 << 10;

/// The most that a document may take after deletions; a chunk more may be reserved.
const WITH_DELETIONS: usize = LIMIT + LIMIT / DELETIONS_SHARE + 4096;

fn room(limits: RoomLimits) -> Stage {
    let limits = RoomLimits { document_bytes: LIMIT, ..limits };
    let mut stage = Stage { room: Room::new(limits), ..Stage::default() };
    stage.connect(A);
    stage.connect(B);
    stage.tick();
    stage
}

/// Deletes these ranges of client 1: clock and length.
fn deletion(ranges: impl IntoIterator<Item = (u64, u64)>) -> Vec<u8> {
    let ranges: Vec<_> = ranges.into_iter().collect();
    let numbers = ranges.iter().flat_map(|&(clock, len)| [number(clock), number(len)].concat());
    [vec![0, 1, 1], number(ranges.len() as u64), numbers.collect()].concat()
}

/// Text that nearly fills the document.
fn full(stage: &mut Stage) -> u64 {
    let text = "x".repeat(LIMIT * 5 / 6);
    stage.send(A, update(&typed(1, 0, &text)));
    assert!(stage.closed.is_empty(), "{:?}", stage.closed);
    text.len() as u64
}

/// Connects as a new peer until the room takes no more of these updates, and gives how large the document became.
fn fill(stage: &mut Stage, updates: impl Iterator<Item = Vec<u8>>) -> usize {
    for (n, bytes) in (100..).zip(updates) {
        stage.connect(PeerId(n));
        stage.receive(PeerId(n), update(&bytes));
        finish(stage.room.disconnect(PeerId(n)));
        stage.settle();
    }
    assert!(
        stage.closed.iter().all(|(_, reason, words)| *reason == Reason::TooLarge && words.contains("large"))
    );
    assert!(!stage.closed.is_empty(), "some of them are too much");
    stage.room.blocks().memory()
}

#[test]
fn deletions_that_cut_a_text_into_characters_are_bounded() {
    let mut stage = room(RoomLimits::default());
    let len = full(&mut stage);
    let all_at_once = deletion((0..len / 2).map(|n| (2 * n, 1)));
    let a_hundred_at_once = (0..len / 200).map(|n| deletion((0..100).map(|m| (200 * n + 2 * m, 1))));
    let memory = fill(&mut stage, std::iter::once(all_at_once).chain(a_hundred_at_once));
    assert!(memory <= WITH_DELETIONS, "{memory}");
}

#[test]
fn deletions_are_bounded_also_where_nothing_loses_its_content() {
    let mut stage = room(RoomLimits { keep_deleted: true, ..RoomLimits::default() });
    let len = full(&mut stage);
    let memory = fill(&mut stage, (0..len / 20).map(|n| deletion((0..10).map(|m| (20 * n + 2 * m, 1)))));
    assert!(memory <= WITH_DELETIONS, "{memory}");
}

#[test]
fn a_range_that_comes_twice_frees_nothing_the_second_time() {
    let freed = || std::iter::repeat_n((0, 1_000), 500);
    let cuts = || (1_000..3_000).map(|n| (2 * n, 1));
    // In one list of ranges, or each with a list of its own.
    let in_a_list = deletion(freed().chain(cuts()));
    let lists: Vec<u8> = freed().map(|range| deletion([range])[2..].to_vec()).collect::<Vec<_>>().concat();
    let in_lists = [vec![0], number(501), lists, deletion(cuts())[2..].to_vec()].concat();
    for repeated in [in_a_list, in_lists] {
        let mut stage = room(RoomLimits::default());
        full(&mut stage);
        let memory = fill(&mut stage, [repeated].into_iter());
        assert!(memory < LIMIT, "all of it is refused: {memory}");
    }
    let mut stage = room(RoomLimits::default());
    full(&mut stage);
    // What is freed once counts once: 1,000 characters for ten cuts and the range itself.
    stage.send(A, update(&deletion(std::iter::once((0, 1_000)).chain(cuts().take(9)))));
    assert!(stage.closed.is_empty() && stage.room.blocks().delete_set().len() == 10);
}

#[test]
fn deletions_of_elements_that_come_later_are_bounded() {
    let limits = RoomLimits { parked_bytes: 64 << 10, ..RoomLimits::default() };
    let mut stage = room(limits);
    let ranges = (0..600).map(|n| (2 * n, 1));
    stage.send(A, update(&deletion(ranges)));
    assert!(!stage.room.blocks().parked().is_empty() && stage.closed.is_empty());
    let before = stage.room.blocks().memory();
    stage.send(B, update(&typed(1, 0, &"x".repeat(1_200))));
    assert!(stage.room.blocks().parked().is_empty() && stage.room.blocks().delete_set().len() == 600);
    // They were charged for what they take now when they came.
    assert!(stage.room.blocks().memory() <= before + 2_000);
    let many = (0..).map(|n| deletion((0..100).map(|m| (10_000 + 200 * n + 2 * m, 1)))).take(20);
    for (n, bytes) in (100..).zip(many) {
        stage.connect(PeerId(n));
        stage.receive(PeerId(n), update(&bytes));
    }
    stage.flush();
    assert!(stage.closed.iter().any(|(_, reason, _)| *reason == Reason::Overload));
}

#[test]
fn many_clients_count_with_their_places() {
    let mut stage = room(RoomLimits::default());
    // Each has one element without content, of two bytes.
    let crowd = |first: u64, many: u64| {
        let blocks =
            (first..first + many).flat_map(|client| [&[1], &number(client)[..], &[0, 0, 1]].concat());
        [number(many), blocks.collect(), vec![0]].concat()
    };
    let memory = fill(&mut stage, [crowd(1_000, 50_000)].into_iter());
    assert!(memory < 4096, "all of them are refused: {memory}");
    let memory = fill(&mut stage, (0..600).map(|n| crowd(1_000 + 10 * n, 10)));
    assert!(memory <= LIMIT + 4096, "{memory}");
    assert!(stage.room.blocks().state_vector().len() > 2_000, "{}", stage.room.blocks().state_vector().len());
}

#[test]
fn blocks_without_content_between_others_count_with_their_ranges() {
    let mut stage = room(RoomLimits::default());
    // Deleted elements and bytes, one after the other, each with an element of another client as its origin.
    stage.send(A, update(&typed(2, 0, "o")));
    let pairs = |client: u64, many: u64| {
        let blocks = [0x81, 2, 0, 1, 0x83, 2, 0, 0].repeat(usize::try_from(many).expect("few"));
        [vec![1], number(2 * many), number(client), vec![0], blocks, vec![0]].concat()
    };
    let memory =
        fill(&mut stage, std::iter::once(pairs(3, 50_000)).chain((0..200).map(|n| pairs(1_000 + n, 200))));
    assert!(memory <= LIMIT + 4096, "{memory}");
}

#[test]
fn names_count() {
    let mut stage = room(RoomLimits::default());
    let named = |client: u64| {
        let mut bytes = [&[1, 1][..], &number(client), &[0, 4, 1]].concat();
        write_var_buf(&mut bytes, &[b'n'; 30_000]);
        bytes.extend([1, b'x', 0]);
        bytes
    };
    let memory = fill(&mut stage, (1_000..1_030).map(named));
    assert!(memory <= LIMIT + 4096, "{memory}");
}

#[test]
fn a_document_at_its_limit_can_be_read_shrunk_and_stored() {
    let mut stage = room(RoomLimits::default());
    let len = full(&mut stage);
    fill(&mut stage, (0..len / 400).map(|n| deletion((0..100).map(|m| (200 * n + 2 * m, 1)))));
    let refused = stage.closed.len();
    assert!(stage.room.blocks().memory() > LIMIT, "it is over it, as far as deletions may make it");
    let snapshot = finish(stage.room.snapshot());
    assert!(snapshot.reads_back() && snapshot.state.len() <= WITH_DELETIONS);
    stage.send(B, update(&typed(7, 0, "x")));
    assert_eq!(stage.closed.len(), refused + 1, "nothing is added");
    let before = stage.room.blocks().memory();
    stage.connect(PeerId(3));
    stage.send(PeerId(3), update(&deletion([(len / 2, len / 4)])));
    assert_eq!(stage.closed.len(), refused + 1, "what frees more than it adds is taken in");
    assert!(stage.room.blocks().memory() + LIMIT / 8 < before);
    stage.send(PeerId(3), update(&typed(8, 0, "there is room again")));
    assert_eq!(stage.closed.len(), refused + 1);
}

#[test]
fn a_replacement_that_makes_it_smaller_is_taken_in() {
    let mut stage = room(RoomLimits::default());
    let mut at = full(&mut stage);
    while stage.closed.is_empty() {
        stage.send(A, update(&typed(1, at, &"y".repeat(500))));
        at += 500;
    }
    let mut replaced = typed(9, 0, &"z".repeat(4_000));
    replaced.pop();
    replaced.extend([1, 1, 1, 0]);
    write_var_uint(&mut replaced, 10_000);
    stage.send(B, update(&replaced));
    assert_eq!(stage.closed.len(), 1);
    assert_eq!(stage.room.blocks().state_vector().get(9), 4_000);
}

#[test]
fn who_brings_refused_deletions_again_is_closed_later() {
    let mut stage = room(RoomLimits::default());
    let len = full(&mut stage);
    let too_much: Bytes = update(&deletion((0..len / 2).map(|n| (2 * n, 1))));
    stage.send(A, too_much.clone());
    assert!(matches!(&stage.closed[..], [(A, Reason::TooLarge, words)] if words.contains("too large")));
    stage.send(B, too_much);
    assert_eq!(stage.closed.len(), 1, "it stays for a second");
    stage.wait(std::time::Duration::from_secs(1));
    stage.tick();
    assert_eq!(stage.closed.len(), 2);
}
