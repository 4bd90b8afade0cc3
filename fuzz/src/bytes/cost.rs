//! The cost that a room may have: its work in steps of the engine, and its memory, both by the bytes that came in and went out.
//!
//! Some work comes later than the bytes that cause it: parked updates are taken in when their gap fills, content is dropped when
//! it is deleted, and changes are merged when no peer stands between them. So all work together is held to the rates below, and
//! a single step to the same rates and to those for everything before it.

use std::ops::AddAssign;

/// Steps for each byte that comes in. An entry of a state vector has two bytes and is read, looked up, and merged with those
/// asked before; a block of two is scanned, taken in, and perhaps parked and woken up to four times.
pub(super) const STEPS_PER_BYTE_IN: u64 = 8;

/// Steps for each byte that goes out. A deleted range has two bytes and is counted and written; the rest is mostly copied.
pub(super) const STEPS_PER_BYTE_OUT: u64 = 4;

/// Steps for each client in an update that goes out: where its part begins in the middle of a chunk, that is walked, and
/// has up to [`coscribe_engine::limits::CHUNK_BYTES`] and a block of
/// [`coscribe_engine::limits::MAX_CONTENT_BYTES`].
pub(super) const STEPS_PER_CLIENT_OUT: u64 = 192;

/// Steps for each deleted range that comes in: it may rewrite one chunk, of some 340 of the shortest blocks. And for each run
/// of blocks that comes where deletions wait: it may be deleted at once.
pub(super) const STEPS_PER_DELETION: u64 = 1536;

/// Steps for each byte that came while a peer lagged, when that peer is told, for each such peer: changes that were kept apart
/// are merged for it, even where little is left of them.
pub(super) const STEPS_PER_MISSED_BYTE: u64 = 4;

/// Steps for each input: a frame, a tick, a peer that comes or goes.
pub(super) const STEPS_PER_INPUT: u64 = 64;

/// Steps of a single input for each byte that waited before it: entries are charged for what they take in memory.
const STEPS_PER_PARKED_BYTE: u64 = 64;

/// Steps of a single input for each byte that came before: changes are merged, the fewer into the more.
const STEPS_PER_EARLIER_BYTE: u64 = 4;

/// Steps of a single input that deletes for each byte of the document: a range of two bytes may empty all chunks, once.
const STEPS_PER_DOCUMENT_BYTE: u64 = 4;

/// Bytes that are allocated in sum, which stands for what is copied, also where no steps are counted: for each byte that comes
/// in, that goes out, that a peer missed, for each client that goes out, each deleted range that comes in (it may copy a chunk,
/// which grows by doubling), and each input.
const ALLOCATED_PER_BYTE_IN: u64 = 128;
const ALLOCATED_PER_BYTE_OUT: u64 = 8;
const ALLOCATED_PER_MISSED_BYTE: u64 = 48;
const ALLOCATED_PER_CLIENT_OUT: u64 = 1 << 10;
const ALLOCATED_PER_DELETION: u64 = 16 << 10;
const ALLOCATED_PER_INPUT: u64 = 4 << 10;

/// Memory that a single input may take, however small it is.
const MEMORY: u64 = 64 << 10;

/// Memory for each byte of a frame, at once. The shortest block is in five maps, some of whose nodes are mostly empty; the
/// shortest entry that waits has 9 bytes and takes 256.
const MEMORY_PER_BYTE_IN: u64 = 160;

/// Memory for each byte that goes out, at once: what is written grows by doubling.
const MEMORY_PER_BYTE_OUT: u64 = 4;

/// Memory for each byte that a peer missed, at once.
const MEMORY_PER_MISSED_BYTE: u64 = 48;

/// Memory for each frame that goes out, until it is in an outbox.
const MEMORY_PER_FRAME_OUT: u64 = 256;

/// Memory that a single input may take in any case beside the message and what the document keeps of it: the promise.
const PROMISED_MEMORY: u64 = 16 << 20;

/// Memory for each byte of a frame that is promised in any case.
const PROMISED_MEMORY_PER_BYTE: u64 = 64;

/// The traffic of a room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    pub(super) inputs: u64,
    pub(super) bytes_in: u64,
    /// Those of them that are not updates, nor say nothing.
    pub(super) bytes_said: u64,
    /// Deleted ranges in the updates that came in, and runs of blocks that came where deletions waited.
    pub(super) deletions: u64,
    pub(super) frames_out: u64,
    pub(super) bytes_out: u64,
    /// Clients in each of the updates that went out, in sum.
    pub(super) clients_out: u64,
    /// Bytes that came while a peer lagged that is now told, for each such peer.
    pub(super) bytes_missed: u64,
}

impl Traffic {
    /// One input, without a frame.
    pub(super) fn input() -> Self {
        Self { inputs: 1, ..Self::default() }
    }

    /// The bytes that may be allocated for it in sum.
    fn allocated(&self) -> u64 {
        self.inputs * ALLOCATED_PER_INPUT
            + self.bytes_in * ALLOCATED_PER_BYTE_IN
            + self.deletions * ALLOCATED_PER_DELETION
            + self.bytes_out * ALLOCATED_PER_BYTE_OUT
            + self.bytes_missed * ALLOCATED_PER_MISSED_BYTE
            + self.clients_out * ALLOCATED_PER_CLIENT_OUT
    }

    /// The steps that it may take.
    pub(super) fn steps(&self) -> u64 {
        self.inputs * STEPS_PER_INPUT
            + self.bytes_in * STEPS_PER_BYTE_IN
            + self.deletions * STEPS_PER_DELETION
            + self.bytes_out * STEPS_PER_BYTE_OUT
            + self.bytes_missed * STEPS_PER_MISSED_BYTE
            + self.clients_out * STEPS_PER_CLIENT_OUT
    }
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.inputs += other.inputs;
        self.bytes_in += other.bytes_in;
        self.bytes_said += other.bytes_said;
        self.deletions += other.deletions;
        self.frames_out += other.frames_out;
        self.bytes_out += other.bytes_out;
        self.clients_out += other.clients_out;
        self.bytes_missed += other.bytes_missed;
    }
}

/// The state of a room before an input.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before {
    pub(super) parked_bytes: u64,
    pub(super) document_bytes: u64,
    pub(super) bytes_in: u64,
}

/// Memory that a room may keep beside its document, which counts what waits: for each byte of awareness, questions and tokens,
/// for each deleted range that came (somebody may be still to be told), for each peer, and in any case. What came last is
/// kept as it came until the next flush.
const RETAINED_PER_BYTE_SAID: u64 = 64;
const RETAINED_PER_DELETION: u64 = 128;
const RETAINED_PER_PEER: u64 = 2 << 10;
const RETAINED: u64 = 64 << 10;

/// What an input took, or several.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spent {
    pub(super) steps: u64,
    /// Bytes of memory, at once.
    pub(super) memory: u64,
    /// Bytes of memory, in sum.
    pub(super) allocated: u64,
    /// Bytes by which the document grew.
    pub(super) growth: u64,
}

impl AddAssign for Spent {
    fn add_assign(&mut self, other: Self) {
        self.steps += other.steps;
        self.memory = self.memory.max(other.memory);
        self.allocated += other.allocated;
        self.growth += other.growth;
    }
}

/// Panics if all inputs together took more than they may.
pub(super) fn check_all(all: &Traffic, spent: &Spent) {
    assert!(spent.steps <= all.steps(), "{} steps for {all:?}, over {}", spent.steps, all.steps());
    let allocated = all.allocated();
    assert!(
        spent.allocated <= allocated,
        "{} bytes allocated for {all:?}, over {allocated}",
        spent.allocated
    );
}

/// Panics if the last input took more than it may.
pub(super) fn check(last: &Traffic, before: &Before, spent: &Spent) {
    let deletes = last.deletions > 0 || before.parked_bytes > 0;
    let steps = last.steps()
        + before.parked_bytes * STEPS_PER_PARKED_BYTE
        + before.bytes_in * STEPS_PER_EARLIER_BYTE
        + if deletes { before.document_bytes * STEPS_PER_DOCUMENT_BYTE } else { 0 };
    assert!(spent.steps <= steps, "{spent:?} for {last:?} after {before:?}, over {steps} steps");
    let memory = MEMORY
        + last.bytes_in * MEMORY_PER_BYTE_IN
        + last.frames_out * MEMORY_PER_FRAME_OUT
        + last.bytes_out * MEMORY_PER_BYTE_OUT
        + last.bytes_missed * MEMORY_PER_MISSED_BYTE
        + before.parked_bytes
        + 2 * spent.growth;
    assert!(spent.memory <= memory, "{spent:?} for {last:?} after {before:?}, over {memory} bytes of memory");
    let promised = PROMISED_MEMORY + last.bytes_in * PROMISED_MEMORY_PER_BYTE + spent.growth;
    assert!(spent.memory <= promised, "{spent:?} for {last:?}, over the promised {promised} bytes of memory");
}

/// Panics if a room keeps more memory than it may beside its last frame.
pub(super) fn check_retained(retained: u64, document_bytes: u64, last_frame: u64, all: &Traffic, peers: u64) {
    let allowed = RETAINED
        + 2 * (document_bytes + last_frame)
        + all.bytes_said * RETAINED_PER_BYTE_SAID
        + all.deletions * RETAINED_PER_DELETION
        + peers * RETAINED_PER_PEER;
    assert!(retained <= allowed, "{retained} bytes are kept after {all:?} of {peers} peers, over {allowed}");
}
