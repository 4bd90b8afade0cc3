//! A room under simulated time: what peers send goes in, what each of them gets comes out.

mod access;
mod awareness;
mod contradiction;
mod counted;
mod receipts;
mod refusal;
mod size;
mod stage;
mod waiting;

use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::dialect::sync::SyncMessage;
use coscribe_engine::dialect::y_websocket::{self, KEEP_ALIVE};
use coscribe_engine::document::blocks::Blocks;
use coscribe_engine::document::state_vector::StateVector;
use coscribe_engine::lib0::{write_var_buf, write_var_uint};
use coscribe_engine::message::Reason;
use coscribe_engine::room::{Effect, Room, RoomLimits};
use coscribe_engine::work::finish;

use stage::{A, B, C, Stage, awareness, is_step_1, number, typed, update, update_of};

#[test]
fn a_new_peer_is_asked_for_what_the_server_lacks_and_told_who_is_here() {
    let mut stage = Stage::with(&[A]);
    stage.send(A, awareness(1, 1, "{}"));
    stage.connect(B);
    stage.tick();
    assert_eq!(stage.take(B), [Bytes::from_static(&[0, 0, 1, 0]), awareness(1, 1, "{}")]);
}

#[test]
fn an_update_is_logged_and_goes_to_all_but_its_source() {
    let mut stage = Stage::with(&[A, B, C]);
    stage.send(A, update(&typed(1, 0, "x")));
    assert_eq!(stage.log, [(1, Bytes::from(typed(1, 0, "x")))]);
    assert_eq!(stage.take(B), [update(&typed(1, 0, "x"))]);
    assert_eq!(stage.take(C), [update(&typed(1, 0, "x"))]);
    assert!(stage.take(A).is_empty());
    stage.send(B, update(&typed(1, 0, "x")));
    assert_eq!(stage.log.len(), 1, "what is known is not logged again");
    assert!(stage.frames.is_empty(), "nor sent again");
}

#[test]
fn what_several_type_between_two_flushes_travels_as_one_frame() {
    let mut stage = Stage::with(&[A, B, C]);
    stage.receive(A, update(&typed(1, 0, "a")));
    stage.receive(B, update(&typed(2, 0, "b")));
    stage.receive(A, update(&typed(1, 1, "c")));
    stage.flush();
    assert_eq!(stage.log.iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>(), [1, 2, 3]);
    for peer in [A, B, C] {
        let mut replica = Blocks::default();
        stage.take_update(peer, &mut replica);
        assert_eq!(replica.state_vector(), stage.room.blocks().state_vector());
    }
}

#[test]
fn a_quiet_room_flushes_at_once_and_a_busy_one_within_a_frame_of_a_screen() {
    let mut stage = Stage::with(&[A, B]);
    stage.now = Duration::from_secs(1);
    stage.receive(A, update(&typed(1, 0, "x")));
    stage.tick();
    assert_eq!(stage.take(B).len(), 1);
    for (load, most) in [(0.4, 8), (1.0, 16)] {
        stage.room.set_load(load);
        let clock = stage.room.sequence();
        stage.receive(A, update(&typed(1, clock, "x")));
        stage.tick();
        assert!(stage.take(B).is_empty(), "not yet");
        let next = stage.room.next_tick().expect("it will flush");
        assert!(next > stage.now && next <= stage.now + Duration::from_millis(most), "{next:?}");
        stage.now = next;
        stage.tick();
        assert_eq!(stage.take(B).len(), 1);
    }
}

#[test]
fn an_update_with_a_gap_waits_and_its_sender_is_asked_once() {
    let mut stage = Stage::with(&[A, B]);
    stage.send(A, update(&typed(1, 1, "b")));
    stage.send(A, update(&typed(1, 2, "c")));
    assert!(stage.log.is_empty() && stage.take(B).is_empty(), "nothing with a gap is logged or passed on");
    let asked = stage.take(A);
    assert!(asked.len() == 1 && is_step_1(&asked[0]));
    stage.send(A, y_websocket::sync_frame(&SyncMessage::Step2(&typed(1, 0, "a"))));
    assert_eq!(stage.log.len(), 1);
    let mut replica = Blocks::default();
    stage.take_update(B, &mut replica);
    assert_eq!(replica.state_vector().get(1), 3);
    assert!(stage.room.blocks().parked().is_empty());
}

#[test]
fn whoever_does_not_have_what_is_missing_is_not_asked_for_ever() {
    let mut stage = Stage::with(&[A]);
    stage.frames.clear();
    stage.send(A, update(&typed(1, 1, "b")));
    assert_eq!(stage.take(A).iter().filter(|frame| is_step_1(frame)).count(), 1);
    // It answers with what it has, which has the same gap.
    for _ in 0..3 {
        stage.send(A, y_websocket::sync_frame(&SyncMessage::Step2(&typed(1, 1, "b"))));
        assert!(stage.take(A).is_empty());
    }
    stage.send(A, update(&typed(1, 2, "c")));
    assert_eq!(stage.take(A).iter().filter(|frame| is_step_1(frame)).count(), 1, "now it may have more");
}

#[test]
fn whoever_fills_anothers_gap_gets_what_had_waited() {
    let mut stage = Stage::with(&[A, B]);
    stage.send(A, update(&typed(1, 1, "b")));
    stage.frames.clear();
    stage.send(B, update(&typed(1, 0, "a")));
    let mut replica = Blocks::from_update(&typed(1, 0, "a")).expect("an update");
    stage.take_update(B, &mut replica);
    assert_eq!(replica.state_vector().get(1), 2);
}

#[test]
fn whoever_makes_too_much_wait_is_closed_and_the_others_are_not() {
    let limits = RoomLimits { parked_bytes: 2_000, ..RoomLimits::default() };
    let mut stage = Stage { room: Room::new(limits), ..Stage::default() };
    stage.connect(A);
    stage.connect(B);
    stage.send(B, update(&typed(2, 1, "b")));
    for clock in 0..20 {
        stage.send(A, update(&typed(1, 2 + clock, "a")));
    }
    assert!(matches!(&stage.closed[..], [(A, Reason::Overload, reason)] if !reason.is_empty()));
    assert!(stage.room.blocks().parked().waits_for(B.0));
}

#[test]
fn an_update_that_would_make_the_document_too_large_is_refused_as_a_whole() {
    let limits = RoomLimits { document_bytes: 2_000, ..RoomLimits::default() };
    let mut stage = Stage { room: Room::new(limits), ..Stage::default() };
    for peer in [A, B, C] {
        stage.connect(peer);
    }
    let large = typed(1, 0, &"x".repeat(1_500));
    stage.send(A, update(&large));
    stage.send(A, update(&typed(1, 1_500, &"y".repeat(800))));
    assert!(matches!(&stage.closed[..], [(A, Reason::TooLarge, reason)] if reason.contains("too large")));
    assert_eq!((stage.log.len(), stage.room.blocks().state_vector().get(1)), (1, 1_500));

    // What is known already does not count, and what fits does.
    stage.send(B, update(&large));
    stage.send(B, update(&typed(2, 0, "fits")));
    assert_eq!((stage.closed.len(), stage.log.len()), (1, 2));
    // To delete is always allowed, and makes room.
    let mut deletion = vec![0, 1, 1, 1, 0];
    write_var_uint(&mut deletion, 1_500);
    stage.send(B, update(&deletion));
    stage.send(C, update(&typed(1, 1_500, &"y".repeat(800))));
    assert_eq!((stage.closed.len(), stage.log.len()), (1, 4), "{:?}", stage.closed);
}

#[test]
fn whoever_asks_for_the_whole_document_gets_the_same_version_until_it_changes() {
    let mut stage = Stage::with(&[A, B]);
    let whole = |stage: &mut Stage, peer| {
        stage.receive(peer, y_websocket::sync_frame(&SyncMessage::Step1(&[0])));
        finish(stage.room.tick(stage.now));
        loop {
            match stage.room.poll_effect() {
                Some(Effect::Send { version, .. }) => return version.expect("it is the whole document"),
                other => assert!(other.is_some(), "it is answered"),
            }
        }
    };
    stage.send(A, update(&typed(1, 0, "a")));
    let (one, other) = (whole(&mut stage, A), whole(&mut stage, B));
    assert_eq!(one, other);
    stage.send(A, update(&typed(1, 1, "b")));
    assert_ne!(one, whole(&mut stage, A));
}

#[test]
fn an_acknowledgement_waits_for_the_disk() {
    let mut stage = Stage::with(&[A, B]);
    let asks = y_websocket::sync_status_frame(b"7");
    stage.send(A, asks.clone());
    assert_eq!(stage.take(A), vec![asks.clone()], "nothing was sent before it");
    stage.send(A, update(&typed(1, 0, "a")));
    stage.send(A, asks.clone());
    assert!(stage.take(A).is_empty());
    stage.room.durable(1);
    stage.tick();
    assert_eq!(stage.take(A), vec![asks.clone()]);
    stage.send(A, update(&typed(1, 1, "b")));
    stage.frames.clear();
    stage.send(B, update(&typed(1, 1, "b")));
    stage.send(B, asks.clone());
    assert!(stage.take(B).is_empty(), "what another brought first is not on disk either");
    stage.room.durable(2);
    stage.tick();
    assert_eq!(stage.take(B), [asks]);
}

#[test]
fn an_acknowledgement_does_not_wait_for_a_record_that_will_not_come() {
    let mut stage = Stage::with(&[A, B]);
    let asks = y_websocket::sync_status_frame(b"7");
    let known = update(&typed(1, 0, "a"));
    // The second time it brings nothing, so that nothing is logged.
    stage.send(A, [&known[..], &known, &asks].concat());
    assert_eq!(stage.log.len(), 1);
    stage.room.durable(1);
    stage.tick();
    assert_eq!(stage.take(A), [asks]);
}

#[test]
fn what_was_not_stored_is_appended_again_and_then_acknowledged() {
    let mut stage = Stage::with(&[A, B]);
    stage.send(A, update(&typed(7, 0, "kept")));
    stage.room.durable(1);
    stage.send(A, update(&typed(7, 4, "lost")));
    stage.send(A, y_websocket::sync_status_frame(b"a"));
    stage.send(B, update(&typed(9, 0, "lost as well")));
    stage.receive(B, update(&typed(9, 12, "not appended yet")));
    stage.receive(B, y_websocket::sync_status_frame(b"b"));
    stage.frames.clear();
    finish(stage.room.append_again());
    stage.settle();
    let (sequence, state) = stage.log.pop().expect("a record");
    assert_eq!(sequence, 2);
    assert_eq!(Blocks::from_bytes(state).expect("whole").encode_state(), stage.room.blocks().encode_state());
    stage.send(A, update(&typed(7, 8, "later")));
    assert_eq!(stage.log.last().expect("a record").0, 3);
    stage.room.durable(2);
    stage.flush();
    assert!(stage.take(A).contains(&y_websocket::sync_status_frame(b"a")));
    assert!(stage.take(B).contains(&y_websocket::sync_status_frame(b"b")));
}

#[test]
fn an_acknowledgement_waits_for_what_waits_for_a_gap_to_fill() {
    let mut stage = Stage::with(&[A, B]);
    let asks = y_websocket::sync_status_frame(b"7");
    stage.send(A, update(&typed(1, 1, "b")));
    stage.send(A, asks.clone());
    stage.room.durable(0);
    stage.tick();
    assert!(stage.take(A).iter().all(is_step_1));
    stage.send(B, update(&typed(1, 0, "a")));
    assert_eq!(stage.log.len(), 1);
    assert!(!stage.take(A).contains(&asks), "logged, but not on disk");
    stage.room.durable(stage.room.sequence());
    stage.tick();
    assert_eq!(stage.take(A), [asks]);
}

#[test]
fn unanswered_acknowledgement_requests_are_bounded() {
    let mut stage = Stage::with(&[A]);
    stage.send(A, update(&typed(1, 0, "a")));
    for _ in 0..2_000 {
        stage.send(A, y_websocket::sync_status_frame(&[0; 100]));
    }
    assert!(matches!(&stage.closed[..], [(A, Reason::Violation, _)]));
    let mut stage = Stage::with(&[A]);
    stage.send(A, y_websocket::sync_status_frame(&[0; 100_000]));
    assert!(matches!(&stage.closed[..], [(A, Reason::Violation, _)]));
}

#[test]
fn a_lagging_peer_gets_what_it_missed_as_one_diff() {
    let mut stage = Stage::with(&[A, B]);
    stage.send(A, update(&typed(1, 0, "x")));
    let mut replica = Blocks::default();
    stage.take_update(B, &mut replica);
    stage.room.stalled(B);
    for clock in 1..1_000 {
        stage.send(A, update(&typed(1, clock, "x")));
    }
    stage.send(A, awareness(1, 1, "{}"));
    stage.send(B, y_websocket::sync_frame(&SyncMessage::Step1(&[0])));
    stage.send(B, Bytes::from_static(&[3]));
    assert!(stage.take(B).is_empty(), "nothing more until its outbox is empty");
    stage.room.drained(B);
    stage.tick();
    let frames = stage.take(B);
    assert_eq!(frames.len(), 2);
    replica.load(&update_of(&frames[0])).expect("no gaps");
    assert_eq!(replica.state_vector(), stage.room.blocks().state_vector());
    assert_eq!(frames[1], awareness(1, 1, "{}"));
    stage.send(A, update(&typed(1, 1_000, "x")));
    stage.take_update(B, &mut replica);
    assert_eq!(replica.state_vector().get(1), 1_001);
}

#[test]
fn a_lagging_peer_hears_who_has_left_meanwhile() {
    let mut stage = Stage::with(&[A, B, C]);
    stage.send(A, awareness(1, 1, "{}"));
    stage.send(C, awareness(3, 1, "{}"));
    stage.frames.clear();
    stage.room.stalled(B);
    finish(stage.room.disconnect(A));
    stage.tick();
    stage.room.drained(B);
    stage.tick();
    let expected = {
        let mut states = vec![2, 1, 1, 4];
        states.extend(b"null");
        states.extend([3, 1, 2]);
        states.extend(b"{}");
        y_websocket::awareness_frame(&states)
    };
    assert_eq!(stage.take(B), [expected]);
}

#[test]
fn deletions_reach_a_lagging_peer() {
    let mut stage = Stage::with(&[A, B]);
    stage.send(A, update(&typed(1, 0, "xyz")));
    let mut replica = Blocks::default();
    stage.take_update(B, &mut replica);
    stage.room.stalled(B);
    stage.send(A, update(&[0, 1, 1, 1, 1, 1]));
    stage.room.drained(B);
    stage.tick();
    stage.take_update(B, &mut replica);
    assert_eq!(replica.delete_set(), stage.room.blocks().delete_set());
    assert!(!replica.delete_set().is_empty());
}

#[test]
fn a_joiner_gets_all_and_a_returning_peer_what_it_lacks() {
    let mut stage = Stage::with(&[A, B]);
    stage.send(A, update(&typed(1, 0, "abc")));
    stage.frames.clear();
    stage.send(B, Bytes::from_static(&[0, 0, 1, 0]));
    let mut joiner = Blocks::default();
    stage.take_update(B, &mut joiner);
    assert_eq!(joiner.state_vector(), stage.room.blocks().state_vector());
    let known: StateVector = [(1, 2)].into_iter().collect();
    stage.send(B, y_websocket::sync_frame(&SyncMessage::Step1(&known.encode())));
    let diff = stage.take(B).remove(0);
    assert_eq!(update_of(&diff)[..], [1, 1, 1, 2, 0x84, 1, 1, 1, b'c', 0]);
}

#[test]
fn a_frame_that_breaks_a_rule_closes_its_connection_only() {
    let frames: [&[u8]; 9] = [
        &[],
        &[9],
        &[0],
        &[0, 7, 0],
        &[0, 2, 9, 0],
        &[0, 2, 2, 0],
        &[0, 0, 5, 255, 255, 255, 255, 1],
        &[1, 1, 200],
        &[2, 0, 0],
    ];
    for frame in frames {
        let mut stage = Stage::with(&[A, B, C]);
        stage.send(A, awareness(1, 1, "{}"));
        stage.frames.clear();
        stage.send(A, Bytes::from_static(frame));
        assert!(
            matches!(&stage.closed[..], [(A, Reason::Violation, reason)] if !reason.is_empty()),
            "{frame:?}"
        );
        stage.flush();
        assert_eq!(stage.take(B), [awareness(1, 1, "null")], "its awareness goes with it");
        stage.send(A, update(&typed(1, 0, "late")));
        assert!(stage.log.is_empty(), "and what it sent after that");
        stage.send(B, update(&typed(2, 0, "b")));
        assert_eq!(stage.take(C).len(), 2, "the room goes on");
    }
}

#[test]
fn one_frame_may_hold_several_messages() {
    let mut stage = Stage::with(&[A, B]);
    let frame =
        [&update(&typed(1, 0, "a"))[..], &update(&typed(1, 1, "b")), KEEP_ALIVE, &[3], &[102, 1, 7]].concat();
    stage.send(A, frame);
    assert!(stage.closed.is_empty());
    assert_eq!(stage.room.blocks().state_vector().get(1), 2);
}

#[test]
fn a_stored_gap_is_an_error_however_much_waits_for_it() {
    let limits = RoomLimits { parked_bytes: 1_000, ..RoomLimits::default() };
    let mut room = Room::new(limits);
    assert!(room.load(&typed(1, 9, &"x".repeat(5_000))).is_err());
}

#[test]
fn clients_that_depend_on_each_other_are_taken_in_and_loaded_however_much_that_is() {
    // Each writes a word behind the other's last one, again and again.
    let blocks = |client: u8, other: u8| {
        let mut blocks = vec![100, client, 0];
        for n in 0..100u64 {
            match (client, n) {
                (1, 0) => blocks.extend([4, 1, 1, b't']),
                (1, n) => blocks.extend([&[0x84, other][..], &number(n * 10 - 1)].concat()),
                (_, n) => blocks.extend([&[0x84, other][..], &number(n * 10 + 9)].concat()),
            }
            write_var_buf(&mut blocks, &[b'a'; 10]);
        }
        blocks
    };
    let update = [&[2][..], &blocks(2, 1), &blocks(1, 2), &[0]].concat();
    let limits = RoomLimits { parked_bytes: 500, ..RoomLimits::default() };
    let mut stage = Stage { room: Room::new(limits), ..Stage::default() };
    stage.connect(A);
    stage.send(A, self::update(&update));
    assert!(stage.closed.is_empty(), "{:?}", stage.closed);
    assert_eq!(stage.room.blocks().state_vector().get(1), 1_000);
    let mut room = Room::new(limits);
    room.load(&stage.room.blocks().encode_state()).expect("it has no gap");
    assert_eq!(room.blocks().state_vector(), stage.room.blocks().state_vector());
}

#[test]
fn a_room_resumes_where_its_log_ends() {
    let mut stage = Stage::default();
    stage.room.load(&typed(1, 0, "stored")).expect("an update");
    assert!(stage.room.load(&typed(1, 9, "gap")).is_err());
    let mut stage = Stage::default();
    stage.room.load(&typed(1, 0, "stored")).expect("an update");
    stage.room.resume_at(41);
    stage.connect(A);
    stage.send(A, update(&typed(1, 6, "!")));
    assert_eq!(stage.log[0].0, 42);
    assert_eq!(
        Blocks::from_update(&stage.room.blocks().encode_state()).expect("whole").state_vector().get(1),
        7
    );
}
