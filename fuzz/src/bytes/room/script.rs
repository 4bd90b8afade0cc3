//! The events of a room, read from bytes.
//!
//! It is written with lib0's primitives, so that histories of real Yjs can be turned into scripts:
//!
//! ```text
//! script = limits, whether the inbox is mostly empty, and how it ends; (step, peer, what the step needs)*
//! ```

use coscribe_engine::lib0::{ReadError, Reader};
use coscribe_engine::room::RoomLimits;

use super::made_up::MadeUp;
use crate::limits;

/// How many peers there can be at the same time, beside a crowd that does not keep up.
pub(super) const SLOTS: usize = 4;

/// Bits of the first byte: the room ticks after each step, as it does when nothing else is in its inbox; and in the end nothing
/// is mended, but what the room has kept is measured.
const EAGER: u8 = 0x80;
pub(super) const ABRUPT: u8 = 0x40;

/// One event, mostly of the peer in a slot.
#[derive(Debug)]
pub(super) enum Step<'a> {
    Connect,
    Disconnect,
    /// A frame with any bytes.
    Frame(&'a [u8]),
    /// An update.
    Update(Vec<u8>),
    /// An update that answers a SyncStep1.
    Answer(&'a [u8]),
    /// Awareness states.
    Awareness(Vec<u8>),
    /// The peer asks for what it lacks, truly.
    Ask,
    /// The peer asks for what it might lack, if this state vector were true.
    Claim(Vec<u8>),
    /// The peer wants to know when all that it sent is durable.
    SyncStatus(&'a [u8]),
    /// From here on the peer's messages wait, or all that wait are sent in one frame.
    Gather,
    /// The messages of the peer's last frame, so many times in one frame.
    Repeat(usize),
    Stalled,
    Drained,
    /// So many more peers come, and don't keep up.
    Crowd(u8),
    /// So many more appends are durable.
    Durable(u8),
    /// So many milliseconds pass.
    Tick(u8),
    /// Fan-out took so many tenths of a millisecond.
    Load(u8),
}

/// The number of a step in a script. Numbers from [`number::LARGE`] on are steps of large frames; of those before it, only
/// the rest by 14 counts.
pub(super) mod number {
    pub(crate) const CONNECT: u8 = 0;
    pub(crate) const FRAME: u8 = 2;
    pub(crate) const UPDATE: u8 = 3;
    pub(crate) const AWARENESS: u8 = 6;
    pub(crate) const ASK: u8 = 7;
    pub(crate) const SYNC_STATUS: u8 = 8;
    pub(crate) const STALLED: u8 = 9;
    pub(crate) const DRAINED: u8 = 10;
    pub(crate) const DURABLE: u8 = 11;
    pub(crate) const TICK: u8 = 12;
    pub(crate) const LARGE: u8 = 0xe0;
    pub(crate) const GATHER: u8 = LARGE;
    pub(crate) const REPEAT: u8 = LARGE + 1;
    pub(crate) const LONG: u8 = LARGE + 2;
    pub(crate) const BLOCKS: u8 = LARGE + 3;
    pub(crate) const CLIENTS: u8 = LARGE + 4;
    pub(crate) const RANGES: u8 = LARGE + 5;
    pub(crate) const STATES: u8 = LARGE + 6;
    pub(crate) const CLAIM: u8 = LARGE + 7;
    pub(crate) const CROWD: u8 = LARGE + 8;
}

/// Reads one step after the other.
pub(super) struct Script<'a> {
    reader: Reader<'a>,
    made_up: MadeUp,
    /// Whether the room ticks after each step.
    pub(super) eager: bool,
    /// Whether it ends as it is.
    pub(super) abrupt: bool,
}

impl<'a> Script<'a> {
    /// The script in some bytes, and the limits of its room.
    pub(super) fn read(data: &'a [u8]) -> Result<(Self, RoomLimits), ReadError> {
        let mut reader = Reader::new(data);
        let mut limits = RoomLimits::default();
        let first = reader.u8()?;
        match first % 4 {
            1 => limits.parked_bytes = 2048,
            2 => limits.document_bytes = 2048,
            _ => {}
        }
        let (eager, abrupt) = (first & EAGER != 0, first & ABRUPT != 0);
        Ok((Self { reader, made_up: MadeUp::default(), eager, abrupt }, limits))
    }

    /// The next step, and the slot of whose it is; an error at the end.
    pub(super) fn next(&mut self) -> Result<(usize, Step<'a>), ReadError> {
        let (step, slot) = (self.reader.u8()?, usize::from(self.reader.u8()?) % SLOTS);
        let step = if step < number::LARGE { self.small(step % 14)? } else { self.large(step)? };
        Ok((slot, step))
    }

    fn small(&mut self, step: u8) -> Result<Step<'a>, ReadError> {
        let reader = &mut self.reader;
        Ok(match step {
            number::CONNECT => Step::Connect,
            1 => Step::Disconnect,
            number::FRAME => Step::Frame(reader.var_buf()?),
            number::UPDATE => Step::Update(reader.var_buf()?.to_vec()),
            4 => Step::Answer(reader.var_buf()?),
            5 => Step::Update(self.made_up.edit(reader)?),
            number::AWARENESS => Step::Awareness(reader.var_buf()?.to_vec()),
            number::ASK => Step::Ask,
            number::SYNC_STATUS => Step::SyncStatus(reader.var_buf()?),
            number::STALLED => Step::Stalled,
            number::DRAINED => Step::Drained,
            number::DURABLE => Step::Durable(reader.u8()?),
            number::TICK => Step::Tick(reader.u8()?),
            _ => Step::Load(reader.u8()?),
        })
    }

    fn large(&mut self, step: u8) -> Result<Step<'a>, ReadError> {
        let (reader, made_up) = (&mut self.reader, &mut self.made_up);
        Ok(match number::LARGE + (step - number::LARGE) % 9 {
            number::GATHER => Step::Gather,
            number::REPEAT => Step::Repeat(made_up.parts(reader, 2)?),
            number::LONG => Step::Update(made_up.long(reader)?),
            number::BLOCKS => Step::Update(made_up.blocks(reader)?),
            number::CLIENTS => Step::Update(made_up.clients(reader)?),
            number::RANGES => Step::Update(made_up.ranges(reader)?),
            number::STATES => Step::Awareness(made_up.awareness(reader)?),
            number::CLAIM => Step::Claim(made_up.state_vector(reader)?),
            _ => Step::Crowd(reader.u8()? % limits::CROWD),
        })
    }
}
