//! End marks: records that say of what is before them that it was on disk.
//!
//! The log's last batch may have been cut short by a crash, so broken bytes there are no fault. A mark is a batch of its own, or
//! begins one, and is written only after everything before it was synced: what is broken before a mark is damage. The log gets one
//! when it is closed, when nothing is written for a while, at the end of each segment, and among much that is written.
//!
//! A damaged record may not even show whose it was. So a mark also names the documents with records in the stretch that it speaks
//! for, and the last sequence of each: a document that is stored up to a lower one has lost its end there. The stretch begins with
//! what the mark before spoke for, so that a mark may be damaged itself.
//!
//! A mark is a record of the kind [`Kind::Mark`] without a name. Its sequence is the offset in the segment at which its stretch
//! begins. Its payload has for each document, in the order of their names:
//!
//! | Bytes | Field |
//! |---|---|
//! | 8 | sequence, little-endian |
//! | 2 | length of the name, little-endian |
//! | | name |

use std::collections::BTreeMap;

use super::FIRST_OFFSET;
use crate::limits::{MARK_BYTES, MAX_PAYLOAD_BYTES};
use crate::name::DocumentName;
use crate::record::{Kind, Record};

/// Documents with the sequence of their last record in a stretch.
type Documents = BTreeMap<DocumentName, u64>;

/// What the next mark of a segment will say.
#[derive(Debug)]
pub(crate) struct Marks {
    /// Where its stretch begins.
    from: u64,
    /// Where the last mark ends, or the first record begins.
    marked: u64,
    /// Documents with records before the last mark.
    before: Documents,
    /// Documents with records after it.
    since: Documents,
}

/// A mark that was read.
#[derive(Debug)]
pub(crate) struct Mark {
    /// Where the stretch begins for which it speaks.
    pub(crate) from: u64,
    /// The documents with records in it.
    pub(crate) documents: Vec<(DocumentName, u64)>,
}

impl Default for Marks {
    /// Those of an empty segment.
    fn default() -> Self {
        Self::starting_at(FIRST_OFFSET)
    }
}

impl Marks {
    /// The next mark will not speak for anything before this offset.
    pub(crate) fn starting_at(offset: u64) -> Self {
        Self { from: offset, marked: offset, before: Documents::new(), since: Documents::new() }
    }

    /// Takes note of a record.
    pub(crate) fn note(&mut self, name: &DocumentName, sequence: u64) {
        match self.since.get_mut(name) {
            Some(last) => *last = sequence.max(*last),
            None => drop(self.since.insert(name.clone(), sequence)),
        }
    }

    /// Takes note of the deletion of a document.
    pub(crate) fn forget(&mut self, name: &DocumentName) {
        self.before.remove(name);
        self.since.remove(name);
    }

    /// Up to where the segment is marked.
    pub(crate) fn marked(&self) -> u64 {
        self.marked
    }

    /// Whether the batch at `end` is to begin with a mark.
    pub(crate) fn is_due(&self, end: u64) -> bool {
        end - self.marked >= MARK_BYTES
    }

    /// Appends a mark that is written in the batch at this offset. If the names are more than a record can hold, it speaks for
    /// nothing.
    pub(crate) fn encode(&self, batch: u64, marker: u64, out: &mut Vec<u8>) {
        let mut payload = Vec::new();
        let older = self.before.iter().filter(|(name, _)| !self.since.contains_key(*name));
        let mut documents: Vec<_> = older.chain(&self.since).collect();
        documents.sort_unstable();
        for (name, sequence) in documents {
            let len = u16::try_from(name.as_str().len()).expect("a name is short");
            payload.extend_from_slice(&sequence.to_le_bytes());
            payload.extend_from_slice(&len.to_le_bytes());
            payload.extend_from_slice(name.as_str().as_bytes());
        }
        let (sequence, payload) =
            if payload.len() <= MAX_PAYLOAD_BYTES { (self.from, &payload[..]) } else { (batch, &[][..]) };
        let record = Record {
            kind: Kind::Mark,
            name: "",
            sequence,
            time: 0,
            subject: "",
            payload,
            batch,
            moved: false,
        };
        record.encode(marker, out);
    }

    /// A mark was written, and ends here.
    pub(crate) fn mark(&mut self, end: u64) {
        (self.from, self.marked) = (self.marked, end);
        self.before = std::mem::take(&mut self.since);
    }
}

impl Mark {
    /// Reads a record of the kind [`Kind::Mark`]; `None` if its payload is not what the format says.
    pub(crate) fn read(record: &Record<'_>) -> Option<Self> {
        let (mut rest, mut documents) = (record.payload, Vec::new());
        while !rest.is_empty() {
            let (sequence, after) = rest.split_first_chunk()?;
            let (len, after) = after.split_first_chunk()?;
            let (name, after) = after.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
            documents.push((DocumentName::from_bytes(name).ok()?, u64::from_le_bytes(*sequence)));
            rest = after;
        }
        Some(Self { from: record.sequence, documents })
    }
}

/// Whether what was found is a mark but for one bit: the disk has damaged it. A write that was cut short lacks the mark's end or
/// start, and has zeros there.
pub(crate) fn is_damaged(mark: &[u8], found: &[u8]) -> bool {
    let Some(at) = mark.iter().zip(found).position(|(byte, found)| byte != found) else { return false };
    let is_one_bit = (mark[at] ^ found[at]).is_power_of_two() && mark[at + 1..] == found[at + 1..];
    let is_zero = |part: &[u8]| part.iter().all(|byte| *byte == 0);
    is_one_bit && !is_zero(&found[..=at]) && !is_zero(&found[at..])
}
