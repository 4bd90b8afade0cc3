//! The log: append-only segments, written and synced a batch at a time.

pub(crate) mod contents;
mod marks;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

pub(crate) use self::marks::Marks;
use crate::disk::{DiskFile, Step, StoreDir};
use crate::error::StoreError;
use crate::index::{Position, RecordRef, Segment};
use crate::limits::{LARGE_PAYLOAD_BYTES, MAX_SEGMENT_BYTES, RESERVED_BYTES};
use crate::name::DocumentName;
use crate::record::{Kind, Record};
use crate::segment::HEADER_BYTES;
use crate::segment::tail::{AppendError, Tail};

/// One update for the log.
#[derive(Debug, Clone, Copy)]
pub struct NewRecord<'a> {
    /// The document.
    pub name: &'a DocumentName,
    /// The number of the update: the document's last one plus 1; the first is 1.
    pub sequence: u64,
    /// Milliseconds since the Unix epoch.
    pub time: u64,
    /// The subject that wrote it, at most [`MAX_SUBJECT_BYTES`](crate::limits::MAX_SUBJECT_BYTES) bytes; empty if that is unknown.
    pub subject: &'a str,
    /// The update, opaque here.
    pub payload: &'a [u8],
    /// Whether the update is parked, that is, waits for a missing one: it is loaded after all others.
    pub waits: bool,
}

/// The end of the log.
#[derive(Debug)]
pub(crate) struct Log {
    dir: StoreDir,
    segment_bytes: u64,
    number: u32,
    tail: Tail,
    /// What the next end mark will say.
    marks: Marks,
    /// The file may not grow any more, even if the disk has room.
    may_not_grow: bool,
}

/// How the last segment is continued.
#[derive(Debug)]
pub(crate) struct Resume {
    /// The marker of its records.
    pub(crate) marker: u64,
    /// Its sound length.
    pub(crate) len: u64,
    /// What its next end mark will say.
    pub(crate) marks: Marks,
}

impl Log {
    /// Continues after the segments that were found: in the last one, if it can be continued.
    pub(crate) fn open(
        dir: &StoreDir,
        segment_bytes: u64,
        last: u32,
        resume: Option<Resume>,
    ) -> Result<Self, StoreError> {
        let number = if resume.is_some() { last } else { last + 1 };
        let path = segment_path(dir, number);
        let (tail, marks) = match resume {
            Some(Resume { marker, len, marks }) => {
                let tail = Tail::resume(&*dir.disk, &path, marker, len);
                (tail.map_err(StoreError::io("open", &path))?, marks)
            }
            None => {
                let failed = StoreError::io("create", &path);
                let tail = create_segment(dir, number).map_err(|error| failed(error.into_error()))?;
                (tail, Marks::default())
            }
        };
        let segment_bytes = segment_bytes.min(MAX_SEGMENT_BYTES);
        Ok(Self { dir: dir.clone(), segment_bytes, number, tail, marks, may_not_grow: false })
    }

    /// The number of the active segment, to which records are appended.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// The active segment's entry in the index.
    pub(crate) fn segment(&self) -> Segment {
        Segment { marker: Some(self.tail.marker()), ..Segment::default() }
    }

    /// The position of the next record.
    pub(crate) fn end(&self) -> Position {
        Position::new(self.number, self.tail.len()).expect("segments are rolled long before")
    }

    /// Bytes in the active segment.
    pub(crate) fn len(&self) -> u64 {
        self.tail.len()
    }

    /// Whether the next batch goes into a new segment.
    pub(crate) fn is_full(&self) -> bool {
        self.tail.len() >= self.segment_bytes || self.may_not_grow
    }

    /// Gives back the space that is reserved in the active segment, durably.
    pub(crate) fn release(&mut self) -> Result<(), AppendError> {
        self.tail.release()
    }

    /// Starts a new segment.
    pub(crate) fn roll(&mut self) -> Result<(), AppendError> {
        // First, since only the last segment may end in zeros.
        self.release()?;
        let number = self.number + 1;
        self.tail = create_segment(&self.dir, number).map_err(|error| {
            // A part of the file may exist. It must not block the next attempt.
            let path = segment_path(&self.dir, number);
            match self.dir.clear(&path).and_then(|()| self.dir.sync()) {
                Ok(()) => error,
                // After a power loss the file may be there, and is an empty segment.
                Err(none) if StoreError::is_scarce(&none) => error,
                Err(_) => AppendError::Unknown(error.into_error()),
            }
        })?;
        (self.number, self.marks, self.may_not_grow) = (number, Marks::default(), false);
        Ok(())
    }

    /// Whether everything written is before an end mark.
    pub(crate) fn is_marked(&self) -> bool {
        self.marks.marked() == self.tail.len()
    }

    /// Writes an end mark and syncs it, unless everything written is before one.
    pub(crate) fn mark(&mut self) -> Result<(), AppendError> {
        if self.is_marked() {
            return Ok(());
        }
        let mut mark = Vec::new();
        self.marks.encode(self.tail.len(), self.tail.marker(), &mut mark);
        self.dir.check(Step::WriteMark).map_err(AppendError::Undone)?;
        self.tail.append(|tail| tail.write(&mark), || self.dir.check(Step::SyncMark))?;
        self.marks.mark(self.tail.len());
        Ok(())
    }

    /// Takes note of the deletion of a document: what is left of it will not be missed.
    pub(crate) fn forget(&mut self, name: &DocumentName) {
        self.marks.forget(name);
    }

    /// Whether the active segment's file still has its name in the directory.
    pub(crate) fn is_in_place(&self) -> io::Result<bool> {
        self.tail.is_at(&segment_path(&self.dir, self.number))
    }

    /// Writes all records and syncs them with one `fdatasync`. It takes one write, and two more for each large update. Where an end
    /// mark is due it comes first: all that is before it was synced. `moved` says that they are copies of earlier records.
    pub(crate) fn append(
        &mut self,
        records: &[NewRecord<'_>],
        moved: bool,
    ) -> Result<Vec<RecordRef>, AppendError> {
        let batch = self.tail.len();
        let mut mark = Vec::new();
        if self.marks.is_due(batch) {
            self.marks.encode(batch, self.tail.marker(), &mut mark);
        }
        let (first, mut offset) = (batch + mark.len() as u64, batch + mark.len() as u64);
        let mut refs = Vec::with_capacity(records.len());
        let mut parts = vec![Cow::Owned(mark)];
        for record in records {
            encode(&Record { moved, ..record.as_record(batch) }, self.tail.marker(), &mut parts);
            let position = Position::new(self.number, offset).expect("segments are rolled long before");
            let len = u32::try_from(record.encoded_len()).expect("bounded by the caller");
            refs.push(RecordRef { position, len, sequence: record.sequence });
            offset += u64::from(len);
        }
        self.dir.check(Step::WriteLog).map_err(AppendError::Undone)?;
        let ahead = offset.next_multiple_of(RESERVED_BYTES).min(self.segment_bytes);
        let write = |tail: &mut Tail| {
            // A segment gets no batch after the one that fills it.
            if tail.reserved() < offset && offset < ahead {
                tail.reserve(ahead)?;
            }
            parts.iter().filter(|part| !part.is_empty()).try_for_each(|part| tail.write(part))
        };
        let appended = self.tail.append(write, || self.dir.check(Step::SyncLog));
        appended.inspect_err(|error| {
            let is_at_limit =
                matches!(error, AppendError::Undone(error) if error.kind() == io::ErrorKind::FileTooLarge);
            self.may_not_grow = is_at_limit && self.tail.len() > FIRST_OFFSET;
        })?;
        if first > batch {
            self.marks.mark(first);
        }
        records.iter().for_each(|record| self.marks.note(record.name, record.sequence));
        Ok(refs)
    }
}

/// Appends a record to the last part of a batch; a large payload becomes a part of its own, without a copy.
fn encode<'a>(record: &Record<'a>, marker: u64, parts: &mut Vec<Cow<'a, [u8]>>) {
    let last = parts.last_mut().expect("there is one").to_mut();
    if record.payload.len() < LARGE_PAYLOAD_BYTES {
        return record.encode(marker, last);
    }
    record.encode_head(marker, last);
    parts.extend([Cow::Borrowed(record.payload), Cow::Owned(Vec::new())]);
}

impl<'a> NewRecord<'a> {
    /// Its size in the log, in bytes.
    pub(crate) fn encoded_len(&self) -> usize {
        self.as_record(0).encoded_len()
    }

    fn as_record(&self, batch: u64) -> Record<'a> {
        Record {
            kind: if self.waits { Kind::Waiting } else { Kind::Update },
            name: self.name.as_str(),
            sequence: self.sequence,
            time: self.time,
            subject: self.subject,
            payload: self.payload,
            batch,
            moved: false,
        }
    }
}

/// The offset of the first record of any segment.
pub(crate) const FIRST_OFFSET: u64 = HEADER_BYTES as u64;

/// The extension of the log's segments.
const EXTENSION: &str = "log";

/// The file of a segment.
pub(crate) fn segment_path(dir: &StoreDir, number: u32) -> PathBuf {
    dir.numbered(number, EXTENSION)
}

/// The segments in the directory, by number.
pub(crate) fn segments(dir: &StoreDir) -> io::Result<BTreeMap<u32, PathBuf>> {
    dir.list_numbered(EXTENSION)
}

fn create_segment(dir: &StoreDir, number: u32) -> Result<Tail, AppendError> {
    dir.check(Step::CreateSegment).map_err(AppendError::Undone)?;
    let tail = Tail::create(&*dir.disk, &segment_path(dir, number))?;
    dir.sync().map_err(AppendError::of_new)?;
    Ok(tail)
}

/// Removes segments from the log for good. A damaged one is kept under another name, so that its data can be rescued.
pub(crate) fn retire(dir: &StoreDir, segments: &[(u32, Segment)]) -> io::Result<()> {
    for (number, segment) in segments {
        dir.check(Step::RetireSegment)?;
        let path = segment_path(dir, *number);
        if segment.damaged {
            dir.disk.rename(&path, &path.with_extension("log.damaged"))?;
        } else {
            dir.disk.remove(&path)?;
        }
    }
    match if segments.is_empty() { Ok(()) } else { dir.sync() } {
        // Without a descriptor for the directory. Should a power loss bring them back, they are removed at the next start.
        Err(error) if StoreError::is_scarce(&error) => Ok(()),
        synced => synced,
    }
}

/// Segment files that are open for reading records, each opened once.
pub(crate) struct Reader {
    files: BTreeMap<u32, (Box<dyn DiskFile>, u64)>,
}

impl Reader {
    /// Opens the segments of these records. Called while the index is locked, so that none can be retired meanwhile;
    /// retiring one later does no harm, since its file is open.
    pub(crate) fn open(
        dir: &StoreDir,
        records: &[RecordRef],
        segments: &BTreeMap<u32, Segment>,
    ) -> Result<Self, StoreError> {
        let mut files = BTreeMap::new();
        for number in records.iter().map(|record| record.position.segment()) {
            let marker = segments.get(&number).and_then(|segment| segment.marker);
            if let (Some(marker), false) = (marker, files.contains_key(&number)) {
                let path = segment_path(dir, number);
                files.insert(number, (dir.disk.open(&path).map_err(StoreError::io("open", &path))?, marker));
            }
        }
        Ok(Self { files })
    }

    /// The bytes of a record and the marker they should start with.
    pub(crate) fn read(&mut self, record: &RecordRef) -> io::Result<(Vec<u8>, u64)> {
        let segment = self.files.get_mut(&record.position.segment());
        let (file, marker) = segment.ok_or(io::ErrorKind::NotFound)?;
        let mut bytes = vec![0; record.len as usize];
        file.read_at(record.position.offset(), &mut bytes)?;
        Ok((bytes, *marker))
    }
}
