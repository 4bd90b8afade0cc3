//! That the simulation can fail: bugs that the server is given are found, and cut down to a few steps. And that the byte
//! targets' limits can: a room that does too much for each message is over them.
#![cfg(feature = "planted-bugs")]

use std::panic::catch_unwind;
use std::path::Path;

use coscribe_fuzz::bytes::{Waste, room_with, seeds};
use coscribe_fuzz::generate::{self, Shape};
use coscribe_fuzz::outcome::Failure;
use coscribe_fuzz::scenario::Scenario;
use coscribe_fuzz::shrink::shrink;
use coscribe_fuzz::simulation::{self, PlantedBug, Surroundings};

/// A bug that is not found in so many runs is not found in a minute on two cores.
const MOST_RUNS: u64 = 20_000;
/// A scenario of fewer steps fits on a screen, and into a head.
const FEW_STEPS: usize = 12;

fn fails(scenario: &Scenario, bug: Option<PlantedBug>) -> Option<Failure> {
    simulation::run(scenario, &Surroundings { bug, ..Surroundings::default() }).failure
}

fn is_found_and_cut_down(bug: PlantedBug) {
    let found = (1..=MOST_RUNS).find_map(|seed| {
        let scenario = generate::scenario(seed, &Shape::default());
        fails(&scenario, Some(bug)).map(|_| scenario)
    });
    let found = found.expect("it is found");
    let (small, failure) = shrink(&found, |scenario| fails(scenario, Some(bug))).expect("it still fails");
    println!("{bug:?} after {} runs, {} steps: {failure}", found.seed, small.steps.len());
    assert!(small.steps.len() < FEW_STEPS, "{} steps are left: {small:?}", small.steps.len());
    assert_eq!(fails(&small, None), None, "without the bug nothing is wrong");
}

#[test]
fn a_dropped_delete_set_is_found() {
    is_found_and_cut_down(PlantedBug::DropDeleteSet);
}

#[test]
fn a_slice_that_is_off_by_one_is_found() {
    is_found_and_cut_down(PlantedBug::SliceOffByOne);
}

#[test]
fn an_acknowledgement_before_the_disk_is_found() {
    is_found_and_cut_down(PlantedBug::AcknowledgeEarly);
}

#[test]
fn a_forgotten_parked_update_is_found() {
    is_found_and_cut_down(PlantedBug::ForgetParked);
}

#[test]
fn swapped_flushes_are_found() {
    is_found_and_cut_down(PlantedBug::SwapFlushes);
}

#[test]
fn a_lost_awareness_removal_is_found() {
    is_found_and_cut_down(PlantedBug::LoseAwarenessRemoval);
}

/// A seed of the target `room` with which a room is over a limit: its name, and what is said of it.
fn found_by(waste: Option<Waste>, limit: &str) -> Option<(String, String)> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/yjs/fixtures");
    let seeds = seeds::seeds(&fixtures).expect("fixtures");
    seeds.into_iter().filter(|seed| seed.target == "room").find_map(|seed| {
        let panic = catch_unwind(|| room_with(&seed.bytes, waste)).err()?;
        let words = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        words.contains(limit).then_some((seed.name, words))
    })
}

fn is_over_a_limit(waste: Waste, limit: &str) {
    let (seed, words) = found_by(Some(waste), limit).expect("it is found");
    println!("{waste:?} is found by {seed}: {words}");
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
