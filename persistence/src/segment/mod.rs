//! A segment: a file with a header, followed by records. The log has many segments, the catalog is one, and the snapshots have
//! segments of their own.
//!
//! | Offset | Bytes | Field of the header |
//! |---|---|---|
//! | 0 | 8 | [`MAGIC`] |
//! | 8 | 4 | format version, [`VERSION`] |
//! | 12 | 4 | zero |
//! | 16 | 8 | marker: random, at the start of each record |
//! | 24 | 4 | zero |
//! | 28 | 4 | CRC32C of the 28 bytes before |
//!
//! The log's last segment may end in zeros: space that is reserved for records. No record is only zeros.
//!
//! The version rises with every change that an earlier program would misread, also with a new kind of record: to that program
//! an unknown record is damage, but an unknown version is refused, and nothing in the directory is touched.
//!
//! Version 1 has no end marks and no moved records, and is otherwise the same: its segments are read, and those of the log are not continued.

pub(crate) mod tail;
mod window;

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::damage::{Damage, ZEROS};
use crate::disk::Disk;
use crate::error::StoreError;
use crate::limits::MAX_NAME_BYTES;
use crate::record::{self, Head, Record, RecordError, take};

use self::window::{Window, is_zero};

/// First bytes of every segment.
pub(crate) const MAGIC: [u8; 8] = *b"coscrseg";
/// The version that is written. All up to it are read.
pub const VERSION: u32 = 2;
/// The earliest version.
const FIRST_VERSION: u32 = 1;
/// Bytes of the header: the first record's offset.
pub(crate) const HEADER_BYTES: usize = 32;

/// An item found in a segment, in file order.
pub(crate) enum Found<'a> {
    /// A sound record and its offset.
    Record(u64, Record<'a>),
    /// A stretch without a sound record.
    Damage(Damage),
}

/// Reads a segment: every sound record, and the damage between them.
pub(crate) struct Scan {
    path: PathBuf,
    window: Window,
    version: u32,
    marker: Option<u64>,
    offset: u64,
    /// What is behind is reserved space.
    end: u64,
}

impl Scan {
    /// Starts at the first record of the log's last segment, where zeros at the end are reserved space.
    pub(crate) fn open_last(disk: &dyn Disk, path: &Path) -> Result<Self, StoreError> {
        let mut scan = Self::open(disk, path)?;
        // Nothing is reserved before the header is synced.
        if scan.offset > 0 {
            scan.end = scan.window.last_zeros(scan.offset).map_err(StoreError::io("read", path))?;
        }
        Ok(scan)
    }

    /// Starts at the first record.
    pub(crate) fn open(disk: &dyn Disk, path: &Path) -> Result<Self, StoreError> {
        let failed = || StoreError::io("read", path);
        let mut window = Window::open(disk, path).map_err(failed())?;
        let (version, marker, offset) = match read_header(window.at(0, HEADER_BYTES).map_err(failed())?) {
            Header::Sound { version, marker } => (version, Some(marker), HEADER_BYTES as u64),
            Header::Version(version) => {
                return Err(StoreError::UnknownVersion { path: path.to_owned(), version });
            }
            // The marker may have survived: in the header, or at the start of the first record.
            Header::Damaged => (VERSION, surviving_marker(&mut window).map_err(failed())?, 0),
        };
        let end = window.len();
        Ok(Self { path: path.to_owned(), window, version, marker, offset, end })
    }

    /// The marker of the segment's records, unless it is lost.
    pub(crate) fn marker(&self) -> Option<u64> {
        self.marker
    }

    /// Whether the segment may have end marks, as all of the version that is written.
    pub(crate) fn has_marks(&self) -> bool {
        self.version == VERSION
    }

    /// Bytes of the segment.
    pub(crate) fn len(&self) -> u64 {
        self.window.len()
    }

    /// Where the next item starts. At the end, only reserved space is behind.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next item; `None` at the end.
    pub(crate) fn read_next(&mut self) -> io::Result<Option<Found<'_>>> {
        let offset = self.offset;
        if offset >= self.end {
            return Ok(None);
        }
        let verdict = match self.marker {
            Some(marker) => decode_at(&mut self.window, offset, marker)?.map(|record| record.encoded_len()),
            None => Err(RecordError::Checksum),
        };
        let reason = match verdict {
            Ok(len) => {
                self.offset += len as u64;
                let bytes = self.window.at(offset, len)?;
                let record = self.marker.and_then(|marker| record::decode_unchecked(bytes, marker));
                let record = record.expect("it has just been decoded");
                return Ok(Some(Found::Record(offset, record)));
            }
            Err(_) if offset == 0 => "the header of the segment is damaged",
            Err(RecordError::Torn) => "the record is cut short",
            Err(RecordError::Nonsense(reason)) => reason,
            Err(RecordError::Checksum) => "the checksum differs",
        };
        self.offset = match self.marker {
            Some(marker) => next_sound(&mut self.window, offset + 1..self.end, marker)?,
            None => self.end,
        };
        self.damage(offset, reason).map(|damage| Some(Found::Damage(damage)))
    }

    /// Describes the stretch from `offset` to the current position.
    fn damage(&mut self, offset: u64, reason: &'static str) -> io::Result<Damage> {
        let mut document = None;
        if let Some(marker) = self.marker {
            let most = record::HEADER_BYTES + MAX_NAME_BYTES;
            let len = usize::try_from(self.offset - offset).map_or(most, |len| len.min(most));
            // Not beyond the damage: the bytes after it may be torn and get cut off.
            document = record::claimed_document(&self.window.at(offset, len)?[..len], marker);
        }
        let reason = if self.is_zero(offset)? { ZEROS } else { reason };
        Ok(Damage { path: self.path.clone(), offset, bytes: self.offset - offset, document, reason })
    }

    /// Whether there is nothing but zeros from `from` to the current position.
    fn is_zero(&mut self, mut from: u64) -> io::Result<bool> {
        while from < self.offset {
            let bytes = self.window.at(from, 1)?;
            let len = usize::try_from(self.offset - from).map_or(bytes.len(), |rest| rest.min(bytes.len()));
            if !is_zero(&bytes[..len]) {
                return Ok(false);
            }
            from += len as u64;
        }
        Ok(true)
    }
}

/// Reads the heads of a segment's records and skips their payloads, whatever they hold.
pub(crate) struct Heads {
    window: Window,
    marker: u64,
    offset: u64,
    /// Whether anything other than records was found so far.
    pub(crate) is_damaged: bool,
}

impl Heads {
    /// Starts at an offset; `None` if not even the segment's header can be read.
    pub(crate) fn open(disk: &dyn Disk, path: &Path, from: u64) -> Result<Option<Self>, StoreError> {
        let scan = Scan::open(disk, path)?;
        let offset = from.max(HEADER_BYTES as u64);
        let window = scan.window;
        Ok(scan.marker.map(|marker| Self { window, marker, offset, is_damaged: scan.offset == 0 }))
    }

    /// The marker of the segment's records.
    pub(crate) fn marker(&self) -> u64 {
        self.marker
    }

    /// Bytes of the segment.
    pub(crate) fn len(&self) -> u64 {
        self.window.len()
    }

    /// The next record that lies entirely in the file: its offset, its head, and the first bytes of its payload.
    pub(crate) fn read_next<const N: usize>(&mut self) -> io::Result<Option<(u64, Head, [u8; N])>> {
        while self.offset < self.window.len() {
            let (offset, end) = (self.offset, self.window.len());
            let bytes = self.window.at(offset, Head::MOST_BYTES + N)?;
            let head = Head::read(bytes, self.marker);
            let found = head.and_then(|head| {
                let payload = bytes.get(head.payload_at..)?.first_chunk::<N>().copied()?;
                let next = offset + (head.payload_at + head.payload_len) as u64;
                (head.payload_len >= N && next <= end).then_some((next, head, payload))
            });
            if let Some((next, head, payload)) = found {
                self.offset = next;
                return Ok(Some((offset, head, payload)));
            }
            self.is_damaged = true;
            self.offset = next_sound(&mut self.window, offset + 1..end, self.marker)?;
        }
        Ok(None)
    }
}

/// Where the torn end of the catalog or of the log's last segment starts: at the first damage that no later batch follows.
pub(crate) fn torn_at(mut scan: Scan) -> Result<Option<u64>, StoreError> {
    let (path, len) = (scan.path.clone(), scan.len());
    let (mut damage, mut last_batch) = (Vec::new(), 0);
    while let Some(found) = scan.read_next().map_err(StoreError::io("read", &path))? {
        match found {
            Found::Record(_, record) => last_batch = record.batch,
            Found::Damage(found) => damage.push(found.offset),
        }
    }
    // A header is synced before the first record is written: only a crash before that leaves it incomplete.
    let torn = |&offset: &u64| offset > 0 || len <= HEADER_BYTES as u64;
    Ok(damage.into_iter().find(|&offset| offset >= last_batch).filter(torn))
}

/// The bytes at `offset`, as far as a record that starts there would reach.
fn claimed_at(window: &mut Window, offset: u64, marker: u64) -> io::Result<&[u8]> {
    let header = window.at(offset, record::HEADER_BYTES)?;
    let len = record::claimed_len(header, marker).unwrap_or(record::HEADER_BYTES);
    window.at(offset, len)
}

fn decode_at(window: &mut Window, offset: u64, marker: u64) -> io::Result<Result<Record<'_>, RecordError>> {
    Ok(record::decode(claimed_at(window, offset, marker)?, marker))
}

/// Where the first sound record that starts in a range does so, or the end of the range.
fn next_sound(window: &mut Window, range: Range<u64>, marker: u64) -> io::Result<u64> {
    let Range { start: mut from, end } = range;
    let needle = marker.to_le_bytes();
    while from < end {
        let bytes = window.at(from, needle.len())?;
        if bytes.len() < needle.len() {
            break;
        }
        let Some(at) = bytes.windows(needle.len()).position(|window| window == needle) else {
            // The last bytes may be the start of a marker.
            from += (bytes.len() - needle.len() + 1) as u64;
            continue;
        };
        from += at as u64;
        if decode_at(window, from, marker)?.is_ok() {
            return Ok(from);
        }
        from += 1;
    }
    Ok(end)
}

enum Header {
    Sound { version: u32, marker: u64 },
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
        version @ FIRST_VERSION..=VERSION => {
            Header::Sound { version, marker: u64::from_le_bytes(take(header, 16)) }
        }
        version => Header::Version(version),
    }
}

fn surviving_marker(window: &mut Window) -> io::Result<Option<u64>> {
    for at in [16, HEADER_BYTES as u64] {
        let Some(marker) = window.at(at, 8)?.first_chunk() else {
            continue;
        };
        let marker = u64::from_le_bytes(*marker);
        // One sound record is proof; anything may look like a marker.
        if next_sound(window, 1..window.len(), marker)? < window.len() {
            return Ok(Some(marker));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::tail::Tail;
    use super::*;
    use crate::disk::SystemDisk;
    use crate::limits::READ_BYTES;
    use crate::record::Kind;

    /// Writes records with payloads of these sizes, and returns where each one starts, and the end.
    fn write(path: &Path, payloads: &[usize]) -> Vec<u64> {
        let mut tail = Tail::create(&SystemDisk, path).expect("a new file");
        let mut offsets = vec![tail.len()];
        for (sequence, &bytes) in (1..).zip(payloads) {
            let (payload, batch) = (vec![7; bytes], tail.len());
            let record = Record {
                kind: Kind::Update,
                name: "a",
                sequence,
                time: 0,
                subject: "",
                payload: &payload,
                batch,
                moved: false,
            };
            let mut bytes = Vec::new();
            record.encode(tail.marker(), &mut bytes);
            tail.write(&bytes).expect("space");
            offsets.push(tail.len());
        }
        offsets
    }

    /// Sequence and payload length of a record; length of damage, and the sequence that was probably there.
    type Seen = Result<(u64, usize), (u64, Option<u64>)>;

    fn scan(path: &Path) -> Vec<Seen> {
        let mut scan = Scan::open(&SystemDisk, path).expect("a readable file");
        let mut all = Vec::new();
        while let Some(found) = scan.read_next().expect("a readable file") {
            all.push(match found {
                Found::Record(_, record) => Ok((record.sequence, record.payload.len())),
                Found::Damage(damage) => Err((damage.bytes, damage.document.map(|(_, sequence)| sequence))),
            });
        }
        all
    }

    /// A record is read and damage is skipped wherever the buffer happens to end.
    #[test]
    fn records_and_damage_are_found_across_the_ends_of_the_buffer() {
        let dir = tempfile::tempdir().expect("a directory");
        for shift in 0..140 {
            let path = dir.path().join(shift.to_string());
            // The second record starts around the end of the first buffer.
            let sizes =
                [READ_BYTES - HEADER_BYTES - record::HEADER_BYTES - 100 + shift, 20, 3 * READ_BYTES, 5];
            let offsets = write(&path, &sizes);
            let mut expected: Vec<_> = (1..).zip(sizes).map(Ok).collect();
            assert_eq!(scan(&path), expected, "shift {shift}");
            for (damaged, byte) in [(0, READ_BYTES / 2), (1, 60), (1, 2), (2, READ_BYTES + shift), (3, 50)] {
                let mut bytes = std::fs::read(&path).expect("readable");
                bytes[usize::try_from(offsets[damaged]).expect("small") + byte] ^= 1;
                let copy = dir.path().join("damaged");
                std::fs::write(&copy, bytes).expect("space");
                let sequence = (byte > 8).then_some(damaged as u64 + 1);
                expected[damaged] = Err((offsets[damaged + 1] - offsets[damaged], sequence));
                assert_eq!(scan(&copy), expected, "shift {shift}, byte {byte} of record {damaged}");
                expected[damaged] = Ok((damaged as u64 + 1, sizes[damaged]));
            }
        }
    }

    #[test]
    fn a_large_record_is_not_kept_in_memory_after_it_was_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("segment");
        let large = 20 * READ_BYTES;
        let offsets = write(&path, &[large, 10, 10]);
        let mut window = Window::open(&SystemDisk, &path).expect("a readable file");
        assert!(window.at(offsets[0], large).expect("readable").len() >= large);
        assert!(window.at(offsets[1], 10).expect("readable").len() <= READ_BYTES);
        assert!(window.at(offsets[3], 10).expect("readable").is_empty());
        assert!(window.buffered() <= READ_BYTES, "{}", window.buffered());
    }
}
