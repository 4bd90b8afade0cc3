//! The encoded blocks of all clients, as one ordered map of chunks.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;
use std::ops::{Bound, Range};

use crate::document::chunk::Chunk;
use crate::limits::{CHUNK_BYTES, MAX_CONTENT_BYTES, ROPE_PART_BYTES};
use crate::rope::RopeWriter;
use crate::update::{
    Block, ClientId, Clock, Content, Cutter, Id, Piece, Places, Remains, RunBlocks, write_section_header,
};
use crate::work::{Work, finish};

/// Memory that a chunk takes beside its bytes: its place in the map, and the allocator's share.
pub(crate) const CHUNK_OVERHEAD: usize = 96;

/// Bytes that a Deleted block takes at least beside its header.
const DELETED_BYTES: usize = 2;

/// Chunks by the id of their first element. Those of one client follow each other without a gap from clock 0.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    map: BTreeMap<Id, Chunk>,
    /// Chunks that may grow, but are large enough to be shared.
    growing: BTreeSet<Id>,
    /// Bytes of memory that the chunks have reserved.
    bytes: usize,
    /// How often a chunk was rewritten. A place in a chunk is valid until then.
    rewrites: u64,
    /// The debris of deletions since the last collection.
    pub(crate) debris: Debris,
}

/// The leftovers of deletions that a collection may take away.
#[derive(Debug, Default)]
pub(crate) struct Debris {
    /// Bytes of blocks whose content is gone.
    pub(crate) bytes: usize,
    /// Whether there was ever a type among them: if not, nothing lies below a deleted type.
    pub(crate) has_types: bool,
}

/// How far the blocks of one client have been walked.
#[derive(Debug, Default, Copy, Clone)]
pub(crate) struct Cursor {
    /// The clock after the last element that was passed.
    pub(crate) clock: Clock,
    /// The place of the next block, if it is inside a chunk.
    place: Option<Place>,
}

impl Cursor {
    /// A cursor at the element with this clock.
    pub(crate) fn at(clock: Clock) -> Self {
        Self { clock, place: None }
    }
}

/// The place of a block in its chunk.
#[derive(Debug, Copy, Clone)]
struct Place {
    /// The clock of its first element.
    clock: Clock,
    /// Where it begins in the bytes.
    at: usize,
    /// Blocks before it.
    index: u32,
    /// The number of rewrites when this was so.
    rewrites: u64,
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

    /// Opens the chunk that ends before `next`, if it has room, or else a new one. O(log chunks).
    pub(crate) fn open(&mut self, next: Id) -> OpenChunk {
        if next.clock == 0 {
            return OpenChunk { start: next, chunk: Chunk::default() };
        }
        let first = Id { clock: 0, ..next };
        let before = self.map.range(first..next).next_back().filter(|(_, chunk)| !chunk.is_full());
        match before.map(|(&start, _)| start) {
            Some(start) => {
                let mut chunk = self.take(start);
                chunk.unseal();
                OpenChunk { start, chunk }
            }
            None => OpenChunk { start: next, chunk: Chunk::default() },
        }
    }

    /// Appends a piece to an open chunk, and to further chunks as it gets full. O(bytes of the piece's block).
    pub(crate) async fn push(&mut self, open: &mut OpenChunk, piece: &Piece<'_>, work: &mut Work) {
        if piece.is_short() {
            work.count(1);
            self.push_short(open, piece);
        } else {
            Box::pin(self.push_parts(open, piece, work)).await;
        }
        work.pause().await;
    }

    async fn push_parts(&mut self, open: &mut OpenChunk, piece: &Piece<'_>, work: &mut Work) {
        let mut cutter = Cutter::new(*piece, MAX_CONTENT_BYTES);
        while let Some(part) = cutter.next(work).await {
            if part.is_long() {
                let long = OpenChunk { start: part.id(), chunk: Chunk::of(&part, work).await };
                self.close(std::mem::replace(open, long));
            } else {
                self.push_short(open, &part);
                work.count_bytes(MAX_CONTENT_BYTES.min(open.chunk.bytes().len()));
            }
            work.pause().await;
        }
    }

    /// Appends a piece that is no longer than a block may be. O(bytes of the piece).
    fn push_short(&mut self, open: &mut OpenChunk, piece: &Piece<'_>) {
        if open.chunk.is_full() {
            let next = OpenChunk { start: piece.id(), chunk: Chunk::default() };
            self.close(std::mem::replace(open, next));
        }
        open.chunk.push(open.start, piece);
    }

    /// Puts an open chunk back. O(bytes of the chunk) where it is full.
    pub(crate) fn close(&mut self, OpenChunk { start, mut chunk }: OpenChunk) {
        if chunk.count() == 0 {
            return;
        }
        if chunk.is_full() {
            chunk.seal();
        } else if chunk.bytes().len() >= ROPE_PART_BYTES {
            self.growing.insert(start);
        }
        self.bytes += chunk.capacity();
        self.map.insert(start, chunk);
    }

    /// Seals the chunks that have grown, so that all receivers share them. O(bytes of these chunks).
    pub(crate) async fn seal_all(&mut self, work: &mut Work) {
        while let Some(start) = self.growing.pop_first() {
            let Some(chunk) = self.map.get_mut(&start) else { continue };
            self.bytes -= chunk.capacity();
            chunk.seal();
            self.bytes += chunk.capacity();
            work.count_bytes(chunk.bytes().len());
            work.pause().await;
        }
    }

    /// What is left of `most` bytes after the blocks of one client from a known element on; `None` if these take more. O(chunks
    /// that fit).
    pub(crate) fn bytes_left(&self, from: Id, most: usize) -> Option<usize> {
        let (_, first, following) = self.chunks_from(from);
        let mut chunks = iter::once(first).chain(following);
        chunks.try_fold(most, |left, chunk| left.checked_sub(chunk.bytes().len()))
    }

    /// Encodes the blocks of one client from a known element on. O(bytes), but O(chunks) where these are shared, and up to one
    /// chunk more.
    pub(crate) async fn encode_section(&self, from: Id, out: &mut RopeWriter, work: &mut Work) {
        let (start, first, following) = self.chunks_from(from);
        let mut following_blocks = 0;
        for chunk in following.clone() {
            following_blocks += u64::from(chunk.count());
            work.count(1);
            work.pause().await;
        }
        if start == from {
            write_section_header(out.tail(), following_blocks + u64::from(first.count()), from);
            write_chunk(first, out, work);
        } else {
            let (block, blocks, bytes) = first.split_at(start, from.clock);
            write_section_header(out.tail(), following_blocks + u64::from(blocks) + 1, from);
            Piece::between(block, from.clock, block.end()).write(out.tail());
            out.tail().extend_from_slice(bytes);
            work.count_bytes(first.bytes().len().min(CHUNK_BYTES + MAX_CONTENT_BYTES));
        }
        for chunk in following {
            write_chunk(chunk, out, work);
            work.pause().await;
        }
    }

    /// The chunk of a known element, where it starts, and the chunks of the same client that follow it. O(log chunks).
    fn chunks_from(&self, id: Id) -> (Id, &Chunk, impl Iterator<Item = &Chunk> + Clone) {
        let first = Id { clock: 0, ..id };
        let (&start, chunk) = self.map.range(first..=id).next_back().expect("the element is known");
        let end = Id { clock: Clock::MAX, ..id };
        let following = self.map.range((Bound::Excluded(start), Bound::Included(end)));
        (start, chunk, following.map(|(_, chunk)| chunk))
    }

    /// Walks the blocks of a client from a cursor to the end of a chunk, or to the first block that `passes` rejects. `passes`
    /// also gets the clock of the first element that counts. O(bytes of the blocks, and of the chunk if it was rewritten
    /// meanwhile).
    pub(crate) fn walk(
        &self,
        client: ClientId,
        cursor: &mut Cursor,
        work: &mut Work,
        mut passes: impl FnMut(&Block<'_>, Clock) -> bool,
    ) {
        let known = cursor.place.take().filter(|place| place.rewrites == self.rewrites);
        let start = self.start_of(Id { client, clock: cursor.clock });
        let chunk = &self.map[&start];
        let last = chunk.last(start);
        if last.id.clock <= cursor.clock {
            // A long block has a chunk of its own, so its content is not walked.
            work.count(1);
            cursor.clock = if passes(&last, cursor.clock) { last.end() } else { cursor.clock };
            return;
        }
        let Place { clock, at, mut index, .. } =
            known.unwrap_or(Place { clock: start.clock, at: 0, index: 0, rewrites: 0 });
        let mut blocks =
            RunBlocks::new(Id { client, clock }, (chunk.count() - index) as usize, &chunk.bytes()[at..]);
        loop {
            let from = at + blocks.position();
            let Some(block) = blocks.next() else { return };
            work.count_bytes(block.bytes().len());
            if block.end() > cursor.clock {
                if !passes(&block, cursor.clock) {
                    let clock = block.id.clock;
                    cursor.place = Some(Place { clock, at: from, index, rewrites: self.rewrites });
                    return;
                }
                cursor.clock = block.end();
            }
            index += 1;
        }
    }

    /// The clock after the last element of the chunk that holds a known element.
    pub(crate) fn end_of_chunk(&self, id: Id) -> Clock {
        let start = self.start_of(id);
        start.clock + self.map[&start].len()
    }

    /// Reduces known elements to their remains; `ranges` are sorted. O(ranges, and the bytes of each chunk that has one of
    /// them), but no more than the removed content for a block with a chunk of its own.
    pub(crate) async fn reduce(
        &mut self,
        client: ClientId,
        mut ranges: &[Range<Clock>],
        remains: Remains,
        work: &mut Work,
    ) {
        let mut done = 0;
        while let Some(range) = ranges.first() {
            let start = self.start_of(Id { client, clock: range.start.max(done) });
            let chunk = self.take(start);
            done = start.clock + chunk.len();
            self.rewrites += 1;
            if chunk.count() == 1 {
                self.rewrite_long(start, &chunk, ranges, remains, work).await;
            } else {
                self.rewrite(start, &chunk, ranges, remains);
            }
            ranges = after(ranges, done);
            work.count_bytes(if chunk.count() > 1 { chunk.bytes().len() } else { 0 });
            // Reading a block and writing it again takes as long as a few hundred bytes of it.
            work.count(4 * chunk.count() as usize);
            work.pause().await;
        }
    }

    /// Puts a chunk of one block, which may be long, back with the remains of some ranges.
    async fn rewrite_long(
        &mut self,
        start: Id,
        chunk: &Chunk,
        ranges: &[Range<Clock>],
        remains: Remains,
        work: &mut Work,
    ) {
        let block = chunk.last(start);
        let mut open = self.open(start);
        let mut at = start.clock;
        let mut places = Places::of(&block);
        for range in ranges.iter().take_while(|range| range.start < block.end()) {
            let (from, to) = (range.start.max(at), range.end.min(block.end()));
            if at < from {
                self.push(&mut open, &places.piece(block, at, from), work).await;
            }
            let rest = self.debris.note(&block, Piece::between(block, from, to).reduced_to(remains));
            self.push(&mut open, &rest, work).await;
            at = to;
        }
        if at < block.end() {
            self.push(&mut open, &places.piece(block, at, block.end()), work).await;
        }
        self.join_small_neighbour(&mut open, Id { clock: block.end(), ..start });
        self.close(open);
    }

    /// Puts a chunk back with the remains of some ranges.
    fn rewrite(&mut self, start: Id, chunk: &Chunk, mut ranges: &[Range<Clock>], remains: Remains) {
        let mut open = self.open(start);
        chunk.for_each_block(start, |block| {
            ranges = after(ranges, block.id.clock);
            self.push_reduced(&mut open, block, ranges, remains);
        });
        self.join_small_neighbour(&mut open, Id { clock: start.clock + chunk.len(), ..start });
        self.close(open);
    }

    /// Pushes a block, but only the remains of its parts in `ranges`, which end after its start. O(bytes of the block, and
    /// ranges in it).
    fn push_reduced(
        &mut self,
        open: &mut OpenChunk,
        block: Block<'_>,
        ranges: &[Range<Clock>],
        remains: Remains,
    ) {
        let mut at = block.id.clock;
        let mut ranges = ranges.iter().take_while(|range| range.start < block.end()).peekable();
        if ranges.peek().is_none() {
            return self.push_again(open, block.into());
        }
        let mut places = Places::of(&block);
        for range in ranges {
            let (from, to) = (range.start.max(at), range.end.min(block.end()));
            if at < from {
                self.push_again(open, places.piece(block, at, from));
            }
            let rest = self.debris.note(&block, Piece::between(block, from, to).reduced_to(remains));
            self.push_again(open, rest);
            at = to;
        }
        if at < block.end() {
            self.push_again(open, places.piece(block, at, block.end()));
        }
    }

    /// Pushes a piece of a block that is in the document. Such a block is short, or it has one element and is alone in its chunk.
    fn push_again(&mut self, open: &mut OpenChunk, piece: Piece<'_>) {
        if piece.is_short() {
            self.push_short(open, &piece);
        } else {
            finish(self.push(open, &piece, &mut Work::default()));
        }
    }

    /// Takes the chunk that begins at `next` into an open one if both are small, so that shrunken chunks join.
    fn join_small_neighbour(&mut self, open: &mut OpenChunk, next: Id) {
        let small = |chunk: &Chunk| chunk.bytes().len() < CHUNK_BYTES / 2;
        if small(&open.chunk) && self.map.get(&next).is_some_and(small) {
            let chunk = self.take(next);
            chunk.for_each_block(next, |block| self.push_again(open, block.into()));
        }
    }

    /// The start of the chunk that holds a known element.
    fn start_of(&self, id: Id) -> Id {
        let first = Id { clock: 0, ..id };
        *self.map.range(first..=id).next_back().expect("the element is known").0
    }

    fn take(&mut self, start: Id) -> Chunk {
        let chunk = self.map.remove(&start).expect("a chunk starts here");
        if chunk.bytes().len() >= ROPE_PART_BYTES {
            self.growing.remove(&start);
        }
        self.bytes -= chunk.capacity();
        chunk
    }
}

impl Debris {
    /// Notes the remains of a block as debris, if they may go as well.
    fn note<'a>(&mut self, block: &Block<'_>, rest: Piece<'a>) -> Piece<'a> {
        if rest.content() == Content::Deleted {
            self.bytes += rest.copied_header() + DELETED_BYTES;
            self.has_types |= block.content == Content::Type;
        }
        rest
    }
}

fn write_chunk(chunk: &Chunk, out: &mut RopeWriter, work: &mut Work) {
    let before = out.tail().len();
    match chunk.shared() {
        Some(bytes) => out.share(bytes),
        None => out.tail().extend_from_slice(chunk.bytes()),
    }
    work.count_bytes(out.tail().len().saturating_sub(before));
}

/// Those of some sorted ranges that end after a clock.
fn after(ranges: &[Range<Clock>], clock: Clock) -> &[Range<Clock>] {
    &ranges[ranges.partition_point(|range| range.end <= clock)..]
}
