//! What clients write, every client reads, and yrs does not: half of a surrogate pair in JSON, and XML hooks.

use bytes::Bytes;
use coscribe_engine::lib0::{ReadError, Reader};
use coscribe_engine::update::{Content, Update};

/// A hook in XML, which is written as an element is.
const XML_HOOK: u8 = 5;
const XML_ELEMENT: u8 = 3;

/// The digits of U+FFFD, as an escape in JSON has them.
const REPLACEMENT: &[u8; 4] = b"fffd";

/// The same update with U+FFFD in place of halves of surrogate pairs and elements in place of hooks. It has the same ids and as
/// many bytes. What is no update stays as it is.
pub(super) fn legible(update: &[u8]) -> Vec<u8> {
    let mut legible = update.to_vec();
    let Ok(update) = Update::scan(Bytes::copy_from_slice(update)) else { return legible };
    for run in update.runs() {
        for block in run.blocks() {
            // It is a part of the update, not a copy.
            let start = block.bytes().as_ptr().addr() - update.bytes().as_ptr().addr();
            let content = &mut legible[start + block.content_at()..start + block.bytes().len()];
            // These bytes were checked.
            let _ = make_legible(block.content, content);
        }
    }
    legible
}

fn make_legible(kind: Content, content: &mut [u8]) -> Result<(), ReadError> {
    let texts = match kind {
        Content::Type if content[0] == XML_HOOK => {
            content[0] = XML_ELEMENT;
            return Ok(());
        }
        Content::Embed => 1,
        // The first one is a key, which is no JSON.
        Content::Format => 2,
        Content::Json => Reader::new(content).var_uint()?,
        _ => return Ok(()),
    };
    let mut at = if kind == Content::Json {
        position_after(content, |reader| reader.var_uint().map(drop))?
    } else {
        0
    };
    for text in 0..texts {
        let end = at + position_after(&content[at..], |reader| reader.var_buf().map(drop))?;
        let len = Reader::new(&content[at..]).var_buf()?.len();
        if kind != Content::Format || text == 1 {
            replace_half_pairs(&mut content[end - len..end]);
        }
        at = end;
    }
    Ok(())
}

fn position_after(
    bytes: &[u8],
    read: impl FnOnce(&mut Reader<'_>) -> Result<(), ReadError>,
) -> Result<usize, ReadError> {
    let mut reader = Reader::new(bytes);
    read(&mut reader)?;
    Ok(reader.position())
}

/// Replaces escapes of halves of surrogate pairs in a JSON text.
fn replace_half_pairs(json: &mut [u8]) {
    let mut at = 0;
    while at < json.len() {
        at += match (json[at], unit(&json[at..])) {
            (b'\\', Some(0xd800..0xdc00)) if matches!(unit(&json[at + 6..]), Some(0xdc00..0xe000)) => 12,
            (b'\\', Some(0xd800..0xe000)) => {
                json[at + 2..at + 6].copy_from_slice(REPLACEMENT);
                6
            }
            // Whatever is behind it, it is no escape of its own.
            (b'\\', _) => 2,
            _ => 1,
        };
    }
}

/// The UTF-16 unit that an escape at the start stands for.
fn unit(json: &[u8]) -> Option<u16> {
    let digits = json.strip_prefix(b"\\u")?.first_chunk::<4>()?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_halves_of_pairs_are_replaced() {
        let replaced = |json: &str| {
            let mut json = json.as_bytes().to_vec();
            replace_half_pairs(&mut json);
            String::from_utf8(json).expect("replaced by ASCII")
        };
        for same in [r#""\ud83d\ude00""#, r#""\\ud83d""#, r#""\u0041\n""#, r#"{"a":1}"#, r#""\"#] {
            assert_eq!(replaced(same), same);
        }
        assert_eq!(replaced(r#""\ud83d""#), r#""\ufffd""#);
        assert_eq!(replaced(r#""\ude00\ud83d\ude00\uD83D""#), r#""\ufffd\ud83d\ude00\ufffd""#);
    }
}
