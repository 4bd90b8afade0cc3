//! What is looked at before an update is taken in that might make the document too large.

use coscribe_engine::room::{Room, RoomLimits};

use crate::forged::{deletions, text, update, var_uint};
use crate::meter::{A, B, MIB, Meter};

/// A room of a document that has 400,000 characters and may have this many bytes.
fn nearly_full(document_bytes: usize) -> Meter {
    let room = Room::new(RoomLimits { document_bytes, ..RoomLimits::default() });
    let mut meter = Meter { room, ..Meter::default() };
    meter.connect(A);
    meter.connect(B);
    meter.receive(A, update(&text(&"x".repeat(400_000))));
    meter
}

#[test]
fn deletions_of_a_document_near_its_limit_cost_their_bytes() {
    let mut meter = nearly_full(22 * MIB);
    let every_second = update(&deletions((0..200_000).map(|n| (2 * n, 1))));
    for _ in 0..2 {
        meter.cost(|meter| meter.receive(A, every_second.clone())).is_in_proportion();
    }
    assert_eq!(meter.room.blocks().delete_set().len(), 200_000);
    let mut cost = meter.cost(|meter| meter.receive(A, update(&deletions([(0, 400_000)]))));
    cost.bytes_in += every_second.len() as u64;
    cost.is_in_proportion();
}

#[test]
fn many_clients_and_short_blocks_near_the_limit_cost_their_bytes() {
    let mut meter = nearly_full(10 * MIB);
    let crowd: Vec<u8> =
        (100..40_100u64).flat_map(|client| [vec![1], var_uint(client), vec![0, 0, 1]].concat()).collect();
    meter
        .cost(|meter| meter.receive(A, update(&[var_uint(40_000), crowd, vec![0]].concat())))
        .is_in_proportion();
    let gone = [&[1][..], &var_uint(100_000), &[99, 0], &[0, 1].repeat(100_000), &[0]].concat();
    meter.cost(|meter| meter.receive(A, update(&gone))).is_in_proportion();
}
