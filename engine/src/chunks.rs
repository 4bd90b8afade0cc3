//! The encoded blocks of all clients, as one ordered map of chunks.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};

use crate::chunk::Chunk;
use crate::limits::{CHUNK_BYTES, MAX_CONTENT_BYTES};
use crate::update::{Block, ClientId, Clock, Id, Piece, write_section_header};

/// Memory that a chunk takes beside its bytes: its place in the map, and what the allocator adds.
const CHUNK_OVERHEAD: usize = 96;

/// Chunks by the id of their first element. Those of one client follow each other without a gap from clock 0.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    map: BTreeMap<Id, Chunk>,
    /// Bytes of memory that the chunks have reserved.
    bytes: usize,
}

/// A chunk that is being written: taken out of the map until it is closed.
#[derive(Debug)]
pub(crate) struct OpenChunk {
    start: Id,
    chunk: Chunk,
}

impl Chunks {
    /// About how many bytes of memory they take.
    pub(crate) fn memory(&self) -> usize {
        self.bytes + self.map.len() * CHUNK_OVERHEAD
    }

    /// Opens the chunk that ends before `next`, if it has room, or else a new one.
    pub(crate) fn open(&mut self, next: Id) -> OpenChunk {
        if next.clock == 0 {
            return OpenChunk { start: next, chunk: Chunk::default() };
        }
        let first = Id { clock: 0, ..next };
        let before = self.map.range(first..next).next_back().filter(|(_, chunk)| !chunk.is_full());
        match before.map(|(&start, _)| start) {
            Some(start) => OpenChunk { start, chunk: self.take(start) },
            None => OpenChunk { start: next, chunk: Chunk::default() },
        }
    }

    /// Appends a piece to an open chunk, and to further ones as that gets full.
    pub(crate) fn push(&mut self, open: &mut OpenChunk, piece: Piece<'_>) {
        piece.cut(MAX_CONTENT_BYTES, |part| {
            if open.chunk.is_full() {
                let next = OpenChunk { start: part.id(), chunk: Chunk::default() };
                self.close(std::mem::replace(open, next));
            }
            open.chunk.push(open.start, &part);
        });
    }

    /// Puts an open chunk back.
    pub(crate) fn close(&mut self, OpenChunk { start, mut chunk }: OpenChunk) {
        if chunk.is_full() {
            chunk.seal();
        }
        self.bytes += chunk.capacity();
        self.map.insert(start, chunk);
    }

    /// Encodes what one client wrote from a known element on.
    pub(crate) fn encode_section(&self, from: Id, out: &mut Vec<u8>) {
        let start = self.start_of(from);
        let first = &self.map[&start];
        let end = Id { client: from.client, clock: Clock::MAX };
        let following = || self.map.range((Bound::Excluded(start), Bound::Included(end)));
        let following_blocks: u64 = following().map(|(_, chunk)| u64::from(chunk.count())).sum();
        if start == from {
            write_section_header(out, following_blocks + u64::from(first.count()), from);
            out.extend_from_slice(first.bytes());
        } else {
            let (block, blocks, bytes) = first.split_at(start, from.clock);
            write_section_header(out, following_blocks + u64::from(blocks) + 1, from);
            Piece::between(block, from.clock, block.end()).write(out);
            out.extend_from_slice(bytes);
        }
        for (_, chunk) in following() {
            out.extend_from_slice(chunk.bytes());
        }
    }

    /// Drops the content of known elements; `ranges` are sorted. Their blocks stay, as Deleted.
    pub(crate) fn drop_content(&mut self, client: ClientId, mut ranges: &[Range<Clock>]) {
        let mut done = 0;
        while let Some(range) = ranges.first() {
            let start = self.start_of(Id { client, clock: range.start.max(done) });
            let chunk = self.take(start);
            done = start.clock + chunk.len();
            let mut open = self.open(start);
            for block in chunk.blocks(start) {
                ranges = after(ranges, block.id.clock);
                self.push_without(&mut open, block, ranges);
            }
            self.join_small_neighbour(&mut open, Id { client, clock: done });
            self.close(open);
            ranges = after(ranges, done);
        }
    }

    /// Pushes a block, but not the content of those parts of it that are in `ranges`, which end after its start.
    fn push_without(&mut self, open: &mut OpenChunk, block: Block<'_>, ranges: &[Range<Clock>]) {
        let mut at = block.id.clock;
        for range in ranges.iter().take_while(|range| range.start < block.end()) {
            let (from, to) = (range.start.max(at), range.end.min(block.end()));
            if at < from {
                self.push(open, Piece::between(block, at, from));
            }
            self.push(open, Piece::between(block, from, to).without_content());
            at = to;
        }
        if at < block.end() {
            self.push(open, Piece::between(block, at, block.end()));
        }
    }

    /// Takes the chunk that begins at `next` into an open one if both are small, so that what shrinks also joins.
    fn join_small_neighbour(&mut self, open: &mut OpenChunk, next: Id) {
        let small = |chunk: &Chunk| chunk.bytes().len() < CHUNK_BYTES / 2;
        if small(&open.chunk) && self.map.get(&next).is_some_and(small) {
            let chunk = self.take(next);
            for block in chunk.blocks(next) {
                self.push(open, block.into());
            }
        }
    }

    /// Where the chunk starts that holds a known element.
    fn start_of(&self, id: Id) -> Id {
        let first = Id { clock: 0, ..id };
        *self.map.range(first..=id).next_back().expect("the element is known").0
    }

    fn take(&mut self, start: Id) -> Chunk {
        let chunk = self.map.remove(&start).expect("a chunk starts here");
        self.bytes -= chunk.capacity();
        chunk
    }
}

/// Those of some sorted ranges that end after a clock.
fn after(ranges: &[Range<Clock>], clock: Clock) -> &[Range<Clock>] {
    &ranges[ranges.partition_point(|range| range.end <= clock)..]
}
