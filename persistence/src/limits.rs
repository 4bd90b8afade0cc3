//! Every bound of the store, with its reason.

use std::time::Duration;

// What is stored.

/// Longest document name in bytes: as long as a URL path segment may sensibly be, and small compared with a record.
pub const MAX_NAME_BYTES: usize = 1024;

/// Longest subject in bytes. Long enough for an e-mail address or a token's subject.
pub const MAX_SUBJECT_BYTES: usize = 256;

/// Largest payload of a record in bytes: twice the largest document that a server takes in, so that whatever made one larger,
/// it can be stored.
pub const MAX_PAYLOAD_BYTES: usize = 512 << 20;

/// Largest state of a snapshot in bytes: a payload without the 16 bytes before the state.
pub const MAX_STATE_BYTES: usize = MAX_PAYLOAD_BYTES - 16;

// Segments.

/// Most bytes of one batch of the log. It keeps a segment below the 4 GiB that a position in the log can address.
pub const MAX_BATCH_BYTES: usize = 2 << 30;

/// Largest size at which a segment of the log is closed. With a higher one, a segment and a batch could outgrow the offsets that
/// a position can address.
pub(crate) const MAX_SEGMENT_BYTES: u64 = 1 << 30;

/// Size at which a segment is closed by default. Small segments are retired sooner, large ones cost fewer file operations.
pub const SEGMENT_BYTES: u64 = 64 << 20;

/// Bytes of space that are reserved in the active segment of the log at a time. Of small batches, only one in a thousand changes
/// the file's length then; and after a crash, this much is soon read.
pub(crate) const RESERVED_BYTES: u64 = 1 << 20;

/// How many times as large as its live records the log may be, beside [`LOG_SEGMENTS`]. With half of the segments dead, what is
/// written again to free them is less than what they take.
pub const LOG_SHARE: u64 = 2;

/// Segments that the log may have beyond that: the active one, and one that is being emptied.
pub const LOG_SEGMENTS: u64 = 2;

/// Bytes of records that are moved at a time, if one is not larger: what is appended meanwhile waits for as long.
pub(crate) const MOVED_BYTES: u64 = 1 << 20;

/// The active segment of the log is retired early if it has no live records and this part of a full segment's bytes. A new
/// segment costs two syncs.
pub(crate) const RETIRED_SHARE: u64 = 8;

/// Bytes of records after which the next batch of the log begins with an end mark. It names their documents, so with small
/// updates to many of them it takes a tenth as much; and so much more may be of unknown documents where it is damaged after a crash.
pub(crate) const MARK_BYTES: u64 = 1 << 20;

/// Entries that the catalog may have beyond two for each document before it is rewritten: a smaller file is not worth it.
pub(crate) const CATALOG_REWRITE_ENTRIES: usize = 10_000;

// What is read and written in one go.

/// Bytes of a segment that are read at a time, unless more are asked for.
pub(crate) const READ_BYTES: usize = 64 << 10;

/// Bytes that are compared with zeros at a time.
pub(crate) const ZEROS_BYTES: usize = 4 << 10;

/// Bytes of a snapshot that are compared at a time, after it was written.
pub(crate) const COMPARED_BYTES: usize = 64 << 10;

/// Bytes of a file that are copied at a time.
pub(crate) const COPIED_BYTES: u64 = 64 << 10;

/// Updates of at least this size are written directly, without a copy into the batch.
pub(crate) const LARGE_PAYLOAD_BYTES: usize = 256 << 10;

/// Parts of a snapshot that are smaller than this are collected for one write.
pub(crate) const COLLECTED_BYTES: usize = 256 << 10;

/// Most bytes of one call to the system. In a single call of tens of megabytes the kernel may occupy a processor until it has
/// copied them.
pub(crate) const WRITTEN_BYTES: usize = 256 << 10;

// Opening files.

/// How long is waited for a descriptor, or for memory, before a file counts as one that cannot be opened.
pub(crate) const OPENED_WITHIN: Duration = Duration::from_secs(5);

/// How often it is tried meanwhile.
pub(crate) const OPENED_AGAIN_AFTER: Duration = Duration::from_millis(20);

// sled.

/// Memory that sled may use as a cache: a document's entry is read once, when the document is opened.
pub(crate) const SLED_CACHE_BYTES: u64 = 1 << 20;

/// How long to wait for sled to release its files after it was closed: it takes milliseconds, and a shutdown must end.
pub(crate) const SLED_RELEASE: Duration = Duration::from_secs(10);

/// How often that is looked at.
pub(crate) const SLED_RELEASE_POLL: Duration = Duration::from_millis(1);
