//! Memory that answers share.

use coscribe_engine::dialect::sync::SyncMessage;
use coscribe_engine::dialect::y_websocket::sync_frame;
use coscribe_engine::room::PeerId;

use crate::forged::{deletions, question, text, update, var_buf, var_uint};
use crate::meter::{A, B, MEMORY, MIB, Meter};

#[test]
fn an_answer_shares_also_what_still_grows() {
    let mut meter = Meter::with(&[A, B]);
    let line = var_buf(&[b'x'; 900]);
    let blocks = |client| [&[1][..], &var_uint(client), &[0, 4, 1, 1, b't'], &line].concat();
    let document: Vec<u8> = (1..5_000).flat_map(blocks).collect();
    meter.receive(A, update(&[&var_uint(4_999)[..], &document, &[0]].concat()));
    let cost = meter.cost(|meter| {
        for client in 10_000..10_020u64 {
            // The document changes before each question.
            let change = [&[1, 1][..], &var_uint(client), &[0, 0, 1, 0]].concat();
            meter.receive(A, [&update(&change)[..], &question()].concat());
        }
    });
    assert!(cost.bytes_out > 80 << 20 && cost.memory < MEMORY, "{cost:?}");
}

#[test]
fn what_three_hundred_lagging_peers_miss_is_kept_once() {
    let lagging: Vec<_> = (10..310).map(PeerId).collect();
    let mut meter = Meter::with(&[&[A][..], &lagging].concat());
    meter.receive(A, update(&text(&"x".repeat(600_000))));
    lagging.iter().for_each(|&peer| meter.room.stalled(peer));
    let cost = meter.cost(|meter| meter.receive(A, update(&deletions((0..300_000).map(|n| (2 * n, 1))))));
    println!("{cost:?}");
    // Each range is in the document's own set and in the log of changes: some 35 bytes each.
    assert!(cost.memory < 64 << 20, "{cost:?}");
    cost.is_in_proportion();
    let cost = meter.cost(|meter| {
        lagging.iter().for_each(|&peer| meter.room.drained(peer));
        meter.tick();
    });
    assert!(cost.frames >= 300, "{cost:?}");
    cost.is_in_proportion();
}

#[test]
fn a_large_document_that_forty_peers_ask_for_is_in_memory_once() {
    let readers: Vec<_> = (10..50).map(PeerId).collect();
    let mut meter = Meter::with(&[&[A][..], &readers].concat());
    meter.receive(A, update(&text(&"x".repeat(24 * MIB))));
    let cost = meter.cost(|meter| {
        for (&peer, clock) in readers.iter().zip(1..) {
            meter.receive(peer, sync_frame(&SyncMessage::Step1(&[1, 1, clock])));
        }
    });
    assert_eq!(cost.frames, 40);
    assert!(cost.bytes_out > 900 << 20 && cost.memory < MEMORY, "{cost:?}");
    cost.is_in_proportion();
}
