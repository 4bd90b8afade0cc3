//! What waits for a gap to fill belongs to the document: it outlives who sent it, and the server.

use bytes::Bytes;
use coscribe_engine::dialect::sync::SyncMessage;
use coscribe_engine::dialect::y_websocket::{sync_frame, sync_status_frame};
use coscribe_engine::document::blocks::Blocks;
use coscribe_engine::message::Reason;
use coscribe_engine::room::{PeerId, Room, RoomLimits};
use coscribe_engine::work::finish;

use super::stage::{A, B, C, Stage, typed, update};

/// `client` types `text` after its own text, and deletes `len` elements from `at` on, in one edit.
fn replaced(client: u8, clock: u64, text: &str, at: u8, len: u8) -> Vec<u8> {
    let mut edit = typed(client, clock, text);
    edit.pop();
    edit.extend([1, client, 1, at, len]);
    edit
}

fn step_2(update: &[u8]) -> Bytes {
    sync_frame(&SyncMessage::Step2(update))
}

/// The document as the log has it.
fn stored(stage: &Stage) -> Blocks {
    let stage = stage.restarted(&[]);
    let mut blocks = Blocks::default();
    stage.log.iter().for_each(|(_, update)| blocks.load(update).expect("no gap"));
    blocks
}

fn elements(stage: &Stage) -> (u32, usize) {
    let blocks = stage.room.blocks();
    (blocks.state_vector().get(1), blocks.delete_set().len())
}

/// A word is replaced, and what was typed before that is late: the first and the last of three edits have come.
fn half_a_replacement(stage: &mut Stage) {
    stage.send(A, update(&typed(1, 0, "word")));
    stage.send(A, update(&replaced(1, 5, "other", 0, 4)));
}

#[test]
fn what_waits_outlives_its_source() {
    let mut stage = Stage::with(&[A, B]);
    half_a_replacement(&mut stage);
    finish(stage.room.disconnect(A));
    assert_eq!(elements(&stage), (4, 0), "the deletion waits for what replaces the word");
    stage.send(B, update(&typed(1, 4, "x")));
    assert_eq!(elements(&stage), (10, 1));
    assert!(stage.room.blocks().parked().is_empty());
    assert_eq!(stored(&stage).state_vector().get(1), 10);
}

#[test]
fn what_waits_outlives_the_server() {
    let mut stage = Stage::with(&[A]);
    half_a_replacement(&mut stage);
    let mut stage = stage.restarted(&[B]);
    assert_eq!(elements(&stage), (4, 0));
    stage.send(B, update(&typed(1, 4, "x")));
    assert_eq!(elements(&stage), (10, 1));
    assert!(stage.room.blocks().parked().is_empty());
    let stage = stage.restarted(&[]);
    assert_eq!(elements(&stage), (10, 1), "what waited is in the log as what has come");
    assert!(stage.room.blocks().parked().is_empty());
}

#[test]
fn a_deletion_is_not_shown_before_what_replaces_it() {
    let mut stage = Stage::with(&[A, B]);
    half_a_replacement(&mut stage);
    let mut replica = Blocks::default();
    let frames = stage.take(B);
    frames.iter().for_each(|frame| replica.load(&super::stage::update_of(frame)).expect("no gap"));
    assert!(replica.delete_set().is_empty() && replica.state_vector().get(1) == 4);
    stage.send(A, step_2(&typed(1, 4, "x")));
    stage.take_update(B, &mut replica);
    assert_eq!((replica.delete_set().len(), replica.state_vector().get(1)), (1, 10));
}

#[test]
fn a_whole_document_does_not_hold_its_deletions() {
    let mut stage = Stage::with(&[A]);
    stage.send(A, update(&typed(1, 0, "word")));
    stage.send(A, step_2(&replaced(1, 5, "other", 0, 4)));
    assert_eq!(elements(&stage), (4, 1));
    assert_eq!(elements(&stage.restarted(&[])), (4, 1));
}

#[test]
fn a_held_deletion_of_what_is_unknown_waits_for_that_too() {
    let mut stage = Stage::with(&[A, B]);
    // Client 1 types behind what is missing, and deletes what client 2 has not sent.
    let mut edit = typed(1, 1, "b");
    edit.pop();
    edit.extend([1, 2, 1, 0, 3]);
    stage.send(A, update(&edit));
    stage.send(A, sync_status_frame(b"1"));
    stage.send(A, update(&typed(1, 0, "a")));
    assert!(stage.room.blocks().parked().waits_for(A.0), "the deletion waits for what it deletes");
    let mut again = stage.restarted(&[B]);
    for stage in [&mut stage, &mut again] {
        stage.send(B, update(&typed(2, 0, "xyz")));
        assert!(stage.room.blocks().parked().is_empty());
        assert_eq!(stage.room.blocks().delete_set().len(), 1);
    }
}

#[test]
fn what_twenty_peers_send_waits_once() {
    let peers: Vec<_> = (1..=20).map(PeerId).collect();
    let mut stage = Stage::with(&peers);
    for clock in 1..10 {
        stage.send(A, update(&replaced(1, clock, "x", 100, 3)));
    }
    let all = replaced(1, 1, "xxxxxxxxx", 100, 3);
    stage.send(A, step_2(&all));
    let (waits, logged) = (stage.room.blocks().parked().bytes(), stage.waiting.len());
    for &peer in &peers {
        stage.send(peer, step_2(&all));
        stage.send(peer, update(&replaced(1, 5, "x", 100, 3)));
        assert!(stage.room.blocks().parked().waits_for(peer.0));
    }
    assert_eq!(stage.waiting.len(), logged, "nothing new waits");
    let growth = stage.room.blocks().parked().bytes() - waits;
    assert!(growth < 20 * 4 * 64 + 2, "{growth} bytes more");
    for &peer in &peers {
        stage.send(peer, sync_status_frame(b"1"));
    }
    stage.send(C, update(&typed(1, 0, "a")));
    assert!(peers[3..].iter().all(|peer| stage.room.blocks().parked().waits_for(peer.0)));
    stage.send(C, update(&typed(1, 10, &"y".repeat(100))));
    assert!(stage.room.blocks().parked().is_empty());
    assert_eq!(stage.room.blocks().parked().bytes(), 0);
    stage.frames.clear();
    stage.room.durable(stage.room.sequence());
    stage.flush();
    assert!(peers.iter().all(|&peer| stage.take(peer).len() == 1), "each gets its receipt");
    assert_eq!(elements(&stage.restarted(&[])), (110, 1));
}

#[test]
fn a_longer_run_takes_the_place_of_those_in_it() {
    let mut stage = Stage::with(&[A, B]);
    for clock in 1..200 {
        stage.send(A, update(&typed(1, clock, "x")));
    }
    let before = stage.room.blocks().parked().bytes();
    stage.send(B, step_2(&typed(1, 1, &"x".repeat(200))));
    assert!(stage.room.blocks().parked().bytes() < before / 20);
    stage.send(B, update(&typed(1, 0, "a")));
    assert_eq!(elements(&stage), (201, 0));
    assert!(!stage.room.blocks().parked().waits_for(A.0));
}

#[test]
fn what_came_as_garbage_waits_no_more() {
    let mut stage = Stage::with(&[A, B]);
    // It stands behind what client 9 has not sent.
    stage.send(A, update(&[1, 1, 1, 0, 0x84, 9, 4, 1, b'x', 0]));
    stage.send(A, sync_status_frame(b"1"));
    stage.send(B, update(&[1, 1, 1, 0, 0, 1, 0]));
    assert!(stage.room.blocks().parked().is_empty() && elements(&stage) == (1, 1));
    stage.frames.clear();
    stage.room.durable(stage.room.sequence());
    stage.flush();
    assert_eq!(stage.take(A), [sync_status_frame(b"1")]);
}

#[test]
fn nothing_that_waits_is_forgotten_for_what_does_not_fit() {
    let limits = RoomLimits { parked_bytes: 4_000, ..RoomLimits::default() };
    let mut stage = Stage { room: Room::new(limits), ..Stage::default() };
    stage.connect(A);
    stage.connect(B);
    stage.send(A, update(&replaced(1, 5, &"a".repeat(2_500), 50, 1)));
    stage.send(B, update(&typed(2, 1, &"b".repeat(2_000))));
    assert!(matches!(&stage.closed[..], [(B, Reason::Overload, reason)] if reason.contains("waits")));
    assert_eq!(stage.room.blocks().parked().bytes() / 1_000, 3);
    let mut stage = stage.restarted(&[C]);
    stage.send(C, update(&typed(1, 0, "start")));
    assert_eq!(elements(&stage), (2_505, 1));
}

#[test]
fn what_waits_is_appended_again_after_a_snapshot_and_a_full_disk() {
    let mut stage = Stage::with(&[A]);
    half_a_replacement(&mut stage);
    stage.send(A, update(&[0, 1, 9, 1, 0, 5]));
    let snapshot = finish(stage.room.snapshot());
    (stage.log, stage.waiting) = (vec![(3, snapshot.state.to_bytes())], Vec::new());
    finish(stage.room.append_waiting());
    stage.settle();
    assert_eq!(stage.waiting.len(), 1);
    for again in [false, true] {
        let mut opened = stage.restarted(&[B]);
        assert!(opened.log.len() == 1 && opened.waiting.len() == 1, "nothing new is logged");
        if again {
            (opened.log, opened.waiting) = Default::default();
            finish(opened.room.append_again());
            opened.settle();
            opened = opened.restarted(&[B]);
        }
        opened.send(B, update(&typed(1, 4, "x")));
        opened.send(B, update(&typed(9, 0, "12345")));
        assert_eq!(elements(&opened), (10, 2));
        assert!(opened.room.blocks().parked().is_empty());
    }
}

#[test]
fn what_did_not_wait_after_all_becomes_an_update() {
    let mut stage = Stage::with(&[A]);
    half_a_replacement(&mut stage);
    // As if something else had written the log meanwhile.
    stage.log.push((4, typed(1, 4, "x").into()));
    let stage = stage.restarted(&[]);
    assert_eq!(elements(&stage), (10, 1));
    assert_eq!(stored(&stage).state_vector().get(1), 10);
}

#[test]
fn an_update_with_a_gap_in_the_log_is_an_error() {
    let mut room = Room::default();
    assert!(room.load(&typed(1, 1, "b")).is_err());
    assert!(Room::default().load_waiting(b"\x05nothing").is_err());
}

#[test]
fn edits_in_any_order_by_anybody_over_restarts_come_to_the_same() {
    let mut seed = 1_u64;
    let mut below = |n: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).expect("31 bits") % n
    };
    for _ in 0..300 {
        let edits: Vec<_> = (0..24)
            .map(|edit| {
                let (client, clock) = (1 + edit % 3, u64::from(edit / 3) * 2);
                replaced(client, clock, "ab", edit / 3, 1)
            })
            .collect();
        let mut expected = Blocks::default();
        edits.iter().for_each(|edit| expected.load(edit).expect("in order"));
        let mut stage = Stage::with(&[A, B, C]);
        let mut order: Vec<_> = (0..edits.len()).chain(0..edits.len()).collect();
        for at in (1..order.len()).rev() {
            order.swap(at, below(at + 1));
        }
        for edit in order {
            let peer = [A, B, C][below(3)];
            let is_step_2 = below(4) == 0;
            stage.send(peer, if is_step_2 { step_2(&edits[edit]) } else { update(&edits[edit]) });
            match below(8) {
                0 => stage = stage.restarted(&[A, B, C]),
                1 => {
                    finish(stage.room.disconnect(peer));
                    stage.connect(peer);
                }
                _ => {}
            }
        }
        for stage in [&stage.restarted(&[]), &stage] {
            let blocks = stage.room.blocks();
            assert!(blocks.parked().is_empty());
            assert_eq!(blocks.parked().bytes(), 0);
            assert_eq!(blocks.state_vector(), expected.state_vector());
            assert_eq!(blocks.delete_set(), expected.delete_set());
        }
    }
}
