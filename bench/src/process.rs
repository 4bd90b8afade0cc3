//! What a server costs: the processor time and memory of its whole process tree, as Linux counts them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

/// What resets a process's VmHWM when it is written to its `clear_refs` (proc(5)).
const FORGET_PEAK: &str = "5";

/// A process and all that it started.
#[derive(Debug, Copy, Clone)]
pub struct ProcessTree {
    root: u32,
}

impl ProcessTree {
    /// The tree under this process id.
    pub fn new(root: u32) -> Self {
        Self { root }
    }

    /// Time that all threads have run, in the scheduler's nanoseconds. The time of a thread that ends is lost.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn cpu(self) -> anyhow::Result<Duration> {
        let mut nanoseconds = 0;
        for task in self.tasks()? {
            // A thread may have ended since it was listed.
            let Ok(schedstat) = fs::read_to_string(task.join("schedstat")) else { continue };
            let running = schedstat.split(' ').next().and_then(|number| number.parse::<u64>().ok());
            nanoseconds += running.with_context(|| format!("unexpected schedstat: {schedstat}"))?;
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// Resident memory in bytes.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn resident(self) -> anyhow::Result<u64> {
        self.processes()?.iter().map(|&pid| status_bytes(pid, "VmRSS:")).sum()
    }

    /// The peak of resident memory, in bytes; for several processes, the sum of their peaks.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn resident_peak(self) -> anyhow::Result<u64> {
        self.processes()?.iter().map(|&pid| status_bytes(pid, "VmHWM:")).sum()
    }

    /// Resets the peak to the memory that is resident now.
    ///
    /// # Errors
    /// If the process is gone, or the system does not allow it.
    pub fn forget_peak(self) -> anyhow::Result<()> {
        for pid in self.processes()? {
            fs::write(format!("/proc/{pid}/clear_refs"), FORGET_PEAK)?;
        }
        Ok(())
    }

    /// How many threads there are.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn threads(self) -> anyhow::Result<usize> {
        Ok(self.tasks()?.len())
    }

    /// How many file descriptors are open.
    ///
    /// # Errors
    /// If the process is gone, or is somebody else's.
    pub fn descriptors(self) -> anyhow::Result<usize> {
        let of = |pid: &u32| Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count());
        self.processes()?.iter().map(of).sum()
    }

    fn tasks(self) -> anyhow::Result<Vec<PathBuf>> {
        let mut tasks = Vec::new();
        for pid in self.processes()? {
            tasks.extend(task_directories(pid)?);
        }
        Ok(tasks)
    }

    fn processes(self) -> anyhow::Result<Vec<u32>> {
        let mut processes = vec![self.root];
        let mut next = 0;
        while let Some(&pid) = processes.get(next) {
            next += 1;
            for task in task_directories(pid)? {
                let Ok(children) = fs::read_to_string(task.join("children")) else { continue };
                processes.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
            }
        }
        Ok(processes)
    }
}

/// How long the calling thread could have run but had to wait for its core.
///
/// # Errors
/// If the system does not tell.
pub fn kept_waiting() -> anyhow::Result<Duration> {
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat")?;
    let waiting = schedstat.split(' ').nth(1).and_then(|number| number.parse().ok());
    Ok(Duration::from_nanos(waiting.with_context(|| format!("unexpected schedstat: {schedstat}"))?))
}

fn task_directories(pid: u32) -> anyhow::Result<Vec<PathBuf>> {
    let directory = format!("/proc/{pid}/task");
    let tasks = fs::read_dir(&directory).with_context(|| format!("{directory}: is the server gone?"))?;
    Ok(tasks.filter_map(Result::ok).map(|task| task.path()).collect())
}

fn status_bytes(pid: u32, field: &str) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(Path::new(&path)).with_context(|| path.clone())?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kilobytes =
        line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|number| number.parse().ok());
    let kilobytes: u64 = kilobytes.with_context(|| format!("no {field} in {path}"))?;
    Ok(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::Instant;

    use super::*;

    #[test]
    fn time_of_a_busy_process_grows_and_its_memory_is_seen() {
        let mut child = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let (tree, start) = (ProcessTree::new(child.id()), Instant::now());
        let before = tree.cpu().unwrap();
        while tree.cpu().unwrap() < before + Duration::from_millis(20)
            && start.elapsed() < Duration::from_secs(20)
        {
            std::thread::yield_now();
        }
        let (after, resident, peak) =
            (tree.cpu().unwrap(), tree.resident().unwrap(), tree.resident_peak().unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
        // One thread cannot have more time than has passed, but what it had before `start` counts as well.
        assert!(after > before && after - before < start.elapsed() * 2);
        assert!(resident > 100_000, "{resident}");
        // The kernel counts in batches, so that either may lag behind.
        assert!(peak > resident / 2, "{peak}, {resident}");
        assert!(tree.cpu().is_err());
    }

    #[test]
    fn children_count_too() {
        let mut child = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
        let processes = ProcessTree::new(std::process::id()).processes().unwrap();
        let counted = processes.contains(&child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(counted);
    }
}
