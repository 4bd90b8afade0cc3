//! Long content, and long keys.

use crate::forged::{block, deletions, update, var_buf, var_uint};
use crate::meter::{A, B, MIB, Meter};

/// Arrays of two arrays each.
fn nested(depth: usize) -> Vec<u8> {
    match depth.checked_sub(1) {
        Some(depth) => [&[117, 2][..], &nested(depth).repeat(2)].concat(),
        None => vec![126],
    }
}

#[test]
fn long_content_is_cut_in_one_walk() {
    let any = || [var_uint(MIB as u64), [125, 1].repeat(MIB)].concat();
    let json = || [var_uint(200_000), [&[3][..], b"[1]"].concat().repeat(200_000)].concat();
    let nested = [&[1][..], &nested(17)].concat();
    for (what, content, body) in [
        ("ASCII", 4, var_buf("x".repeat(4 * MIB).as_bytes())),
        ("two bytes a character", 4, var_buf("ü".repeat(2 * MIB).as_bytes())),
        ("surrogate pairs", 4, var_buf("😀".repeat(MIB).as_bytes())),
        ("values", 8, any()),
        ("old JSON", 2, json()),
        ("nested values", 8, nested),
        ("a key", 8, [&[1, 118, 1][..], &var_buf("ü".repeat(2 * MIB).as_bytes()), &[126]].concat()),
        ("one value", 8, [&[1, 119][..], &var_buf(&[b'x'; 4 * MIB])].concat()),
        ("an embed", 5, var_buf(format!("[{}1]", "1,".repeat(2 * MIB)).as_bytes())),
    ] {
        let mut meter = Meter::with(&[A, B]);
        let cost = meter.cost(|meter| meter.receive(A, update(&block(content, &body))));
        println!("{what}: {cost:?}");
        cost.is_in_proportion().takes_memory_for_what_came();
    }
}

#[test]
fn a_deletion_beside_what_cannot_be_cut_does_not_copy_it() {
    let long = "y".repeat(8 * MIB);
    let element = [&[8, 1, 119][..], &var_buf(long.as_bytes())].concat();
    // The value is long, or the key that a block is set for.
    let small = |at: u8| [0x84, 1, at, 1, b'x'];
    let value =
        [&[1, 1, 1, 0, 4, 1, 1, b't', 1, b'a'][..], &small(0), &small(1), &[0x88, 1, 2], &element[1..], &[0]];
    let mut value = value.concat();
    value[1] = 4;
    let keyed = [&[0x24, 1, 1, b'm'][..], &var_buf(long.as_bytes()), &var_buf(&[b'v'; 5_000])].concat();
    let mut key = [&[1, 3, 1, 0, 4, 1, 1, b't', 1, b'a'][..], &small(0), &keyed, &[0]].concat();
    key[1] = 3;
    for document in [value, key] {
        let mut meter = Meter::with(&[A, B]);
        meter.receive(A, update(&document));
        for clock in [1, 0] {
            let cost = meter.cost(|meter| meter.receive(A, update(&deletions([(clock, 1)]))));
            assert!(cost.steps < 1_000, "{cost:?}");
            cost.is_in_proportion().takes_memory_for_what_came();
        }
        // What is deleted itself keeps its key, which is copied once.
        let mut cost = meter.cost(|meter| meter.receive(A, update(&deletions([(2, 2)]))));
        cost.bytes_in += long.len() as u64;
        cost.is_in_proportion().takes_memory_for_what_came();
    }
}

#[test]
fn a_long_key_is_not_copied_with_every_character_behind_it() {
    let key = var_buf(&vec![b'k'; MIB]);
    let value = var_buf(&[b'v'; 5_000]);
    let document = [&[1, 1, 1, 0, 0x24, 1, 1, b'm'][..], &key, &value, &[0]].concat();
    let mut meter = Meter::with(&[A, B]);
    meter.receive(A, update(&document));
    for clock in (0..5_000).rev().step_by(7) {
        let cost = meter.cost(|meter| meter.receive(A, update(&deletions([(clock, 1)]))));
        assert!(cost.memory < 100_000, "{cost:?}");
    }
}
