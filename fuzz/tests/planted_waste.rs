//! That the limits of the byte targets can be exceeded: a room that does too much for each message is over one.
#![cfg(feature = "planted-bugs")]

use std::panic::{catch_unwind, set_hook};
use std::path::Path;

use coscribe_fuzz::bytes::{Waste, room_with, seeds};

/// A seed of the target `room` with which a room is over a limit: its name, and what is said of it.
fn found_by(waste: Option<Waste>, limit: &str) -> Option<(String, String)> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/yjs/fixtures");
    let seeds = seeds::seeds(&fixtures).expect("fixtures");
    // Those that are over another limit say so as well.
    set_hook(Box::new(|_| {}));
    seeds.into_iter().filter(|seed| seed.target == "room").find_map(|seed| {
        let panic = catch_unwind(|| room_with(&seed.bytes, waste)).err()?;
        let words = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        words.contains(limit).then_some((seed.name, words))
    })
}

fn is_over_a_limit(waste: Waste, limit: &str) {
    let found = found_by(Some(waste), limit);
    println!("{waste:?} is found: {found:?}");
    assert!(found.is_some(), "{waste:?} is not found");
}

#[test]
fn a_room_without_waste_is_within_its_limits() {
    assert_eq!(found_by(None, ""), None);
}

#[test]
fn as_many_answers_as_questions_are_too_many() {
    is_over_a_limit(Waste::AnswerEach, "answered twice");
}

#[test]
fn to_encode_the_document_for_each_message_is_too_much_work() {
    is_over_a_limit(Waste::EncodeAll, "steps for");
}

#[test]
fn to_read_the_history_for_each_message_is_too_much_work() {
    is_over_a_limit(Waste::ReadAllAgain, "steps for");
}

#[test]
fn to_copy_the_history_for_each_message_is_too_much_memory() {
    is_over_a_limit(Waste::CopyAll, "bytes of memory");
}
