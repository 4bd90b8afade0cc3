//! Documents as large as people make them: text that was typed in pieces, and text that was pasted.

use coscribe_engine::lib0::write_var_uint;

use super::Place;
use super::documents::text;

/// Real ids of clients take five bytes.
const FIRST: u64 = 3_000_000_001;
const SECOND: u64 = 2_000_000_001;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Two clients type in turns, a character each, into the text "t": so many blocks, none of which can be merged.
fn typed_in_turns(characters: u64) -> Vec<u8> {
    let each = characters / 2;
    let mut update = vec![2];
    section(&mut update, each, FIRST, 0);
    update.extend([4, 1, 1, b't', 1, b'a']);
    (1..each).for_each(|clock| push_after(&mut update, (SECOND, clock - 1), b'a'));
    section(&mut update, each, SECOND, 0);
    (0..each).for_each(|clock| push_after(&mut update, (FIRST, clock), b'b'));
    update.push(0);
    update
}

/// The first client types a character at the end.
fn appended(clock: u64) -> Vec<u8> {
    let mut update = vec![1];
    section(&mut update, 1, FIRST, clock);
    push_after(&mut update, (FIRST, clock - 1), b'a');
    update.push(0);
    update
}

/// The second client types a character behind each of these of the first.
fn scattered(clocks: impl ExactSizeIterator<Item = u64>) -> Vec<u8> {
    let mut update = vec![1];
    section(&mut update, clocks.len() as u64, SECOND, 0);
    clocks.for_each(|clock| push_after(&mut update, (FIRST, clock), b'b'));
    update.push(0);
    update
}

fn section(update: &mut Vec<u8>, blocks: u64, client: u64, clock: u64) {
    [blocks, client, clock].into_iter().for_each(|number| write_var_uint(update, number));
}

/// A character behind another one.
fn push_after(update: &mut Vec<u8>, (client, clock): (u64, u64), character: u8) {
    update.push(0x84);
    write_var_uint(update, client);
    write_var_uint(update, clock);
    update.extend([1, character]);
}

impl Place {
    /// Verifies the document "a", the only one.
    fn verified(&self) {
        self.run(&["verify", "--data", "data", "--deep"]).expect(
            0,
            "1 document looked into, each opened with yrs: all sound",
            "",
        );
    }

    /// The same, and exports it in each form. Its text.
    fn opened_and_exported(&self) -> String {
        self.verified();
        for form in ["update", "json", "text"] {
            self.run(&["export", "a", "--data", "data", "--to", form, "--as", form]).expect(0, "is in", "");
        }
        let exported = |form| std::fs::read(self.path(form)).unwrap();
        let text = String::from_utf8(exported("text")).unwrap();
        assert!(exported("json") == format!(r#"{{"t":"{text}"}}"#).as_bytes(), "JSON has the same text");
        self.run(&["import", "a", "--data", "copy", "--from", "update"]).expect(0, "1 document imported", "");
        assert!(self.stored("copy", "a").encode_state() == self.stored("data", "a").encode_state());
        text
    }
}

/// yrs takes more than 2 GiB for it, which is what a small document may take.
#[test]
fn six_million_characters_that_were_typed_in_turns_are_opened_with_yrs() {
    let place = Place::new();
    place.store("a", &[typed_in_turns(6 * MIB as u64)]);
    place.verified();
}

#[test]
fn text_that_was_typed_in_pieces_and_characters_is_opened_and_exported() {
    let place = Place::new();
    let piece = "a".repeat(4 * KIB);
    let pieces = (0..KIB as u64).map(|piece_number| text(FIRST, piece_number * 4 * KIB as u64, &piece));
    let characters = (0..10_000).map(|character| appended(4 * MIB as u64 + character));
    place.store("a", &pieces.chain(characters).collect::<Vec<_>>());
    assert!(place.opened_and_exported() == "a".repeat(4 * MIB + 10_000));
}

#[test]
fn text_that_was_pasted_and_edited_everywhere_is_opened_and_exported() {
    let place = Place::new();
    let edits = 20_000;
    let apart = 8 * MIB / edits;
    let behind = (0..edits).map(|edit| (edit * apart) as u64);
    place.store("a", &[text(FIRST, 0, &"a".repeat(8 * MIB)), scattered(behind)]);
    let exported = place.opened_and_exported();
    assert_eq!(exported.len(), 8 * MIB + edits);
    assert!(exported.starts_with("aba"));
}
