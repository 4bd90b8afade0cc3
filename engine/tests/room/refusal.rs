//! Updates that are refused for good, and peers that bring them again.

use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::lib0::{write_var_buf, write_var_uint};
use coscribe_engine::message::Reason;
use coscribe_engine::room::{PeerId, Room, RoomLimits};

use super::stage::{A, B, C, Stage, awareness, typed, update};

/// A room whose document may have 2,000 bytes.
fn small_room(peers: &[PeerId]) -> Stage {
    let limits = RoomLimits { document_bytes: 2_000, ..RoomLimits::default() };
    let mut stage = Stage { room: Room::new(limits), ..Stage::default() };
    for &peer in peers {
        stage.connect(peer);
    }
    stage.tick();
    stage
}

fn too_large() -> Bytes {
    update(&typed(1, 0, &"x".repeat(3_000)))
}

#[test]
fn who_brings_a_refused_update_again_is_closed_later_and_later_in_the_same_words() {
    let peers: Vec<PeerId> = (1..=10).map(PeerId).collect();
    let mut stage = small_room(&peers);
    let mut stayed = Vec::new();
    for &peer in &peers {
        let came = stage.now;
        stage.send(peer, too_large());
        while stage.closed.last().is_none_or(|(closed, ..)| *closed != peer) {
            stage.now = stage.room.next_tick().expect("it will be closed");
            stage.tick();
        }
        stayed.push((stage.now - came).as_secs());
    }
    assert_eq!(stayed, [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
    let (_, reason, words) = &stage.closed[0];
    assert!(*reason == Reason::TooLarge && words.contains("reload") && words.len() <= 123, "{words}");
    assert!(stage.closed.iter().all(|(_, other, others)| other == reason && others == words));
}

#[test]
fn until_it_is_closed_it_is_a_peer_to_which_nothing_is_acknowledged() {
    let mut stage = small_room(&[A, B, C]);
    stage.send(A, too_large());
    stage.send(B, too_large());
    stage.frames.clear();
    stage.send(C, update(&typed(3, 0, "for B")));
    assert_eq!(stage.take(B), [update(&typed(3, 0, "for B"))]);
    stage.send(B, awareness(2, 1, "{}"));
    assert_eq!(stage.take(C), [awareness(2, 1, "{}")]);
    stage.send(B, update(&typed(2, 0, "for C")));
    stage.send(B, Bytes::from_static(&[102, 1, 7]));
    assert_eq!(stage.take(C), [update(&typed(2, 0, "for C"))]);
    stage.room.durable(stage.room.sequence());
    stage.flush();
    assert!(stage.take(B).is_empty(), "not all that it sent is saved");
}

#[test]
fn somebody_else_who_is_refused_is_closed_at_once() {
    let mut stage = small_room(&[A, B]);
    stage.send(A, too_large());
    stage.send(B, update(&typed(2, 0, &"y".repeat(3_000))));
    assert_eq!(stage.closed.len(), 2);
}

#[test]
fn what_follows_a_refused_update_is_refused_in_its_words_and_does_not_wait() {
    let deletion = [0, 1, 1, 1, 0x80, 8, 5];
    for dependent in [typed(1, 3_000, "typed later"), deletion.to_vec()] {
        let mut stage = small_room(&[A, B]);
        stage.send(A, too_large());
        stage.send(B, update(&dependent));
        stage.now += Duration::from_secs(1);
        stage.tick();
        let [(_, _, words), (B, Reason::TooLarge, others)] = &stage.closed[..] else {
            panic!("{:?}", stage.closed)
        };
        assert_eq!(words, others);
        assert!(stage.room.blocks().parked().is_empty());
    }
}

#[test]
fn of_very_many_clients_the_last_are_remembered() {
    let peers: Vec<PeerId> = (1..=60).map(PeerId).collect();
    let mut stage = small_room(&peers);
    let mut first = 0;
    for &peer in &peers {
        let mut crowd = vec![64];
        for client in first..first + 64 {
            crowd.push(1);
            write_var_uint(&mut crowd, client);
            crowd.extend([0, 4, 1, 1, b't']);
            write_var_buf(&mut crowd, &[b'x'; 100]);
        }
        crowd.push(0);
        first += 64;
        stage.now += Duration::from_secs(1);
        stage.send(peer, update(&crowd));
    }
    assert_eq!(stage.closed.len(), 60, "none of them was known");
    stage.connect(A);
    stage.connect(B);
    stage.send(A, too_large());
    assert_eq!(stage.closed.len(), 61, "client 1 is forgotten");
    stage.send(B, too_large());
    assert_eq!(stage.closed.len(), 61, "and known again");
}

#[test]
fn nothing_is_remembered_once_the_gap_is_filled() {
    let mut stage = small_room(&[A, B]);
    stage.send(A, too_large());
    assert!(stage.room.has_refused());
    stage.send(B, update(&typed(1, 0, "fits")));
    assert!(!stage.room.has_refused());
    stage.send(B, update(&typed(1, 4, ", too")));
    assert_eq!((stage.closed.len(), stage.log.len()), (1, 2));
}
