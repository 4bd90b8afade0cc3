//! Bytes to blocks: every byte is checked once, and nothing is kept but where the blocks are.

use bytes::Bytes;

use super::{Block, ClientId, Clock, Content, HAS_KEY, HAS_ORIGIN, HAS_RIGHT_ORIGIN, Id, UpdateError};
use crate::lib0::{Reader, utf16_len};
use crate::limits::{MAX_CLOCK, MAX_RUNS};

/// Where a run of blocks is in the bytes of an update.
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
    /// Checks `bytes`, one whole v1 update. Takes time in proportion to them, and memory for each client that they name.
    ///
    /// # Errors
    /// Whatever makes a Yjs client fail on these bytes, or read them otherwise than another would.
    pub fn scan(bytes: Bytes) -> Result<Self, UpdateError> {
        if u32::try_from(bytes.len()).is_err() {
            return Err(UpdateError::TooLarge);
        }
        let mut reader = Reader::new(&bytes);
        let (mut sections, mut has_skips) = (Vec::new(), false);
        // A section takes at least 3 bytes: how many blocks, client, clock.
        for _ in 0..reader.count(3)? {
            has_skips |= scan_section(&mut reader, &mut sections)?;
        }
        let deletions_at = reader.position();
        scan_delete_set(&mut reader)?;
        if !reader.is_empty() {
            return Err(UpdateError::TrailingBytes);
        }
        Ok(Self { bytes, sections, has_skips, deletions_at })
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

    /// Whether it has blocks that say nothing: those of no length, and gaps.
    pub(crate) fn has_skips(&self) -> bool {
        self.has_skips
    }

    /// Its delete set.
    pub fn deletions(&self) -> Deletions<'_> {
        Deletions::new(Reader::new(&self.bytes[self.deletions_at..]))
    }

    /// Whether it says nothing at all.
    pub fn is_empty(&self) -> bool {
        self.sections.is_empty() && self.deletions().next().is_none()
    }
}

/// Reads the blocks of one client; gives whether any were skipped.
fn scan_section(reader: &mut Reader<'_>, sections: &mut Vec<Section>) -> Result<bool, UpdateError> {
    // The shortest block is a GC: info and length.
    let mut blocks = reader.count(2)?;
    let client = reader.var_uint()?;
    let mut next = Id { client, clock: read_clock(reader)? };
    let mut skips = false;
    while blocks > 0 {
        let (start, from, mut in_run) = (next, reader.position(), 0);
        let mut end = from;
        while blocks > 0 {
            let block = read_block::<true>(reader, next)?;
            blocks -= 1;
            next.clock = block.end();
            if block.content == Content::Skip || block.len == 0 {
                skips = true;
                break;
            }
            in_run += 1;
            end = reader.position();
        }
        if in_run > 0 {
            if sections.len() == MAX_RUNS {
                return Err(UpdateError::TooManyRuns);
            }
            let [from, to] = [from, end].map(offset);
            sections.push(Section { start, blocks: in_run, from, to });
        }
    }
    Ok(skips)
}

/// A position in an update, which is not longer than 32 bits can count.
fn offset(position: usize) -> u32 {
    u32::try_from(position).expect("the update was measured")
}

fn scan_delete_set(reader: &mut Reader<'_>) -> Result<(), UpdateError> {
    for _ in 0..reader.count(2)? {
        reader.var_uint()?;
        for _ in 0..reader.count(2)? {
            let clock = read_clock(reader)?;
            read_len(reader, clock)?;
        }
    }
    Ok(())
}

/// Blocks of one client that follow each other without a gap, from checked bytes.
#[derive(Debug, Clone)]
pub struct Run {
    /// The id of the first element of the next block.
    pub(crate) next: Id,
    /// How many blocks there are.
    pub(crate) blocks: usize,
    /// Them, encoded.
    pub(crate) bytes: Bytes,
}

impl Run {
    /// Who wrote it.
    pub fn client(&self) -> ClientId {
        self.next.client
    }

    /// Reads the blocks one after the other.
    pub fn blocks(&self) -> RunBlocks<'_> {
        RunBlocks::new(self.next, self.blocks, &self.bytes)
    }
}

/// Reads blocks of one client that follow each other, from checked bytes.
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
}

impl<'a> Iterator for RunBlocks<'a> {
    type Item = Block<'a>;

    fn next(&mut self) -> Option<Block<'a>> {
        self.left = self.left.checked_sub(1)?;
        let block = read_block::<false>(&mut self.reader, self.next).expect("these bytes were checked");
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
        let clients = reader.var_uint().expect("these bytes were checked");
        Self { reader, clients, client: 0, ranges: 0 }
    }

    fn number(&mut self) -> u64 {
        self.reader.var_uint().expect("these bytes were checked")
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
            let clock = read_clock(&mut self.reader).expect("these bytes were checked");
            let len = read_len(&mut self.reader, clock).expect("these bytes were checked");
            if len > 0 {
                return Some((self.client, clock..clock + len));
            }
        }
    }
}

fn read_clock(reader: &mut Reader<'_>) -> Result<Clock, UpdateError> {
    let clock = Clock::try_from(reader.var_uint()?).map_err(|_| UpdateError::ClockOutOfRange)?;
    if clock > MAX_CLOCK { Err(UpdateError::ClockOutOfRange) } else { Ok(clock) }
}

/// A number of elements after `clock`.
fn read_len(reader: &mut Reader<'_>, clock: Clock) -> Result<Clock, UpdateError> {
    let len = read_clock(reader)?;
    if len > MAX_CLOCK - clock { Err(UpdateError::ClockOutOfRange) } else { Ok(len) }
}

fn read_id(reader: &mut Reader<'_>) -> Result<Id, UpdateError> {
    Ok(Id { client: reader.var_uint()?, clock: read_clock(reader)? })
}

/// Reads one block whose first element is `id`. With `CHECK` unset, what only a first reading must check is passed over.
fn read_block<'a, const CHECK: bool>(reader: &mut Reader<'a>, id: Id) -> Result<Block<'a>, UpdateError> {
    let start = reader.position();
    let mut block = read_header::<CHECK>(reader, id)?;
    block.len = read_content::<CHECK>(reader, block.content, id.clock)?;
    block.bytes = reader.read_since(start);
    if CHECK && block.dependencies().any(|on| on.client == id.client && on.clock >= id.clock) {
        return Err(UpdateError::DependsOnLater);
    }
    Ok(block)
}

/// Reads what precedes the content of a block.
fn read_header<'a, const CHECK: bool>(reader: &mut Reader<'a>, id: Id) -> Result<Block<'a>, UpdateError> {
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
            parent = read_parent::<CHECK>(reader, info)?;
        }
    }
    let content_at = reader.position() - start;
    Ok(Block { id, len: 0, content, origin, right_origin, parent, bytes: &[], content_at })
}

/// A view of checked bytes that are one block of known length, without walking its content.
pub(crate) fn view_block(bytes: &[u8], id: Id, len: Clock) -> Block<'_> {
    let header = read_header::<false>(&mut Reader::new(bytes), id).expect("these bytes were checked");
    Block { len, bytes, ..header }
}

/// Reads where an item without origins lives: `None` is a root.
fn read_parent<const CHECK: bool>(reader: &mut Reader<'_>, info: u8) -> Result<Option<Id>, UpdateError> {
    // Yjs compares with 1, so that every other number announces an id.
    let parent = if reader.var_uint()? == 1 {
        skip_string::<CHECK>(reader)?;
        None
    } else {
        Some(read_id(reader)?)
    };
    if info & HAS_KEY != 0 {
        skip_string::<CHECK>(reader)?;
    }
    Ok(parent)
}

/// Passes over the content of a block at `clock`; gives its length in elements.
fn read_content<const CHECK: bool>(
    reader: &mut Reader<'_>,
    content: Content,
    clock: Clock,
) -> Result<Clock, UpdateError> {
    let len = match content {
        Content::Gc | Content::Deleted | Content::Skip => return read_len(reader, clock),
        Content::String => utf16_len(skip_string::<CHECK>(reader)?),
        Content::Json | Content::Any => {
            let elements = reader.count(1)?;
            for _ in 0..elements {
                skip_element::<CHECK>(reader, content)?;
            }
            elements
        }
        Content::Binary => reader.var_buf().map(|_| 1)?,
        Content::Embed => skip_json::<CHECK>(reader).map(|()| 1)?,
        Content::Format => {
            skip_string::<CHECK>(reader)?;
            skip_json::<CHECK>(reader).map(|()| 1)?
        }
        Content::Type => skip_type::<CHECK>(reader).map(|()| 1)?,
        Content::Doc => {
            skip_string::<CHECK>(reader)?;
            reader.skip_any().map(|()| 1)?
        }
    };
    match Clock::try_from(len) {
        Ok(len) if len <= MAX_CLOCK - clock => Ok(len),
        _ => Err(UpdateError::ClockOutOfRange),
    }
}

/// Passes over one element of JSON or Any content.
pub(super) fn skip_element<const CHECK: bool>(
    reader: &mut Reader<'_>,
    content: Content,
) -> Result<(), UpdateError> {
    if content == Content::Any {
        return Ok(reader.skip_any()?);
    }
    let text = skip_string::<CHECK>(reader)?;
    // Old clients wrote `undefined` as it is, and all clients read it so.
    if CHECK && text != b"undefined" {
        let text = std::str::from_utf8(text).map_err(|_| crate::lib0::ReadError::InvalidUtf8)?;
        crate::lib0::check_json(text)?;
    }
    Ok(())
}

fn skip_string<'a, const CHECK: bool>(reader: &mut Reader<'a>) -> Result<&'a [u8], UpdateError> {
    if CHECK { Ok(reader.var_string()?.as_bytes()) } else { Ok(reader.var_buf()?) }
}

fn skip_json<const CHECK: bool>(reader: &mut Reader<'_>) -> Result<(), UpdateError> {
    if CHECK {
        reader.var_json()?;
    } else {
        reader.var_buf()?;
    }
    Ok(())
}

/// Passes over a shared type: 0 Array, 1 Map, 2 Text, 3 XmlElement+name, 4 XmlFragment, 5 XmlHook+name, 6 XmlText.
fn skip_type<const CHECK: bool>(reader: &mut Reader<'_>) -> Result<(), UpdateError> {
    match reader.var_uint()? {
        0 | 1 | 2 | 4 | 6 => Ok(()),
        3 | 5 => skip_string::<CHECK>(reader).map(drop),
        unknown => Err(UpdateError::UnknownType(unknown)),
    }
}
