//! Parts of blocks.
//!
//! A block cut at offset k starts with the origin `(client, clock + k - 1)`, keeps its right origin and names no
//! parent; a String cut inside a surrogate pair has U+FFFD on both sides, as in Yjs.

use super::encode::write_id;
use super::scan::skip_element;
use super::{Block, Clock, Content, HAS_KEY, HAS_ORIGIN, HAS_RIGHT_ORIGIN, Id};
use crate::lib0::{Reader, utf16_len, write_var_uint};

/// Half of a surrogate pair cannot be written in UTF-8; clients write this in its place.
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// Bytes that a character takes in UTF-8 if it takes two units in UTF-16.
const SURROGATE_PAIR_BYTES: usize = 4;

/// A part of a block, with its content or without.
#[derive(Debug, Copy, Clone)]
pub struct Piece<'a> {
    block: Block<'a>,
    from: Clock,
    to: Clock,
    /// Whether the content is left out: the piece is written as Deleted.
    deleted: bool,
}

impl<'a> From<Block<'a>> for Piece<'a> {
    fn from(block: Block<'a>) -> Self {
        Self { block, from: 0, to: block.len, deleted: false }
    }
}

impl<'a> Piece<'a> {
    /// The part of a block between two clocks inside it.
    pub fn between(block: Block<'a>, from: Clock, to: Clock) -> Self {
        Self { block, from: from - block.id.clock, to: to - block.id.clock, deleted: false }
    }

    /// The part of this piece between two clocks inside it.
    pub fn part(self, from: Clock, to: Clock) -> Self {
        Self { deleted: self.deleted, ..Self::between(self.block, from, to) }
    }

    /// The same without its content.
    pub fn without_content(self) -> Self {
        Self { deleted: self.block.content != Content::Gc, ..self }
    }

    /// The id of its first element.
    pub fn id(&self) -> Id {
        Id { client: self.block.id.client, clock: self.block.id.clock + self.from }
    }

    /// How many elements it has.
    pub fn elements(&self) -> Clock {
        self.to - self.from
    }

    /// What it holds.
    pub fn content(&self) -> Content {
        if self.deleted { Content::Deleted } else { self.block.content }
    }

    /// The element to its left when it was written.
    pub fn origin(&self) -> Option<Id> {
        if self.from == 0 {
            return self.block.origin;
        }
        let Id { client, clock } = self.id();
        Some(Id { client, clock: clock - 1 })
    }

    /// The element to its right when it was written.
    pub fn right_origin(&self) -> Option<Id> {
        self.block.right_origin
    }

    /// Whether it is the value of a key.
    pub fn has_key(&self) -> bool {
        self.block.has_key()
    }

    /// Appends the encoded piece.
    pub fn write(&self, out: &mut Vec<u8>) {
        if self.is_whole() {
            out.extend_from_slice(self.block.bytes);
            return;
        }
        self.write_header(out);
        self.write_content(out);
    }

    fn write_header(&self, out: &mut Vec<u8>) {
        let content = if self.deleted { 1 } else { self.block.info() & super::CONTENT };
        if self.block.content == Content::Gc {
            out.push(content);
        } else if self.from == 0 {
            out.push(self.block.info() & !super::CONTENT | content);
            out.extend_from_slice(&self.block.bytes[1..self.block.content_at]);
        } else {
            let kept = self.block.info() & (HAS_RIGHT_ORIGIN | HAS_KEY);
            out.push(kept | HAS_ORIGIN | content);
            let Id { client, clock } = self.id();
            write_id(out, Id { client, clock: clock - 1 });
            if let Some(right_origin) = self.block.right_origin {
                write_id(out, right_origin);
            }
        }
    }

    /// The encoded content; `scratch` holds it where it has to be made.
    pub(crate) fn content_bytes<'s>(&'s self, scratch: &'s mut Vec<u8>) -> &'s [u8] {
        if self.is_whole() {
            return self.block.content_bytes();
        }
        self.write_content(scratch);
        scratch
    }

    fn is_whole(&self) -> bool {
        self.from == 0 && self.to == self.block.len && !self.deleted
    }

    fn write_content(&self, out: &mut Vec<u8>) {
        match self.content() {
            Content::Gc | Content::Deleted | Content::Skip => write_var_uint(out, self.elements().into()),
            Content::String => self.write_string(out),
            Content::Json | Content::Any => {
                write_var_uint(out, self.elements().into());
                out.extend_from_slice(self.element_bytes());
            }
            // All other content has one element, so that a piece of it is the whole of it.
            _ => out.extend_from_slice(self.block.content_bytes()),
        }
    }

    /// The encoded elements of JSON or Any content.
    fn element_bytes(&self) -> &'a [u8] {
        let mut reader = Reader::new(self.block.content_bytes());
        reader.var_uint().expect("these bytes were checked");
        let mut skip = |elements: Clock| {
            for _ in 0..elements {
                skip_element::<false>(&mut reader, self.block.content).expect("these bytes were checked");
            }
            reader.position()
        };
        let start = skip(self.from);
        let end = skip(self.to - self.from);
        &self.block.content_bytes()[start..end]
    }

    fn write_string(&self, out: &mut Vec<u8>) {
        let text = string_bytes(self.block.content_bytes());
        let (mut start, cut_before) = utf16_position(text, self.from);
        let (end, cut_after) = utf16_position(text, self.to);
        if cut_before {
            start += SURROGATE_PAIR_BYTES;
        }
        // A piece may lie within one pair: then nothing is between its ends.
        let middle = text.get(start..end).unwrap_or_default();
        let replaced = usize::from(cut_before) + usize::from(cut_after);
        write_var_uint(out, (middle.len() + replaced * REPLACEMENT.len()) as u64);
        if cut_before {
            out.extend_from_slice(REPLACEMENT);
        }
        out.extend_from_slice(middle);
        if cut_after {
            out.extend_from_slice(REPLACEMENT);
        }
    }

    /// Cuts the piece so that no part has much more than `max_bytes` of content, as far as content can be cut.
    /// Calls `each` with the parts in order.
    pub fn cut(self, max_bytes: usize, mut each: impl FnMut(Piece<'a>)) {
        let whole = !self.deleted && self.block.content_bytes().len() > max_bytes;
        if !whole || !matches!(self.block.content, Content::String | Content::Json | Content::Any) {
            return each(self);
        }
        let mut from = self.from;
        for_each_stretch(&self.block, max_bytes, |to| {
            if to > from {
                let to = to.min(self.to);
                each(Piece { from, to, ..self });
                from = to;
            }
        });
    }
}

/// Calls `each` with the end, counted in elements, of every stretch of about `max_bytes` in a block's content.
fn for_each_stretch(block: &Block<'_>, max_bytes: usize, mut each: impl FnMut(Clock)) {
    let mut reader = Reader::new(block.content_bytes());
    if block.content == Content::String {
        let mut text = string_bytes(block.content_bytes());
        let mut end = 0;
        while !text.is_empty() {
            let is_boundary = |at: &usize| text.get(*at).is_none_or(|byte| byte & 0xc0 != 0x80);
            let at = (max_bytes.min(text.len())..).find(is_boundary).unwrap_or(text.len());
            end += clock(utf16_len(&text[..at]));
            text = &text[at..];
            each(end);
        }
        return;
    }
    reader.var_uint().expect("these bytes were checked");
    let mut start = reader.position();
    for element in 1..=block.len {
        skip_element::<false>(&mut reader, block.content).expect("these bytes were checked");
        if element == block.len || reader.position() - start >= max_bytes {
            start = reader.position();
            each(element);
        }
    }
}

/// The characters of an encoded String.
fn string_bytes(content: &[u8]) -> &[u8] {
    Reader::new(content).var_buf().expect("these bytes were checked")
}

/// Where in `text` the character begins that holds the given UTF-16 unit, and whether that unit is its second.
fn utf16_position(text: &[u8], units: Clock) -> (usize, bool) {
    if text.is_ascii() {
        return (units as usize, false);
    }
    let (mut at, mut left) = (0, units);
    while left > 0 {
        let (bytes, units) = match text[at] {
            0..0x80 => (1, 1),
            0x80..0xe0 => (2, 1),
            0xe0..0xf0 => (3, 1),
            0xf0.. => (SURROGATE_PAIR_BYTES, 2),
        };
        if units > left {
            return (at, true);
        }
        left -= units;
        at += bytes;
    }
    (at, false)
}

/// A length that was checked to be a clock.
fn clock(len: usize) -> Clock {
    Clock::try_from(len).expect("a checked block is not longer than a clock can be")
}
