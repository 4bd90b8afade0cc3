//! Peers that count what they have sent, as Hocuspocus' providers do, and peers that may only read.

use coscribe_engine::message::Reason;
use coscribe_engine::room::Access;

use crate::stage::{A, B, C, Stage, typed, update};

const SAVED: &[u8] = &[1, b'd', 8, 1];
const REFUSED: &[u8] = &[1, b'd', 8, 0];
/// The questions what the room lacks, and what the peer lacks, of one that is empty.
const STEP_1: &[u8] = &[0, 0, 1, 0];
/// The answer of one that is empty.
const STEP_2: &[u8] = &[0, 1, 2, 0, 0];

fn sync(kind: u8, update: &[u8]) -> Vec<u8> {
    let len = u8::try_from(update.len()).expect("short");
    [&[0, kind, len], update].concat()
}

/// A writer who is synced.
fn synced(peer: coscribe_engine::room::PeerId) -> Stage {
    let mut stage = Stage::default();
    stage.open(peer, Access::Write);
    stage.say(peer, STEP_1);
    stage.say(peer, STEP_2);
    assert_eq!(stage.take(peer).last().map(|frame| &frame[..]), Some(SAVED));
    stage
}

#[test]
fn a_question_is_answered_with_one_question_and_nothing_is_asked_before() {
    let mut stage = Stage::default();
    stage.open(A, Access::Write);
    stage.flush();
    assert!(stage.take(A).is_empty());
    stage.say(A, STEP_1);
    let framed = |body: &[u8]| [b"\x01d", body].concat();
    assert_eq!(stage.take(A), [framed(STEP_1), framed(STEP_2)]);
    stage.say(A, STEP_2);
    assert_eq!(stage.take(A), [SAVED], "nothing of it is to be stored");
}

#[test]
fn each_message_with_an_update_is_counted_once_when_it_is_durable() {
    let mut stage = synced(A);
    for clock in 0..3 {
        stage.say(A, &sync(2, &typed(1, clock, "x")));
    }
    stage.say(A, &sync(2, &typed(1, 0, "x")));
    assert!(stage.take(A).is_empty());
    stage.room.durable(2);
    stage.flush();
    assert_eq!(stage.take(A), [SAVED, SAVED]);
    stage.room.durable(3);
    stage.flush();
    assert_eq!(stage.take(A), [SAVED, SAVED], "also what was known, once all before it is durable");
}

#[test]
fn an_update_that_waits_for_another_is_counted_with_it_and_the_answer_to_our_question_is_not() {
    let mut stage = synced(A);
    stage.say(A, &sync(2, &typed(1, 1, "b")));
    let asked = stage.take(A);
    assert_eq!(asked, [[b"\x01d", STEP_1].concat()], "what is missing?");
    stage.say(A, &sync(1, &typed(1, 0, "a")));
    stage.room.durable(9);
    stage.flush();
    let told = stage.take(A);
    let saved = told.iter().filter(|frame| frame[2] == 8);
    assert_eq!(saved.collect::<Vec<_>>(), [SAVED], "one for the update, none for the answer");
}

#[test]
fn counts_survive_lag_and_come_after_the_document() {
    let mut stage = synced(A);
    stage.open(B, Access::Write);
    stage.say(B, &sync(2, &typed(2, 0, "mine")));
    stage.room.stalled(B);
    stage.say(A, &sync(2, &typed(1, 0, "theirs")));
    stage.say(B, STEP_1);
    stage.room.durable(9);
    stage.flush();
    assert!(stage.take(B).is_empty());
    stage.room.drained(B);
    stage.flush();
    let kinds: Vec<_> = stage.take(B).iter().map(|frame| (frame[2], frame[3])).collect();
    assert_eq!(kinds, [(0, 0), (0, 1), (8, 1)]);
}

#[test]
fn what_is_refused_is_counted_as_refused() {
    let mut stage = synced(A);
    stage.open(B, Access::Read);
    stage.say(A, &sync(2, &typed(1, 0, "x")));
    stage.take(B);
    stage.say(B, &sync(2, &typed(2, 0, "y")));
    stage.say(B, &sync(1, &typed(1, 0, "x")));
    assert_eq!(stage.take(B), [REFUSED], "and an answer with nothing new is saved when that is");
    stage.room.durable(1);
    stage.flush();
    assert_eq!(stage.take(B), [SAVED]);
    assert_eq!(stage.room.blocks().state_vector().get(2), 0);
}

#[test]
fn a_reader_of_another_dialect_is_told_once_and_goes_on_reading() {
    let mut stage = Stage::with(&[A]);
    stage.read(B);
    stage.tick();
    stage.take(B);
    stage.send(B, update(&typed(2, 0, "y")));
    stage.send(B, update(&typed(2, 1, "z")));
    let told = stage.take(B);
    assert_eq!((told.len(), &told[0][..2]), (1, &[2, 0][..]), "permission denied");
    stage.send(B, vec![102, 1, 7]);
    stage.room.durable(9);
    stage.send(A, update(&typed(1, 0, "x")));
    assert_eq!(stage.take(B), [update(&typed(1, 0, "x"))], "what it wrote is not confirmed");
    assert!(stage.closed.is_empty() && stage.log.len() == 1);
}

#[test]
fn a_reader_is_confirmed_what_holds_nothing_new() {
    let mut stage = Stage::with(&[A]);
    stage.send(A, update(&typed(1, 0, "x")));
    stage.room.durable(1);
    stage.read(B);
    stage.tick();
    stage.take(B);
    stage.send(B, update(&typed(1, 0, "x")));
    stage.send(B, vec![102, 1, 7]);
    assert_eq!(stage.take(B), [vec![102, 1, 7]]);
}

#[test]
fn a_text_of_the_application_goes_to_the_others_who_can_have_it() {
    let mut stage = synced(A);
    stage.open(B, Access::Read);
    stage.connect(C);
    stage.flush();
    stage.frames.clear();
    stage.say(A, &[5, 2, b'h', b'i']);
    assert_eq!(stage.take(B), [vec![1, b'd', 5, 2, b'h', b'i']]);
    assert!(stage.frames.is_empty());
    let long = vec![b'x'; 100 << 10];
    let mut body = vec![5];
    coscribe_engine::lib0::write_var_buf(&mut body, &long);
    stage.say(B, &body);
    assert_eq!(stage.closed, [(B, Reason::Violation, "stateless message too large".to_owned())]);
}
