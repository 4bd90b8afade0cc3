//! What a stretch of a run cost the server, and how busy the generator was meanwhile.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::connection::Traffic;
use crate::crowd::Crowd;
use crate::process::{ProcessTree, kept_waiting};

/// Bytes in a MB, as memory is given here.
const MEGABYTE: f64 = 1e6;

/// The start of a stretch.
#[derive(Debug)]
pub struct Meter {
    process: Option<ProcessTree>,
    start: Instant,
    cpu: Duration,
    resident: u64,
    waited: Duration,
    kept_waiting: Duration,
    traffic: Traffic,
}

/// What a stretch cost. Costs of a server without a known process cannot be measured and are left out.
#[derive(Debug, Clone, Serialize)]
pub struct Cost {
    /// How long it was.
    pub seconds: f64,
    /// Time that the server's threads ran, in seconds.
    pub server_cpu_seconds: Option<f64>,
    /// The server's resident memory before, in MB.
    pub resident_before_mb: Option<f64>,
    /// The server's resident memory after, in MB.
    pub resident_mb: Option<f64>,
    /// The most resident memory that the server has had so far, in MB.
    pub resident_peak_mb: Option<f64>,
    /// Part of the time in which the generator had something to do: near 1 it measures itself.
    pub generator_busy: f64,
    /// Part of the time in which something else had the generator's core: near 0, or the machine is not quiet.
    pub disturbed: f64,
    /// Traffic over the connections.
    pub traffic: Traffic,
}

impl Meter {
    /// Starts a stretch.
    ///
    /// # Errors
    /// If the server is gone.
    pub fn start(process: Option<ProcessTree>, crowd: &Crowd) -> anyhow::Result<Self> {
        Ok(Self {
            process,
            start: Instant::now(),
            cpu: process.map_or(Ok(Duration::ZERO), ProcessTree::cpu)?,
            resident: process.map_or(Ok(0), ProcessTree::resident)?,
            waited: crowd.waited(),
            kept_waiting: kept_waiting()?,
            traffic: crowd.traffic(),
        })
    }

    /// Ends it.
    ///
    /// # Errors
    /// If the server is gone.
    pub fn stop(&self, crowd: &Crowd) -> anyhow::Result<Cost> {
        let seconds = self.start.elapsed().as_secs_f64();
        let waited = (crowd.waited() - self.waited).as_secs_f64();
        let mut cost = Cost {
            seconds,
            server_cpu_seconds: None,
            resident_before_mb: None,
            resident_mb: None,
            resident_peak_mb: None,
            generator_busy: (1.0 - waited / seconds).max(0.0),
            disturbed: (kept_waiting()?.saturating_sub(self.kept_waiting)).as_secs_f64() / seconds,
            traffic: crowd.traffic() - self.traffic,
        };
        if let Some(process) = self.process {
            cost.server_cpu_seconds = Some(process.cpu()?.saturating_sub(self.cpu).as_secs_f64());
            cost.resident_before_mb = Some(self.resident as f64 / MEGABYTE);
            cost.resident_mb = Some(process.resident()? as f64 / MEGABYTE);
            cost.resident_peak_mb = Some(process.resident_peak()? as f64 / MEGABYTE);
        }
        Ok(cost)
    }
}

impl Cost {
    /// The server's time for one of `count`, in microseconds.
    pub fn cpu_micros_each(&self, count: u64) -> Option<f64> {
        self.server_cpu_seconds.filter(|_| count > 0).map(|seconds| seconds * 1e6 / count as f64)
    }

    /// How much of one core the server used.
    pub fn server_cores(&self) -> Option<f64> {
        self.server_cpu_seconds.map(|cpu| cpu / self.seconds)
    }

    /// By how much the server's resident memory has grown, in MB.
    pub fn grown_mb(&self) -> Option<f64> {
        Some(self.resident_mb? - self.resident_before_mb?)
    }
}

/// A distribution of times.
#[derive(Debug, Copy, Clone, Serialize)]
pub struct Times {
    /// How many there are.
    pub count: u64,
    /// Half of them are not longer, in milliseconds.
    pub p50_ms: f64,
    /// 99 of 100 are not longer, in milliseconds.
    pub p99_ms: f64,
    /// The longest, in milliseconds.
    pub max_ms: f64,
}

impl From<&Histogram<u64>> for Times {
    /// Of a histogram in microseconds.
    fn from(micros: &Histogram<u64>) -> Self {
        let ms = |value: u64| value as f64 / 1000.0;
        Self {
            count: micros.len(),
            p50_ms: ms(micros.value_at_quantile(0.5)),
            p99_ms: ms(micros.value_at_quantile(0.99)),
            max_ms: ms(micros.max()),
        }
    }
}

/// The time between two moments in whole microseconds, as histograms take it.
pub fn micros(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.saturating_duration_since(from).as_micros()).unwrap_or(u64::MAX)
}
