//! A stretch of one client's encoded blocks: the part that [`crate::document::blocks::Blocks`] is made of.

use bytes::Bytes;

use crate::lib0::{Reader, write_var_uint};
use crate::limits::{CHUNK_BYTES, MAX_CONTENT_BYTES};
use crate::update::{Block, Clock, Content, Id, Piece, RunBlocks, view_block};
use crate::work::Work;

/// Consecutive encoded blocks of one client. The owner of the chunk knows where it starts.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    bytes: Encoded,
    /// Blocks in `bytes`.
    blocks: u32,
    /// Elements in all blocks.
    len: Clock,
    /// Elements in the last block.
    last_len: Clock,
    /// Where in `bytes` the last block begins.
    last_at: usize,
}

/// The bytes of a chunk.
#[derive(Debug)]
enum Encoded {
    /// More may be appended.
    Growing(Vec<u8>),
    /// They will not change any more, and can be shared.
    Sealed(Bytes),
}

impl Default for Encoded {
    fn default() -> Self {
        Self::Growing(Vec::new())
    }
}

impl std::ops::Deref for Encoded {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Growing(bytes) => bytes,
            Self::Sealed(bytes) => bytes,
        }
    }
}

impl Encoded {
    fn growing(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Growing(bytes) => bytes,
            Self::Sealed(_) => panic!("a sealed chunk does not grow"),
        }
    }
}

impl Chunk {
    /// The encoded blocks.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The encoded blocks, to be shared; `None` while they may grow.
    pub(crate) fn shared(&self) -> Option<&Bytes> {
        match &self.bytes {
            Encoded::Growing(_) => None,
            Encoded::Sealed(bytes) => Some(bytes),
        }
    }

    /// How many blocks there are.
    pub(crate) fn count(&self) -> u32 {
        self.blocks
    }

    /// How many elements they have.
    pub(crate) fn len(&self) -> Clock {
        self.len
    }

    /// Whether the next block should go into another chunk.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= CHUNK_BYTES
    }

    /// The blocks, the first of which is at `start`.
    pub(crate) fn blocks(&self, start: Id) -> RunBlocks<'_> {
        RunBlocks::new(start, self.blocks as usize, &self.bytes)
    }

    /// The block that holds the element at `clock`, how many blocks follow it, and their bytes.
    pub(crate) fn split_at(&self, start: Id, clock: Clock) -> (Block<'_>, u32, &[u8]) {
        let last = self.last(start);
        if last.id.clock <= clock {
            return (last, 0, &[]);
        }
        let mut blocks = self.blocks(start);
        let block = blocks.find(|block| clock < block.end()).expect("the clock is in this chunk");
        let following = self.blocks - self.index_after(&blocks);
        (block, following, &self.bytes[blocks.position()..])
    }

    fn index_after(&self, blocks: &RunBlocks<'_>) -> u32 {
        self.blocks - u32::try_from(blocks.left()).expect("counted in 32 bits")
    }

    /// The last block.
    pub(crate) fn last(&self, start: Id) -> Block<'_> {
        let clock = start.clock + self.len - self.last_len;
        view_block(&self.bytes[self.last_at..], Id { clock, ..start }, self.last_len)
    }

    /// Calls `each` with every block. O(bytes), but a long block with a chunk of its own is not walked.
    pub(crate) fn for_each_block(&self, start: Id, mut each: impl FnMut(Block<'_>)) {
        match self.blocks {
            1 => each(self.last(start)),
            _ => self.blocks(start).for_each(each),
        }
    }

    /// Appends a piece that follows the last block; `start` is the start of the chunk. O(bytes of the piece).
    pub(crate) fn push(&mut self, start: Id, piece: &Piece<'_>) {
        if self.blocks > 0 && self.squash(start, piece) {
            self.last_len += piece.elements();
        } else {
            self.last_at = self.bytes.len();
            self.last_len = piece.elements();
            self.blocks += 1;
            piece.write(self.bytes.growing());
        }
        self.len += piece.elements();
    }

    /// A chunk of one long piece. O(bytes of the piece).
    pub(crate) async fn of(piece: &Piece<'_>, work: &mut Work) -> Self {
        let mut bytes = Vec::new();
        piece.write_in_slices(&mut bytes, work).await;
        let len = piece.elements();
        Self { bytes: Encoded::Growing(bytes), blocks: 1, len, last_len: len, last_at: 0 }
    }

    /// Makes the piece a part of the last block, if the result means the same.
    ///
    /// Content that can be joined is a number (of bytes or elements) and, for String, JSON and Any, the bytes or elements
    /// themselves.
    fn squash(&mut self, start: Id, piece: &Piece<'_>) -> bool {
        let last = self.last(start);
        if !continues(&last, piece) {
            return false;
        }
        let mut scratch = Vec::new();
        let added = piece.content_bytes(&mut scratch);
        let content_at = self.last_at + last.content_at();
        let (ours, our_prefix) = read_number(&self.bytes[content_at..]);
        let (theirs, their_prefix) = read_number(added);
        let payload = &added[their_prefix..];
        if !payload.is_empty() && self.bytes.len() - content_at + payload.len() > MAX_CONTENT_BYTES {
            return false;
        }
        let mut number = Vec::with_capacity(8);
        write_var_uint(&mut number, ours + theirs);
        let bytes = self.bytes.growing();
        bytes.splice(content_at..content_at + our_prefix, number);
        bytes.extend_from_slice(payload);
        true
    }

    /// Gives back the memory that growing has reserved. Nothing is appended after that.
    pub(crate) fn seal(&mut self) {
        if let Encoded::Growing(bytes) = &mut self.bytes {
            self.bytes = Encoded::Sealed(std::mem::take(bytes).into_boxed_slice().into());
        }
    }

    /// Takes a chunk up again that was sealed before it was full.
    pub(crate) fn unseal(&mut self) {
        if let Encoded::Sealed(bytes) = &mut self.bytes {
            self.bytes = Encoded::Growing(std::mem::take(bytes).into());
        }
    }

    /// Bytes of memory that the chunk has reserved beside itself.
    pub(crate) fn capacity(&self) -> usize {
        match &self.bytes {
            Encoded::Growing(bytes) => bytes.capacity(),
            Encoded::Sealed(bytes) => bytes.len(),
        }
    }
}

/// Whether `last` and `piece` mean the same as one longer block. The rules are those of `Item.mergeWith` in Yjs;
/// values of keys are left alone, because there only the last one counts.
fn continues(last: &Block<'_>, piece: &Piece<'_>) -> bool {
    if last.content != piece.content() {
        return false;
    }
    let last_id = Id { client: last.id.client, clock: last.end() - 1 };
    let follows = || piece.origin() == Some(last_id) && piece.right_origin() == last.right_origin;
    match last.content {
        Content::Gc => true,
        Content::Deleted => follows() && piece.has_key() == last.has_key(),
        Content::String | Content::Any | Content::Json => follows() && !piece.has_key() && !last.has_key(),
        _ => false,
    }
}

/// A varUint of checked bytes, and how many bytes it takes.
fn read_number(bytes: &[u8]) -> (u64, usize) {
    let mut reader = Reader::new(bytes);
    let number = reader.var_uint().expect("these bytes were checked");
    (number, reader.position())
}
