//! Every bound of the engine, with its reason.

use std::time::Duration;

// What is read.

/// Largest integer that lib0 reads (`Number.MAX_SAFE_INTEGER`): JavaScript clients fail on more.
pub const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// End of the clock range. yrs keeps lengths in 32 bits, and two billion characters by one client are no document.
pub const MAX_CLOCK: u32 = i32::MAX as u32;

/// Nesting of arrays and objects in an `Any` value. Editors use a handful; readers that recurse overflow at thousands.
pub const MAX_ANY_DEPTH: usize = 128;

/// Runs of blocks in one update: one for each client, and one more for each gap. Each costs memory beside its bytes. Stored
/// documents have had thousands of clients.
pub const MAX_RUNS: usize = 1 << 20;

/// The same, in an update from a peer, which has the edits of one person. Admitting an update takes some hundred bytes of
/// memory for each run.
pub const MAX_RUNS_FROM_PEER: usize = 1 << 17;

/// Clients in a state vector that is read as a whole: a megabyte or two, and far more than any document has seen. A room reads
/// only those entries of a longer one whose clients the document has.
pub const MAX_STATE_VECTOR_CLIENTS: usize = 1 << 18;

// What is done in one go, without a pause.

/// Steps between two pauses: some 0.1 ms, and less than 1 ms of the costliest ones. Work that waits for a processor waits for
/// a few such slices at most.
pub const SLICE_STEPS: u64 = 8 * 1024;

/// Content that is checked or passed over in one go: a few microseconds. Longer content pauses in between.
pub const SHORT_BYTES: usize = 8 * 1024;

/// JSON that is checked in one go. It takes several times as long as a string of the same size.
pub(crate) const SHORT_JSON_BYTES: usize = SHORT_BYTES / 8;

/// Bytes that are copied without a look at the counter of steps: a copy is fast.
pub(crate) const COPIED_AT_ONCE: usize = 64 * 1024;

/// Ranges of a set of ids that one insertion may swallow without a pause.
pub(crate) const SWALLOWED_AT_ONCE: usize = 256;

/// Ranges of a delete set that are taken in together, so that many in one chunk rewrite it once.
pub const DELETIONS_AT_ONCE: usize = 1024;

/// The same for unsorted ranges: they take about four megabytes.
pub const UNSORTED_DELETIONS_AT_ONCE: usize = 128 * 1024;

/// Bytes of answers after which a room stops, until its peers' outboxes have taken them.
pub const ANSWERS_AT_ONCE: usize = 1024 * 1024;

// How bytes are kept and shared.

/// From this size on, a part of a rope is shared. A smaller one is copied, which costs less than its place in the rope.
pub const ROPE_PART_BYTES: usize = 128;

/// A shorter encoding is in one part: it is written and compressed faster.
pub const ROPE_BYTES: usize = 256 * 1024;

/// Bytes of encoded blocks after which the next block starts a new chunk. A lookup walks one chunk, so this bounds
/// the time of a deletion; each chunk costs about a hundred bytes beside its content.
pub const CHUNK_BYTES: usize = 1024;

/// Longest content of one stored block, if it can be cut. This bounds the copying that a deletion inside a long paste costs. A
/// longer block that cannot be cut has a chunk of its own, so that its neighbours cost no more.
pub const MAX_CONTENT_BYTES: usize = 8 * 1024;

/// Longest header of a block that is stored beside others. Only long names and keys take more.
pub(crate) const SHORT_HEADER_BYTES: usize = 256;

/// What lies below deleted types is collected when deletions have left one part in so many of the document. So each deleted
/// byte pays for a walk over as many bytes, and the debris is less than that part.
pub const COLLECTED_SHARE: usize = 8;

/// Debris of a small document that is not worth a walk, in bytes.
pub(crate) const LITTLE_DEBRIS: usize = 64;

// What a room keeps.

/// A document, in bytes of memory, which is about the size of its encoding. Browsers give up on far smaller ones.
pub const DOCUMENT_BYTES: usize = 256 * 1024 * 1024;

/// Deletions alone may make a document larger than it may be by one part in so many, so that one at its limit can be shrunk: to
/// free content, they cut blocks. Beyond that, only those are taken in that free as much as they add.
pub const DELETIONS_SHARE: usize = 8;

/// A deleted range, in bytes of memory: an entry of the delete set, and the headers of two blocks where it cuts one in three.
pub const DELETION_BYTES: usize = 96;

/// Clients of a document. Whoever comes is sent the state vector: with so many, one of two megabytes.
pub const DOCUMENT_CLIENTS: usize = MAX_STATE_VECTOR_CLIENTS;

/// An update takes no more memory than so many times its bytes: the dearest are deleted ranges, of two bytes.
pub(crate) const MOST_GROWTH: usize = 64;

/// Updates that wait for a gap to fill, in bytes of memory per document: they are kept for as long as the document is.
pub const PARKED_BYTES: usize = 16 * 1024 * 1024;

/// Updates of one peer that come together are one record of the log, up to about this size.
pub const APPEND_BYTES: usize = 1024 * 1024;

/// Payload of a SyncStatus, which is kept until it is answered. Clients send a counter.
pub const SYNC_STATUS_BYTES: usize = 256;

/// SyncStatus messages of one peer that wait for an answer. Clients wait for one before they send the next.
pub const UNANSWERED_SYNC_STATUSES: usize = 1024;

/// Counts of saved messages of one peer that are due at different times. Beyond it they are due together, later.
pub const COUNTED_RECEIPTS: usize = 1024;

/// A text of the application for other peers, which is sent to each of them at once: no larger than an update usually is.
pub const STATELESS_BYTES: usize = 64 << 10;

/// Longest time between two flushes: one frame of a screen.
pub(crate) const FLUSH_WINDOW: Duration = Duration::from_millis(16);

// Refused updates.

/// Clients of which a room remembers that an update of theirs was refused: more people than one document has at a time.
pub const REFUSED_CLIENTS: usize = 1024;

/// Clients of one refused update that are remembered. Offline work has one client, or a few that a browser kept.
pub const REFUSED_CLIENTS_OF_UPDATE: usize = 64;

/// How long a peer stays that brings a refused update for the second time. It is doubled each time.
pub(crate) const FIRST_REFUSAL_DELAY: Duration = Duration::from_secs(1);

/// How long such a peer stays at most: an upload is repeated no more often than this.
pub(crate) const LONGEST_REFUSAL_DELAY: Duration = Duration::from_secs(60);

/// A client of which no update was refused for so long is not slowed down any more.
pub(crate) const REFUSAL_FORGIVEN: Duration = Duration::from_secs(600);

// Awareness.

/// One client's awareness state as JSON. Cursors take 200 bytes, a thumbnail as a `data:` URL a few thousand.
pub const AWARENESS_STATE_BYTES: usize = 64 * 1024;

/// Client ids that one connection may introduce. One is usual; tabs of one browser may speak for each other.
pub const AWARENESS_CLIENTS_PER_PEER: usize = 64;

/// Awareness states of one connection, in bytes of JSON: four of the largest, or many cursors.
pub const AWARENESS_BYTES_PER_PEER: usize = 256 * 1024;

/// Awareness states of one document, with those that are claimed, in bytes of JSON. Who comes gets all of them at once. Ten
/// thousand people with cursors take a quarter of it.
pub const AWARENESS_BYTES: usize = 8 * 1024 * 1024;

/// Clocks of removed awareness states that a room remembers, so that a client that comes back is seen at once.
pub const AWARENESS_REMOVED: usize = 4096;

/// How long a state lives that its owner does not renew. Clients renew every 15 s.
pub const AWARENESS_EXPIRY: Duration = Duration::from_secs(30);

/// How often awareness is searched for states that were not renewed.
pub(crate) const AWARENESS_EXPIRY_INTERVAL: Duration = Duration::from_secs(5);

/// An unchanged state that comes again is not broadcast if everybody has heard of it within this time. Clients renew their own
/// state after 15 s, look every 3 s whether it is time, and drop a state of which they have not heard for 30 s.
pub(crate) const AWARENESS_TOLD: Duration = Duration::from_secs(8);

/// How long an owner may take to give a sign of life. Others see the cursor of a client that is back this much later.
pub(crate) const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// How long a sign of life counts: a peer is asked for one at most this often.
pub(crate) const SIGN_OF_LIFE_COUNTS: Duration = Duration::from_secs(5);

/// How long comers are collected, so that those who come back together are served together.
pub(crate) const COMERS_GATHER: Duration = Duration::from_millis(100);

/// Clients in a room up to which a peer is asked for its awareness that renews itself without a word: it answers with all that
/// it knows. In a larger crowd it is seen when it renews itself after 15 s.
pub(crate) const QUERIED_CLIENTS: usize = 100;

/// Least time between two rounds of renewal, each of which may ask everybody.
pub(crate) const BETWEEN_RENEWALS: Duration = Duration::from_millis(400);

/// How long the answers of a round are collected. A later answer goes out as it comes.
pub(crate) const RENEWALS_GATHER: Duration = Duration::from_millis(200);
