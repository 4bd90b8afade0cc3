//! The end of a segment, where it is written.

use std::io;
use std::path::Path;

use super::{HEADER_BYTES, MAGIC, VERSION};
use crate::disk::{Disk, DiskFile};
use crate::error::StoreError;

/// Why something was not appended.
#[derive(Debug)]
pub(crate) enum AppendError {
    /// The disk is full, or there was no descriptor for a file. The file has the records that it had before.
    Scarce(io::Error),
    /// Anything else: what the file holds is unknown.
    Unknown(io::Error),
}

impl AppendError {
    /// For a call that has changed nothing if the disk is full.
    pub(crate) fn from_error(error: io::Error) -> Self {
        if StoreError::is_full(&error) { Self::Scarce(error) } else { Self::Unknown(error) }
    }

    /// The system's error.
    pub(crate) fn into_error(self) -> io::Error {
        match self {
            Self::Scarce(error) | Self::Unknown(error) => error,
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
    pub(crate) fn create(disk: &dyn Disk, path: &Path) -> io::Result<Self> {
        let marker = disk.random()?;
        let mut file = disk.create(path)?;
        file.append(&header(marker))?;
        file.sync()?;
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
    pub(crate) fn release(&mut self) -> io::Result<()> {
        if self.reserved > self.len { self.cut_off(self.len) } else { Ok(()) }
    }

    /// One write. It is not durable before [`Tail::sync`].
    pub(crate) fn write(&mut self, batch: &[u8]) -> io::Result<()> {
        self.file.append(batch)?;
        self.len += batch.len() as u64;
        self.reserved = self.reserved.max(self.len);
        Ok(())
    }

    /// Appends all that `write` writes, and syncs it. If the disk is full, a partial write is cut off again, durably, so that
    /// later attempts may succeed. After any other failure the content of the disk is unknown.
    pub(crate) fn append(
        &mut self,
        write: impl FnOnce(&mut Self) -> io::Result<()>,
        before_sync: impl FnOnce() -> io::Result<()>,
    ) -> Result<(), AppendError> {
        let len = self.len;
        write(self).map_err(|error| match self.cut_off(len) {
            Ok(()) if StoreError::is_full(&error) => AppendError::Scarce(error),
            _ => AppendError::Unknown(error),
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
