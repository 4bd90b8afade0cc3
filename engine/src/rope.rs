//! Bytes in several parts, which are shared and not copied: a document of many megabytes that is sent to many peers is in
//! memory once.

use std::sync::Arc;

use bytes::Bytes;

use crate::limits::ROPE_PART_BYTES;

/// What a part costs beside shared bytes: its place, and the short bytes before it.
const PART_BYTES: usize = 64;

/// Immutable bytes in one part or several. A clone is cheap.
#[derive(Debug, Clone)]
pub struct Rope(Parts);

#[derive(Debug, Clone)]
enum Parts {
    One(Bytes),
    Several { parts: Arc<[Bytes]>, len: usize },
}

impl Rope {
    /// How many bytes it has.
    pub fn len(&self) -> usize {
        match &self.0 {
            Parts::One(bytes) => bytes.len(),
            Parts::Several { len, .. } => *len,
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// About how many bytes of memory it takes beside those that it shares. O(1).
    pub(crate) fn memory(&self) -> usize {
        match &self.0 {
            Parts::One(bytes) => bytes.len(),
            Parts::Several { parts, .. } => parts.len() * PART_BYTES,
        }
    }

    /// Its parts, in order.
    pub fn parts(&self) -> &[Bytes] {
        match &self.0 {
            Parts::One(bytes) => std::slice::from_ref(bytes),
            Parts::Several { parts, .. } => parts,
        }
    }

    /// All bytes in one part. Copies them if they are in several.
    pub fn to_bytes(&self) -> Bytes {
        match &self.0 {
            Parts::One(bytes) => bytes.clone(),
            Parts::Several { parts, .. } => Bytes::from(parts.concat()),
        }
    }
}

impl From<Bytes> for Rope {
    fn from(bytes: Bytes) -> Self {
        Self(Parts::One(bytes))
    }
}

impl From<Vec<u8>> for Rope {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl FromIterator<Bytes> for Rope {
    fn from_iter<I: IntoIterator<Item = Bytes>>(parts: I) -> Self {
        let parts: Arc<[Bytes]> = parts.into_iter().collect();
        let len = parts.iter().map(Bytes::len).sum();
        Self(Parts::Several { parts, len })
    }
}

impl PartialEq for Rope {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.parts().iter().flatten().eq(other.parts().iter().flatten())
    }
}

impl Eq for Rope {}

impl PartialEq<Bytes> for Rope {
    fn eq(&self, other: &Bytes) -> bool {
        self.len() == other.len() && self.parts().iter().flatten().eq(other)
    }
}

/// A rope that is being written.
#[derive(Debug)]
pub(crate) struct RopeWriter {
    parts: Vec<Bytes>,
    /// Bytes in `parts`.
    len: usize,
    tail: Vec<u8>,
    shares: bool,
}

impl RopeWriter {
    /// An empty rope. Unless it `shares`, [`Self::share`] copies: a short rope is better in one part.
    pub(crate) fn new(shares: bool) -> Self {
        Self { parts: Vec::new(), len: 0, tail: Vec::new(), shares }
    }

    /// Where bytes can be appended.
    pub(crate) fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.tail
    }

    /// Appends bytes: as a shared part if they are long enough, else as a copy.
    pub(crate) fn share(&mut self, bytes: &Bytes) {
        if self.shares && bytes.len() >= ROPE_PART_BYTES {
            self.seal_tail();
            self.push(bytes.clone());
        } else {
            self.tail.extend_from_slice(bytes);
        }
    }

    /// Appends another rope.
    pub(crate) fn append(&mut self, rope: &Rope) {
        rope.parts().iter().for_each(|part| self.share(part));
    }

    /// The rope.
    pub(crate) fn finish(mut self) -> Rope {
        if self.parts.is_empty() {
            return self.tail.into();
        }
        self.seal_tail();
        match self.parts.len() {
            1 => Rope(Parts::One(self.parts.remove(0))),
            _ => Rope(Parts::Several { parts: self.parts.into(), len: self.len }),
        }
    }

    fn seal_tail(&mut self) {
        if !self.tail.is_empty() {
            let tail = std::mem::take(&mut self.tail);
            self.push(tail.into());
        }
    }

    fn push(&mut self, part: Bytes) {
        self.len += part.len();
        self.parts.push(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_parts_are_shared_and_short_ones_copied() {
        let (long, short) = (Bytes::from(vec![1; ROPE_PART_BYTES]), Bytes::from_static(&[2, 3]));
        let mut writer = RopeWriter::new(true);
        writer.tail().push(0);
        writer.share(&long);
        writer.share(&short);
        writer.share(&short);
        writer.share(&long);
        let rope = writer.finish();
        assert_eq!(rope.parts().len(), 4);
        assert_eq!(rope.parts()[1].as_ptr(), long.as_ptr());
        let whole = [&[0][..], &long, &[2, 3, 2, 3], &long].concat();
        assert_eq!((rope.len(), rope.to_bytes()), (whole.len(), Bytes::from(whole.clone())));
        assert_eq!(rope, Rope::from(whole));
    }

    #[test]
    fn what_does_not_share_is_in_one_part() {
        let mut writer = RopeWriter::new(false);
        writer.share(&Bytes::from(vec![1; 4 * ROPE_PART_BYTES]));
        writer.tail().push(2);
        assert_eq!(writer.finish().parts().len(), 1);
    }
}
