//! Whether there is space on the disk for documents that do not exist yet. Those that exist go on until it is full.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use bytesize::ByteSize;
use coscribe_persistence::Store;
use rustix::fs::statvfs;
use tracing::{debug, info, warn};

use crate::config::{Config, Size};
use crate::limits::DISK_MARGIN;
use crate::metrics::Metrics;

/// Bytes of a block, as the system counts those of a file.
const BLOCK_BYTES: u64 = 512;

/// The bounds, and whether one was crossed.
pub(crate) struct Space {
    data: PathBuf,
    /// Bytes that the directory may take.
    most_used: Option<u64>,
    /// Bytes that are to be free in its file system.
    least_free: u64,
    is_short: AtomicBool,
}

impl Space {
    /// The bounds that are configured. Nothing was looked at yet.
    pub(crate) fn of(config: &Config) -> Space {
        let bytes = |size: Size| size.get() as u64;
        Space {
            data: config.data.clone(),
            most_used: config.max_disk.map(bytes),
            least_free: bytes(config.min_free_disk),
            is_short: AtomicBool::new(false),
        }
    }

    /// Whether there was too little space when it was last looked at.
    pub(crate) fn is_short(&self) -> bool {
        self.is_short.load(Ordering::Relaxed)
    }

    /// Looks at the disk, and says it once when space becomes short, and once when that is over. Blocks. O(files of the directory)
    /// where its size is bounded.
    pub(crate) fn look(&self, store: &Store, metrics: &Metrics) {
        let (log, live) = store.log_size();
        let gauge = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        metrics.log_bytes.set(gauge(log));
        metrics.log_live_bytes.set(gauge(live));
        let free = statvfs(&self.data).map(|found| found.f_bavail.saturating_mul(found.f_frsize));
        let used = self.most_used.map_or(Ok(0), |_| used(&self.data));
        let (free, used) = match free.map_err(io::Error::from).and_then(|free| Ok((free, used?))) {
            Ok(found) => found,
            Err(error) => return debug!("the space on the disk is unknown: {error}"),
        };
        let was_short = self.is_short();
        let shortage = self.shortage(free, used, was_short);
        metrics.disk_free_bytes.set(gauge(free));
        metrics.disk_short.set(shortage.is_some().into());
        self.is_short.store(shortage.is_some(), Ordering::Relaxed);
        match shortage {
            Some(reason) if !was_short => {
                warn!("short of disk space: {reason}; documents that do not exist yet are refused");
            }
            None if was_short => info!("there is enough disk space again: new documents are taken in"),
            _ => {}
        }
    }

    /// Why there is too little. Where there was too little before, there must be more than enough by a margin.
    fn shortage(&self, free: u64, used: u64, was_short: bool) -> Option<String> {
        let margin = |bound: u64| if was_short { bound / DISK_MARGIN } else { 0 };
        if free < self.least_free.saturating_add(margin(self.least_free)) {
            let (free, least) = (ByteSize(free), ByteSize(self.least_free));
            return Some(format!("{free} are free, and min_free_disk is {least}"));
        }
        let most = self.most_used.filter(|most| used > most - margin(*most))?;
        Some(format!("the documents take {}, and max_disk is {}", ByteSize(used), ByteSize(most)))
    }
}

/// Bytes that the files below a directory take on the disk.
fn used(dir: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        match entry.metadata() {
            Ok(found) if found.is_dir() => sum += used(&entry.path())?,
            Ok(found) => sum += found.blocks() * BLOCK_BYTES,
            // The store has removed it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_short_from_the_bound_on_until_there_is_a_margin() {
        let space = Space {
            data: PathBuf::new(),
            most_used: Some(1600),
            least_free: 160,
            is_short: AtomicBool::default(),
        };
        for (free, used, is_short, stays_short) in [
            (1000, 1500, false, false),
            (1000, 1501, false, true),
            (1000, 1600, false, true),
            (1000, 1601, true, true),
            (159, 0, true, true),
            (160, 0, false, true),
            (170, 0, false, false),
        ] {
            assert_eq!(space.shortage(free, used, false).is_some(), is_short, "{free} free, {used} used");
            assert_eq!(space.shortage(free, used, true).is_some(), stays_short, "{free} free, {used} used");
        }
    }

    #[test]
    fn files_in_all_directories_count_with_the_blocks_that_they_take() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("below")).unwrap();
        fs::write(dir.path().join("a"), vec![7; 100_000]).unwrap();
        fs::write(dir.path().join("below/b"), vec![7; 50_000]).unwrap();
        // What no block was taken for takes nothing.
        fs::File::create(dir.path().join("hole")).unwrap().set_len(1 << 30).unwrap();
        let used = used(dir.path()).unwrap();
        assert!((150_000..300_000).contains(&used), "{used}");
    }
}
