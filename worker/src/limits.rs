//! Every bound of a child, with its reason; and how a process sets them for itself.

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

/// The limits of [`crate::run`]. A document as large as the longest frame cannot be opened within this memory anyway.
pub(crate) const DOCUMENTS: Limits =
    Limits { memory_bytes: 2 << 30, stack_bytes: 512 << 20, frame_bytes: 512 << 20 };

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
