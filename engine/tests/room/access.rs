//! Access that changes while a peer is here.

use bytes::Bytes;
use coscribe_engine::dialect::sync::SyncMessage;
use coscribe_engine::dialect::y_websocket::{sync_frame, sync_status_frame};
use coscribe_engine::room::{Access, Confirmation, PeerId, Terms};

use crate::stage::{A, B, Stage, is_step_1, typed, update};

const READ_ONLY: &[u8] = b"\x02\x00\x2byou may only read this document from now on";
const READ_WRITE: &[u8] = b"\x02\x02\x0aread-write";

fn answer(update: &[u8]) -> Bytes {
    sync_frame(&SyncMessage::Step2(update))
}

fn set(stage: &mut Stage, peer: PeerId, access: Access) -> Vec<Bytes> {
    stage.room.set_access(peer, access);
    stage.flush();
    stage.take(peer)
}

fn durable(stage: &mut Stage) {
    stage.room.durable(stage.room.sequence());
    stage.flush();
}

#[test]
fn a_writer_that_becomes_a_reader_is_told_and_keeps_what_it_sent_and_reads_on() {
    let mut stage = Stage::with(&[A, B]);
    stage.send(A, update(&typed(1, 0, "x")));
    stage.send(A, sync_status_frame(&[7]));
    assert_eq!(set(&mut stage, A, Access::Read), [READ_ONLY]);
    assert_eq!(stage.take(B), [update(&typed(1, 0, "x"))]);
    stage.send(A, update(&typed(1, 1, "y")));
    assert_eq!(stage.take(A).len(), 1, "denied, once");
    stage.send(A, update(&typed(1, 2, "z")));
    assert!(stage.take(A).is_empty() && stage.take(B).is_empty() && stage.log.len() == 1);
    durable(&mut stage);
    assert_eq!(stage.take(A), [sync_status_frame(&[7])], "what it sent before is saved");
    stage.send(B, update(&typed(2, 0, "b")));
    assert_eq!(stage.take(A), [update(&typed(2, 0, "b"))]);
    assert!(stage.closed.is_empty());
}

#[test]
fn a_reader_that_becomes_a_writer_is_asked_for_what_was_refused_and_confirmed_when_that_is_durable() {
    let mut stage = Stage::with(&[A, B]);
    set(&mut stage, A, Access::Read);
    stage.send(A, update(&typed(1, 0, "x")));
    stage.send(A, sync_status_frame(&[1]));
    stage.take(A);
    let told = set(&mut stage, A, Access::Write);
    assert!(told.len() == 2 && told[0][..] == *READ_WRITE && is_step_1(&told[1]), "{told:?}");
    stage.send(A, sync_status_frame(&[2]));
    durable(&mut stage);
    assert!(stage.take(A).is_empty(), "what was refused is not here yet");
    stage.send(A, answer(&typed(1, 0, "x")));
    assert_eq!(stage.take(B), [update(&typed(1, 0, "x"))]);
    assert!(stage.take(A).is_empty(), "and not durable");
    durable(&mut stage);
    assert_eq!(stage.take(A), [sync_status_frame(&[1]), sync_status_frame(&[2])]);
}

#[test]
fn what_was_refused_is_not_confirmed_while_access_goes_back_and_forth() {
    let mut stage = Stage::with(&[A, B]);
    set(&mut stage, A, Access::Read);
    stage.send(A, update(&typed(1, 0, "x")));
    set(&mut stage, A, Access::Write);
    set(&mut stage, A, Access::Read);
    stage.send(A, answer(&typed(1, 0, "x")));
    assert_eq!(stage.take(A).len(), 1, "denied once more");
    set(&mut stage, A, Access::Write);
    stage.send(A, sync_status_frame(&[1]));
    durable(&mut stage);
    assert!(stage.take(A).is_empty() && stage.log.is_empty());
    stage.send(A, answer(&typed(1, 0, "x")));
    durable(&mut stage);
    assert_eq!(stage.take(A), [sync_status_frame(&[1])]);
}

#[test]
fn the_same_access_is_told_only_where_the_caller_wants_it() {
    let mut stage = Stage::with(&[A]);
    assert!(set(&mut stage, A, Access::Write).is_empty());
    stage.room.tell_access(A);
    stage.flush();
    assert_eq!(stage.take(A), [READ_WRITE]);
    set(&mut stage, PeerId(99), Access::Read);
    assert!(stage.take(PeerId(99)).is_empty(), "nobody");
}

#[test]
fn a_peer_that_lags_is_told_when_it_has_caught_up() {
    let mut stage = Stage::with(&[A]);
    stage.room.stalled(A);
    assert!(set(&mut stage, A, Access::Read).is_empty());
    stage.room.drained(A);
    stage.flush();
    assert_eq!(stage.take(A)[0], READ_ONLY);
}

#[test]
fn a_peer_that_counts_hears_of_each_message_in_order() {
    let mut stage = Stage::with(&[B]);
    stage.open(A, Access::Write);
    stage.flush();
    stage.take(A);
    let sync = |kind: u8, update: &[u8]| [&[0, kind, u8::try_from(update.len()).unwrap()], update].concat();
    stage.say(A, &sync(2, &typed(1, 0, "x")));
    assert_eq!(set(&mut stage, A, Access::Read), [&b"\x01d\x02\x02\x08readonly"[..]]);
    stage.say(A, &sync(2, &typed(1, 1, "y")));
    assert!(stage.take(A).is_empty(), "the first is not durable");
    durable(&mut stage);
    assert_eq!(stage.take(A), [&b"\x01d\x08\x01"[..], b"\x01d\x08\x00"]);
    let told = set(&mut stage, A, Access::Write);
    assert_eq!(told[0][..], *b"\x01d\x02\x02\x0aread-write");
    assert_eq!((told.len(), &told[1][2..4]), (2, &[0, 0][..]), "SyncStep1");
    stage.say(A, &sync(1, &typed(1, 1, "y")));
    stage.say(A, &sync(2, &typed(1, 2, "z")));
    durable(&mut stage);
    assert_eq!(stage.take(A), [&b"\x01d\x08\x01"[..]], "the answer was not counted");
    assert_eq!(stage.room.blocks().state_vector().get(1), 3);
}

#[test]
fn a_peer_that_hears_of_elements_hears_of_those_that_are_durable() {
    let mut stage = Stage::with(&[B]);
    let terms = Terms { confirmation: Confirmation::ByIds, ..Terms::default() };
    stage.room.connect(A, terms, stage.now);
    stage.send(A, update(&typed(1, 0, "x")));
    assert_eq!(set(&mut stage, A, Access::Read), [READ_ONLY]);
    stage.send(A, update(&typed(1, 1, "y")));
    assert_eq!(stage.take(A).len(), 1, "denied");
    durable(&mut stage);
    assert_eq!(stage.take(A).len(), 1, "the first is named");
    set(&mut stage, A, Access::Write);
    durable(&mut stage);
    assert!(stage.take(A).is_empty());
    stage.send(A, answer(&typed(1, 1, "y")));
    durable(&mut stage);
    assert_eq!(stage.take(A).len(), 1, "and now the second");
}

#[test]
fn a_record_names_the_peer_that_sent_all_of_it() {
    let mut stage = Stage::with(&[A, B]);
    stage.receive(A, update(&typed(1, 0, "x")));
    stage.receive(A, update(&typed(1, 1, "x")));
    stage.receive(B, update(&typed(2, 0, "y")));
    stage.receive(B, update(&typed(2, 2, "own gap")));
    stage.receive(B, update(&typed(2, 1, "g")));
    stage.flush();
    stage.receive(A, update(&typed(1, 3, "waits")));
    stage.flush();
    stage.receive(B, update(&typed(1, 2, "w")));
    coscribe_engine::work::finish(stage.room.disconnect(B));
    stage.settle();
    let of = |peer| Some(peer);
    assert_eq!(
        stage.sources,
        [of(A), of(A), of(B), of(B), None, None],
        "what waits, and what woke it, has several sources"
    );
}
