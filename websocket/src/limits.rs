//! Every bound of this crate, with its reason.

use std::time::Duration;

// Reading.

/// Bytes of tungstenite's read buffer. A message that is shorter may share it with others. The default of 128 KiB for each
/// connection is far more than an editor sends at once, and the socket reads more than this at a time.
pub const READ_BUFFER: usize = 1 << 10;

/// Most bytes of one read: they are on the stack.
pub(crate) const READ_BYTES: usize = 4 << 10;

/// Bytes that a connection may read, or inflate, before others have their turn: some 0.1 ms, if it is all small frames.
pub(crate) const READ_IN_A_TURN: usize = 16 << 10;

/// Messages above the usual size that the process has in memory at the same time: each may be as large as a document.
pub const LARGE_MESSAGES: usize = 2;

/// Bytes a second that have to come of such a message, on average: others wait.
pub const SLOWEST_BYTES_PER_SECOND: u32 = 64 << 10;

/// How much longer it may take.
pub(crate) const SLOWEST_GRACE: Duration = Duration::from_secs(10);

// Decompression.

/// Compressed bytes that are inflated before others have the processor, whatever they inflate to: it may be nothing.
pub(crate) const INFLATED_IN_A_TURN: usize = 16 << 10;

/// Most bytes of a frame with inflated content; its length must fit into 16 bits.
pub(crate) const PIECE_BYTES: usize = 16 << 10;

/// A message that inflates to more waits for a turn: nearly all have less.
pub(crate) const LARGE_INFLATION_BYTES: usize = 64 << 10;

/// Such messages that all connections of the process inflate at the same time: a few kilobytes can become very many.
pub(crate) const LARGE_INFLATIONS: usize = 4;

/// The cost of the end of a stream, after which another may begin, in compressed bytes.
pub(crate) const RESET_COST: usize = 64;

/// The window of a client that goes on with what it has sent before and lets us choose, as a power of two: 4 KiB hold many
/// edits.
pub(crate) const CLIENT_WINDOW_BITS: u8 = 12;

// Compression.

/// Below this size, compression costs more than it gives.
pub(crate) const WORTH_COMPRESSING_BYTES: usize = 1 << 10;

/// From this size on, compression takes long enough to be in the way of others: half a millisecond.
pub(crate) const LONG_BYTES: usize = 64 << 10;

/// Bytes of a long message that are compressed in one go: about a millisecond.
pub(crate) const BLOCK_BYTES: usize = 128 << 10;

/// Blocks that the process compresses at the same time, so that threads of the runtime get their share of the processors.
pub(crate) const BLOCKS_AT_ONCE: usize = 2;

// Writing.

/// Larger messages are written in fragments. tungstenite copies each into a buffer that it keeps, and moves the rest of that
/// for each part that the kernel takes; so it never gets more than this.
pub(crate) const FRAGMENT_BYTES: usize = 8 << 10;

/// Small frames are collected up to this size before they are written.
pub(crate) const WRITE_BUFFER: usize = 4 << 10;

/// More than a fragment and all that fits before it; a peer that pings without reading the pongs ends here.
pub(crate) const MAX_WRITE_BUFFER: usize = 64 << 10;

/// Bytes that are written at once. The kernel may take megabytes, and copies them while others wait.
pub(crate) const WRITTEN_AT_ONCE: usize = 16 << 10;

/// Bytes that are written in a turn, where there are more than these: some 20 µs.
pub(crate) const WRITTEN_IN_A_TURN: usize = 64 << 10;

/// Bytes that the connections of a thread write before the runtime looks for what has come to the sockets, beside what each
/// writes at once: less than a millisecond. A flush to hundreds of peers is no reason to look after each of them.
pub(crate) const WRITTEN_BETWEEN_LOOKS: usize = 512 << 10;

/// Bytes that TLS has encrypted and the kernel has not taken: a record, and all that is given to it at once. A peer that reads
/// nothing is seen after so many.
pub(crate) const TLS_BUFFER: usize = 16 << 10;

/// How long the other side may take to agree to a close.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

// Waiting for peers.

/// How often it is noted that the process runs.
pub(crate) const BEAT: Duration = Duration::from_millis(500);

/// A process that was not noted to run for longer was stopped. Threads of a busy machine wait for less, and peers are waited for
/// longer.
pub(crate) const LATE: Duration = Duration::from_secs(2);

// Answering requests.

/// Bytes of a request's header, and bytes of small answers that wait for a client that does not read them, while it is read on.
/// hyper looks after each read, so a header that comes at once may have twice as much. A token may have 16 KiB.
pub const HTTP_BUFFER: usize = 32 << 10;

/// Bytes of an answer that a client has to take in a second, on average: a slow link has more.
pub const SLOWEST_ANSWER_BYTES_PER_SECOND: u32 = 4 << 10;

// The echo server.

/// More than any suite sends as one message.
pub(crate) const ECHO_MESSAGE_BYTES: usize = 32 << 20;

/// How long the header of a request may take.
pub(crate) const ECHO_HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may take nothing of an answer.
pub(crate) const ECHO_STALL_TIMEOUT: Duration = Duration::from_secs(60);
