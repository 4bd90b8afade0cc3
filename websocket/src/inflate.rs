//! Turns compressed messages into plain ones on their way from the socket to tungstenite, which knows nothing of
//! compression.
//!
//! Frames of plain messages pass as they are, faults and all: tungstenite sees them. So does everything with a reserved bit
//! that is not the beginning of a compressed message. Compressed messages are taken out, whole and in however many
//! frames; control frames between these pass. Nothing is inflated before the last byte is there, so a peer occupies no more
//! memory than it has sent; then it is inflated a piece at a time, as fast as it is read, into frames of one message. Large
//! ones wait for their turn, because a thousand connections that each send a few kilobytes could fill any memory.
//!
//! Messages above the usual size, compressed or not, wait for a right of their own (`large.rs`) before they are read on. How
//! large a compressed one will be is found by inflating it once for nothing.

mod header;
mod inflation;

use std::mem;
use std::sync::LazyLock;
use std::task::{Context, Poll};

use coscribe_turns::{Party, Turns};
use tokio::io::ReadBuf;
use tokio::time::Instant;

use self::header::{BINARY, COMPRESSED, CONTINUATION, CONTROL, FIN, Header, OPCODE, RESERVED, TEXT};
use self::inflation::{Inflation, Window};
use crate::large::{Claim, MessageBytes, Right};
use crate::limits::{INFLATED_IN_A_TURN, LARGE_INFLATIONS};
use crate::permit::Permit;
use crate::yielding::wake_after_others;

/// One for each large message that is being inflated, in the whole process.
static TURNS: LazyLock<Turns> = LazyLock::new(|| Turns::new(LARGE_INFLATIONS));

/// Why a compressed message cannot be read.
#[derive(Debug, Copy, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    /// It is larger than a message may be, compressed or not.
    #[error("the message is too large")]
    TooLarge,
    /// It was not compressed by DEFLATE.
    #[error("the message cannot be decompressed")]
    Damaged,
    /// Another message began before it was complete.
    #[error("a message inside another one")]
    Interleaved,
}

/// The bytes of one connection on their way in.
pub struct Inflating {
    limits: MessageBytes,
    /// Whose turns these are.
    party: Party,
    /// The end of the messages before, if messages may come compressed.
    window: Option<Window>,
    /// How large the message that is being passed on is at least.
    message: usize,
    /// The right to read it on, if it is larger than usual.
    claim: Claim,
    /// Bytes from the socket; those before `taken` are done.
    received: Vec<u8>,
    taken: usize,
    step: Step,
    header: Header,
    /// A compressed message of which the end has not come.
    gathered: Option<Gathered>,
    /// A compressed message that is being passed on.
    inflation: Option<Inflation>,
    /// The right to inflate a large message.
    turn: Permit,
}

/// Where in a frame we are.
#[derive(Debug)]
enum Step {
    /// In its header.
    Header,
    /// In a frame that passes as it is: how much of the header has, and how much of the rest has not.
    Pass { header: usize, left: u64, ends_message: bool },
    /// In a frame of a compressed message: how much is missing, and how its next byte is masked.
    Gather { left: usize, mask: [u8; 4], last: bool },
}

#[derive(Debug)]
struct Gathered {
    opcode: u8,
    compressed: Vec<u8>,
}

impl Gathered {
    fn gather(&mut self, part: &[u8], mask: [u8; 4]) {
        let before = self.compressed.len();
        self.compressed.extend_from_slice(part);
        for four in self.compressed[before..].chunks_mut(4) {
            four.iter_mut().zip(mask).for_each(|(byte, key)| *byte ^= key);
        }
    }
}

impl Inflating {
    /// For a connection of which the bytes in `received` have been read already. Messages may come compressed if `window` says
    /// to how many bytes of the messages before them they may refer. `party` shares its turns with its other connections.
    pub fn new(limits: MessageBytes, window: Option<usize>, received: Vec<u8>, party: Party) -> Inflating {
        Inflating {
            limits,
            party,
            window: window.map(Window::new),
            message: 0,
            claim: Claim::default(),
            received,
            taken: 0,
            step: Step::Header,
            header: Header::default(),
            gathered: None,
            inflation: None,
            turn: Permit::default(),
        }
    }

    /// Takes bytes from the socket. To be called only after [`Self::poll_pass`] had nothing to give.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
        self.claim.receive(bytes.len());
    }

    /// Whether a message larger than usual waits for its turn.
    pub(crate) fn is_waiting(&self) -> bool {
        self.claim.is_waiting()
    }

    /// When such a message is too slow if no more of it has come.
    pub(crate) fn too_slow_at(&self) -> Option<Instant> {
        self.claim.too_slow_at().filter(|_| self.inflation.is_none())
    }

    /// A message has been handed on: with the right to have it in memory, if it is larger than usual.
    pub(crate) fn take_right(&mut self) -> Option<Right> {
        self.claim.take()
    }

    /// Bytes in memory of what has come and was not passed on: of compressed messages, and of frames.
    pub(crate) fn held(&self) -> usize {
        let gathered = self.gathered.as_ref().map_or(0, |message| message.compressed.len());
        let inflation = self.inflation.as_ref().map_or(0, Inflation::held);
        self.received.len() + gathered + inflation
    }

    /// Gives back the right to inflate a large message, if that is passed on to its end and in memory elsewhere, in bounds.
    pub(crate) fn release(&mut self) {
        if self.inflation.as_ref().is_none_or(Inflation::is_passed) {
            self.end_inflation();
            self.turn = Permit::default();
        }
    }

    fn end_inflation(&mut self) {
        if let Some(inflation) = self.inflation.take() {
            self.window = Some(inflation.into_window());
        }
    }

    /// Passes on as many bytes as `out` has room for, and says whether there were any. Pending while another's turn comes
    /// first, and after 16 KiB of compressed bytes that inflated to nothing. O(bytes in + bytes out); a message that may be
    /// above the usual size is inflated twice.
    ///
    /// # Errors
    /// If the peer breaks the protocol or a limit. Nothing more can be passed on then.
    pub fn poll_pass(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<Result<bool, InflateError>> {
        let before = out.filled().len();
        // More is only asked for when the message before has been handed on.
        self.release();
        let mut input = INFLATED_IN_A_TURN;
        while out.remaining() > 0 {
            if input == 0 {
                if out.filled().len() > before {
                    break;
                }
                wake_after_others(cx);
                return Poll::Pending;
            }
            let unusual = self.message > self.limits.usual;
            let large = self.inflation.as_ref().is_some_and(Inflation::is_large);
            if unusual && self.claim.poll(self.party, cx).is_pending()
                || large && self.turn.poll(&TURNS, self.party, cx).is_pending()
            {
                return if out.filled().len() > before { Poll::Ready(Ok(true)) } else { Poll::Pending };
            }
            if !self.advance(out, &mut input)? {
                break;
            }
        }
        if self.taken == self.received.len() {
            // An idle connection keeps no buffer.
            self.received = Vec::new();
            self.taken = 0;
        }
        Poll::Ready(Ok(out.filled().len() > before))
    }

    /// Makes one step; false if that takes more bytes than have come.
    fn advance(&mut self, out: &mut ReadBuf<'_>, budget: &mut usize) -> Result<bool, InflateError> {
        if let Some(inflation) = &mut self.inflation {
            if inflation.measures() {
                let least = inflation.measure(budget)?;
                self.message = self.message.max(least);
            } else if !inflation.write(out, budget)? {
                self.end_inflation();
                self.message = 0;
            }
            return Ok(true);
        }
        let input = &self.received[self.taken..];
        match &mut self.step {
            Step::Header => {
                self.taken += self.header.fill(input);
                if !self.header.is_complete() {
                    return Ok(false);
                }
                self.step = self.begin_frame()?;
            }
            Step::Pass { header, .. } if *header < self.header.len => {
                *header += put(out, &self.header.bytes[*header..self.header.len]);
            }
            Step::Pass { left: 0, ends_message, .. } => {
                if *ends_message {
                    self.message = 0;
                }
                self.end_frame();
            }
            Step::Pass { left, .. } => {
                let most = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                let passed = put(out, &input[..most]);
                *left -= passed as u64;
                self.taken += passed;
                return Ok(passed > 0);
            }
            Step::Gather { left: 0, last, .. } => {
                if mem::take(last)
                    && let (Some(message), Some(window)) = (self.gathered.take(), &mut self.window)
                {
                    let Gathered { opcode, compressed } = message;
                    self.inflation = Some(Inflation::new(opcode, compressed, self.limits, window.take())?);
                }
                self.end_frame();
            }
            Step::Gather { left, mask, .. } => {
                let (Some(message), false) = (&mut self.gathered, input.is_empty()) else { return Ok(false) };
                let part = &input[..input.len().min(*left)];
                message.gather(part, *mask);
                mask.rotate_left(part.len() % 4);
                *left -= part.len();
                self.taken += part.len();
            }
        }
        Ok(true)
    }

    /// Decides how to go on with a frame whose header is known.
    fn begin_frame(&mut self) -> Result<Step, InflateError> {
        let Header { bytes: [first, ..], .. } = self.header;
        let (last, reserved, opcode) = (first & FIN != 0, first & RESERVED, first & OPCODE);
        let length = self.header.payload_length();
        let begins = self.window.is_some()
            && reserved == COMPRESSED
            && matches!(opcode, TEXT | BINARY)
            && self.gathered.is_none();
        let continues = reserved == 0 && opcode == CONTINUATION && self.gathered.is_some();
        if reserved == 0 && matches!(opcode, TEXT | BINARY) && self.gathered.is_some() {
            return Err(InflateError::Interleaved);
        }
        match self.header.mask() {
            Some(mask) if begins || continues => {
                let message = self.gathered.get_or_insert(Gathered { opcode, compressed: Vec::new() });
                let before = message.compressed.len();
                let left = usize::try_from(length).unwrap_or(usize::MAX);
                self.count_frame(before, left)?;
                Ok(Step::Gather { left, mask, last })
            }
            _ => {
                let is_control = opcode & CONTROL != 0;
                if !is_control {
                    let before = if opcode == CONTINUATION { self.message } else { 0 };
                    self.count_frame(before, usize::try_from(length).unwrap_or(usize::MAX))?;
                }
                Ok(Step::Pass { header: 0, left: length, ends_message: last && !is_control })
            }
        }
    }

    /// A frame begins with so much more of a message of which there was so much before.
    fn count_frame(&mut self, before: usize, bytes: usize) -> Result<(), InflateError> {
        if bytes > self.limits.most.saturating_sub(before) {
            return Err(InflateError::TooLarge);
        }
        self.message = before + bytes;
        Ok(())
    }

    fn end_frame(&mut self) {
        self.header.len = 0;
        self.step = Step::Header;
    }
}

/// Copies as much as there is room for, and says how much.
fn put(out: &mut ReadBuf<'_>, bytes: &[u8]) -> usize {
    let part = &bytes[..bytes.len().min(out.remaining())];
    out.put_slice(part);
    part.len()
}

#[cfg(test)]
mod tests;
