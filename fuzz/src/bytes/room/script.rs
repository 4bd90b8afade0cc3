//! What happens to a room, read from bytes.
//!
//! It is written with lib0's primitives, so that histories of real Yjs can be turned into scripts:
//!
//! ```text
//! script = limits, (step, peer, what the step needs)*
//! ```

use coscribe_engine::lib0::{ReadError, Reader, write_var_buf, write_var_uint};
use coscribe_engine::room::RoomLimits;

/// How many peers there can be at the same time.
pub(super) const SLOTS: usize = 4;

/// Clients in whose names edits are made up.
const CLIENTS: usize = 4;

/// One thing that happens. Whoever does it is the peer in a slot, if there is one.
#[derive(Debug)]
pub(super) enum Step<'a> {
    Connect,
    Disconnect,
    /// A frame, whatever is in it.
    Frame(&'a [u8]),
    /// A frame with this update.
    Update(&'a [u8]),
    /// A frame with an update that answers a SyncStep1.
    Answer(&'a [u8]),
    /// A frame with an update that is made up.
    Edit(Vec<u8>),
    /// A frame with awareness states.
    Awareness(&'a [u8]),
    /// The peer asks for what it lacks, truly.
    Ask,
    /// The peer wants to know when all that it sent is durable.
    SyncStatus(&'a [u8]),
    Stalled,
    Drained,
    /// So many more appends are durable.
    Durable(u8),
    /// So many milliseconds pass.
    Tick(u8),
    /// Fan-out took so many tenths of a millisecond.
    FannedOut(u8),
}

/// The number of a step in a script.
pub(super) mod number {
    pub(crate) const CONNECT: u8 = 0;
    pub(crate) const UPDATE: u8 = 3;
    pub(crate) const AWARENESS: u8 = 6;
    pub(crate) const ASK: u8 = 7;
    pub(crate) const SYNC_STATUS: u8 = 8;
    pub(crate) const STALLED: u8 = 9;
    pub(crate) const DRAINED: u8 = 10;
    pub(crate) const DURABLE: u8 = 11;
    pub(crate) const TICK: u8 = 12;
}

/// Reads one step after the other.
pub(super) struct Script<'a> {
    reader: Reader<'a>,
    edits: Edits,
}

impl<'a> Script<'a> {
    /// The script in some bytes, and the limits of its room.
    pub(super) fn read(data: &'a [u8]) -> Result<(Self, RoomLimits), ReadError> {
        let mut reader = Reader::new(data);
        let mut limits = RoomLimits::default();
        match reader.u8()? % 4 {
            1 => limits.parked_bytes = 2048,
            2 => limits.document_bytes = 2048,
            _ => {}
        }
        Ok((Self { reader, edits: Edits::default() }, limits))
    }

    /// The next step, and the slot of whose it is; an error at the end.
    pub(super) fn next(&mut self) -> Result<(usize, Step<'a>), ReadError> {
        let reader = &mut self.reader;
        let (step, slot) = (reader.u8()?, usize::from(reader.u8()?) % SLOTS);
        let step = match step % 14 {
            number::CONNECT => Step::Connect,
            1 => Step::Disconnect,
            2 => Step::Frame(reader.var_buf()?),
            number::UPDATE => Step::Update(reader.var_buf()?),
            4 => Step::Answer(reader.var_buf()?),
            5 => Step::Edit(self.edits.read(reader)?),
            number::AWARENESS => Step::Awareness(reader.var_buf()?),
            number::ASK => Step::Ask,
            number::SYNC_STATUS => Step::SyncStatus(reader.var_buf()?),
            number::STALLED => Step::Stalled,
            number::DRAINED => Step::Drained,
            number::DURABLE => Step::Durable(reader.u8()?),
            number::TICK => Step::Tick(reader.u8()?),
            _ => Step::FannedOut(reader.u8()?),
        };
        Ok((slot, step))
    }
}

/// Makes up updates that mostly follow each other.
#[derive(Default)]
struct Edits {
    /// What each client writes next.
    next: [u32; CLIENTS],
}

impl Edits {
    /// Reads who writes how much, after how large a gap (or how much of it again), where, and what is deleted.
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<Vec<u8>, ReadError> {
        let (who, shift, len) = (reader.u8()?, i32::from(reader.u8()?.cast_signed()), reader.u8()? % 16);
        let client = usize::from(who) % CLIENTS;
        let clock = self.next[client].saturating_add_signed(shift);
        self.next[client] = clock + u32::from(len);
        let mut update = vec![1, 1];
        write_id(client, clock, &mut update);
        match who >> 6 {
            0 => update.extend([4, 1, 1, b't']),
            1 => {
                update.push(0x84);
                // The element before, as somebody who types.
                write_id(client, clock.saturating_sub(1), &mut update);
            }
            kind => {
                update.push(if kind == 2 { 0x84 } else { 0x44 });
                write_id(usize::from(reader.u8()?) % CLIENTS, reader.u8()?.into(), &mut update);
            }
        }
        write_var_buf(&mut update, &b"abcdefghijklmnop"[..usize::from(len)]);
        match reader.u8()? {
            deleted @ 1..16 => {
                update.push(1);
                write_var_uint(&mut update, u64::from(deleted) % CLIENTS as u64 + 1);
                update.push(1);
                write_var_uint(&mut update, u64::from(reader.u8()?));
                write_var_uint(&mut update, u64::from(reader.u8()?));
            }
            _ => update.push(0),
        }
        Ok(update)
    }
}

fn write_id(client: usize, clock: u32, out: &mut Vec<u8>) {
    write_var_uint(out, client as u64 + 1);
    write_var_uint(out, clock.into());
}
