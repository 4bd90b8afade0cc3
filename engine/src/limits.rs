//! Every bound of the engine, with its reason.

/// Largest integer that lib0 reads (`Number.MAX_SAFE_INTEGER`): JavaScript clients fail on more.
pub const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// End of the clock range. yrs keeps lengths in 32 bits, and two billion characters by one client are no document.
pub const MAX_CLOCK: u32 = i32::MAX as u32;

/// Runs of blocks in one update: one for each client, and one more for each gap. Each costs memory beside its bytes. Stored
/// documents have had thousands of clients.
pub const MAX_RUNS: usize = 1 << 20;

/// The same, in an update from a peer: what one person brings. It takes some hundred bytes of memory for each run to admit
/// an update.
pub const MAX_RUNS_FROM_PEER: usize = 1 << 17;

/// Content that is checked or passed over in one go: a few microseconds. What is longer pauses in between.
pub const SHORT_BYTES: usize = 8 * 1024;

/// From this size on, a part of a rope is shared; what is smaller is copied, which costs less than its place in the rope.
pub const ROPE_PART_BYTES: usize = 128;

/// An encoding that is shorter than this is in one part: it is written and compressed faster.
pub const ROPE_BYTES: usize = 256 * 1024;

/// Steps between two pauses: some 0.1 ms, and less than 1 ms of the costliest ones. Whoever waits for a processor waits for a
/// few such slices at most.
pub const SLICE_STEPS: u64 = 8 * 1024;

/// Updates of one peer that come together are one record of the log, up to about this size.
pub const APPEND_BYTES: usize = 1024 * 1024;

/// Ranges of a delete set that are taken in together: so that many in one chunk rewrite it once.
pub const DELETIONS_AT_ONCE: usize = 1024;

/// The same where they come unsorted: four megabytes or so.
pub const UNSORTED_DELETIONS_AT_ONCE: usize = 128 * 1024;

/// Bytes of answers after which a room lets its peers' outboxes take what it has made before it goes on.
pub const ANSWERS_AT_ONCE: usize = 1024 * 1024;

/// Nesting of arrays and objects in an `Any` value. Editors use a handful; readers that recurse overflow at thousands.
pub const MAX_ANY_DEPTH: usize = 128;

/// Clients in a state vector that is read as a whole: a megabyte or two, and far more than any document has seen. A room reads
/// of a longer one what it says of clients that the document has.
pub const MAX_STATE_VECTOR_CLIENTS: usize = 1 << 18;

/// Bytes of encoded blocks after which the next block starts a new chunk. A lookup walks one chunk, so this bounds
/// the time of a deletion; each chunk costs about a hundred bytes beside its content.
pub const CHUNK_BYTES: usize = 1024;

/// Longest content that one stored block may have if it can be cut. Bounds the copying that a deletion inside a
/// long paste costs. A block that is longer and cannot be cut has a chunk of its own, so that nothing beside it costs more.
pub const MAX_CONTENT_BYTES: usize = 8 * 1024;

/// What lies below deleted types is collected when deletions have left one part in so many of the document: so each deleted
/// byte pays for a walk over as many, and what is kept in vain is less than that part.
pub const COLLECTED_SHARE: usize = 8;

/// A document, in bytes of memory, which is about what it takes encoded. Browsers give up on far smaller ones.
pub const DOCUMENT_BYTES: usize = 256 * 1024 * 1024;

/// Updates that wait for a gap to fill, in bytes of memory per document: they are kept for as long as it is.
pub const PARKED_BYTES: usize = 16 * 1024 * 1024;

/// Clients of which a room remembers that an update of theirs was refused: more people than one document has at a time.
pub const REFUSED_CLIENTS: usize = 1024;

/// Clients of one refused update that are remembered. Offline work is that of one client, or of a few that a browser kept.
pub const REFUSED_CLIENTS_OF_UPDATE: usize = 64;

/// One client's awareness state as JSON. Cursors take 200 bytes, a thumbnail as a `data:` URL a few thousand.
pub const AWARENESS_STATE_BYTES: usize = 64 * 1024;

/// Client ids that one connection may introduce. One is usual; tabs of one browser may speak for each other.
pub const AWARENESS_CLIENTS_PER_PEER: usize = 64;

/// Clocks of removed awareness states that a room remembers, so that a client that comes back is seen at once.
pub const AWARENESS_REMOVED: usize = 4096;

/// Payload of a SyncStatus, which is kept until it is answered. Clients send a counter.
pub const SYNC_STATUS_BYTES: usize = 256;

/// SyncStatus messages of one peer that wait for an answer. Clients wait for one before they send the next.
pub const UNANSWERED_SYNC_STATUSES: usize = 1024;
