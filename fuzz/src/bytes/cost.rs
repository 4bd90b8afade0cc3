//! What a room may cost: its work in steps of the engine, and its memory, both by what came in and what went out.
//!
//! Some work is paid for earlier or later: what waited for a gap is taken in when that fills, content is dropped when it is
//! deleted, and changes are merged when nobody stands between them. So all work together is held to the rates below, and a
//! single step to the same and to what there was before it.

use std::ops::AddAssign;

/// Steps for each byte that comes in. An entry of a state vector has two bytes and is read, looked up, and merged with those
/// asked before; a block of two is scanned, taken in, and perhaps parked and woken up to four times.
pub(super) const STEPS_PER_BYTE_IN: u64 = 8;

/// Steps for each byte that goes out. A deleted range has two bytes and is counted and written; the rest is mostly copied.
pub(super) const STEPS_PER_BYTE_OUT: u64 = 8;

/// Steps for each client in an update that goes out: where its part begins in the middle of a chunk, that is walked, and
/// has up to [`coscribe_engine::limits::CHUNK_BYTES`] and a block of
/// [`coscribe_engine::limits::MAX_CONTENT_BYTES`].
pub(super) const STEPS_PER_CLIENT_OUT: u64 = 192;

/// Steps for each deleted range that comes in: it may rewrite one chunk, of some 340 of the shortest blocks.
pub(super) const STEPS_PER_DELETION: u64 = 1536;

/// Steps for each input: a frame, a tick, somebody who comes or goes.
pub(super) const STEPS_PER_INPUT: u64 = 256;

/// Steps of a single input for each byte that waited before it: entries are charged for what they take in memory.
const STEPS_PER_PARKED_BYTE: u64 = 64;

/// Steps of a single input for each byte that came before: changes are merged, the fewer into the more.
const STEPS_PER_EARLIER_BYTE: u64 = 4;

/// Steps of a single input that deletes for each byte of the document: a range of two bytes may empty all chunks, once.
const STEPS_PER_DOCUMENT_BYTE: u64 = 4;

/// Memory that a single input may take, however small it is.
const MEMORY: u64 = 64 << 10;

/// Memory for each byte of a frame, at once. The shortest block is in five maps, some of whose nodes are mostly empty; the
/// shortest entry that waits has 9 bytes and takes 256.
const MEMORY_PER_BYTE_IN: u64 = 160;

/// Memory for each byte that goes out, at once: what is written grows by doubling.
const MEMORY_PER_BYTE_OUT: u64 = 4;

/// Memory for each frame that goes out, until it is in an outbox.
const MEMORY_PER_FRAME_OUT: u64 = 256;

/// Memory that a single input may take in any case beside the message and what the document keeps of it: the promise.
const PROMISED_MEMORY: u64 = 16 << 20;

/// Memory for each byte of a frame that is promised in any case.
const PROMISED_MEMORY_PER_BYTE: u64 = 64;

/// What came in and went out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    pub(super) inputs: u64,
    pub(super) bytes_in: u64,
    /// Deleted ranges in the updates that came in.
    pub(super) deletions: u64,
    pub(super) frames_out: u64,
    pub(super) bytes_out: u64,
    /// Clients in each of the updates that went out, in sum.
    pub(super) clients_out: u64,
}

impl Traffic {
    /// One input, with a frame of so many bytes and deleted ranges.
    pub(super) fn input(bytes_in: usize, deletions: usize) -> Self {
        Self { inputs: 1, bytes_in: bytes_in as u64, deletions: deletions as u64, ..Self::default() }
    }

    /// The steps that it may take.
    pub(super) fn steps(&self) -> u64 {
        self.inputs * STEPS_PER_INPUT
            + self.bytes_in * STEPS_PER_BYTE_IN
            + self.deletions * STEPS_PER_DELETION
            + self.bytes_out * STEPS_PER_BYTE_OUT
            + self.clients_out * STEPS_PER_CLIENT_OUT
    }
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.inputs += other.inputs;
        self.bytes_in += other.bytes_in;
        self.deletions += other.deletions;
        self.frames_out += other.frames_out;
        self.bytes_out += other.bytes_out;
        self.clients_out += other.clients_out;
    }
}

/// What there was before an input.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before {
    pub(super) parked_bytes: u64,
    pub(super) document_bytes: u64,
    pub(super) bytes_in: u64,
}

/// What an input took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spent {
    pub(super) steps: u64,
    /// Bytes of memory, at once.
    pub(super) memory: u64,
    /// Bytes by which the document grew.
    pub(super) growth: u64,
}

/// Panics if all inputs together, or the last one, took more than they may.
pub(super) fn check(all: &Traffic, all_steps: u64, last: &Traffic, before: &Before, spent: &Spent) {
    assert!(all_steps <= all.steps(), "{all_steps} steps for {all:?}, over {}", all.steps());
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
        + before.parked_bytes
        + 2 * spent.growth;
    assert!(spent.memory <= memory, "{spent:?} for {last:?} after {before:?}, over {memory} bytes of memory");
    let promised = PROMISED_MEMORY + last.bytes_in * PROMISED_MEMORY_PER_BYTE + spent.growth;
    assert!(spent.memory <= promised, "{spent:?} for {last:?}, over the promised {promised} bytes of memory");
}
