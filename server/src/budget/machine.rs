//! How much memory the machine has, or the container.

use sysinfo::{MemoryRefreshKind, System};

/// What is assumed where the system does not say.
const UNKNOWN: u64 = 1 << 30;

/// Bytes of memory that this process may use as far as the system says: those of the machine, or of its control group if that
/// has less.
pub(crate) fn memory() -> usize {
    usize::try_from(told().unwrap_or(UNKNOWN)).unwrap_or(usize::MAX)
}

fn told() -> Option<u64> {
    let mut system = System::new().ok()?;
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    let group = system.cgroup_limits().map(|limits| limits.total_memory);
    [Some(system.total_memory()), group].into_iter().flatten().filter(|&bytes| bytes > 0).min()
}
