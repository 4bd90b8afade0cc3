//! The machine that a run was made on, without its name.

use std::fs;

use serde::Serialize;

use crate::cores::Cores;

/// A machine.
#[derive(Debug, Serialize)]
pub struct Machine {
    /// The processor's model.
    pub cpu: String,
    /// How many processors there are.
    pub processors: usize,
    /// Memory in GB.
    pub memory_gb: f64,
    /// The version of its Linux kernel, without what distributions append.
    pub kernel: String,
    /// Whether server and generator had a core each.
    pub separate_cores: bool,
}

impl Machine {
    /// This one.
    pub fn this(cores: Cores) -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let (cpus, memory, release) =
            (read("/proc/cpuinfo"), read("/proc/meminfo"), read("/proc/sys/kernel/osrelease"));
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(':'))
                .map(|(_, value)| value.trim().to_owned())
                .unwrap_or_default()
        };
        let kilobytes = field(&memory, "MemTotal").trim_end_matches(" kB").parse::<f64>().unwrap_or_default();
        Self {
            cpu: field(&cpus, "model name"),
            processors: cpus.lines().filter(|line| line.starts_with("processor")).count(),
            memory_gb: (kilobytes * 1024.0 / 1e8).round() / 10.0,
            kernel: release.trim().split('-').next().unwrap_or_default().to_owned(),
            separate_cores: cores.server != cores.generator,
        }
    }

    /// In one sentence.
    pub fn sentence(&self) -> String {
        let cores =
            if self.separate_cores { "a core each for server and generator" } else { "one core for both" };
        let Self { cpu, processors, memory_gb, kernel, .. } = self;
        format!("{processors} × {cpu}, {memory_gb} GB, Linux {kernel}; {cores}.")
    }
}
