//! A file of any size, seen through a small buffer.

use std::io;
use std::path::Path;

use crate::disk::{Disk, DiskFile};
use crate::limits::READ_BYTES;

/// A file of which only the bytes around the current offset are in memory: a whole log would be a lot, and the allocator might
/// keep that memory for good.
#[derive(Debug)]
pub(crate) struct Window {
    file: Box<dyn DiskFile>,
    /// Bytes in the file when it was opened; later ones are not seen.
    len: u64,
    /// Where the buffer is in the file.
    start: u64,
    buffer: Vec<u8>,
}

impl Window {
    pub(crate) fn open(disk: &dyn Disk, path: &Path) -> io::Result<Self> {
        let file = disk.open(path)?;
        let len = file.len()?;
        Ok(Self { file, len, start: 0, buffer: Vec::new() })
    }

    /// Bytes in the file.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The bytes from `offset`: at least `wanted`, or as many as there are.
    pub(crate) fn at(&mut self, offset: u64, wanted: usize) -> io::Result<&[u8]> {
        let rest = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let held = offset.checked_sub(self.start).and_then(|skipped| usize::try_from(skipped).ok());
        let held = held.filter(|&skipped| {
            self.buffer.len().checked_sub(skipped).is_some_and(|held| held >= wanted.min(rest))
        });
        if let Some(skipped) = held {
            return Ok(&self.buffer[skipped..]);
        }
        self.read(offset, wanted.max(READ_BYTES).min(rest))?;
        Ok(&self.buffer)
    }

    /// Bytes of memory that the buffer takes.
    #[cfg(test)]
    pub(crate) fn buffered(&self) -> usize {
        self.buffer.capacity()
    }

    fn read(&mut self, offset: u64, bytes: usize) -> io::Result<()> {
        self.buffer.clear();
        // One large record is no reason to stay large.
        self.buffer.shrink_to(bytes.max(READ_BYTES));
        self.buffer.reserve_exact(bytes);
        self.buffer.resize(bytes, 0);
        self.start = offset;
        self.file.read_at(offset, &mut self.buffer).inspect_err(|_| self.buffer.clear())
    }
}
