//! The memory that untrusted bytes may cost.
//!
//! Memory is counted, and the sum of all allocations stands for work: repeated copying and building shows there long
//! before it shows on a clock, and the sum is the same on every machine.

use allocation_counter::{AllocationInfo, measure};

/// The bytes that every input may take, however small: tables and buffers of a fixed size.
const CONSTANT: usize = 64 << 10;

/// Most bytes that something may allocate for each byte of its input.
#[derive(Debug, Copy, Clone)]
pub(super) struct Limit {
    /// In use at the same time.
    pub(super) peak: usize,
    /// In sum.
    pub(super) sum: usize,
}

/// Runs something with an input of `len` bytes. Panics if it allocates more than the limit.
pub(super) fn bounded<T>(len: usize, limit: Limit, run: impl FnOnce() -> T) -> T {
    let mut result = None;
    let AllocationInfo { bytes_max, bytes_total, .. } = measure(|| result = Some(run()));
    let allowed = |per_byte: usize| (CONSTANT + per_byte * len) as u64;
    assert!(bytes_max <= allowed(limit.peak), "{len} bytes took {bytes_max} at once, over {limit:?}");
    assert!(bytes_total <= allowed(limit.sum), "{len} bytes took {bytes_total} in sum, over {limit:?}");
    result.expect("it ran")
}

/// Runs something within [`bounded`] that does not count: the target's own work. (Only `inflate` does.)
pub(super) fn uncounted<T>(run: impl FnOnce() -> T) -> T {
    let mut result = None;
    allocation_counter::opt_out(|| result = Some(run()));
    result.expect("it ran")
}
