//! Yjs updates in their v1 encoding, read without being run.
//!
//! ```text
//! update    = numClients, (numBlocks, client, clock, block*)*, deleteSet
//! deleteSet = numClients, (client, numRanges, (clock, len)*)*
//! block     = info byte, whose low 5 bits are the content
//!    0 GC len · 10 Skip len · otherwise an item:
//!    [origin client,clock  if 0x80] [rightOrigin client,clock  if 0x40]
//!    if neither: parent (1: varString root name · 0: client,clock of the parent item), [varString key  if 0x20]
//!    content: 1 Deleted len · 2 JSON n,varString* · 3 Binary varBuf · 4 String · 5 Embed json · 6 Format key,json ·
//!             7 Type ref,[name] · 8 Any n,any* · 9 Doc guid,any
//! ```
//!
//! The format is that of Yjs 13 (`UpdateEncoderV1`, `Item.write`, `writeDeleteSet`). The length of a block is
//! counted in UTF-16 units for a String, in elements for JSON and Any, is a number for GC, Skip and Deleted, and 1
//! for all other content.

mod content;
mod fields;
pub mod pieces;
pub(crate) mod rope_reader;
mod same;
mod scan;
mod slice;

pub(crate) use fields::{read_clock, read_len, write_deletion, write_deletions_header, write_section_header};
pub use scan::{Deletions, Run, RunBlocks, Update};
pub(crate) use scan::{read_block_at, skip_block_at, view_block};
pub use slice::Piece;
pub(crate) use slice::{Cutter, Places, Remains};

use crate::lib0::ReadError;

/// The update without blocks and deletions.
pub const EMPTY: &[u8] = &[0, 0];

/// A Yjs client id: the writer of a block. Not a connection.
pub type ClientId = u64;

/// A position among the elements that one client has written.
pub type Clock = u32;

/// The id of one element of a document.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// The client that wrote it.
    pub client: ClientId,
    /// Its place among the elements of that client, counted from 0.
    pub clock: Clock,
}

/// The content of a block: the low 5 bits of its info byte.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Content {
    /// Elements that are gone: only their number is known.
    Gc,
    /// An item without its content.
    Deleted,
    /// A list of JSON texts (written by Yjs before 13.0).
    Json,
    /// One byte array.
    Binary,
    /// Characters.
    String,
    /// One embedded JSON object in a text.
    Embed,
    /// The start or end of a format in a text.
    Format,
    /// A nested shared type.
    Type,
    /// A list of plain values.
    Any,
    /// A sub-document.
    Doc,
    /// A gap in the update: elements that it leaves out.
    Skip,
}

/// Info bit: an origin follows.
pub(crate) const HAS_ORIGIN: u8 = 0x80;
/// Info bit: a right origin follows.
pub(crate) const HAS_RIGHT_ORIGIN: u8 = 0x40;
/// Info bit: the item is the value of a key.
pub(crate) const HAS_KEY: u8 = 0x20;
/// Info bits that name the content.
const CONTENT: u8 = 0x1f;

impl Content {
    fn from_info(info: u8) -> Result<Self, UpdateError> {
        Ok(match info & CONTENT {
            // Flags have no meaning here, and yrs takes a block with flags for an item.
            0 if info == 0 => Self::Gc,
            1 => Self::Deleted,
            2 => Self::Json,
            3 => Self::Binary,
            4 => Self::String,
            5 => Self::Embed,
            6 => Self::Format,
            7 => Self::Type,
            8 => Self::Any,
            9 => Self::Doc,
            10 if info == 10 => Self::Skip,
            unknown => return Err(UpdateError::UnknownContent(unknown)),
        })
    }
}

/// One block, as a view of its encoded bytes.
#[derive(Debug, Copy, Clone)]
pub struct Block<'a> {
    /// The id of its first element.
    pub id: Id,
    /// How many elements it has. It may be 0: such a block means nothing.
    pub len: Clock,
    /// Its content.
    pub content: Content,
    /// The element to its left when it was written.
    pub origin: Option<Id>,
    /// The element to its right when it was written.
    pub right_origin: Option<Id>,
    /// The item of the type that it lives in, if it names one.
    pub parent: Option<Id>,
    /// The whole encoded block.
    bytes: &'a [u8],
    /// Where in `bytes` the content begins.
    content_at: usize,
}

impl<'a> Block<'a> {
    /// The clock after its last element.
    pub fn end(&self) -> Clock {
        self.id.clock + self.len
    }

    /// The whole encoded block.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Where in [`Self::bytes`] the content begins.
    pub fn content_at(&self) -> usize {
        self.content_at
    }

    /// The encoded content.
    fn content_bytes(&self) -> &'a [u8] {
        &self.bytes[self.content_at..]
    }

    fn info(&self) -> u8 {
        self.bytes[0]
    }

    /// Whether it is the value of a key.
    pub(crate) fn has_key(&self) -> bool {
        self.content != Content::Gc && self.info() & HAS_KEY != 0
    }

    /// The ids that must be known before this block.
    pub fn dependencies(&self) -> impl Iterator<Item = Id> {
        [self.origin, self.right_origin, self.parent].into_iter().flatten()
    }
}

/// Why bytes are not an update.
#[derive(Debug, Copy, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// A primitive could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A block holds content that Yjs 13 does not know.
    #[error("unknown content: {0}")]
    UnknownContent(u8),
    /// A block holds a shared type that Yjs 13 does not know.
    #[error("unknown shared type: {0}")]
    UnknownType(u64),
    /// A clock or a length exceeds [`crate::limits::MAX_CLOCK`].
    #[error("clock out of range")]
    ClockOutOfRange,
    /// A block depends on itself or on a later one of the same client.
    #[error("block depends on a later one")]
    DependsOnLater,
    /// It has more runs of blocks than [`crate::limits::MAX_RUNS`].
    #[error("too many clients or gaps")]
    TooManyRuns,
    /// It has more bytes than 32 bits can count.
    #[error("update too large")]
    TooLarge,
    /// Bytes follow the delete set.
    #[error("bytes after the end")]
    TrailingBytes,
}
