//! Questions and awareness: many of them are answered once.

use coscribe_engine::dialect::sync::SyncMessage;
use coscribe_engine::dialect::y_websocket::sync_frame;
use coscribe_engine::limits::AWARENESS_BYTES;
use coscribe_engine::room::PeerId;
use coscribe_engine::rope::Rope;

use crate::forged::{deletions, question, state_of, states, text, update, var_uint};
use crate::meter::{A, B, MIB, Meter};

#[test]
fn twenty_thousand_questions_in_one_frame_get_one_answer() {
    let mut meter = Meter::with(&[A, B]);
    meter.receive(A, update(&text(&"x".repeat(MIB))));
    let cost = meter.cost(|meter| meter.receive(B, question().repeat(20_000)));
    assert_eq!(cost.frames, 1);
    cost.is_in_proportion().takes_memory_for_what_came();
}

#[test]
fn merged_questions_are_answered_from_the_lower_clock_of_each_client() {
    let mut meter = Meter::with(&[A, B]);
    meter.receive(A, update(&text("abcdef")));
    meter.sent.clear();
    let asks = |clock| sync_frame(&SyncMessage::Step1(&[1, 1, clock]));
    meter.receive(B, [asks(5), asks(2), asks(4)].concat());
    let expected = sync_frame(&SyncMessage::Step2(&[1, 1, 1, 2, 0x84, 1, 1, 4, b'c', b'd', b'e', b'f', 0]));
    assert_eq!(meter.sent, [expected]);
}

#[test]
fn ten_thousand_awareness_queries_in_one_frame_get_one_answer() {
    let mut meter = Meter::with(&[A, B]);
    for client in 0..64 {
        meter.receive(A, states(&[(client, 1, &state_of(64 << 10))]));
    }
    let cost = meter.cost(|meter| meter.receive(B, vec![3; 10_000]));
    assert_eq!(cost.frames, 1);
    cost.is_in_proportion().takes_memory_for_what_came();
}

#[test]
fn a_hundred_thousand_tiny_updates_in_one_frame_are_a_record_or_two() {
    let mut frame = update(&text("x")).to_vec();
    for clock in 1..100_000 {
        let (clock, before) = (var_uint(clock), var_uint(clock - 1));
        frame.extend(update(&[&[1, 1, 1], &clock[..], &[0x84, 1], &before, &[1, b'x', 0]].concat()));
    }
    let mut meter = Meter::with(&[A, B]);
    let cost = meter.cost(|meter| meter.receive(A, frame));
    assert!(meter.appends.len() < 6, "{} records", meter.appends.len());
    let logged: usize = meter.appends.iter().map(Rope::len).sum();
    assert!(logged < 101_000, "{logged} bytes are logged");
    cost.is_in_proportion().takes_memory_for_what_came();
}

#[test]
fn a_stale_state_that_is_repeated_is_answered_once() {
    let mut meter = Meter::with(&[A, B]);
    meter.receive(A, states(&[(7, 5, "{}")]));
    meter.receive(A, states(&[(7, 6, "null")]));
    let fresh = state_of(64 << 10);
    let mut entries = vec![(7, 3, "{}"); 100_000];
    entries.push((7, 10, &fresh));
    let cost = meter.cost(|meter| meter.receive(A, states(&entries)));
    assert!(cost.bytes_out < 70_000, "{cost:?}");
    cost.is_in_proportion().takes_memory_for_what_came();
}

#[test]
fn a_removal_that_somebody_does_not_know_of_is_told_once() {
    let mut meter = Meter::with(&[A, B]);
    meter.receive(A, states(&[(7, 5, "{}")]));
    meter.receive(A, states(&[(7, 6, "null")]));
    let cost = meter.cost(|meter| meter.receive(A, states(&vec![(7, 3, "{}"); 100_000])));
    assert_eq!(meter.sent, [states(&[(7, 6, "null")])]);
    cost.is_in_proportion().takes_memory_for_what_came();
}

#[test]
fn questions_of_a_lagging_peer_do_not_copy_the_delete_set() {
    let mut meter = Meter::with(&[A, B]);
    meter.receive(A, update(&text(&"x".repeat(200_000))));
    meter.receive(A, update(&deletions((0..100_000).map(|n| (2 * n, 1)))));
    meter.room.stalled(B);
    let cost = meter.cost(|meter| meter.receive(B, question().repeat(1_500)));
    assert_eq!((cost.frames, cost.bytes_out), (0, 0));
    cost.is_in_proportion().takes_memory_for_what_came();
    let cost = meter.cost(|meter| {
        meter.room.drained(B);
        meter.tick();
    });
    assert_eq!(cost.frames, 1);
    cost.is_in_proportion();
}

#[test]
fn who_comes_gets_no_more_awareness_than_a_document_may_have() {
    let peers: Vec<_> = (10..70).map(PeerId).collect();
    let mut meter = Meter::with(&peers);
    for (&peer, n) in peers.iter().zip(0..) {
        for client in 0..64 {
            meter.receive(peer, states(&[(1_000 + 64 * n + client, 1, &state_of(64 << 10))]));
        }
    }
    meter.sent.clear();
    meter.connect(A);
    meter.tick();
    let largest = meter.sent.iter().map(Rope::len).max().unwrap_or_default();
    assert!(largest > AWARENESS_BYTES / 2 && largest < AWARENESS_BYTES + (64 << 10), "{largest}");
}
