//! The sync messages of y-protocols, which every dialect carries: `type, varBuf`.
//!
//! 0 SyncStep1 (a state vector: send me what I lack) · 1 SyncStep2 (an update: what you lacked) · 2 Update (what is new).

use bytes::Bytes;

use super::MessageError;
use crate::lib0::{Reader, var_uint_len, write_var_buf, write_var_uint};
use crate::message::{Inbound, Outbound};

const STEP_1: u64 = 0;
pub(super) const STEP_2: u64 = 1;
pub(super) const UPDATE: u64 = 2;

/// A sync message, as a view of its bytes.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum SyncMessage<'a> {
    /// The sender's state vector: it wants what it lacks.
    Step1(&'a [u8]),
    /// What the receiver lacked, as an update.
    Step2(&'a [u8]),
    /// What is new, as an update.
    Update(&'a [u8]),
}

impl<'a> SyncMessage<'a> {
    /// Reads one message.
    ///
    /// # Errors
    /// If it is cut short or of an unknown type.
    pub fn read(reader: &mut Reader<'a>) -> Result<Self, MessageError> {
        let kind = reader.var_uint()?;
        match kind {
            STEP_1 => Ok(Self::Step1(reader.var_buf()?)),
            STEP_2 => Ok(Self::Step2(reader.var_buf()?)),
            UPDATE => Ok(Self::Update(reader.var_buf()?)),
            unknown => Err(MessageError::UnknownSyncType(unknown)),
        }
    }

    /// The message of a client as a part of the frame that it was read from.
    pub(super) fn inbound(self, frame: &Bytes) -> Inbound {
        match self {
            Self::Step1(known) => Inbound::Step1(frame.slice_ref(known)),
            Self::Step2(update) => Inbound::Step2(frame.slice_ref(update)),
            Self::Update(update) => Inbound::Update(frame.slice_ref(update)),
        }
    }

    /// The message of a server as a part of the frame that it was read from.
    pub(super) fn outbound(self, frame: &Bytes) -> Outbound {
        match self {
            Self::Step1(known) => Outbound::Step1(frame.slice_ref(known)),
            Self::Step2(update) => Outbound::Step2(frame.slice_ref(update).into()),
            Self::Update(update) => Outbound::Update(frame.slice_ref(update).into()),
        }
    }

    /// Appends the message.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (kind, body) = self.parts();
        write_var_uint(out, kind);
        write_var_buf(out, body);
    }

    /// How many bytes [`Self::write`] appends.
    pub fn encoded_len(&self) -> usize {
        let (_, body) = self.parts();
        1 + var_uint_len(body.len() as u64) + body.len()
    }

    fn parts(&self) -> (u64, &'a [u8]) {
        match *self {
            Self::Step1(state_vector) => (STEP_1, state_vector),
            Self::Step2(update) => (STEP_2, update),
            Self::Update(update) => (UPDATE, update),
        }
    }
}
