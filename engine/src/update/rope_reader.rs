//! Reads a rope from its beginning to its end, without putting its parts together.

use bytes::Bytes;

use crate::lib0::{ReadError, Reader};
use crate::rope::Rope;
use crate::update::UpdateError;

/// A position in a rope. It keeps a few parts in memory, and the longest value that is read at once.
#[derive(Debug)]
pub(crate) struct RopeReader {
    rope: Rope,
    /// Parts that have been taken.
    taken: usize,
    /// The part that is read, or several parts that one value is in.
    bytes: Bytes,
    at: usize,
}

impl RopeReader {
    /// A reader at the start of `rope`.
    pub(crate) fn new(rope: Rope) -> Self {
        Self { rope, taken: 0, bytes: Bytes::new(), at: 0 }
    }

    /// Reads a value that may continue in the next parts. O(bytes of the value and of the part that it begins in).
    pub(crate) fn read<T>(
        &mut self,
        read: impl Fn(&mut Reader<'_>) -> Result<T, UpdateError>,
    ) -> Result<T, UpdateError> {
        self.read_shared(read).map(|(read, _)| read)
    }

    /// The same; also gives the bytes of the value. They are copied only if they are in several parts.
    pub(crate) fn read_shared<T>(
        &mut self,
        read: impl Fn(&mut Reader<'_>) -> Result<T, UpdateError>,
    ) -> Result<(T, Bytes), UpdateError> {
        loop {
            let mut reader = Reader::new(&self.bytes[self.at..]);
            let result = read(&mut reader);
            let is_cut = matches!(
                result,
                Err(UpdateError::Read(ReadError::UnexpectedEnd | ReadError::CountExceedsInput))
            );
            if !is_cut || self.taken == self.rope.parts().len() {
                let start = self.at;
                self.at += reader.position();
                return result.map(|read| (read, self.bytes.slice(start..self.at)));
            }
            self.fill();
        }
    }

    /// Takes the next part. If a value has begun before it, takes as many bytes as have been read of that value, so that a long
    /// value is not begun again for each part.
    fn fill(&mut self) {
        let begun = self.bytes.split_off(self.at);
        self.at = 0;
        let mut taken = Vec::new();
        while let Some(part) = self.rope.parts().get(self.taken) {
            self.taken += 1;
            if begun.is_empty() {
                self.bytes = part.clone();
                return;
            }
            if taken.is_empty() {
                taken.extend_from_slice(&begun);
            }
            taken.extend_from_slice(part);
            if taken.len() > 2 * begun.len() {
                break;
            }
        }
        self.bytes = taken.into();
    }

    /// Whether nothing is left.
    pub(crate) fn is_at_end(&self) -> bool {
        self.at == self.bytes.len() && self.rope.parts()[self.taken..].iter().all(Bytes::is_empty)
    }
}
