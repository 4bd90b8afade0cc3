//! A large update as several messages, for a link over which one message would take longer than a client waits.
//!
//! A document that loads in parts is dangerous: y-prosemirror deletes nodes that do not fit its schema, such as a list
//! whose item has not come. So all pieces but the last are such that Yjs keeps them pending: each element of a piece depends
//! on one that only the last piece has. Withheld until then are the first blocks of clients that depend on nothing in
//! the update, and deletions of elements that the receiver has.

use std::collections::BTreeMap;
use std::mem::take;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::lib0::{Reader, write_var_uint};
use crate::limits::MAX_CONTENT_BYTES;
use crate::rope::{Rope, RopeWriter};
use crate::update::rope_reader::RopeReader;
use crate::update::{
    ClientId, Clock, Content, Cutter, Id, Piece, UpdateError, read_clock, read_len, skip_block_at,
    view_block, write_deletion, write_deletions_header, write_section_header,
};
use crate::work::{Work, finish};

/// Why bytes that were read before can be read without an error.
const READ_BEFORE: &str = "these bytes were read before";

/// About how many bytes a range of a delete set takes.
const RANGE_BYTES: usize = 6;

/// An update as several updates, which are to be sent one after the other. No later update may be sent before the last of them.
#[derive(Debug)]
pub struct Pieces {
    reader: RopeReader,
    starts: Arc<Starts>,
    sections: u64,
    /// The next block of the present section, and how many blocks are left in it.
    next: Id,
    blocks: u64,
    /// A long block that was sent in part: its bytes, its id, the clock up to which it was sent, and its length.
    long: Option<(Bytes, Id, Clock, Clock)>,
    /// The blocks that only the last piece has.
    withheld: Sections,
    deletions: Option<Deletions>,
}

/// The first clock of each client in an update. It has to be known before any part of the update can be cut.
#[derive(Debug)]
pub struct Starts(BTreeMap<ClientId, Clock>);

/// One of the pieces.
#[derive(Debug, PartialEq, Eq)]
pub struct UpdatePiece {
    /// An update.
    pub update: Rope,
    /// Whether it is the last, with which all others become visible.
    pub is_last: bool,
}

/// The rest of a delete set.
#[derive(Debug)]
struct Deletions {
    clients: u64,
    client: ClientId,
    ranges: u64,
    /// The deletions that only the last piece has.
    withheld: DeleteSet,
}

impl Starts {
    /// Reads an update. `None` if the bytes are no update, or the update has gaps. O(bytes).
    pub fn of(update: &Rope) -> Option<Self> {
        read_starts(&mut RopeReader::new(update.clone())).ok().map(Self)
    }

    /// Whether an element is the first of its client in the update.
    fn begin_at(&self, Id { client, clock }: Id) -> bool {
        self.0.get(&client) == Some(&clock)
    }

    /// Whether an element is in the update: then the receiver does not have it.
    fn are_before(&self, Id { client, clock }: Id) -> bool {
        self.0.get(&client).is_some_and(|&start| clock >= start)
    }
}

impl Pieces {
    /// The pieces of an update with these starts. Panics if they are of another update.
    pub fn new(update: Rope, starts: Arc<Starts>) -> Self {
        let mut reader = RopeReader::new(update);
        let sections = reader.read(|reader| Ok(reader.var_uint()?)).expect(READ_BEFORE);
        Self {
            reader,
            starts,
            sections,
            next: Id { client: 0, clock: 0 },
            blocks: 0,
            long: None,
            withheld: Sections::default(),
            deletions: None,
        }
    }

    /// The next piece, of about `bytes` bytes. It is larger if one element is larger, or more has to be withheld. O(bytes of
    /// the piece and of the block that it ends in). Not to be called after the last piece.
    pub fn next(&mut self, bytes: usize) -> UpdatePiece {
        let mut piece = Sections::default();
        while piece.len < bytes && self.take_block(&mut piece, bytes) {}
        if piece.count > 0 {
            return Self::waiting(piece, &DeleteSet::default());
        }
        let mut early = DeleteSet::default();
        while early.len() < bytes {
            let Some((client, range)) = self.next_deletion() else {
                return if early.is_empty() { self.last() } else { Self::waiting(piece, &early) };
            };
            let is_unknown = self.starts.are_before(Id { client, clock: range.start });
            let withheld = &mut self.deletions.as_mut().expect("it gave one").withheld;
            // A deletion that fits into the last piece can as well go there.
            let waits = !is_unknown || withheld.len() + self.withheld.len < bytes;
            if waits { withheld } else { &mut early }.push(client, range);
        }
        Self::waiting(piece, &early)
    }

    fn waiting(piece: Sections, deletions: &DeleteSet) -> UpdatePiece {
        UpdatePiece { update: piece.encode(deletions), is_last: false }
    }

    fn last(&mut self) -> UpdatePiece {
        let deletions = self.deletions.take().map(|deletions| deletions.withheld).unwrap_or_default();
        let update = take(&mut self.withheld).encode(&deletions);
        UpdatePiece { update, is_last: true }
    }

    /// Takes the next block, or up to `bytes` of it; `false` if there is none.
    fn take_block(&mut self, piece: &mut Sections, bytes: usize) -> bool {
        if let Some((block, id, from, len)) = self.long.take() {
            self.take_long(piece, block, id, from, len, bytes);
            return true;
        }
        if self.blocks == 0 {
            if self.sections == 0 {
                return false;
            }
            self.sections -= 1;
            (self.blocks, self.next) = self.reader.read(read_section_header).expect(READ_BEFORE);
            if self.blocks == 0 {
                return true;
            }
        }
        let Self { reader, starts, next, .. } = self;
        let next = *next;
        // Whether it depends on an element of another client that waits for the last piece.
        let is_missing = |on: Id| on.client != next.client && starts.are_before(on);
        let read = reader.read_shared(|reader| {
            let block = skip_block_at(reader, next)?;
            Ok((block.len, block.dependencies().any(is_missing)))
        });
        let ((len, waits), block) = read.expect(READ_BEFORE);
        self.blocks -= 1;
        self.next.clock += len;
        let is_root = starts.begin_at(next) && !waits;
        if block.len() <= MAX_CONTENT_BYTES {
            if is_root { &mut self.withheld } else { piece }.push(next, &block);
            return true;
        }
        let mut from = next.clock;
        if is_root {
            let view = view_block(&block, next, len);
            let mut cutter = Cutter::new(Piece::between(view, from, view.end()), MAX_CONTENT_BYTES);
            match finish(cutter.next(&mut Work::default())) {
                Some(part) if part.elements() < len => {
                    self.withheld.push_piece(&part);
                    from += part.elements();
                }
                _ => {
                    self.withheld.push(next, &block);
                    return true;
                }
            }
        }
        self.take_long(piece, block, next, from, len, bytes);
        true
    }

    /// Takes as much of a long block as fits, from a clock on, and keeps the rest.
    fn take_long(
        &mut self,
        piece: &mut Sections,
        block: Bytes,
        id: Id,
        mut from: Clock,
        len: Clock,
        bytes: usize,
    ) {
        let view = view_block(&block, id, len);
        if from == view.end() {
            return;
        }
        let mut cutter = Cutter::new(Piece::between(view, from, view.end()), MAX_CONTENT_BYTES);
        while let Some(part) = finish(cutter.next(&mut Work::default())) {
            if part.elements() == len {
                return piece.push(id, &block);
            }
            piece.push_piece(&part);
            from += part.elements();
            if piece.len >= bytes {
                break;
            }
        }
        if from < view.end() {
            self.long = Some((block, id, from, len));
        }
    }

    fn next_deletion(&mut self) -> Option<(ClientId, Range<Clock>)> {
        let Self { reader, deletions, .. } = self;
        let deletions = deletions.get_or_insert_with(|| Deletions {
            clients: reader.read(|reader| Ok(reader.var_uint()?)).expect(READ_BEFORE),
            client: 0,
            ranges: 0,
            withheld: DeleteSet::default(),
        });
        while deletions.ranges == 0 {
            deletions.clients = deletions.clients.checked_sub(1)?;
            (deletions.client, deletions.ranges) = reader.read(read_two).expect(READ_BEFORE);
        }
        deletions.ranges -= 1;
        Some((deletions.client, reader.read(read_range).expect(READ_BEFORE)))
    }
}

/// Reads a whole update, and gives the first clock of each client.
///
/// # Errors
/// If it is not an update, or one with gaps.
fn read_starts(reader: &mut RopeReader) -> Result<BTreeMap<ClientId, Clock>, UpdateError> {
    let mut starts = BTreeMap::new();
    for _ in 0..reader.read(|reader| Ok(reader.var_uint()?))? {
        let (blocks, mut next) = reader.read(read_section_header)?;
        if starts.insert(next.client, next.clock).is_some() {
            return Err(UpdateError::TooManyRuns);
        }
        for _ in 0..blocks {
            let read = |reader: &mut Reader<'_>| {
                let block = skip_block_at(reader, next)?;
                Ok((block.content, block.end()))
            };
            let (content, end) = reader.read(read)?;
            if content == Content::Skip {
                return Err(UpdateError::TooManyRuns);
            }
            next.clock = end;
        }
    }
    for _ in 0..reader.read(|reader| Ok(reader.var_uint()?))? {
        for _ in 0..reader.read(read_two)?.1 {
            reader.read(read_range)?;
        }
    }
    if reader.is_at_end() { Ok(starts) } else { Err(UpdateError::TrailingBytes) }
}

fn read_section_header(reader: &mut Reader<'_>) -> Result<(u64, Id), UpdateError> {
    Ok((reader.var_uint()?, Id { client: reader.var_uint()?, clock: read_clock(reader)? }))
}

fn read_two(reader: &mut Reader<'_>) -> Result<(u64, u64), UpdateError> {
    Ok((reader.var_uint()?, reader.var_uint()?))
}

fn read_range(reader: &mut Reader<'_>) -> Result<Range<Clock>, UpdateError> {
    let clock = read_clock(reader)?;
    Ok(clock..clock + read_len(reader, clock)?)
}

/// Blocks of some clients, as they are in an update. Long ones are shared.
#[derive(Debug)]
struct Sections {
    /// All sections but the last.
    out: RopeWriter,
    /// How many sections there are.
    count: u64,
    last: Option<Section>,
    /// Bytes of all blocks.
    len: usize,
}

/// Blocks of one client that follow each other.
#[derive(Debug)]
struct Section {
    start: Id,
    blocks: u64,
    out: RopeWriter,
}

impl Default for Sections {
    fn default() -> Self {
        Self { out: RopeWriter::new(true), count: 0, last: None, len: 0 }
    }
}

impl Sections {
    fn push(&mut self, id: Id, block: &Bytes) {
        self.len += block.len();
        let out = &mut self.section(id).out;
        if block.len() > MAX_CONTENT_BYTES { out.share(block) } else { out.tail().extend_from_slice(block) }
    }

    fn push_piece(&mut self, piece: &Piece<'_>) {
        let tail = self.section(piece.id()).out.tail();
        let before = tail.len();
        piece.write(tail);
        let written = tail.len() - before;
        self.len += written;
    }

    /// The section that a block is to be written to.
    fn section(&mut self, id: Id) -> &mut Section {
        if self.last.as_ref().is_none_or(|last| last.start.client != id.client) {
            self.close();
            self.count += 1;
        }
        let last =
            self.last.get_or_insert_with(|| Section { start: id, blocks: 0, out: RopeWriter::new(true) });
        last.blocks += 1;
        last
    }

    fn close(&mut self) {
        if let Some(Section { start, blocks, out }) = self.last.take() {
            write_section_header(self.out.tail(), blocks, start);
            self.out.append(&out.finish());
        }
    }

    /// An update of them and some deletions.
    fn encode(mut self, deletions: &DeleteSet) -> Rope {
        self.close();
        let mut update = RopeWriter::new(true);
        write_var_uint(update.tail(), self.count);
        update.append(&self.out.finish());
        deletions.write(update.tail());
        update.finish()
    }
}

/// Ranges of deleted elements, as they come.
#[derive(Debug, Default)]
struct DeleteSet {
    of_clients: Vec<(ClientId, Vec<Range<Clock>>)>,
    /// The bytes that they take, about.
    len: usize,
}

impl DeleteSet {
    fn push(&mut self, client: ClientId, range: Range<Clock>) {
        self.len += RANGE_BYTES;
        match self.of_clients.last_mut().filter(|(last, _)| *last == client) {
            Some((_, ranges)) => ranges.push(range),
            None => self.of_clients.push((client, vec![range])),
        }
    }

    fn is_empty(&self) -> bool {
        self.of_clients.is_empty()
    }

    /// The bytes that they take, about.
    fn len(&self) -> usize {
        self.len
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_var_uint(out, self.of_clients.len() as u64);
        for (client, ranges) in &self.of_clients {
            write_deletions_header(out, *client, ranges.len() as u64);
            ranges.iter().for_each(|range| write_deletion(out, range));
        }
    }
}
