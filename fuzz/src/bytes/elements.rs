//! Blocks as single elements: an independent reading of what updates say, for small ones.
//!
//! However blocks are cut, joined, trimmed and stripped of their content, their elements stay the same.

use std::collections::BTreeMap;

use crate::limits;
use coscribe_engine::lib0::{Reader, write_var_buf, write_var_uint};
use coscribe_engine::update::{Block, Content, Id, Piece, Update};

const CHECKED: &str = "these bytes were checked";

/// What one element says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) origin: Option<Id>,
    pub(super) right_origin: Option<Id>,
    /// The item in which it lives, where it names one.
    pub(super) parent: Option<Id>,
    /// The encoded parent and key of one that has no origins.
    place: Vec<u8>,
    /// Whether it is the value of a key.
    keyed: bool,
    pub(super) content: Content,
    /// A UTF-16 unit, a value, or the whole of content that cannot be cut; encoded.
    value: Vec<u8>,
}

/// Elements by id.
pub(super) type Elements = BTreeMap<Id, Element>;

impl Element {
    /// What is left of it when it is deleted.
    pub(super) fn without_content(&self) -> Self {
        let content = if self.content == Content::Gc { Content::Gc } else { Content::Deleted };
        Self { content, value: Vec::new(), ..self.clone() }
    }

    /// What is left of it when it is collected.
    pub(super) fn gone() -> Self {
        Self {
            origin: None,
            right_origin: None,
            parent: None,
            place: Vec::new(),
            keyed: false,
            content: Content::Gc,
            value: Vec::new(),
        }
    }

    /// The elements that it depends on.
    pub(super) fn dependencies(&self) -> impl Iterator<Item = Id> {
        [self.origin, self.right_origin, self.parent].into_iter().flatten()
    }

    /// Appends it as a block of its own. A surrogate is written as U+FFFD, unless `second` is the other half of its pair.
    pub(super) fn write(&self, second: Option<&Self>, out: &mut Vec<u8>) {
        let flags = [(self.origin.is_some(), 0x80), (self.right_origin.is_some(), 0x40), (self.keyed, 0x20)];
        let flags: u8 = flags.into_iter().filter_map(|(set, flag)| set.then_some(flag)).sum();
        out.push(flags | content_number(self.content));
        for id in self.origin.into_iter().chain(self.right_origin) {
            write_var_uint(out, id.client);
            write_var_uint(out, id.clock.into());
        }
        out.extend_from_slice(&self.place);
        match self.content {
            Content::Gc | Content::Deleted | Content::Skip => out.push(1),
            Content::String => {
                let units = [Some(self), second].into_iter().flatten().map(Self::unit);
                let text: String = char::decode_utf16(units).map(|unit| unit.unwrap_or('\u{fffd}')).collect();
                write_var_buf(out, text.as_bytes());
            }
            Content::Json | Content::Any => {
                out.push(1);
                out.extend_from_slice(&self.value);
            }
            _ => out.extend_from_slice(&self.value),
        }
    }

    /// Whether these two follow each other and are the halves of a surrogate pair.
    pub(super) fn is_paired_with(&self, next: &Self) -> bool {
        let strings = self.content == Content::String && next.content == Content::String;
        strings && char::decode_utf16([self.unit(), next.unit()]).count() == 1
    }

    fn unit(&self) -> u16 {
        self.value.first_chunk().map_or(0, |unit| u16::from_be_bytes(*unit))
    }

    /// Whether `other` is this one, perhaps as one half of a surrogate pair that was cut.
    pub(super) fn is(&self, other: &Self) -> bool {
        let cut = || {
            let surrogate = matches!(self.value[..], [0xd8..=0xdf, _]) && self.content == Content::String;
            surrogate && *other == Self { value: vec![0xff, 0xfd], ..self.clone() }
        };
        self == other || cut()
    }
}

/// The elements of an update in its order; `None` if they are too many.
pub(super) fn of_update(update: &Update) -> Option<Vec<(Id, Element)>> {
    let len = |run: coscribe_engine::update::Run| run.blocks().map(|block| u64::from(block.len)).sum::<u64>();
    if update.runs().map(len).sum::<u64>() > limits::UPDATE_ELEMENTS {
        return None;
    }
    let mut elements = Vec::new();
    for run in update.runs() {
        run.blocks().for_each(|block| elements.extend(of_block(&block)));
    }
    Some(elements)
}

/// Checks that these are the same elements, but for surrogate pairs that were cut.
pub(super) fn assert_same(expected: &Elements, found: &Elements) {
    assert!(expected.keys().eq(found.keys()), "there are other elements");
    for ((id, expected), found) in expected.iter().zip(found.values()) {
        assert!(expected.is(found), "{id:?}: {expected:?} became {found:?}");
    }
}

/// The elements of a block.
pub(super) fn of_block(block: &Block<'_>) -> Vec<(Id, Element)> {
    let (place, content) = split(block);
    let values = values(block, content);
    let keyed = Piece::from(*block).has_key();
    let element = |(value, clock): (Vec<u8>, u32)| {
        let first = clock == block.id.clock;
        let id = Id { clock, ..block.id };
        let before = Id { clock: clock.saturating_sub(1), ..id };
        let linked = block.content != Content::Gc;
        let element = Element {
            origin: if first { block.origin } else { linked.then_some(before) },
            right_origin: block.right_origin,
            parent: block.parent.filter(|_| first),
            place: if first { place.to_vec() } else { Vec::new() },
            keyed,
            content: block.content,
            value,
        };
        (id, element)
    };
    values.into_iter().zip(block.id.clock..).map(element).collect()
}

/// The encoded parent and key of a block, and its encoded content.
fn split<'a>(block: &Block<'a>) -> (&'a [u8], &'a [u8]) {
    let bytes = block.bytes();
    let mut reader = Reader::new(bytes);
    let info = reader.u8().expect(CHECKED);
    let origins = u8::from(info & 0x80 != 0) + u8::from(info & 0x40 != 0);
    if block.content == Content::Gc {
        return (&[], &bytes[1..]);
    }
    for _ in 0..2 * origins {
        reader.var_uint().expect(CHECKED);
    }
    let start = reader.position();
    if origins == 0 {
        if reader.var_uint().expect(CHECKED) == 1 {
            reader.var_buf().expect(CHECKED);
        } else {
            reader.var_uint().and_then(|_| reader.var_uint()).expect(CHECKED);
        }
        if info & 0x20 != 0 {
            reader.var_buf().expect(CHECKED);
        }
    }
    let end = reader.position();
    (&bytes[start..end], &bytes[end..])
}

/// The low bits of an info byte.
fn content_number(content: Content) -> u8 {
    match content {
        Content::Gc => 0,
        Content::Deleted => 1,
        Content::Json => 2,
        Content::Binary => 3,
        Content::String => 4,
        Content::Embed => 5,
        Content::Format => 6,
        Content::Type => 7,
        Content::Any => 8,
        Content::Doc => 9,
        Content::Skip => 10,
    }
}

/// The values of a block's elements.
fn values(block: &Block<'_>, content: &[u8]) -> Vec<Vec<u8>> {
    let mut reader = Reader::new(content);
    match block.content {
        Content::Gc | Content::Deleted | Content::Skip => vec![Vec::new(); block.len as usize],
        Content::String => {
            let text = reader.var_string().expect(CHECKED);
            text.encode_utf16().map(|unit| unit.to_be_bytes().to_vec()).collect()
        }
        Content::Json | Content::Any => {
            let count = reader.var_uint().expect(CHECKED);
            let value = |_| {
                let start = reader.position();
                match block.content {
                    Content::Any => reader.skip_any().expect(CHECKED),
                    _ => drop(reader.var_buf().expect(CHECKED)),
                }
                reader.read_since(start).to_vec()
            };
            (0..count).map(value).collect()
        }
        _ => vec![content.to_vec()],
    }
}
