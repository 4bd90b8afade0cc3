//! Parts of blocks.
//!
//! A block cut at offset k starts with the origin `(client, clock + k - 1)`, keeps its right origin and names no
//! parent; a String cut inside a surrogate pair has U+FFFD on both sides, as in Yjs.

use std::ops::Range;

use super::content::read_element;
use super::fields::write_id;
use super::scan::CHECKED;
use super::{Block, Clock, Content, HAS_KEY, HAS_ORIGIN, HAS_RIGHT_ORIGIN, Id};
use crate::lib0::{Reader, utf16_len, write_var_uint};
use crate::limits::{MAX_CONTENT_BYTES, SHORT_HEADER_BYTES};
use crate::work::{Work, copy, finish};

/// Half of a surrogate pair cannot be written in UTF-8; clients write this in its place.
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// Bytes of the length in front of content that was cut and is as long as content may be.
const LENGTH_BYTES: usize = 2;

/// Bytes that a character takes in UTF-8 if it takes two units in UTF-16.
const SURROGATE_PAIR_BYTES: usize = 4;

/// The remains of a deleted block.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Remains {
    /// Its place: it is written as Deleted.
    Place,
    /// Its number of elements: it is written as GC.
    Length,
}

/// A part of a block, or the remains of that part.
#[derive(Debug, Copy, Clone)]
pub struct Piece<'a> {
    block: Block<'a>,
    from: Clock,
    to: Clock,
    /// The remains, if the part was deleted.
    remains: Option<Remains>,
    /// The place of its characters or elements, if that is known.
    span: Option<Span<'a>>,
}

/// The characters or elements of a piece in its block.
#[derive(Debug, Copy, Clone)]
pub(crate) struct Span<'a> {
    pub(super) bytes: &'a [u8],
    /// Whether a surrogate pair is cut at the start, and at the end.
    pub(super) cuts: [bool; 2],
}

impl<'a> From<Block<'a>> for Piece<'a> {
    fn from(block: Block<'a>) -> Self {
        Self { block, from: 0, to: block.len, remains: None, span: None }
    }
}

impl<'a> Piece<'a> {
    /// The part of a block between two clocks inside it.
    pub fn between(block: Block<'a>, from: Clock, to: Clock) -> Self {
        let (from, to) = (from - block.id.clock, to - block.id.clock);
        Self { block, from, to, remains: None, span: None }
    }

    /// Its remains. GC, of which only the length is known, stays GC.
    pub(crate) fn reduced_to(self, remains: Remains) -> Self {
        Self { remains: (self.block.content != Content::Gc).then_some(remains), ..self }
    }

    /// The same without its content.
    pub fn without_content(self) -> Self {
        self.reduced_to(Remains::Place)
    }

    /// The id of its first element.
    pub fn id(&self) -> Id {
        Id { client: self.block.id.client, clock: self.block.id.clock + self.from }
    }

    /// How many elements it has.
    pub fn elements(&self) -> Clock {
        self.to - self.from
    }

    /// Its content.
    pub fn content(&self) -> Content {
        match self.remains {
            None => self.block.content,
            Some(Remains::Place) => Content::Deleted,
            Some(Remains::Length) => Content::Gc,
        }
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
        self.block.has_key() && self.content() != Content::Gc
    }

    /// Whether it can be stored as it is, without a cut.
    pub(crate) fn is_short(&self) -> bool {
        let content = if self.remains.is_some() { 0 } else { self.block.content_bytes().len() };
        content <= MAX_CONTENT_BYTES + LENGTH_BYTES && self.copied_header() <= SHORT_HEADER_BYTES
    }

    /// Whether it takes more bytes than a block that can be cut should.
    pub(crate) fn is_long(&self) -> bool {
        let content = match self.span {
            _ if self.remains.is_some() => 0,
            Some(span) => span.bytes.len(),
            None => self.block.content_bytes().len(),
        };
        self.copied_header() + content > MAX_CONTENT_BYTES + SHORT_HEADER_BYTES
    }

    /// How many bytes of its block's header it has.
    pub(crate) fn copied_header(&self) -> usize {
        if self.from == 0 && self.content() != Content::Gc { self.block.content_at } else { 0 }
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

    /// The same, with pauses. Reserves only the memory that the piece takes.
    pub(crate) async fn write_in_slices(&self, out: &mut Vec<u8>, work: &mut Work) {
        let Block { bytes, content_at, .. } = self.block;
        if self.is_whole() {
            out.reserve_exact(bytes.len());
            copy(bytes, out, work).await;
        } else if self.from == 0 && self.content() != Content::Gc {
            let mut content = Vec::new();
            self.write_content(&mut content);
            out.reserve_exact(content_at + content.len());
            out.push(self.info());
            copy(&bytes[1..content_at], out, work).await;
            copy(&content, out, work).await;
        } else {
            self.write(out);
        }
    }

    /// The first byte of a piece that is not a whole block.
    fn info(&self) -> u8 {
        let content = if self.remains.is_some() { 1 } else { self.block.info() & super::CONTENT };
        if self.from == 0 {
            return self.block.info() & !super::CONTENT | content;
        }
        self.block.info() & (HAS_RIGHT_ORIGIN | HAS_KEY) | HAS_ORIGIN | content
    }

    fn write_header(&self, out: &mut Vec<u8>) {
        if self.content() == Content::Gc {
            out.push(0);
        } else if self.from == 0 {
            out.push(self.info());
            out.extend_from_slice(&self.block.bytes[1..self.block.content_at]);
        } else {
            out.push(self.info());
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
        self.from == 0 && self.to == self.block.len && self.remains.is_none()
    }

    fn write_content(&self, out: &mut Vec<u8>) {
        match self.content() {
            Content::Gc | Content::Deleted | Content::Skip => write_var_uint(out, self.elements().into()),
            Content::String => {
                let Span { bytes, cuts: [before, after] } = self.span();
                let replaced = usize::from(before) + usize::from(after);
                write_var_uint(out, (bytes.len() + replaced * REPLACEMENT.len()) as u64);
                if before {
                    out.extend_from_slice(REPLACEMENT);
                }
                out.extend_from_slice(bytes);
                if after {
                    out.extend_from_slice(REPLACEMENT);
                }
            }
            Content::Json | Content::Any => {
                write_var_uint(out, self.elements().into());
                out.extend_from_slice(self.span().bytes);
            }
            // All other content has one element, so that a piece of it is the whole of it.
            _ => out.extend_from_slice(self.block.content_bytes()),
        }
    }

    /// Cuts it so that no part has more than `max_bytes` of characters or elements, as far as these can be cut. Calls `each`
    /// with the parts in order. O(bytes of the block).
    pub fn cut(self, max_bytes: usize, mut each: impl FnMut(Piece<'a>)) {
        let mut cutter = Cutter::new(self, max_bytes);
        while let Some(part) = finish(cutter.next(&mut Work::default())) {
            each(part);
        }
    }

    /// The block that it is a part of.
    pub(crate) fn block(&self) -> &Block<'a> {
        &self.block
    }

    /// The characters or elements between two clocks inside a piece that has not lost them. O(bytes of the piece).
    pub(crate) fn span_between(&self, from: Clock, to: Clock) -> Span<'a> {
        let whole = Span { bytes: payload(&self.block), cuts: [false; 2] };
        let span = if self.is_whole() { whole } else { self.span() };
        let start = self.id().clock;
        if (from, to) == (start, start + self.elements()) {
            return span;
        }
        Places::in_bytes(self.block.content, span.bytes).span(from - start, to - start)
    }

    /// Where its characters or elements are. O(bytes of the block), unless that is known.
    fn span(&self) -> Span<'a> {
        self.span.unwrap_or_else(|| Places::of(&self.block).span(self.from, self.to))
    }
}

/// Finds parts in the content of a block, in order. O(bytes of the block), over all of them.
#[derive(Debug)]
pub(crate) struct Places<'a> {
    content: Content,
    bytes: &'a [u8],
    /// All characters have one byte and one unit.
    is_ascii: bool,
    /// The element that begins at `at`.
    element: Clock,
    at: usize,
}

impl<'a> Places<'a> {
    /// The places in the content of a block.
    pub(crate) fn of(block: &Block<'a>) -> Self {
        Self::in_bytes(block.content, payload(block))
    }

    fn in_bytes(content: Content, bytes: &'a [u8]) -> Self {
        let is_ascii = content == Content::String && bytes.is_ascii();
        Self { content, bytes, is_ascii, element: 0, at: 0 }
    }

    /// The part of a block between two clocks inside it. They may not lie before clocks that were asked for earlier.
    pub(crate) fn piece(&mut self, block: Block<'a>, from: Clock, to: Clock) -> Piece<'a> {
        let piece = Piece::between(block, from, to);
        match block.content {
            Content::String | Content::Json | Content::Any => {
                Piece { span: Some(self.span(piece.from, piece.to)), ..piece }
            }
            _ => piece,
        }
    }

    fn span(&mut self, from: Clock, to: Clock) -> Span<'a> {
        let (mut start, before) = self.find(from);
        let (end, after) = self.find(to);
        if before {
            start += SURROGATE_PAIR_BYTES;
        }
        // A part may lie within one pair: then it has no bytes.
        Span { bytes: self.bytes.get(start..end).unwrap_or_default(), cuts: [before, after] }
    }

    /// The position of an element, or of the character that holds it, and whether the element is the second half of a surrogate
    /// pair.
    fn find(&mut self, element: Clock) -> (usize, bool) {
        if self.is_ascii {
            return (element as usize, false);
        }
        while self.element < element {
            let (bytes, elements) = match self.content {
                Content::String => character_len(self.bytes[self.at]),
                content => (element_len(&self.bytes[self.at..], content), 1),
            };
            if elements > element - self.element {
                return (self.at, true);
            }
            self.at += bytes;
            self.element += elements;
        }
        (self.at, false)
    }
}

/// Cuts a piece so that no part has more than a given number of bytes of characters or elements, as far as these can be cut.
#[derive(Debug)]
pub(crate) struct Cutter<'a> {
    piece: Piece<'a>,
    /// `None` where there is nothing to cut.
    stretches: Option<Stretches<'a>>,
    max_bytes: usize,
    done: bool,
}

impl<'a> Cutter<'a> {
    /// The parts of a piece, in order. After a long key the first character or element is alone, so that no deletion beside it
    /// copies the key.
    pub(crate) fn new(piece: Piece<'a>, max_bytes: usize) -> Self {
        let Piece { block, from, remains, .. } = piece;
        let is_list = matches!(block.content, Content::String | Content::Json | Content::Any);
        let can_be_cut = is_list && remains.is_none();
        let long_header = from == 0 && block.content_at > SHORT_HEADER_BYTES;
        let first = if long_header { 1 } else { max_bytes };
        let cuts = can_be_cut && payload(&block).len() > first;
        Self { piece, stretches: cuts.then(|| Stretches::of(&block, first)), max_bytes, done: false }
    }

    /// The next part. O(bytes of the block), over all of them.
    pub(crate) async fn next(&mut self, work: &mut Work) -> Option<Piece<'a>> {
        let Piece { block, from, to, .. } = self.piece;
        let Some(stretches) = &mut self.stretches else {
            return (!std::mem::replace(&mut self.done, true)).then_some(self.piece);
        };
        loop {
            let stretch = stretches.next(work).await?;
            stretches.max_bytes = self.max_bytes;
            let part = stretch.elements.start.max(from)..stretch.elements.end.min(to);
            if !part.is_empty() {
                let span = Some(stretch.part(&block, part.start, part.end));
                return Some(Piece { from: part.start, to: part.end, span, ..self.piece });
            }
        }
    }
}

/// Some of the characters or elements of a block.
#[derive(Debug)]
struct Stretch<'a> {
    elements: Range<Clock>,
    bytes: &'a [u8],
}

impl<'a> Stretch<'a> {
    /// The characters or elements of a part that lies in the stretch. O(bytes of the stretch).
    fn part(&self, block: &Block<'_>, from: Clock, to: Clock) -> Span<'a> {
        let start = self.elements.start;
        if (from, to) == (start, self.elements.end) {
            return Span { bytes: self.bytes, cuts: [false; 2] };
        }
        Places::in_bytes(block.content, self.bytes).span(from - start, to - start)
    }
}

/// The stretches of a block's content, each of which has as many bytes as it may, but at least one character or element.
#[derive(Debug)]
struct Stretches<'a> {
    content: Content,
    bytes: &'a [u8],
    max_bytes: usize,
    /// Where the next one begins.
    at: usize,
    element: Clock,
    end: Clock,
}

impl<'a> Stretches<'a> {
    fn of(block: &Block<'a>, max_bytes: usize) -> Self {
        let bytes = payload(block);
        Self { content: block.content, bytes, max_bytes, at: 0, element: 0, end: block.len }
    }

    async fn next(&mut self, work: &mut Work) -> Option<Stretch<'a>> {
        if self.element == self.end {
            return None;
        }
        let (len, elements) = match self.content {
            Content::String => self.characters(),
            _ => self.elements(work).await,
        };
        let start = self.element;
        self.element += elements;
        self.at += len;
        // One element that is longer is passed over.
        work.count_bytes(len.min(self.max_bytes));
        work.pause().await;
        Some(Stretch { elements: start..self.element, bytes: &self.bytes[self.at - len..self.at] })
    }

    fn characters(&self) -> (usize, Clock) {
        let text = &self.bytes[self.at..];
        let mut end = self.max_bytes.min(text.len());
        let is_inside = |at: usize| text.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
        while end > 0 && is_inside(end) {
            end -= 1;
        }
        if end == 0 {
            end = (1..text.len()).find(|&at| !is_inside(at)).unwrap_or(text.len());
        }
        (end, clock(utf16_len(&text[..end])))
    }

    async fn elements(&self, work: &mut Work) -> (usize, Clock) {
        let mut reader = Reader::new(&self.bytes[self.at..]);
        let (mut len, mut elements) = (0, 0);
        while self.element + elements < self.end {
            read_element(&mut reader, self.content, work).await.expect(CHECKED);
            if elements > 0 && reader.position() > self.max_bytes {
                break;
            }
            (len, elements) = (reader.position(), elements + 1);
        }
        (len, elements)
    }
}

/// The encoded characters or elements of a block, without their number.
fn payload<'a>(block: &Block<'a>) -> &'a [u8] {
    let content = block.content_bytes();
    let mut reader = Reader::new(content);
    match block.content {
        Content::String => reader.var_buf().expect(CHECKED),
        _ => {
            reader.var_uint().expect(CHECKED);
            &content[reader.position()..]
        }
    }
}

/// Bytes of the first of some encoded elements.
fn element_len(bytes: &[u8], content: Content) -> usize {
    let mut reader = Reader::new(bytes);
    finish(read_element(&mut reader, content, &mut Work::default())).expect(CHECKED);
    reader.position()
}

/// Bytes of a character in UTF-8, by its first, and its units in UTF-16.
fn character_len(first: u8) -> (usize, Clock) {
    match first {
        0..0x80 => (1, 1),
        0x80..0xe0 => (2, 1),
        0xe0..0xf0 => (3, 1),
        0xf0.. => (SURROGATE_PAIR_BYTES, 2),
    }
}

/// A length that was checked to be a clock.
fn clock(len: usize) -> Clock {
    Clock::try_from(len).expect("a checked block is not longer than a clock can be")
}
