//! That the simulation can fail: bugs that the server is given are found, and cut down to a few steps.
#![cfg(feature = "planted-bugs")]

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
fn a_saved_change_that_is_not_told_is_found() {
    is_found_and_cut_down(PlantedBug::LoseCount);
}

#[test]
fn a_saved_change_that_is_told_twice_is_found() {
    is_found_and_cut_down(PlantedBug::CountTwice);
}

#[test]
fn a_lost_awareness_removal_is_found() {
    is_found_and_cut_down(PlantedBug::LoseAwarenessRemoval);
}

#[test]
fn a_room_that_takes_in_what_readers_send_is_found() {
    is_found_and_cut_down(PlantedBug::TakeInReaders);
}
