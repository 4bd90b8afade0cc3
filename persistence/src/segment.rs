//! A segment: a file with a header and records one after the other. The log is many of them, the catalog is one.
//!
//! | Offset | Bytes | Field of the header |
//! |---|---|---|
//! | 0 | 8 | [`MAGIC`] |
//! | 8 | 4 | format version, [`VERSION`] |
//! | 12 | 4 | zero |
//! | 16 | 8 | marker: random, at the start of each record |
//! | 24 | 4 | zero |
//! | 28 | 4 | CRC32C of the 28 bytes before |

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::name::DocumentName;
use crate::record::{self, Record, take};

/// First bytes of every segment.
pub(crate) const MAGIC: [u8; 8] = *b"coscrseg";
/// The version that is written, and the only one that is read.
pub(crate) const VERSION: u32 = 1;
/// Bytes of the header: the first record's offset.
pub(crate) const HEADER_BYTES: usize = 32;

/// A stretch of a segment in which no record can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Where the stretch starts.
    pub offset: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// Which document the record there seems to belong to, and its sequence. The bytes are damaged, so this is a guess.
    pub document: Option<(DocumentName, u64)>,
    /// What is wrong.
    pub reason: &'static str,
}

impl Damage {
    /// A record that is sound, but has no business in this file.
    pub(crate) fn foreign(path: &Path, offset: usize, record: &Record<'_>) -> Self {
        Self {
            path: path.to_owned(),
            offset: offset as u64,
            bytes: record.encoded_len() as u64,
            document: Some((record.document(), record.sequence)),
            reason: "a record that does not belong here",
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, offset, bytes, reason, .. } = self;
        write!(f, "{bytes} unreadable bytes at offset {offset} of {path:?} ({reason})")?;
        match &self.document {
            Some((name, sequence)) => {
                write!(f, ", probably record {sequence} of document {name:?}")
            }
            None => write!(f, ", of an unknown document"),
        }
    }
}

/// What is found in a segment, in the order of the file.
pub(crate) enum Found<'a> {
    /// A sound record and its offset.
    Record(usize, Record<'a>),
    /// A stretch without one.
    Damage(Damage),
}

/// Reads the bytes of a segment: every sound record, and what lies between them.
#[derive(Clone)]
pub(crate) struct Scan<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    marker: Option<u64>,
    offset: usize,
}

impl<'a> Scan<'a> {
    /// Starts at the first record. `Err` with the version if the segment is of an unknown version.
    pub(crate) fn new(path: &'a Path, bytes: &'a [u8]) -> Result<Self, u32> {
        let header = read_header(bytes);
        if let Header::Version(version) = header {
            return Err(version);
        }
        let (marker, offset) = match header {
            Header::Sound(marker) => (Some(marker), HEADER_BYTES),
            // The marker may have survived: in the header, or at the start of the first record.
            _ => (surviving_marker(bytes), 0),
        };
        Ok(Self { path, bytes, marker, offset })
    }

    /// The marker of the segment's records, unless it is lost.
    pub(crate) fn marker(&self) -> Option<u64> {
        self.marker
    }

    /// Where the next sound record starts, or the end.
    fn resynchronise(&self) -> usize {
        let Some(marker) = self.marker else {
            return self.bytes.len();
        };
        let needle = marker.to_le_bytes();
        let mut from = self.offset + 1;
        while let Some(at) = find(self.bytes, &needle, from) {
            if record::decode(&self.bytes[at..], marker).is_ok() {
                return at;
            }
            from = at + 1;
        }
        self.bytes.len()
    }

    fn damage(&self, end: usize, reason: &'static str) -> Damage {
        let lost = &self.bytes[self.offset..end];
        let guess =
            self.marker.and_then(|marker| record::decode_unchecked(&self.bytes[self.offset..], marker));
        Damage {
            path: self.path.to_owned(),
            offset: self.offset as u64,
            bytes: lost.len() as u64,
            document: guess.map(|record| (record.document(), record.sequence)),
            reason: if lost.iter().all(|&byte| byte == 0) { "nothing but zeros" } else { reason },
        }
    }
}

impl<'a> Iterator for Scan<'a> {
    type Item = Found<'a>;

    fn next(&mut self) -> Option<Found<'a>> {
        if self.offset >= self.bytes.len() {
            return None;
        }
        let reason = match self.marker.map(|marker| record::decode(&self.bytes[self.offset..], marker)) {
            Some(Ok(record)) => {
                let offset = self.offset;
                self.offset += record.encoded_len();
                return Some(Found::Record(offset, record));
            }
            _ if self.offset == 0 => "the header of the segment is damaged",
            Some(Err(record::RecordError::Torn)) => "the record is cut short",
            Some(Err(record::RecordError::Nonsense(reason))) => reason,
            Some(Err(record::RecordError::Checksum)) | None => "the checksum differs",
        };
        let end = self.resynchronise();
        let damage = self.damage(end, reason);
        self.offset = end;
        Some(Found::Damage(damage))
    }
}

/// Where the torn end of a segment starts, if it is the last one of its log: the first damage that no later batch follows.
pub(crate) fn torn_at(scan: Scan<'_>) -> Option<usize> {
    let len = scan.bytes.len();
    let (mut damage, mut last_batch) = (Vec::new(), 0);
    for found in scan {
        match found {
            Found::Record(_, record) => last_batch = record.batch,
            Found::Damage(found) => damage.push(found.offset),
        }
    }
    let offset = damage.into_iter().find(|&offset| offset >= last_batch)?;
    // A header is synced before the first record is written: only a crash before that leaves it incomplete.
    (offset > 0 || len <= HEADER_BYTES).then(|| usize::try_from(offset).ok()).flatten()
}

enum Header {
    Sound(u64),
    Version(u32),
    Damaged,
}

fn read_header(bytes: &[u8]) -> Header {
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Header::Damaged;
    };
    if header[..8] != MAGIC || crc32c::crc32c(&header[..28]) != u32::from_le_bytes(take(header, 28)) {
        return Header::Damaged;
    }
    match u32::from_le_bytes(take(header, 8)) {
        VERSION => Header::Sound(u64::from_le_bytes(take(header, 16))),
        version => Header::Version(version),
    }
}

fn surviving_marker(bytes: &[u8]) -> Option<u64> {
    [16, HEADER_BYTES].into_iter().find_map(|at| {
        let marker = u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?);
        // One sound record is proof; anything may look like a marker.
        let mut scan = Scan { path: Path::new(""), bytes, marker: Some(marker), offset: 0 };
        scan.offset = scan.resynchronise();
        (scan.offset < bytes.len()).then_some(marker)
    })
}

fn find(bytes: &[u8], needle: &[u8; 8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.windows(needle.len()).position(|window| window == needle).map(|at| from + at)
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

/// The end of a segment, where records are appended.
#[derive(Debug)]
pub(crate) struct Tail {
    file: File,
    marker: u64,
    len: u64,
}

impl Tail {
    /// Creates the file with its header, and syncs it. The caller syncs the directory.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let marker = getrandom::u64().map_err(io::Error::other)?;
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all(&header(marker))?;
        file.sync_all()?;
        Ok(Self { file, marker, len: HEADER_BYTES as u64 })
    }

    /// Continues a file whose sound records end at `len`: what is behind is cut off, and that is synced.
    pub(crate) fn resume(path: &Path, marker: u64, len: u64) -> io::Result<Self> {
        let mut file = OpenOptions::new().write(true).open(path)?;
        if file.metadata()?.len() != len {
            file.set_len(len)?;
        }
        // Also without a cut: what was read may so far only be in the page cache of a process that was killed.
        file.sync_all()?;
        file.seek(SeekFrom::Start(len))?;
        Ok(Self { file, marker, len })
    }

    pub(crate) fn marker(&self) -> u64 {
        self.marker
    }

    /// Length of the file: the offset of the next record.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// One write. It is not durable before [`Tail::sync`].
    pub(crate) fn write(&mut self, batch: &[u8]) -> io::Result<()> {
        self.file.write_all(batch)?;
        self.len += batch.len() as u64;
        Ok(())
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}
