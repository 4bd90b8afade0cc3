//! The files of a store, made of bytes: records as `coscribe_persistence::record` documents them, and anything else that a disk
//! may hold.
//!
//! ```text
//! image = step*, where a step is a number and what it needs; numbers are lib0's varUint
//! ```

use std::collections::BTreeMap;

use crate::limits;
use coscribe_engine::lib0::{ReadError, Reader};
use coscribe_persistence::record::{self, HEADER_BYTES, Kind};

/// Updates with their sequences.
pub(super) type Updates = Vec<(u64, Vec<u8>)>;

/// Names of documents.
pub(super) const NAMES: [&str; 4] = ["a", "b", "notes/ä", "d"];

/// The marker of all files. That of a real segment is random, so that nobody can guess it.
const MARKER: u64 = 0x1122_3344_5566_7788;

/// Bytes of a segment's header, and where its marker is.
const SEGMENT_HEADER: usize = 32;
const MARKER_AT: usize = 16;

/// What is on the disk.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) segments: Vec<Vec<u8>>,
    pub(super) catalog: Vec<u8>,
    /// A segment of snapshots; `None` if there is no directory for them.
    pub(super) states: Option<Vec<u8>>,
    /// The file that the next step is about.
    at: File,
    /// Where the last batch of the present file starts.
    batch: u64,
    /// The next sequence of each document.
    next: BTreeMap<&'static str, u64>,
}

/// The files of an image.
#[derive(Debug, Clone, Copy)]
enum File {
    Segment,
    Catalog,
    States,
}

/// An update that can be found in a segment: document, sequence and payload.
pub(super) type Found = (String, u64, Vec<u8>);

impl Image {
    pub(super) fn read(data: &[u8]) -> Self {
        let mut image = Self {
            segments: vec![header()],
            catalog: header(),
            states: None,
            at: File::Segment,
            batch: SEGMENT_HEADER as u64,
            next: BTreeMap::new(),
        };
        let mut reader = Reader::new(data);
        while image.read_step(&mut reader).is_ok() {}
        image
    }

    fn read_step(&mut self, reader: &mut Reader<'_>) -> Result<(), ReadError> {
        match reader.u8()? % 8 {
            0 => self.read_update(reader)?,
            1 => self.read_entry(reader)?,
            2 => {
                let bytes = reader.var_buf()?;
                self.file().extend_from_slice(bytes);
            }
            3 => {
                let zeros = usize::from(reader.u8()?);
                self.file().extend(std::iter::repeat_n(0, zeros));
            }
            4 => {
                let (at, change) = (reader.var_uint()?, reader.u8()?);
                let at = usize::try_from(at).ok();
                at.and_then(|at| self.file().get_mut(at)).into_iter().for_each(|byte| *byte ^= change);
            }
            5 => {
                let (cut, file) = (reader.var_uint()?, self.file());
                file.truncate(file.len().saturating_sub(usize::try_from(cut).unwrap_or(usize::MAX)));
            }
            6 => {
                self.at = [File::Catalog, File::Segment, File::States][usize::from(reader.u8()? % 3)];
                if matches!(self.at, File::Segment) && self.segments.len() < limits::IMAGE_SEGMENTS {
                    self.segments.push(header());
                    self.batch = SEGMENT_HEADER as u64;
                }
            }
            _ => self.read_snapshot(reader)?,
        }
        Ok(())
    }

    fn read_snapshot(&mut self, reader: &mut Reader<'_>) -> Result<(), ReadError> {
        let (name, generation, sequence) = (read_name(reader)?, reader.var_uint()?, reader.var_uint()?);
        let born = read_position(reader)?;
        let payload = [&generation.to_le_bytes(), &born.to_le_bytes(), reader.var_buf()?].concat();
        let states = self.states.get_or_insert_with(header);
        write_record(Kind::Snapshot, (name, sequence), states.len() as u64, &payload, states);
        Ok(())
    }

    /// A record of the log: usually the next one of its document, and in a batch of its own.
    fn read_update(&mut self, reader: &mut Reader<'_>) -> Result<(), ReadError> {
        let (name, sequence, batch) = (read_name(reader)?, reader.var_uint()?, reader.var_uint()?);
        let next = self.next.entry(name).or_insert(1);
        let sequence = if sequence == 0 { *next } else { sequence };
        *next = sequence.saturating_add(1);
        let payload = reader.var_buf()?;
        if batch.is_multiple_of(2) {
            self.batch = self.file().len() as u64;
        }
        let batch = self.batch;
        write_record(Kind::Update, (name, sequence), batch, payload, self.file());
        Ok(())
    }

    /// An entry of the catalog: which snapshot covers a document, or that it was deleted.
    fn read_entry(&mut self, reader: &mut Reader<'_>) -> Result<(), ReadError> {
        let (name, generation, sequence) = (read_name(reader)?, reader.var_uint()?, reader.var_uint()?);
        let payload = [generation.to_le_bytes(), read_position(reader)?.to_le_bytes()].concat();
        let (kind, sequence) =
            if generation == 0 { (Kind::Deleted, 0) } else { (Kind::Checkpoint, sequence) };
        let batch = self.catalog.len() as u64;
        write_record(kind, (name, sequence), batch, &payload, &mut self.catalog);
        Ok(())
    }

    fn file(&mut self) -> &mut Vec<u8> {
        match self.at {
            File::Catalog => &mut self.catalog,
            File::States => self.states.get_or_insert_with(header),
            File::Segment => self.segments.last_mut().expect("there is always one"),
        }
    }

    /// Bytes of all files.
    pub(super) fn len(&self) -> usize {
        let states = self.states.as_ref().map_or(0, Vec::len);
        self.segments.iter().map(Vec::len).sum::<usize>() + self.catalog.len() + states
    }

    /// Every update that could be found anywhere in the log.
    pub(super) fn findable(&self) -> Vec<Found> {
        findable(&self.segments)
    }

    /// Every snapshot that could be found.
    pub(super) fn findable_states(&self) -> Vec<Found> {
        let found = findable(self.states.as_slice()).into_iter();
        found
            .filter_map(|(name, sequence, payload)| Some((name, sequence, payload.get(16..)?.to_vec())))
            .collect()
    }

    /// The updates of each document in the order of the log, if every byte of the log and the catalog is sound and nothing
    /// is covered by a snapshot.
    pub(super) fn sound(&self) -> Option<BTreeMap<String, Updates>> {
        let mut documents: BTreeMap<String, Vec<_>> = BTreeMap::new();
        if self.catalog != header() {
            return None;
        }
        // One that is empty was never begun.
        for segment in self.segments.iter().filter(|segment| !segment.is_empty()) {
            let mut rest = segment.strip_prefix(&header()[..])?;
            while !rest.is_empty() {
                let record =
                    record::decode(rest, MARKER).ok().filter(|record| record.kind == Kind::Update)?;
                let document = documents.entry(record.name.to_owned()).or_default();
                document.push((record.sequence, record.payload.to_vec()));
                rest = &rest[record.encoded_len()..];
            }
        }
        Some(documents)
    }
}

fn findable(segments: &[Vec<u8>]) -> Vec<Found> {
    let mut found = Vec::new();
    for segment in segments {
        let candidates =
            [Some(&MARKER.to_le_bytes()[..]), segment.get(MARKER_AT..), segment.get(SEGMENT_HEADER..)];
        for marker in candidates.into_iter().flatten().filter_map(|bytes| bytes.first_chunk()) {
            let starts = (0..segment.len()).filter(|&at| segment[at..].starts_with(marker));
            let records =
                starts.filter_map(|at| record::decode(&segment[at..], u64::from_le_bytes(*marker)).ok());
            found.extend(
                records.map(|record| (record.name.to_owned(), record.sequence, record.payload.to_vec())),
            );
        }
    }
    found
}

fn read_name(reader: &mut Reader<'_>) -> Result<&'static str, ReadError> {
    Ok(NAMES[usize::from(reader.u8()?) % NAMES.len()])
}

/// A place in the log: segment and offset.
fn read_position(reader: &mut Reader<'_>) -> Result<u64, ReadError> {
    Ok(u64::from(reader.u8()?) << 32 | reader.var_uint()?)
}

/// A file without records.
pub(super) fn header() -> Vec<u8> {
    let fields: [&[u8]; 5] = [b"coscrseg", &1u32.to_le_bytes(), &[0; 4], &MARKER.to_le_bytes(), &[0; 4]];
    let mut header = fields.concat();
    header.extend(crc32c::crc32c(&header).to_le_bytes());
    header
}

fn write_record(kind: Kind, (name, sequence): (&str, u64), batch: u64, payload: &[u8], out: &mut Vec<u8>) {
    let len = |bytes: usize| u16::try_from(bytes).expect("names are short").to_le_bytes();
    let mut checked = vec![record::VERSION, kind as u8];
    checked.extend(len(name.len()));
    checked.extend([0; 4]);
    checked.extend(u32::try_from(payload.len()).expect("inputs are small").to_le_bytes());
    checked.extend(batch.to_le_bytes());
    checked.extend(sequence.to_le_bytes());
    checked.extend([0; 8]);
    checked.extend([name.as_bytes(), payload].concat());
    let start = out.len();
    out.extend(MARKER.to_le_bytes());
    out.extend(crc32c::crc32c(&checked).to_le_bytes());
    out.extend(checked);
    debug_assert_eq!(out.len() - start, HEADER_BYTES + name.len() + payload.len());
}
