//! The format of a record: an update in the log (parked or not), an end mark there, an entry of the catalog, or a snapshot.
//!
//! All numbers are little-endian.
//!
//! | Offset | Bytes | Field |
//! |---|---|---|
//! | 0 | 8 | marker: the same for all records of a segment, random, from the segment's header |
//! | 8 | 4 | CRC32C of everything that follows |
//! | 12 | 1 | version, [`VERSION`] |
//! | 13 | 1 | kind, see [`Kind`] |
//! | 14 | 2 | length of the document name, 1 ..= 1024; 0 for an end mark, which is of no document |
//! | 16 | 2 | length of the subject, 0 ..= [`MAX_SUBJECT_BYTES`] |
//! | 18 | 1 | 1 in the copy of a record that was moved to the end of the log, 0 in any other |
//! | 19 | 1 | zero |
//! | 20 | 4 | length of the payload, 0 ..= [`MAX_PAYLOAD_BYTES`] |
//! | 24 | 8 | batch: the offset in the segment of the first record that was written and synced together with this one |
//! | 32 | 8 | sequence |
//! | 40 | 8 | time, ms since the Unix epoch |
//! | 48 | | document name, subject (both UTF-8), payload |
//!
//! A reader looks for the marker to find the next record after a damaged one. It is random, so that nobody can plant a record
//! of another document inside an update.
//!
//! The batch tells a torn write from corruption: a power loss may leave a later page of a batch on disk without an earlier one,
//! so broken bytes before a sound record are corruption only if that record was written after they had been synced, that is, in a
//! later batch.

use crate::limits::{MAX_NAME_BYTES, MAX_PAYLOAD_BYTES, MAX_SUBJECT_BYTES};
use crate::name::DocumentName;

/// The version that is written, and the only one that is read.
pub const VERSION: u8 = 1;
/// Bytes before the document name.
pub const HEADER_BYTES: usize = 48;

const CRC_START: usize = 12;

/// The kind of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// In the log: the payload is an update.
    Update = 1,
    /// In the catalog: a snapshot covers the document up to the sequence.
    Checkpoint = 2,
    /// In the catalog: the document was deleted.
    Deleted = 3,
    /// In a segment of snapshots: the payload is a state, behind the prefix that `snapshots/record.rs` describes.
    Snapshot = 4,
    /// In the log: the payload is a parked update. It takes a sequence number like any update.
    Waiting = 5,
    /// In the log: everything before it was on disk. `log/marks.rs` describes its fields.
    Mark = 6,
}

/// One record; the bytes are borrowed from the segment, or from the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its kind.
    pub kind: Kind,
    /// The document's name: checked when decoded, see [`Record::document`]. Empty for an end mark.
    pub name: &'a str,
    /// The number of this update in its document; 1 is the first.
    pub sequence: u64,
    /// Milliseconds since the Unix epoch.
    pub time: u64,
    /// The subject that wrote it; empty if that is unknown.
    pub subject: &'a str,
    /// The update.
    pub payload: &'a [u8],
    /// The offset of the batch in its segment.
    pub batch: u64,
    /// Whether it is a copy of a record that was in an earlier segment of the log, and may still be there.
    pub moved: bool,
}

/// Why bytes are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The bytes end before the record does.
    #[error("the record is cut short")]
    Torn,
    /// No record starts here, or its header is impossible.
    #[error("{0}")]
    Nonsense(&'static str),
    /// The header is possible, but the checksum differs.
    #[error("the checksum differs")]
    Checksum,
}

impl Record<'_> {
    /// The name as a key. Panics for an end mark.
    pub fn document(&self) -> DocumentName {
        DocumentName::new(self.name).expect("a record's name was checked when it was decoded or built")
    }

    /// Size of the record in bytes.
    pub fn encoded_len(&self) -> usize {
        HEADER_BYTES + self.name.len() + self.subject.len() + self.payload.len()
    }

    /// Appends the record to `out`. The lengths must be in bounds: `Store` checks them before it writes anything.
    pub(crate) fn encode(&self, marker: u64, out: &mut Vec<u8>) {
        self.encode_head(marker, out);
        out.extend_from_slice(self.payload);
    }

    /// Appends everything before the payload, with the checksum over both.
    pub(crate) fn encode_head(&self, marker: u64, out: &mut Vec<u8>) {
        self.encode_head_of(&[], marker, out);
    }

    /// The same for a payload that continues after `self.payload`, in parts.
    pub(crate) fn encode_head_of(&self, more: &[&[u8]], marker: u64, out: &mut Vec<u8>) {
        let start = out.len();
        let short = |bytes: usize| u16::try_from(bytes).expect("bounded by the caller").to_le_bytes();
        let payload_len = self.payload.len() + more.iter().map(|part| part.len()).sum::<usize>();
        let payload_len = u32::try_from(payload_len).expect("bounded by the caller");
        out.extend_from_slice(&marker.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&[VERSION, self.kind as u8]);
        out.extend_from_slice(&short(self.name.len()));
        out.extend_from_slice(&short(self.subject.len()));
        out.extend_from_slice(&[u8::from(self.moved), 0]);
        out.extend_from_slice(&payload_len.to_le_bytes());
        out.extend_from_slice(&self.batch.to_le_bytes());
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&self.time.to_le_bytes());
        out.extend_from_slice(self.name.as_bytes());
        out.extend_from_slice(self.subject.as_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&out[start + CRC_START..]), self.payload);
        let crc = more.iter().fold(crc, |crc, part| crc32c::crc32c_append(crc, part));
        out[start + 8..start + CRC_START].copy_from_slice(&crc.to_le_bytes());
    }
}

/// Reads the record at the start of `bytes`. Its length is [`Record::encoded_len`].
pub fn decode(bytes: &[u8], marker: u64) -> Result<Record<'_>, RecordError> {
    let (record, crc) = read_fields(bytes, marker)?;
    if crc32c::crc32c(&bytes[CRC_START..record.encoded_len()]) != crc {
        return Err(RecordError::Checksum);
    }
    Ok(record)
}

/// Reads the record at the start of `bytes` like [`decode`], but without the checksum, which was checked before.
pub(crate) fn decode_unchecked(bytes: &[u8], marker: u64) -> Option<Record<'_>> {
    read_fields(bytes, marker).ok().map(|(record, _)| record)
}

/// The probable document and sequence of a damaged record: good for a report, not to be relied on. The record may end anywhere
/// after the name, since its lengths may be damaged.
pub(crate) fn claimed_document(bytes: &[u8], marker: u64) -> Option<(DocumentName, u64)> {
    let header = read_header(bytes, marker).ok()?;
    let name = bytes[HEADER_BYTES..].get(..header.name_len)?;
    Some((DocumentName::from_bytes(name).ok()?, u64::from_le_bytes(take(bytes, 32))))
}

/// The fields of a record before its payload; the payload is not checked.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    pub(crate) name: DocumentName,
    /// Bytes before the payload; the next field is its length.
    pub(crate) payload_at: usize,
    pub(crate) payload_len: usize,
}

impl Head {
    /// Most bytes before a payload.
    pub(crate) const MOST_BYTES: usize = HEADER_BYTES + MAX_NAME_BYTES + MAX_SUBJECT_BYTES;

    /// The head of the record that starts like `bytes`; `None` if no record does.
    pub(crate) fn read(bytes: &[u8], marker: u64) -> Option<Self> {
        let header = read_header(bytes, marker).ok()?;
        let name = DocumentName::from_bytes(bytes[HEADER_BYTES..].get(..header.name_len)?).ok()?;
        let payload_at = HEADER_BYTES + header.name_len + header.subject_len;
        Some(Self { kind: header.kind, name, payload_at, payload_len: header.payload_len })
    }
}

/// Bytes of the whole record that starts like `bytes`, according to its header; `None` if no record does.
pub(crate) fn claimed_len(bytes: &[u8], marker: u64) -> Option<usize> {
    read_header(bytes, marker).ok().map(|header| HEADER_BYTES + header.body_len())
}

fn read_fields(bytes: &[u8], marker: u64) -> Result<(Record<'_>, u32), RecordError> {
    use RecordError::{Nonsense, Torn};
    let header = read_header(bytes, marker)?;
    let body = bytes[HEADER_BYTES..].get(..header.body_len()).ok_or(Torn)?;
    let (name, rest) = body.split_at(header.name_len);
    let (subject, payload) = rest.split_at(header.subject_len);
    let record = Record {
        kind: header.kind,
        name: std::str::from_utf8(name).map_err(|_| Nonsense("the document name is not UTF-8"))?,
        sequence: u64::from_le_bytes(take(bytes, 32)),
        time: u64::from_le_bytes(take(bytes, 40)),
        subject: std::str::from_utf8(subject).map_err(|_| Nonsense("the subject is not UTF-8"))?,
        payload,
        batch: u64::from_le_bytes(take(bytes, 24)),
        moved: bytes[18] == 1,
    };
    Ok((record, u32::from_le_bytes(take(bytes, 8))))
}

/// A decoded header: the kind, and the lengths of the fields after it.
struct Header {
    kind: Kind,
    name_len: usize,
    subject_len: usize,
    payload_len: usize,
}

impl Header {
    fn body_len(&self) -> usize {
        self.name_len + self.subject_len + self.payload_len
    }
}

fn read_header(bytes: &[u8], marker: u64) -> Result<Header, RecordError> {
    use RecordError::{Nonsense, Torn};
    let prefix = bytes.len().min(8);
    if bytes[..prefix] != marker.to_le_bytes()[..prefix] {
        return Err(Nonsense("no record starts here"));
    }
    let header: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(Torn)?;
    if header[12] != VERSION {
        return Err(Nonsense("the record's version is unknown"));
    }
    let kind = Kind::from_byte(header[13]).ok_or(Nonsense("the record's kind is unknown"))?;
    let name_len = usize::from(u16::from_le_bytes(take(header, 14)));
    let subject_len = usize::from(u16::from_le_bytes(take(header, 16)));
    let payload_len = u32::from_le_bytes(take(header, 20)) as usize;
    if (name_len == 0) != (kind == Kind::Mark)
        || name_len > MAX_NAME_BYTES
        || subject_len > MAX_SUBJECT_BYTES
        || payload_len > MAX_PAYLOAD_BYTES
    {
        return Err(Nonsense("the record's lengths are out of bounds"));
    }
    Ok(Header { kind, name_len, subject_len, payload_len })
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        let all = [Self::Update, Self::Checkpoint, Self::Deleted, Self::Snapshot, Self::Waiting, Self::Mark];
        all.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// `N` bytes of a header; the offsets are constants within it.
pub(crate) fn take<const N: usize>(header: &[u8], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&header[at..at + N]);
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKER: u64 = 0x1122_3344_5566_7788;

    fn sample() -> Record<'static> {
        Record {
            kind: Kind::Update,
            name: "notes/ä",
            sequence: 7,
            time: 1_700_000_000_000,
            subject: "ann",
            payload: &[0, 1, 2, 254, 255],
            batch: 4096,
            moved: true,
        }
    }

    fn encoded() -> Vec<u8> {
        let mut bytes = Vec::new();
        sample().encode(MARKER, &mut bytes);
        bytes
    }

    #[test]
    fn a_record_reads_back() {
        let bytes = encoded();
        assert_eq!(bytes.len(), sample().encoded_len());
        assert_eq!(decode(&bytes, MARKER), Ok(sample()));
    }

    #[test]
    fn every_shorter_prefix_is_torn() {
        let bytes = encoded();
        for end in 0..bytes.len() {
            assert_eq!(decode(&bytes[..end], MARKER), Err(RecordError::Torn), "cut at {end}");
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let bytes = encoded();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&flipped, MARKER).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_record_of_another_segment_is_not_taken() {
        assert!(matches!(decode(&encoded(), MARKER + 1), Err(RecordError::Nonsense(_))));
    }
}
