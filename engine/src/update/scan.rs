//! Bytes to blocks: every byte is checked once, and only the places of the blocks are kept.

use bytes::Bytes;

use super::content::{check_text, read_content, skip_content};
use super::fields::{read_clock, read_id, read_len};
use super::{Block, ClientId, Clock, Content, HAS_KEY, HAS_ORIGIN, HAS_RIGHT_ORIGIN, Id, UpdateError};
use crate::lib0::{Reader, check_utf8};
use crate::limits::{MAX_RUNS, SHORT_BYTES};
use crate::work::{Work, finish};

/// Why bytes that a scan has passed can be read without an error.
pub(super) const CHECKED: &str = "these bytes were checked";

/// The place of a run of blocks in the bytes of an update.
#[derive(Debug, Copy, Clone)]
struct Section {
    start: Id,
    blocks: u32,
    from: u32,
    to: u32,
}

/// A checked update: every block in it can be read and has sound clocks.
#[derive(Debug, Clone)]
pub struct Update {
    bytes: Bytes,
    sections: Vec<Section>,
    has_skips: bool,
    deletions_at: usize,
}

impl Update {
    /// Checks `bytes`, one whole v1 update. O(bytes), and some memory for each run of blocks.
    ///
    /// # Errors
    /// If a Yjs client would fail on these bytes, or two clients would read them differently.
    pub fn scan(bytes: Bytes) -> Result<Self, UpdateError> {
        finish(Self::scan_in_slices(bytes, MAX_RUNS, &mut Work::default()))
    }

    /// The same, with pauses, for an update with at most `max_runs` runs of blocks.
    ///
    /// # Errors
    /// As for [`Self::scan`].
    pub async fn scan_in_slices(bytes: Bytes, max_runs: usize, work: &mut Work) -> Result<Self, UpdateError> {
        Self::scan_or_locate(bytes, max_runs, work).await.map_err(|(error, _)| error)
    }

    /// The same; an error in a block comes with the id of that block.
    pub(crate) async fn scan_or_locate(
        bytes: Bytes,
        max_runs: usize,
        work: &mut Work,
    ) -> Result<Self, (UpdateError, Option<Id>)> {
        let mut sections = Sections { max: max_runs, ..Sections::default() };
        let scanned = Self::scan_sections(&bytes, &mut sections, work).await;
        let Sections { all, has_skips, at, .. } = sections;
        match scanned {
            Ok(deletions_at) => Ok(Self { bytes, sections: all, has_skips, deletions_at }),
            Err(error) => Err((error, at)),
        }
    }

    /// Reads the whole update, and gives the position of its delete set.
    async fn scan_sections(
        bytes: &Bytes,
        sections: &mut Sections,
        work: &mut Work,
    ) -> Result<usize, UpdateError> {
        if u32::try_from(bytes.len()).is_err() {
            return Err(UpdateError::TooLarge);
        }
        let mut reader = Reader::new(bytes);
        // A section takes at least 3 bytes: how many blocks, client, clock.
        for _ in 0..reader.count(3)? {
            scan_section(&mut reader, sections, work).await?;
        }
        let deletions_at = reader.position();
        sections.at = None;
        scan_delete_set(&mut reader, work).await?;
        if !reader.is_empty() {
            return Err(UpdateError::TrailingBytes);
        }
        Ok(deletions_at)
    }

    /// The encoded update.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Its runs of blocks, in the order of the bytes.
    pub fn runs(&self) -> impl ExactSizeIterator<Item = Run> {
        (0..self.sections.len()).map(|index| self.run(index))
    }

    /// One of its runs.
    pub(crate) fn run(&self, index: usize) -> Run {
        let section = self.sections[index];
        let bytes = self.bytes.slice(section.from as usize..section.to as usize);
        Run { next: section.start, blocks: section.blocks as usize, bytes }
    }

    /// Whether it has blocks without elements, or gaps.
    pub(crate) fn has_skips(&self) -> bool {
        self.has_skips
    }

    /// Its delete set.
    pub fn deletions(&self) -> Deletions<'_> {
        Deletions::new(Reader::new(&self.bytes[self.deletions_at..]))
    }

    /// Whether it has neither blocks nor deletions.
    pub fn is_empty(&self) -> bool {
        self.sections.is_empty() && self.deletions().next().is_none()
    }
}

/// The runs found so far.
#[derive(Debug, Default)]
struct Sections {
    all: Vec<Section>,
    max: usize,
    has_skips: bool,
    /// The block that is being read.
    at: Option<Id>,
}

impl Sections {
    fn push(&mut self, section: Section) -> Result<(), UpdateError> {
        if self.all.len() == self.max {
            return Err(UpdateError::TooManyRuns);
        }
        self.all.push(section);
        Ok(())
    }
}

/// Reads the blocks of one client.
async fn scan_section(
    reader: &mut Reader<'_>,
    sections: &mut Sections,
    work: &mut Work,
) -> Result<(), UpdateError> {
    // The shortest block is a GC: info and length.
    let mut blocks = reader.count(2)?;
    let client = reader.var_uint()?;
    let mut next = Id { client, clock: read_clock(reader)? };
    work.count(1);
    work.pause().await;
    while blocks > 0 {
        let (start, from, mut in_run) = (next, reader.position(), 0);
        let mut end = from;
        while blocks > 0 {
            sections.at = Some(next);
            let block = read_block(reader, next, work).await?;
            blocks -= 1;
            next.clock = block.end();
            if block.content == Content::Skip || block.len == 0 {
                sections.has_skips = true;
                break;
            }
            in_run += 1;
            end = reader.position();
        }
        if in_run > 0 {
            let [from, to] = [from, end].map(offset);
            sections.push(Section { start, blocks: in_run, from, to })?;
        }
    }
    Ok(())
}

/// A position in an update, whose length fits into 32 bits.
fn offset(position: usize) -> u32 {
    u32::try_from(position).expect("the update was measured")
}

async fn scan_delete_set(reader: &mut Reader<'_>, work: &mut Work) -> Result<(), UpdateError> {
    for _ in 0..reader.count(2)? {
        reader.var_uint()?;
        work.count(1);
        for _ in 0..reader.count(2)? {
            let clock = read_clock(reader)?;
            read_len(reader, clock)?;
            work.count(1);
            work.pause().await;
        }
        work.pause().await;
    }
    Ok(())
}

/// Consecutive blocks of one client, without a gap, from checked bytes.
#[derive(Debug, Clone)]
pub struct Run {
    /// The id of the first element of the next block.
    pub(crate) next: Id,
    /// How many blocks there are.
    pub(crate) blocks: usize,
    /// The encoded blocks.
    pub(crate) bytes: Bytes,
}

impl Run {
    /// The client that wrote it.
    pub fn client(&self) -> ClientId {
        self.next.client
    }

    /// Reads the blocks one after the other.
    pub fn blocks(&self) -> RunBlocks<'_> {
        RunBlocks::new(self.next, self.blocks, &self.bytes)
    }
}

/// Reads consecutive blocks of one client from checked bytes.
#[derive(Debug)]
pub struct RunBlocks<'a> {
    next: Id,
    left: usize,
    reader: Reader<'a>,
}

impl<'a> RunBlocks<'a> {
    pub(crate) fn new(next: Id, blocks: usize, bytes: &'a [u8]) -> Self {
        Self { next, left: blocks, reader: Reader::new(bytes) }
    }

    /// Where the next block begins in the bytes.
    pub(crate) fn position(&self) -> usize {
        self.reader.position()
    }

    /// How many blocks have not been read yet.
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// The next block, with pauses where it is long.
    pub(crate) async fn next_in_slices(&mut self, work: &mut Work) -> Option<Block<'a>> {
        self.left = self.left.checked_sub(1)?;
        let start = self.reader.position();
        let mut block = read_header(&mut self.reader, self.next).expect(CHECKED);
        let len = read_content::<false>(&mut self.reader, block.content, block.id.clock, work).await;
        block.len = len.expect(CHECKED);
        block.bytes = self.reader.read_since(start);
        self.next.clock = block.end();
        Some(block)
    }
}

impl<'a> Iterator for RunBlocks<'a> {
    type Item = Block<'a>;

    fn next(&mut self) -> Option<Block<'a>> {
        self.left = self.left.checked_sub(1)?;
        let block = skip_block_at(&mut self.reader, self.next).expect(CHECKED);
        self.next.clock = block.end();
        Some(block)
    }
}

/// Reads the ranges of a checked delete set: client, clock of the first element, clock after the last one.
#[derive(Debug)]
pub struct Deletions<'a> {
    reader: Reader<'a>,
    clients: u64,
    client: ClientId,
    ranges: u64,
}

impl<'a> Deletions<'a> {
    fn new(mut reader: Reader<'a>) -> Self {
        let clients = reader.var_uint().expect(CHECKED);
        Self { reader, clients, client: 0, ranges: 0 }
    }

    fn number(&mut self) -> u64 {
        self.reader.var_uint().expect(CHECKED)
    }
}

impl Iterator for Deletions<'_> {
    type Item = (ClientId, std::ops::Range<Clock>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            while self.ranges == 0 {
                self.clients = self.clients.checked_sub(1)?;
                self.client = self.number();
                self.ranges = self.number();
            }
            self.ranges -= 1;
            let clock = read_clock(&mut self.reader).expect(CHECKED);
            let len = read_len(&mut self.reader, clock).expect(CHECKED);
            if len > 0 {
                return Some((self.client, clock..clock + len));
            }
        }
    }
}

/// Reads one block whose first element is `id`.
async fn read_block<'a>(reader: &mut Reader<'a>, id: Id, work: &mut Work) -> Result<Block<'a>, UpdateError> {
    let start = reader.position();
    let mut block = read_header(reader, id)?;
    check_names(&block, reader.read_since(start), work).await?;
    block.len = read_content::<true>(reader, block.content, id.clock, work).await?;
    block.bytes = reader.read_since(start);
    if block.dependencies().any(|on| on.client == id.client && on.clock >= id.clock) {
        return Err(UpdateError::DependsOnLater);
    }
    Ok(block)
}

/// Reads and checks one block whose first element is `id`.
pub(crate) fn read_block_at<'a>(reader: &mut Reader<'a>, id: Id) -> Result<Block<'a>, UpdateError> {
    finish(read_block(reader, id, &mut Work::default()))
}

/// Passes over one block whose first element is `id`, without reading its content.
pub(crate) fn skip_block_at<'a>(reader: &mut Reader<'a>, id: Id) -> Result<Block<'a>, UpdateError> {
    let start = reader.position();
    let mut block = read_header(reader, id)?;
    block.len = skip_content(reader, block.content, id.clock)?;
    block.bytes = reader.read_since(start);
    Ok(block)
}

/// Reads the header of a block. Whether its strings are UTF-8 is not checked.
fn read_header<'a>(reader: &mut Reader<'a>, id: Id) -> Result<Block<'a>, UpdateError> {
    let start = reader.position();
    let info = reader.u8()?;
    let content = Content::from_info(info)?;
    let (mut origin, mut right_origin, mut parent) = (None, None, None);
    if !matches!(content, Content::Gc | Content::Skip) {
        if info & HAS_ORIGIN != 0 {
            origin = Some(read_id(reader)?);
        }
        if info & HAS_RIGHT_ORIGIN != 0 {
            right_origin = Some(read_id(reader)?);
        }
        if info & (HAS_ORIGIN | HAS_RIGHT_ORIGIN) == 0 {
            parent = read_parent(reader, info)?;
        }
    }
    let content_at = reader.position() - start;
    Ok(Block { id, len: 0, content, origin, right_origin, parent, bytes: &[], content_at })
}

/// A view of checked bytes that are one block of known length, without walking its content.
pub(crate) fn view_block(bytes: &[u8], id: Id, len: Clock) -> Block<'_> {
    let header = read_header(&mut Reader::new(bytes), id).expect(CHECKED);
    Block { len, bytes, ..header }
}

/// Checks the strings in the `header` of a block: the name of the root that it lives in, and its key.
async fn check_names(block: &Block<'_>, header: &[u8], work: &mut Work) -> Result<(), UpdateError> {
    work.count(1);
    if matches!(block.content, Content::Gc | Content::Skip)
        || header[0] & (HAS_ORIGIN | HAS_RIGHT_ORIGIN) != 0
    {
        return Ok(());
    }
    let mut reader = Reader::new(&header[1..]);
    let name =
        if reader.var_uint()? == 1 { Some(reader.var_buf()?) } else { read_id(&mut reader).map(|_| None)? };
    let key = if header[0] & HAS_KEY != 0 { Some(reader.var_buf()?) } else { None };
    for text in [name, key].into_iter().flatten() {
        if text.len() > SHORT_BYTES {
            Box::pin(check_text(text, work)).await?;
        } else {
            check_utf8(text)?;
        }
    }
    Ok(())
}

/// Reads where an item without origins lives: `None` is a root.
fn read_parent(reader: &mut Reader<'_>, info: u8) -> Result<Option<Id>, UpdateError> {
    // Yjs compares with 1, so that every other number announces an id.
    let parent = if reader.var_uint()? == 1 {
        reader.var_buf()?;
        None
    } else {
        Some(read_id(reader)?)
    };
    if info & HAS_KEY != 0 {
        reader.var_buf()?;
    }
    Ok(parent)
}
