//! Updates, written by hand: sound ones, and some that yrs cannot stand.

use std::ops::Range;

/// A client inserts text into the root "t", from a clock on; not after anything.
pub(crate) fn text(client: u64, clock: u64, text: &str) -> Vec<u8> {
    let mut update = vec![1, 1];
    push(&mut update, &[client, clock]);
    update.extend([4, 1, 1, b't']);
    push_string(&mut update, text);
    update.push(0);
    update
}

/// A JSON value in the text "t".
pub(crate) fn embed(json: &str) -> Vec<u8> {
    let mut update = vec![1, 1, 1, 0, 5, 1, 1, b't'];
    push_string(&mut update, json);
    update.push(0);
    update
}

/// An x in the text "t", with a format "k" of this JSON value.
pub(crate) fn format_value(json: &str) -> Vec<u8> {
    let mut update = vec![1, 2, 1, 0, 6, 1, 1, b't', 1, b'k'];
    push_string(&mut update, json);
    update.extend([0x84, 1, 0, 1, b'x', 0]);
    update
}

/// A number in the map "m".
pub(crate) fn entry(key: &str, number: u8) -> Vec<u8> {
    let mut update = vec![1, 1, 1, 0, 0x28, 1, 1, b'm'];
    push_string(&mut update, key);
    update.extend([1, 125, number, 0]);
    update
}

/// A hook in the XML fragment "x".
pub(crate) fn hook(name: &str) -> Vec<u8> {
    let mut update = vec![1, 1, 1, 0, 7, 1, 1, b'x', 5];
    push_string(&mut update, name);
    update.push(0);
    update
}

/// Deletes clocks of a client.
pub(crate) fn deletion(client: u64, clocks: Range<u64>) -> Vec<u8> {
    let mut update = vec![0, 1];
    push(&mut update, &[client, 1, clocks.start, clocks.end - clocks.start]);
    update
}

/// The root "a" holds an array, which holds text as only texts should. yrs loops for ever when it shows a character
/// outside the basic plane there.
pub(crate) fn string_in_array(text: &str) -> Vec<u8> {
    let mut update = vec![1, 2, 1, 0, 7, 1, 1, b'a', 0, 4, 0, 1, 0];
    push_string(&mut update, text);
    update.push(0);
    update
}

/// A character by each of many clients, each after that of the client before. yrs takes time quadratic in their number
/// (and overflows a stack of 2 MiB).
pub(crate) fn chain(clients: u64) -> Vec<u8> {
    let mut update = Vec::new();
    push(&mut update, &[clients]);
    for client in (2..=clients).rev() {
        push(&mut update, &[1, client, 0]);
        update.push(0x84);
        push(&mut update, &[client - 1, 0]);
        push_string(&mut update, "x");
    }
    update.extend([1, 1, 0, 4, 1, 1, b't', 1, b'x', 0]);
    update
}

/// XML elements in each other in the root "a".
pub(crate) fn nested(depth: u64) -> Vec<u8> {
    let mut update = vec![1];
    push(&mut update, &[depth]);
    update.extend([1, 0, 7, 1, 1, b'a', 3, 1, b'p']);
    for parent in 0..depth - 1 {
        push(&mut update, &[7, 0, 1, parent, 3, 1, u64::from(b'p')]);
    }
    update.push(0);
    update
}

fn push_string(update: &mut Vec<u8>, text: &str) {
    push(update, &[text.len() as u64]);
    update.extend(text.as_bytes());
}

fn push(update: &mut Vec<u8>, numbers: &[u64]) {
    for &number in numbers {
        let mut rest = number;
        while rest >= 0x80 {
            update.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
            rest >>= 7;
        }
        update.push(u8::try_from(rest).unwrap());
    }
}
