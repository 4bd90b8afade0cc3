//! What the people of a scenario write, as Yjs v1 updates (see `coscribe_engine::update` for the format).

use coscribe_engine::lib0::{write_var_buf, write_var_uint};

const STRING: u8 = 0x04;
const ANY: u8 = 0x08;
const HAS_ORIGIN: u8 = 0x80;
const HAS_RIGHT_ORIGIN: u8 = 0x40;
const HAS_KEY: u8 = 0x20;
/// The parent is a root type, whose name follows.
const ROOT: u64 = 1;
const ANY_STRING: u8 = 119;

/// A position in what a client has written.
type Clock = u32;

/// One typed character: the first one starts the client's own run in a text, each next one continues it.
pub fn typed(client: u64, clock: Clock) -> Vec<u8> {
    let mut update = one_block(client, clock);
    match clock.checked_sub(1) {
        None => {
            update.push(STRING);
            write_var_uint(&mut update, ROOT);
            write_var_buf(&mut update, b"text");
        }
        Some(before) => {
            update.push(STRING | HAS_ORIGIN);
            write_id(&mut update, client, before);
        }
    }
    let character = b'a' + u8::try_from(clock % 26).unwrap_or_default();
    write_var_buf(&mut update, &[character]);
    update.push(0);
    update
}

/// A value of `len` bytes for a key that the client alone sets; the value before it is deleted.
pub fn set_value(client: u64, clock: Clock, key: &str, len: usize) -> Vec<u8> {
    let mut update = one_block(client, clock);
    update.reserve(len + 64);
    match clock.checked_sub(1) {
        None => {
            update.push(ANY | HAS_KEY);
            write_var_uint(&mut update, ROOT);
            write_var_buf(&mut update, b"values");
            write_var_buf(&mut update, key.as_bytes());
        }
        Some(before) => {
            update.push(ANY | HAS_KEY | HAS_ORIGIN);
            write_id(&mut update, client, before);
        }
    }
    update.extend([1, ANY_STRING]);
    // Text that does not compress to nothing.
    let mut random = fastrand::Rng::with_seed(client ^ u64::from(clock));
    let value: Vec<u8> = (0..len).map(|_| b'0' + random.u8(0..64)).collect();
    write_var_buf(&mut update, &value);
    match clock.checked_sub(1) {
        None => update.push(0),
        Some(before) => {
            write_var_uint(&mut update, 1);
            write_var_uint(&mut update, client);
            write_var_uint(&mut update, 1);
            write_var_uint(&mut update, u64::from(before));
            write_var_uint(&mut update, 1);
        }
    }
    update
}

/// The start of an update with one block.
fn one_block(client: u64, clock: Clock) -> Vec<u8> {
    let mut update = Vec::with_capacity(32);
    write_var_uint(&mut update, 1);
    write_var_uint(&mut update, 1);
    write_var_uint(&mut update, client);
    write_var_uint(&mut update, u64::from(clock));
    update
}

fn write_id(out: &mut Vec<u8>, client: u64, clock: Clock) {
    write_var_uint(out, client);
    write_var_uint(out, u64::from(clock));
}

/// Consecutive characters of a document's text, by their clocks.
#[derive(Debug, Copy, Clone)]
struct Run {
    clock: Clock,
    len: Clock,
}

/// A document of about `bytes` bytes as one update, and how many characters it has: one client has written it as people
/// write, in runs of some twenty characters at random places of the text.
pub fn document(client: u64, bytes: usize) -> (Vec<u8>, Clock) {
    let mut random = fastrand::Rng::with_seed(client);
    let (mut text, mut blocks) = (Vec::<Run>::new(), Vec::with_capacity(bytes));
    let (mut count, mut clock) = (0u64, 0);
    while blocks.len() + 24 < bytes {
        let place = split(&mut text, &mut random);
        let left = place.checked_sub(1).map(|left| text[left].clock + text[left].len - 1);
        let right = text.get(place).map(|run| run.clock);
        let len = random.u32(1..=40);
        write_run(&mut blocks, client, left, right, len, &mut random);
        text.insert(place, Run { clock, len });
        clock += len;
        count += 1;
    }
    let mut update = Vec::with_capacity(blocks.len() + 16);
    write_var_uint(&mut update, 1);
    write_var_uint(&mut update, count);
    write_id(&mut update, client, 0);
    update.extend(blocks);
    update.push(0);
    (update, clock)
}

/// Makes room between two runs at a random place, and returns the index of the run to its right.
fn split(text: &mut Vec<Run>, random: &mut fastrand::Rng) -> usize {
    let index = random.usize(0..=text.len());
    let Some(&run) = text.get(index) else { return index };
    let offset = random.u32(0..run.len);
    if offset == 0 {
        return index;
    }
    text[index].len = offset;
    text.insert(index + 1, Run { clock: run.clock + offset, len: run.len - offset });
    index + 1
}

fn write_run(
    out: &mut Vec<u8>,
    client: u64,
    left: Option<Clock>,
    right: Option<Clock>,
    len: Clock,
    random: &mut fastrand::Rng,
) {
    let origin = if left.is_some() { HAS_ORIGIN } else { 0 };
    let right_origin = if right.is_some() { HAS_RIGHT_ORIGIN } else { 0 };
    out.push(STRING | origin | right_origin);
    for neighbour in [left, right].into_iter().flatten() {
        write_id(out, client, neighbour);
    }
    if left.is_none() && right.is_none() {
        write_var_uint(out, ROOT);
        write_var_buf(out, b"text");
    }
    let characters: Vec<u8> = (0..len).map(|_| b"etaoin shrdlu"[random.usize(0..13)]).collect();
    write_var_buf(out, &characters);
}

#[cfg(test)]
mod tests {
    use coscribe_engine::document::blocks::Blocks;
    use coscribe_worker::document::Document;

    use super::*;

    #[test]
    fn what_is_typed_makes_one_text() {
        let mut blocks = Blocks::from_update(&typed(9, 0)).unwrap();
        for clock in 1..30 {
            blocks.load(&typed(9, clock)).unwrap();
        }
        let document = Document::from_update(&blocks.encode_state()).unwrap();
        assert_eq!(document.to_text(Some("text")).unwrap(), "abcdefghijklmnopqrstuvwxyzabcd");
    }

    #[test]
    fn of_the_values_of_a_key_only_the_last_is_kept() {
        let mut blocks = Blocks::from_update(&set_value(9, 0, "k", 1000)).unwrap();
        for clock in 1..50 {
            blocks.load(&set_value(9, clock, "k", 1000)).unwrap();
        }
        assert_eq!(blocks.state_vector().get(9), 50);
        assert!(blocks.encode_state().len() < 2000);
    }

    #[test]
    fn a_document_has_the_size_that_was_asked_for_and_every_character() {
        let (update, characters) = document(9, 50_000);
        assert!((49_000..52_000).contains(&update.len()), "{}", update.len());
        assert_eq!(Blocks::from_update(&update).unwrap().state_vector().get(9), characters);
        let document = Document::from_update(&update).unwrap();
        assert_eq!(document.to_text(Some("text")).unwrap().len(), characters as usize);
    }
}
