//! Deletions, wherever they are.

use crate::forged::{deletions, text, update};
use crate::meter::{A, B, MIB, Meter};

#[test]
fn scattered_deletions_cost_a_chunk_each_and_many_in_one_chunk_cost_it_once() {
    let mut meter = Meter::with(&[A, B]);
    meter.receive(A, update(&text(&"ü".repeat(2 * MIB))));
    for clock in (0..2 * MIB as u64).step_by(20_000) {
        meter.cost(|meter| meter.receive(A, update(&deletions([(clock, 1)])))).is_in_proportion();
    }
    let cost = meter.cost(|meter| meter.receive(A, update(&deletions((0..MIB as u64).map(|n| (2 * n, 1))))));
    println!("{cost:?}");
    cost.is_in_proportion();
}

#[test]
fn deletions_that_come_unsorted_rewrite_each_chunk_a_few_times() {
    let mut meter = Meter::with(&[A, B]);
    meter.receive(A, update(&text(&"ü".repeat(2 * MIB))));
    // Each is in another chunk than the one before.
    let scattered = (0..30).flat_map(|n| (0..500).map(move |chunk| (chunk * 4_096 + 100 + 2 * n, 1)));
    let cost = meter.cost(|meter| meter.receive(A, update(&deletions(scattered))));
    assert!(cost.steps < 2_000_000, "{cost:?}");
}

#[test]
fn one_deletion_may_cover_very_many() {
    let mut meter = Meter::with(&[A, B]);
    let all = update(&text(&"x".repeat(400_000)));
    meter.receive(A, all.clone());
    meter.receive(A, update(&deletions((0..200_000).map(|n| (2 * n, 1)))));
    let mut cost = meter.cost(|meter| meter.receive(A, update(&deletions([(0, 400_000)]))));
    assert_eq!(meter.room.blocks().delete_set().len(), 1);
    cost.bytes_in += all.len() as u64;
    cost.is_in_proportion();
}
