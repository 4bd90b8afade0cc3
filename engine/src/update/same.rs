//! Whether two encodings of the same elements say the same, as far as both still have what they said.
//!
//! The same elements may be cut into blocks elsewhere: a block that begins in the middle of another has the element before it
//! as its origin, and the same right origin. Content that was deleted is gone. Where clients write the same content in
//! different ways, less of it is compared: an honest client is never told that it contradicts the document.

use super::{Block, Clock, Content, HAS_KEY, Id, Piece};
use crate::lib0::{Reader, are_alike};
use crate::limits::{COPIED_AT_ONCE, SHORT_BYTES};
use crate::update::scan::CHECKED;
use crate::update::slice::Span;

/// What clients write for half of a surrogate pair, U+FFFD, in UTF-16.
const HALF: u16 = 0xfffd;

impl Block<'_> {
    /// Whether a part of it says the same as these elements of a piece: `from` and `to` are clocks in both. O(bytes of both), but
    /// long values that cannot be cut are not compared to their end.
    pub(crate) fn is_same(&self, piece: &Piece<'_>, from: Clock, to: Clock) -> bool {
        let theirs = piece.block();
        if self.content == Content::Gc || theirs.content == Content::Gc {
            return true;
        }
        self.has_same_place(theirs, from) && self.has_same_content(piece, from, to)
    }

    /// Whether the element at a clock was inserted at the same place.
    fn has_same_place(&self, theirs: &Block<'_>, clock: Clock) -> bool {
        let origins = [self, theirs].map(|block| (block.origin_at(clock), block.right_origin));
        if origins[0] != origins[1] {
            return false;
        }
        origins[0] != (None, None) || self.parent == theirs.parent && self.names() == theirs.names()
    }

    fn origin_at(&self, clock: Clock) -> Option<Id> {
        if clock == self.id.clock { self.origin } else { Some(Id { clock: clock - 1, ..self.id }) }
    }

    /// The name of the root that a block without origins lives in, and its key.
    fn names(&self) -> (Option<&[u8]>, Option<&[u8]>) {
        let mut reader = Reader::new(&self.bytes[1..self.content_at]);
        let name = match reader.var_uint().expect(CHECKED) {
            1 => Some(reader.var_buf().expect(CHECKED)),
            _ => {
                super::fields::read_id(&mut reader).expect(CHECKED);
                None
            }
        };
        let has_key = self.info() & HAS_KEY != 0;
        (name, has_key.then(|| reader.var_buf().expect(CHECKED)))
    }

    fn has_same_content(&self, piece: &Piece<'_>, from: Clock, to: Clock) -> bool {
        let theirs = piece.block();
        match (self.content, theirs.content) {
            (Content::Deleted, _) | (_, Content::Deleted) => true,
            // One value may be spelled in many ways, and old clients wrote plain values as JSON.
            (Content::Json, Content::Json | Content::Any) | (Content::Any, Content::Json) => true,
            (ours, theirs) if ours != theirs => false,
            (Content::String, _) => {
                let ours = Piece::from(*self).span_between(from, to);
                ours.is_same_text(&piece.span_between(from, to))
            }
            (Content::Any, _) => {
                let ours = Piece::from(*self).span_between(from, to).bytes;
                let theirs = piece.span_between(from, to).bytes;
                let is_long = ours.len().max(theirs.len()) > 2 * SHORT_BYTES;
                is_long || are_alike(ours, theirs, (to - from) as usize)
            }
            (Content::Binary, _) => is_same_at_first(self.first_buf(), theirs.first_buf()),
            // The key of a format, or the id of a document. What follows is spelled in many ways.
            (Content::Format | Content::Doc, _) => is_same_at_first(self.first_buf(), theirs.first_buf()),
            (Content::Type, _) => self.content_bytes().first() == theirs.content_bytes().first(),
            _ => true,
        }
    }

    /// The bytes or text that its content begins with.
    fn first_buf(&self) -> &[u8] {
        Reader::new(self.content_bytes()).var_buf().expect(CHECKED)
    }
}

impl Span<'_> {
    /// Whether two parts of Strings are the same text. Half of a surrogate pair, which cannot be written by itself, is the same as
    /// any other. O(bytes).
    fn is_same_text(&self, other: &Self) -> bool {
        (self.bytes == other.bytes && self.cuts == other.cuts) || {
            let is_half = |unit: u16| unit == HALF || (0xd800..0xe000).contains(&unit);
            let is_same = |one: u16, other: u16| {
                one == other || (one == HALF || other == HALF) && is_half(one) && is_half(other)
            };
            let (mut ours, mut theirs) = (self.units(), other.units());
            loop {
                match (ours.next(), theirs.next()) {
                    (None, None) => return true,
                    (Some(one), Some(other)) if is_same(one, other) => {}
                    _ => return false,
                }
            }
        }
    }

    /// Its text in UTF-16 units, with [`HALF`] for what is cut.
    fn units(&self) -> impl Iterator<Item = u16> {
        let [before, after] = self.cuts.map(|is_cut| is_cut.then_some(HALF));
        let text = str::from_utf8(self.bytes).unwrap_or_default();
        before.into_iter().chain(text.encode_utf16()).chain(after)
    }
}

/// Whether bytes are the same, as far as they are compared.
fn is_same_at_first(ours: &[u8], theirs: &[u8]) -> bool {
    let first = |bytes: &[u8]| bytes.len().min(COPIED_AT_ONCE);
    ours.len() == theirs.len() && ours[..first(ours)] == theirs[..first(theirs)]
}
