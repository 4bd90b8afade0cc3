//! The segments of the snapshots, and how much of each one still counts.

use std::collections::BTreeMap;
use std::io;

use super::index::{Location, Mark};
use super::record::{PREFIX_BYTES, split_prefix};
use crate::disk::StoreDir;
use crate::error::{SnapshotError, StoreError};
use crate::limits::COLLECTED_BYTES;
use crate::name::DocumentName;
use crate::record::Kind;
use crate::segment::tail::{AppendError, Tail};
use crate::segment::{Found, HEADER_BYTES, Heads, Scan};

/// The extension of the segments.
pub(super) const EXTENSION: &str = "states";

/// A snapshot in a segment: document, generation, and where its record is.
pub(super) type Entry = (DocumentName, u64, Location);

/// The segments in the directory.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// The active segment, if there is one.
    tail: Option<(u32, Tail)>,
    segments: BTreeMap<u32, Segment>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    /// `None` if it cannot be read.
    marker: Option<u64>,
    pub(super) bytes: u64,
    /// Bytes of its snapshots that are in the index.
    pub(super) live: u64,
    /// Something between the records cannot be read: it may be a snapshot that counts.
    pub(super) is_damaged: bool,
}

impl Files {
    pub(super) fn list(dir: &StoreDir) -> Result<Self, StoreError> {
        let mut segments = BTreeMap::new();
        for (number, path) in dir.list_numbered(EXTENSION).map_err(StoreError::io("list", &dir.path))? {
            let bytes =
                dir.disk.open(&path).and_then(|file| file.len()).map_err(StoreError::io("read", &path))?;
            let marker = Heads::open(&*dir.disk, &path, bytes)?.map(|heads| heads.marker());
            segments.insert(number, Segment { marker, bytes, live: 0, is_damaged: false });
        }
        Ok(Self { tail: None, segments })
    }

    /// Continues the last segment, if it is sound to its end.
    pub(super) fn continue_last(&mut self, dir: &StoreDir) -> Result<(), StoreError> {
        let Some((&number, segment)) = self.segments.last_key_value() else { return Ok(()) };
        let path = dir.numbered(number, EXTENSION);
        let Some(mut heads) = Heads::open(&*dir.disk, &path, 0)? else { return Ok(()) };
        while heads.read_next::<0>().map_err(StoreError::io("read", &path))?.is_some() {}
        if heads.is_damaged || heads.len() < HEADER_BYTES as u64 {
            return Ok(());
        }
        let tail = Tail::resume(&*dir.disk, &path, heads.marker(), segment.bytes);
        self.tail = Some((number, tail.map_err(StoreError::io("open", &path))?));
        Ok(())
    }

    /// The marker of a location's segment.
    pub(super) fn marker(&self, location: Location) -> Option<u64> {
        self.segments.get(&location.segment)?.marker
    }

    /// Whether the segments reach a mark.
    pub(super) fn reach(&self, mark: Mark) -> bool {
        self.segments.get(&mark.segment).is_some_and(|segment| segment.bytes >= mark.offset)
    }

    /// Writes a record: the result of `head`, which is given the marker and the offset, and then `parts`. If that fails, either
    /// nothing of the record is left or nothing more is written to the segment.
    pub(super) fn append(
        &mut self,
        dir: &StoreDir,
        segment_bytes: u64,
        head: impl FnOnce(u64, u64) -> Vec<u8>,
        parts: &[&[u8]],
    ) -> io::Result<Location> {
        let (segment, tail) = self.tail(dir, segment_bytes)?;
        let offset = tail.len();
        let head = head(tail.marker(), offset);
        if let Err(error) = write_parts(tail, head, parts) {
            let may_not_grow = error.kind() == io::ErrorKind::FileTooLarge && offset > HEADER_BYTES as u64;
            if tail.cut_off(offset).is_err() || may_not_grow {
                self.tail = None;
            }
            return Err(error);
        }
        let bytes = tail.len();
        let len = u32::try_from(bytes - offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let entry = self.segments.get_mut(&segment).expect("it is written to");
        entry.bytes = bytes;
        entry.live += u64::from(len);
        Ok(Location { segment, len, offset })
    }

    /// The end of the active segment; a full one is closed first.
    fn tail(&mut self, dir: &StoreDir, segment_bytes: u64) -> io::Result<(u32, &mut Tail)> {
        if self.tail.as_ref().is_some_and(|(_, tail)| tail.len() >= segment_bytes) {
            self.sync()?;
            self.tail = None;
        }
        if self.tail.is_none() {
            let number = self.segments.last_key_value().map_or(1, |(last, _)| last + 1);
            let tail = Tail::create(&*dir.disk, &dir.numbered(number, EXTENSION))
                .map_err(AppendError::into_error)?;
            dir.sync()?;
            let (marker, bytes) = (Some(tail.marker()), tail.len());
            self.segments.insert(number, Segment { marker, bytes, live: 0, is_damaged: false });
            self.tail = Some((number, tail));
        }
        self.tail.as_mut().map(|(number, tail)| (*number, tail)).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Makes all writes durable, and returns how far they reach. After a failure nothing more is written to the segment, since
    /// its content on disk is unknown.
    pub(super) fn sync(&mut self) -> io::Result<Mark> {
        if let Some((_, tail)) = &self.tail
            && let Err(error) = tail.sync()
        {
            self.tail = None;
            return Err(error);
        }
        let last = self.segments.last_key_value();
        Ok(last.map_or(Mark::default(), |(&segment, file)| Mark { segment, offset: file.bytes }))
    }

    /// Calls `each` for every snapshot that was written after a mark.
    pub(super) fn scan(
        &self,
        dir: &StoreDir,
        after: Option<Mark>,
        mut each: impl FnMut(DocumentName, u64, Location) -> Result<(), SnapshotError>,
    ) -> Result<(), SnapshotError> {
        let after = after.unwrap_or_default();
        for &number in self.segments.range(after.segment..).map(|(number, _)| number) {
            let from = if number == after.segment { after.offset } else { 0 };
            scan_segment(dir, number, from, &mut each)?;
        }
        Ok(())
    }

    /// Notes that the snapshot at a location no longer counts.
    pub(super) fn count_dead(&mut self, location: Option<Location>) {
        let Some(location) = location else { return };
        if let Some(segment) = self.segments.get_mut(&location.segment) {
            segment.live = segment.live.saturating_sub(location.len.into());
        }
    }

    /// Sets how many bytes of each segment count.
    pub(super) fn count_live(&mut self, live: &BTreeMap<u32, u64>) {
        for (number, segment) in &mut self.segments {
            segment.live = live.get(number).copied().unwrap_or(0);
        }
    }

    /// The segments that are no longer written to.
    pub(super) fn closed(&self) -> impl Iterator<Item = (u32, &Segment)> {
        let written = self.tail.as_ref().map(|(number, _)| *number);
        self.segments
            .iter()
            .map(|(&number, segment)| (number, segment))
            .filter(move |(number, _)| Some(*number) != written)
    }

    /// Notes that a segment has to be kept.
    pub(super) fn note_damage(&mut self, number: u32) {
        if let Some(segment) = self.segments.get_mut(&number) {
            segment.is_damaged = true;
        }
    }

    /// Removes a segment.
    pub(super) fn remove(&mut self, dir: &StoreDir, number: u32) -> io::Result<()> {
        dir.disk.remove(&dir.numbered(number, EXTENSION))?;
        self.segments.remove(&number);
        dir.sync()
    }
}

/// Writes parts one after the other, small ones together.
fn write_parts(tail: &mut Tail, head: Vec<u8>, parts: &[&[u8]]) -> io::Result<()> {
    let mut together = head;
    for part in parts {
        if together.len() + part.len() > COLLECTED_BYTES {
            tail.write(&together)?;
            together.clear();
        }
        if part.len() > COLLECTED_BYTES {
            tail.write(part)?;
        } else {
            together.extend_from_slice(part);
        }
    }
    tail.write(&together)
}

/// The snapshots in a segment, each checked against its checksum; `None` if any of it is damaged.
pub(super) fn read_segment(dir: &StoreDir, segment: u32) -> Result<Option<Vec<Entry>>, SnapshotError> {
    let other = |error: StoreError| io::Error::other(error.to_string());
    let mut scan = Scan::open(&*dir.disk, &dir.numbered(segment, EXTENSION)).map_err(other)?;
    let mut all = Vec::new();
    while let Some(found) = scan.read_next()? {
        let Found::Record(offset, record) = found else { return Ok(None) };
        let Some((generation, _)) = split_prefix(record.payload) else { return Ok(None) };
        let len = u32::try_from(record.encoded_len()).map_err(io::Error::other)?;
        all.push((record.document(), generation, Location { segment, len, offset }));
    }
    Ok(Some(all))
}

/// Calls `each` for the snapshots in a segment from an offset on.
fn scan_segment(
    dir: &StoreDir,
    segment: u32,
    from: u64,
    each: &mut impl FnMut(DocumentName, u64, Location) -> Result<(), SnapshotError>,
) -> Result<(), SnapshotError> {
    let heads = Heads::open(&*dir.disk, &dir.numbered(segment, EXTENSION), from);
    let Some(mut heads) = heads.map_err(|error| io::Error::other(error.to_string()))? else {
        return Ok(());
    };
    while let Some((offset, head, payload)) = heads.read_next::<PREFIX_BYTES>()? {
        let len = u32::try_from(head.payload_at + head.payload_len).map_err(io::Error::other)?;
        if let (Kind::Snapshot, Some((generation, _))) = (head.kind, split_prefix(&payload)) {
            each(head.name, generation, Location { segment, len, offset })?;
        }
    }
    Ok(())
}
