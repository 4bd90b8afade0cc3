//! The end of a segment, where it is written.

use std::io;
use std::path::Path;

use super::{HEADER_BYTES, MAGIC, VERSION};
use crate::disk::{Disk, DiskFile};
use crate::error::StoreError;

/// Why something was not appended.
#[derive(Debug)]
pub(crate) enum AppendError {
    /// A file could not be opened, made or written, and what was written is gone again, durably: the file has the records that it
    /// had before. It can be tried again.
    Undone(io::Error),
    /// A sync has failed, or what was written could not be cut off: what the file holds is unknown.
    Unknown(io::Error),
}

impl AppendError {
    /// For a sync of a new file, which nothing depends on yet: where it is known that it failed for want of space or a descriptor
    /// it can be tried with another one.
    pub(crate) fn of_new(error: io::Error) -> Self {
        let may_pass = StoreError::is_full(&error) || StoreError::is_scarce(&error);
        if may_pass { Self::Undone(error) } else { Self::Unknown(error) }
    }

    /// The system's error.
    pub(crate) fn into_error(self) -> io::Error {
        match self {
            Self::Undone(error) | Self::Unknown(error) => error,
        }
    }
}

/// The end of a segment, where records are appended.
#[derive(Debug)]
pub(crate) struct Tail {
    file: Box<dyn DiskFile>,
    marker: u64,
    /// Where the next record goes.
    len: u64,
    /// Length of the file: up to it, space is reserved.
    reserved: u64,
}

impl Tail {
    /// Creates the file with its header, and syncs it. The caller syncs the directory.
    pub(crate) fn create(disk: &dyn Disk, path: &Path) -> Result<Self, AppendError> {
        let marker = disk.random().map_err(AppendError::Undone)?;
        let mut file = disk.create(path).map_err(AppendError::Undone)?;
        file.append(&header(marker)).map_err(AppendError::Undone)?;
        file.sync().map_err(AppendError::of_new)?;
        let len = HEADER_BYTES as u64;
        Ok(Self { file, marker, len, reserved: len })
    }

    /// Continues a file whose sound records end at `len`, and which ends there itself.
    pub(crate) fn resume(disk: &dyn Disk, path: &Path, marker: u64, len: u64) -> io::Result<Self> {
        let file = disk.open_to_append(path)?;
        // The bytes that were read may be in the page cache only, left by a killed process.
        file.sync()?;
        Ok(Self { file, marker, len, reserved: len })
    }

    pub(crate) fn marker(&self) -> u64 {
        self.marker
    }

    /// The offset of the next record.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Where the reserved space ends.
    pub(crate) fn reserved(&self) -> u64 {
        self.reserved
    }

    /// Reserves space up to an offset, so that a sync of what is written there need not write the file's length. Where that is
    /// not possible, the file grows with each write.
    pub(crate) fn reserve(&mut self, up_to: u64) -> io::Result<()> {
        match self.file.reserve(up_to) {
            Ok(()) => self.reserved = up_to,
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
            // There may be room for less, and a part of it may have been taken.
            Err(error) if StoreError::is_full(&error) => {
                self.file.set_len(self.len)?;
                self.reserved = self.len;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Gives back what is reserved, durably. More can be appended, also after a failure.
    pub(crate) fn release(&mut self) -> Result<(), AppendError> {
        if self.reserved > self.len {
            self.file.set_len(self.len).map_err(AppendError::Undone)?;
            self.file.sync().map_err(AppendError::Unknown)?;
            self.reserved = self.len;
        }
        Ok(())
    }

    /// One write. It is not durable before [`Tail::sync`].
    pub(crate) fn write(&mut self, batch: &[u8]) -> io::Result<()> {
        self.file.append(batch)?;
        self.len += batch.len() as u64;
        self.reserved = self.reserved.max(self.len);
        Ok(())
    }

    /// Appends all that `write` writes, and syncs it. A write that fails is cut off again, durably, so that later attempts may
    /// succeed. After any other failure the content of the disk is unknown.
    pub(crate) fn append(
        &mut self,
        write: impl FnOnce(&mut Self) -> io::Result<()>,
        before_sync: impl FnOnce() -> io::Result<()>,
    ) -> Result<(), AppendError> {
        let len = self.len;
        write(self).map_err(|error| match self.cut_off(len) {
            Ok(()) => AppendError::Undone(error),
            Err(_) => AppendError::Unknown(error),
        })?;
        before_sync().and_then(|()| self.sync()).map_err(AppendError::Unknown)
    }

    /// Whether the file still has its name.
    pub(crate) fn is_at(&self, path: &Path) -> io::Result<bool> {
        self.file.is_at(path)
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    /// Truncates the file to `len`, durably.
    pub(crate) fn cut_off(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        self.file.sync()?;
        (self.len, self.reserved) = (len, len);
        Ok(())
    }
}

fn header(marker: u64) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[16..24].copy_from_slice(&marker.to_le_bytes());
    let crc = crc32c::crc32c(&header[..28]);
    header[28..].copy_from_slice(&crc.to_le_bytes());
    header
}
