//! What attackers send: messages without a prefix, and updates (see `coscribe_engine::update` for the format).

use coscribe_engine::lib0::{write_var_buf, write_var_uint};
use coscribe_provider::awareness::State;

use crate::dialect;

/// A block of characters.
pub(super) const STRING: u8 = 4;
/// A block with one JSON value.
pub(super) const EMBED: u8 = 5;
/// A block of values.
pub(super) const ANY: u8 = 8;
const HAS_ORIGIN: u8 = 0x80;
/// A value without a content.
pub(super) const ANY_NULL: u8 = 126;
/// A value that is a string.
pub(super) const ANY_STRING: u8 = 119;
/// A value that is an array.
pub(super) const ANY_ARRAY: u8 = 117;
/// The parent is a root type, whose name follows.
const ROOT: u64 = 1;

/// The client that wrote what is there before the attack.
pub(super) const WRITER: u64 = 9;

/// A message that asks for all but the first element of [`WRITER`]: no answer to it can have been prepared.
pub(super) const QUESTION: [u8; 6] = [0, 0, 3, 1, 9, 1];
/// A message that asks for everything.
pub(super) const PLAIN_QUESTION: [u8; 4] = [0, 0, 1, 0];
/// A message that asks for the rest, from a peer that has all that [`WRITER`] can have written.
pub(super) const NOTHING_LACKING: [u8; 10] = [0, 0, 7, 1, 9, 0xff, 0xff, 0xff, 0xff, 0x07];
/// A message that asks for the awareness of all.
pub(super) const QUERY_AWARENESS: [u8; 1] = [3];

/// A message with an update.
pub(super) fn message(update: &[u8]) -> Vec<u8> {
    dialect::update(&[], update)
}

/// Consecutive blocks of one client, and its deletions.
#[derive(Debug, Default)]
pub(super) struct Forged {
    client: u64,
    clock: u64,
    count: u64,
    blocks: Vec<u8>,
    ranges: u64,
    deletions: Vec<u8>,
}

impl Forged {
    /// Nothing yet, for a client that starts at this clock.
    pub(super) fn by(client: u64, clock: u64) -> Self {
        Self { client, clock, ..Self::default() }
    }

    /// A block in the root type.
    pub(super) fn root(mut self, content: u8, bytes: &[u8]) -> Self {
        self.blocks.push(content);
        write_var_uint(&mut self.blocks, ROOT);
        write_var_buf(&mut self.blocks, b"text");
        self.content(bytes)
    }

    /// A block to the right of an element of the same client.
    pub(super) fn after(mut self, origin: u64, content: u8, bytes: &[u8]) -> Self {
        self.blocks.push(content | HAS_ORIGIN);
        write_var_uint(&mut self.blocks, self.client);
        write_var_uint(&mut self.blocks, origin);
        self.content(bytes)
    }

    fn content(mut self, bytes: &[u8]) -> Self {
        self.count += 1;
        self.blocks.extend_from_slice(bytes);
        self
    }

    /// Deletes elements of the same client.
    pub(super) fn delete(mut self, clock: u64, len: u64) -> Self {
        self.ranges += 1;
        write_var_uint(&mut self.deletions, clock);
        write_var_uint(&mut self.deletions, len);
        self
    }

    /// The update.
    pub(super) fn update(&self) -> Vec<u8> {
        let mut update = Vec::with_capacity(self.blocks.len() + self.deletions.len() + 64);
        write_var_uint(&mut update, u64::from(self.count > 0));
        if self.count > 0 {
            for number in [self.count, self.client, self.clock] {
                write_var_uint(&mut update, number);
            }
            update.extend_from_slice(&self.blocks);
        }
        write_var_uint(&mut update, u64::from(self.ranges > 0));
        if self.ranges > 0 {
            for number in [self.client, self.ranges] {
                write_var_uint(&mut update, number);
            }
            update.extend_from_slice(&self.deletions);
        }
        update
    }
}

/// Bytes with their length before them.
pub(super) fn sized(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 5);
    write_var_buf(&mut out, bytes);
    out
}

/// Elements with their number before them.
pub(super) fn counted(count: usize, elements: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(elements.len() + 5);
    write_var_uint(&mut out, count as u64);
    out.extend_from_slice(elements);
    out
}

/// A text that one client inserts at once.
pub(super) fn text(client: u64, text: &[u8]) -> Vec<u8> {
    Forged::by(client, 0).root(STRING, &sized(text)).update()
}

/// A text of ASCII characters that does not compress to nothing.
pub(super) fn ascii(len: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(len as u64);
    (0..len).map(|_| b"etaoin shrdlu"[random.usize(0..13)]).collect()
}

/// A text of characters that take two bytes each.
pub(super) fn not_ascii(bytes: usize) -> Vec<u8> {
    "ü".repeat(bytes / 2).into_bytes()
}

/// Deletions of every second one of a client's first `2 * ranges` elements.
pub(super) fn every_second(client: u64, ranges: u64) -> Vec<u8> {
    (0..ranges).fold(Forged::by(client, 0), |forged, range| forged.delete(2 * range + 1, 1)).update()
}

/// A text of `2 * ranges` characters of which every second one is deleted.
pub(super) fn text_with_holes(client: u64, ranges: u64) -> Vec<u8> {
    let text = ascii(usize::try_from(2 * ranges).unwrap_or_default());
    let forged = Forged::by(client, 0).root(STRING, &sized(&text));
    (0..ranges).fold(forged, |forged, range| forged.delete(2 * range + 1, 1)).update()
}

/// An update with one character: the first one of a client, or one after its last.
pub(super) fn tiny(client: u64, clock: u64) -> Vec<u8> {
    let forged = Forged::by(client, clock);
    match clock.checked_sub(1) {
        None => forged.root(STRING, &sized(b"x")),
        Some(before) => forged.after(before, STRING, &sized(b"x")),
    }
    .update()
}

/// A message with awareness states: client, clock, JSON.
pub(super) fn awareness<'a>(states: impl ExactSizeIterator<Item = (u64, u64, &'a str)>) -> Vec<u8> {
    dialect::awareness(
        &[],
        states.map(|(client, clock, json)| State { client, clock, json: json.as_bytes() }),
    )
}

/// An awareness state of this many bytes.
pub(super) fn state(len: usize) -> String {
    format!("{{\"x\":\"{}\"}}", "x".repeat(len - "{\"x\":\"\"}".len()))
}

#[cfg(test)]
mod tests {
    use coscribe_engine::document::blocks::Blocks;

    use super::*;

    #[test]
    fn forged_updates_are_sound_ones() {
        let holes = Blocks::from_update(&text_with_holes(WRITER, 500)).unwrap();
        assert_eq!(holes.state_vector().get(WRITER), 1000);
        let mut whole = Blocks::from_update(&text(WRITER, &ascii(1000))).unwrap();
        whole.load(&every_second(WRITER, 500)).unwrap();
        assert_eq!(whole.encode_state().len(), holes.encode_state().len());
        assert_eq!(Blocks::from_update(&text(5, &not_ascii(10))).unwrap().state_vector().get(5), 5);
    }

    #[test]
    fn tiny_updates_make_one_text() {
        let mut blocks = Blocks::default();
        (0..300).for_each(|clock| blocks.load(&tiny(5, clock)).unwrap());
        assert_eq!(blocks.state_vector().get(5), 300);
    }

    #[test]
    fn an_awareness_state_has_the_length_that_was_asked_for() {
        assert_eq!(state(65_536).len(), 65_536);
    }
}
