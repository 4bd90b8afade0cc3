//! What is confirmed to peers of y-sweet's kind, and that documents exist before anybody writes.

use bytes::Bytes;
use coscribe_engine::dialect::sync::SyncMessage;
use coscribe_engine::dialect::y_websocket::{sync_frame, sync_status_frame};
use coscribe_engine::message::Inbound;
use coscribe_engine::room::{Access, Terms};
use coscribe_engine::work::finish;

use crate::stage::{A, B, Stage, typed, update};

/// A stage with a peer whose receipts include its first answer.
fn stage_of(access: Access) -> Stage {
    let mut stage = Stage::with(&[]);
    stage.room.connect(A, Terms { access, confirms_answer: true, ..Terms::default() }, stage.now);
    finish(stage.room.receive(A, Inbound::Offer, stage.now));
    stage.flush();
    stage.take(A);
    stage
}

fn answer(update: &[u8]) -> Bytes {
    sync_frame(&SyncMessage::Step2(update))
}

#[test]
fn a_receipt_waits_for_the_first_answer_of_a_peer_and_for_that_to_be_durable() {
    let (mut stage, token) = (stage_of(Access::Write), sync_status_frame(&[7]));
    stage.send(A, token.clone());
    assert!(stage.take(A).is_empty());
    stage.send(A, answer(&typed(1, 0, "offline")));
    assert!(stage.take(A).is_empty(), "it is not durable");
    stage.room.durable(1);
    stage.flush();
    assert_eq!(stage.take(A), std::slice::from_ref(&token));
    stage.send(A, token.clone());
    assert_eq!(stage.take(A), [token], "it has answered");
}

#[test]
fn a_reader_that_writes_is_told_once_and_its_questions_are_not_kept() {
    let (mut stage, token) = (stage_of(Access::Read), sync_status_frame(&[7]));
    stage.send(A, answer(&[0, 0]));
    stage.send(A, token.clone());
    assert_eq!(stage.take(A), std::slice::from_ref(&token));
    stage.send(A, update(&typed(1, 0, "x")));
    assert_eq!(stage.take(A).len(), 1, "it is denied");
    for _ in 0..3000 {
        stage.send(A, token.clone());
    }
    assert!(stage.take(A).is_empty(), "and stays");
    assert!(stage.log.is_empty());
}

#[test]
fn a_document_is_created_once_and_by_those_who_may_write() {
    let mut stage = Stage::with(&[A]);
    stage.read(B);
    for (peer, records) in [(B, 0), (A, 1), (A, 1)] {
        finish(stage.room.receive(peer, Inbound::Create, stage.now));
        stage.flush();
        assert_eq!(stage.log.len(), records);
    }
    assert_eq!(stage.log, [(1, Bytes::from_static(&[0, 0]))]);
    stage.send(A, update(&typed(1, 0, "x")));
    assert_eq!(stage.log.len(), 2);
}
