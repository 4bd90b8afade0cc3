//! One core for the server, another one for the generator.

use rustix::process::setpriority_process;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores that servers and generator run on.
#[derive(Debug, Copy, Clone)]
pub struct Cores {
    /// For the server.
    pub server: usize,
    /// For the generator.
    pub generator: usize,
}

impl Cores {
    /// The first core that this process may use for the server, and the last one for the generator, which are the same
    /// if there is only one.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn available() -> anyhow::Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
        let server = cores.next().unwrap_or_default();
        Ok(Self { server, generator: cores.next_back().unwrap_or(server) })
    }
}

/// How much a thread gives way to another one that measures on the same core.
const NICENESS: i32 = 19;

/// Lets the calling thread give way to others on its core. If the system refuses, what they measure is a little worse.
pub fn give_way() {
    let _ = setpriority_process(None, NICENESS);
}

/// Keeps the calling thread, and what it starts from now on, on one core.
///
/// # Errors
/// If the system refuses.
pub fn stay_on(core: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}
