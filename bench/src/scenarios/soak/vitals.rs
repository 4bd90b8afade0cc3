//! What the server takes at a moment: memory, descriptors, threads, disk.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use crate::limits;
use crate::servers::Running;

/// Bytes of the blocks in which `stat` counts what a file takes on the disk.
const BLOCK_BYTES: u64 = 512;

/// One look at the server.
#[derive(Debug, Default, Copy, Clone, Serialize)]
pub(super) struct Vitals {
    /// Since the beginning, in minutes.
    pub(super) minute: f64,
    /// Resident memory, in MB.
    pub(super) resident_mb: f64,
    /// Open descriptors.
    pub(super) descriptors: usize,
    /// Threads.
    pub(super) threads: usize,
    /// What the log takes on the disk, in MB.
    pub(super) log_mb: f64,
    /// The records in it that no snapshot has, as the server says, in MB.
    pub(super) log_live_mb: f64,
    /// What everything else takes on the disk, in MB: snapshots, their index and the catalog.
    pub(super) store_mb: f64,
    /// Open documents, as the server says.
    pub(super) rooms: u64,
    /// Open WebSockets, as the server says.
    pub(super) connections: u64,
    /// Peers that are too slow, as the server says.
    pub(super) lagging: u64,
}

impl Vitals {
    /// Looks now; costs some milliseconds.
    ///
    /// # Errors
    /// If the server is gone, or does not tell its metrics.
    pub(super) fn take(server: &Running, minute: f64) -> anyhow::Result<Self> {
        let process = server.process.context("the server's process is not known")?;
        let (resident, threads) = (process.resident()?, process.threads()?);
        // The question for metrics takes one itself.
        let descriptors = process.descriptors()?;
        let metrics = metrics(server.target.address)?;
        let metric = |name: &str| value(&metrics, name).with_context(|| format!("there is no metric {name}"));
        let (log, store) = disk(&server.data()?)?;
        Ok(Self {
            minute,
            resident_mb: megabytes(resident),
            descriptors,
            threads,
            log_mb: megabytes(log),
            log_live_mb: megabytes(metric("coscribe_log_live_bytes")?),
            store_mb: megabytes(store),
            rooms: metric("coscribe_rooms")?,
            connections: metric("coscribe_connections")?,
            lagging: metric("coscribe_lagging_peers")?,
        })
    }
}

/// In MB, to the nearest kB.
fn megabytes(bytes: u64) -> f64 {
    (bytes as f64 / 1e3).round() / 1e3
}

/// What the log takes on the disk, and everything else in the directory, in bytes.
fn disk(data: &Path) -> anyhow::Result<(u64, u64)> {
    let is_log =
        |path: &Path| path.parent() == Some(data) && path.extension().is_some_and(|end| end == "log");
    Ok((bytes_below(data, &is_log)?, bytes_below(data, &|path| !is_log(path))?))
}

/// What the files below a directory that are `counted` take on the disk. Files may be removed meanwhile.
fn bytes_below(directory: &Path, counted: &dyn Fn(&Path) -> bool) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        let metadata = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            metadata => metadata?,
        };
        if metadata.is_dir() {
            bytes += bytes_below(&path, counted)?;
        } else if counted(&path) {
            bytes += metadata.blocks() * BLOCK_BYTES;
        }
    }
    Ok(bytes)
}

/// The server's metrics as text.
fn metrics(address: SocketAddr) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, limits::METRICS)?;
    stream.set_read_timeout(Some(limits::METRICS))?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut response = String::new();
    stream.read_to_string(&mut response).context("the server does not tell its metrics")?;
    Ok(response)
}

/// The whole number of one metric without labels.
fn value(metrics: &str, name: &str) -> Option<u64> {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_found_by_its_whole_name() {
        let metrics = "# TYPE rooms gauge\nrooms_more 5\nrooms 7\n";
        assert_eq!((value(metrics, "rooms"), value(metrics, "room")), (Some(7), None));
    }

    #[test]
    fn the_log_counts_apart_from_the_rest() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("snapshots")).unwrap();
        for (name, blocks) in [("00000001.log", 1), ("catalog", 2), ("snapshots/00000001.log", 3)] {
            fs::write(directory.path().join(name), vec![1; blocks * 4096]).unwrap();
        }
        let (log, store) = disk(directory.path()).unwrap();
        assert_eq!((log, store), (4096, 5 * 4096));
    }
}
