//! What an attack does to the server's process: how much memory it takes, when it is at rest again, whether it lives.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::limits;
use crate::process::ProcessTree;
use crate::servers::Running;

/// How long a server must do next to nothing to be at rest.
const REST: Duration = Duration::from_millis(250);
/// Next to nothing, as a part of a core: the two who type cost less.
const REST_CORES: f64 = 0.1;

/// Looks at a server now and then.
#[derive(Debug)]
pub(super) struct ServerMonitor<'a> {
    server: &'a mut Running,
    /// Moments, and how long the server's threads had run by then.
    cpu: VecDeque<(Instant, Duration)>,
    /// The first of them that counts.
    start: Option<(Instant, Duration)>,
    before: Option<u64>,
    peak: Option<u64>,
    /// Whether the system's own peak can be used: it was reset when the attack began.
    has_peak: bool,
    died: Option<String>,
}

impl<'a> ServerMonitor<'a> {
    pub(super) fn new(server: &'a mut Running) -> Self {
        Self {
            server,
            cpu: VecDeque::new(),
            start: None,
            before: None,
            peak: None,
            has_peak: false,
            died: None,
        }
    }

    /// The server.
    pub(super) fn server(&self) -> &Running {
        self.server
    }

    /// Looks once; costs a fraction of a millisecond.
    pub(super) fn look(&mut self) {
        if self.died.is_some() {
            return;
        }
        self.died = self.server.ended();
        if let Some(process) = self.server.process
            && self.died.is_none()
            && self.sample(process).is_err()
        {
            // It may take a moment until the system says how it ended.
            std::thread::sleep(Duration::from_millis(100));
            self.died = Some(self.server.ended().unwrap_or_else(|| "it is gone".to_owned()));
        }
    }

    fn sample(&mut self, process: ProcessTree) -> anyhow::Result<()> {
        if self.cpu.len() == limits::MONITOR_SAMPLES {
            self.cpu.pop_front();
        }
        self.cpu.push_back((Instant::now(), process.cpu()?));
        let resident = process.resident()?;
        let peak = if self.has_peak { process.resident_peak()?.max(resident) } else { resident };
        self.peak = self.peak.max(Some(peak));
        if resident > limits::ATTACKED_SERVER_MEMORY_BYTES {
            self.server.kill();
            self.died =
                Some(format!("killed: over {} GB", limits::ATTACKED_SERVER_MEMORY_BYTES / 1_000_000_000));
        }
        Ok(())
    }

    /// The memory that the server has now is what it had before, and what it costs counts from now on.
    pub(super) fn begin(&mut self) {
        self.look();
        self.start = self.cpu.back().copied();
        let Some(process) = self.server.process else { return };
        self.has_peak = process.forget_peak().is_ok();
        self.before = process.resident().ok();
        self.peak = self.before;
    }

    /// Since when the server has been at rest, if it is; nothing before `from` counts.
    pub(super) fn at_rest_since(&self, from: Instant) -> Option<Instant> {
        if self.server.process.is_none() {
            return (from.elapsed() > REST).then_some(from);
        }
        let &(now, cpu) = self.cpu.back()?;
        let mut since = self.cpu.iter().rev().filter(|(at, _)| *at >= from && now - *at >= REST);
        let &(start, before) = since.next()?;
        let cores = cpu.saturating_sub(before).as_secs_f64() / (now - start).as_secs_f64();
        (cores < REST_CORES).then_some(start)
    }

    /// How much of a core the server has used since the beginning.
    pub(super) fn cores(&self) -> Option<f64> {
        let ((start, before), &(end, after)) = (self.start?, self.cpu.back()?);
        let time = (end - start).as_secs_f64();
        (time > 0.0).then(|| after.saturating_sub(before).as_secs_f64() / time)
    }

    /// How the server ended, if it did.
    pub(super) fn died(&self) -> Option<&str> {
        self.died.as_deref()
    }

    /// The server's resident memory before, and the most since then, in bytes.
    pub(super) fn memory(&self) -> Option<(u64, u64)> {
        self.before.zip(self.peak)
    }
}
