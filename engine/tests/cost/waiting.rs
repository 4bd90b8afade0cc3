//! Updates that wait for a gap to fill.

use coscribe_engine::dialect::sync::SyncMessage;
use coscribe_engine::dialect::y_websocket::sync_frame;
use coscribe_engine::room::PeerId;
use coscribe_engine::work::finish;

use crate::forged::{deletions, states, text, update, var_uint};
use crate::meter::{A, B, Meter};

#[test]
fn an_update_that_waits_does_not_keep_the_frame_that_it_came_in() {
    let mut meter = Meter::with(&[A, B]);
    let cost = meter.cost(|meter| {
        for client in 100..164u64 {
            let waits = [&[1, 1][..], &var_uint(client), &[5, 0, 1, 0]].concat();
            let filler =
                sync_frame(&SyncMessage::Step1(&[var_uint(250_000), [1, 1].repeat(250_000)].concat()));
            meter.receive(A, [&update(&waits)[..], &filler].concat());
        }
    });
    assert!(cost.memory < 8 << 20, "{cost:?}");
}

#[test]
fn deletions_that_wait_cost_a_keystroke_no_more_however_often_they_came() {
    let mut meter = Meter::with(&[A, B]);
    for _ in 0..2_000 {
        meter.receive(B, update(&deletions([(0, 1_000_000)])));
    }
    let cost = meter.cost(|meter| meter.receive(A, update(&text("x"))));
    cost.is_in_proportion();
    assert!(meter.room.blocks().delete_set().len() == 1 && !meter.room.blocks().parked().is_empty());
}

#[test]
fn very_many_deletions_that_wake_are_taken_in_with_pauses() {
    let mut meter = Meter::with(&[A, B]);
    let waits = update(&deletions((0..100_000).map(|n| (2 * n, 1))));
    meter.receive(B, waits.clone());
    let gc = [&[1, 1, 1, 0, 0][..], &var_uint(200_000), &[0]].concat();
    let mut cost = meter.cost(|meter| meter.receive(A, update(&gc)));
    assert!(meter.room.blocks().parked().is_empty());
    cost.bytes_in += waits.len() as u64;
    cost.is_in_proportion();
}

#[test]
fn what_wakes_is_charged_to_what_had_waited() {
    let mut meter = Meter::with(&[A, B]);
    let mut parked = 0;
    for clock in 2..2_000 {
        let (at, before) = (var_uint(clock), var_uint(clock - 1));
        let waits = update(&[&[1, 1, 1], &at[..], &[0x84, 1], &before, &[1, b'x', 0]].concat());
        parked += waits.len() as u64;
        meter.receive(B, waits);
    }
    let mut cost = meter.cost(|meter| meter.receive(A, update(&text("xy"))));
    assert!(meter.room.blocks().parked().is_empty());
    cost.bytes_in += parked;
    cost.messages += 2_000;
    cost.is_in_proportion();
}

#[test]
fn what_twenty_peers_have_pending_is_kept_and_logged_once() {
    let peers: Vec<_> = (1..=20).map(PeerId).collect();
    let mut meter = Meter::with(&peers);
    let typed: Vec<_> =
        (1..3_000).map(|clock| [&[0x84, 1][..], &var_uint(clock), &[1, b'x']].concat()).collect();
    for (clock, block) in (2..).zip(&typed) {
        meter.receive(A, update(&[&[1, 1, 1][..], &var_uint(clock), block, &[1, 1, 1, 0, 1]].concat()));
    }
    let all = [&[1][..], &var_uint(2_999), &[1, 2], &typed.concat(), &[1, 1, 1, 0, 1]].concat();
    let (before, logged) = (meter.room.blocks().parked().bytes(), meter.appends.len());
    let cost = meter.cost(|meter| {
        for &peer in &peers {
            meter.receive(peer, sync_frame(&SyncMessage::Step2(&all)));
            meter.receive(peer, update(&all));
        }
    });
    cost.is_in_proportion();
    let growth = meter.room.blocks().parked().bytes() - before;
    assert!(growth < 10_000, "{growth} bytes more");
    assert!(meter.appends.len() <= logged + 2, "what held deletions wait for is new, and nothing else");
    meter.receive(B, update(&text("xy")));
    assert!(meter.room.blocks().parked().is_empty());
}

#[test]
fn a_gap_that_comes_again_and_again_in_one_frame_is_asked_for_once() {
    let mut meter = Meter::with(&[A, B]);
    let clients: Vec<u8> =
        (100..20_100u64).flat_map(|client| [vec![1], var_uint(client), vec![0, 0, 1]].concat()).collect();
    meter.receive(A, update(&[var_uint(20_000), clients, vec![0]].concat()));
    let gap = [&update(&[1, 1, 1, 5, 0, 1, 0])[..], &sync_frame(&SyncMessage::Step2(&[0, 0]))].concat();
    let cost = meter.cost(|meter| meter.receive(B, gap.repeat(1_000)));
    assert_eq!(cost.frames, 1);
    cost.is_in_proportion();
}

#[test]
fn connections_that_come_and_go_do_not_walk_what_others_left() {
    let mut meter = Meter::with(&[A, B]);
    for client in 0..500 {
        let peer = PeerId(100 + client);
        meter.connect(peer);
        meter.receive(peer, states(&[(client, 1, "{}")]));
        meter.receive(peer, update(&[1, 1, 99, 5, 0, 1, 0]));
    }
    let cost = meter.cost(|meter| {
        meter.connect(PeerId(3));
        finish(meter.room.disconnect(PeerId(3)));
    });
    assert!(cost.steps < 100, "{cost:?}");
}
