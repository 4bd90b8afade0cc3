//! Every bound of a child, with its reason; and how a process sets them for itself.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

/// What a child may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Address space in bytes, the stack included.
    pub memory_bytes: u64,
    /// Stack on which requests are answered, in bytes: yrs recurses once or more for each level of nesting, and drops what it
    /// made in the same way. Only what is touched is resident.
    pub stack_bytes: usize,
    /// The longest frame, either way, in bytes.
    pub frame_bytes: u32,
}

/// The limits of [`crate::run`], for a small document.
pub(crate) const DOCUMENTS: Limits =
    Limits { memory_bytes: 2 << 30, stack_bytes: 512 << 20, frame_bytes: 512 << 20 };

/// Memory that a document may take beside [`DOCUMENTS`], for each byte of its update. Measured as address space: a character that was
/// typed by itself takes 285 bytes in yrs and 11 of an update, the smallest nested type 490 and 4. A map with one entry, shown as
/// JSON, takes 1,020 and 4, which is the most for a byte; so the number of blocks need not be known. Only what is touched is
/// resident.
const MEMORY_PER_BYTE: u64 = 256;

/// The most memory for one document, however large it is: what a machine may have.
const MOST_MEMORY_BYTES: u64 = 16 << 30;

/// Bytes of an update that get a second of their own, beside the time that any document has: a slow machine opens many times as
/// many.
const BYTES_PER_SECOND: usize = 1 << 20;

/// The longest time for one document, however large it is.
const LONGEST_TIME: Duration = Duration::from_secs(600);

/// Address space in bytes that opening an update of so many bytes may take.
pub(crate) fn memory_for(bytes: usize) -> u64 {
    let more = MEMORY_PER_BYTE.saturating_mul(bytes as u64);
    DOCUMENTS.memory_bytes.saturating_add(more).min(MOST_MEMORY_BYTES)
}

/// How long opening an update of so many bytes may take, where a small one may take `timeout`.
pub(crate) fn time_for(bytes: usize, timeout: Duration) -> Duration {
    let more = Duration::from_secs((bytes / BYTES_PER_SECOND) as u64);
    timeout.max((timeout + more).min(LONGEST_TIME))
}

/// How long a child that stopped answering may take to exit before it is killed.
pub(crate) const EXIT_TIME: Duration = Duration::from_secs(1);

/// How much of a child's last words is kept.
pub(crate) const LAST_WORDS_BYTES: usize = 4096;

/// Limits the address space of this process.
pub(crate) fn limit_memory(most: u64) -> io::Result<()> {
    limit(Resource::As, most)
}

/// A process that dies of a document leaves no gigabytes behind.
pub(crate) fn forbid_core_dumps() -> io::Result<()> {
    limit(Resource::Core, 0)
}

/// Where a machine has less memory than the limit, this process is the first to be killed. Linux alone can be told so; elsewhere, and
/// where it is forbidden, the system chooses.
pub(crate) fn be_killed_first() {
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
}

/// The soft limit moves along with what was used already; the kernel sends SIGXCPU when it is reached.
pub(crate) fn limit_processor_time(more: Duration) -> io::Result<()> {
    let used = clock_gettime(ClockId::ProcessCPUTime).tv_sec;
    limit(Resource::Cpu, u64::try_from(used).unwrap_or(0).saturating_add(more.as_secs()).saturating_add(1))
}

/// Sets the soft limit, as far as the hard one allows.
fn limit(resource: Resource, most: u64) -> io::Result<()> {
    let maximum = getrlimit(resource).maximum;
    let current = Some(maximum.map_or(most, |maximum| most.min(maximum)));
    Ok(setrlimit(resource, Rlimit { current, maximum })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_follow_the_document_up_to_a_point() {
        let timeout = Duration::from_secs(10);
        assert_eq!((memory_for(100), time_for(100, timeout)), (DOCUMENTS.memory_bytes + 25_600, timeout));
        assert_eq!(memory_for(40 << 20), 12 << 30);
        assert_eq!(time_for(40 << 20, timeout), Duration::from_secs(50));
        assert_eq!((memory_for(usize::MAX), time_for(usize::MAX, timeout)), (16 << 30, LONGEST_TIME));
        assert_eq!(time_for(2 << 20, 2 * LONGEST_TIME), 2 * LONGEST_TIME, "what was asked for counts");
    }
}
