//! Turns compressed messages into plain ones on their way from the socket to tungstenite, which knows nothing of
//! compression.
//!
//! Frames of plain messages pass as they are, faults and all: tungstenite sees them. So does everything with a reserved bit
//! that is not the beginning of a compressed message. What is taken out are compressed messages, whole and in however many
//! frames; control frames between these pass. Nothing is inflated before the last byte is there, so a peer occupies no more
//! memory than it has sent; then it is inflated a piece at a time, as fast as it is read, into frames of one message. Large
//! ones wait for their turn, because a thousand connections that each send a few kilobytes could fill any memory.
//!
//! Messages above the usual size, compressed or not, wait for a right of their own (`large.rs`) before they are read on. How
//! large a compressed one will be is found by inflating it once for nothing.

mod header;

use std::mem;
use std::task::{Context, Poll};

use flate2::{Decompress, FlushDecompress, Status};
use tokio::io::ReadBuf;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use self::header::{
    BINARY, COMPRESSED, CONTINUATION, CONTROL, FIN, Header, MASKED, OPCODE, RESERVED, TEXT, TWO_BYTES,
};
use crate::deflate::TAIL;
use crate::large::{Claim, MessageBytes, Right};
use crate::permit::Permit;
use crate::yielding::wake_after_others;

/// Most bytes of a frame with inflated content; its length must fit into 16 bits.
const PIECE: usize = 16 << 10;

/// The header of such a frame, with a mask that changes nothing.
const PIECE_HEADER: usize = 8;

/// What a message may inflate to without waiting for a turn: more than nearly all do.
const LARGE: usize = 64 << 10;

/// A compressed byte inflates to so many at most: a match of 258 bytes takes two bits.
const MOST_INFLATED: usize = 1032;

/// Compressed bytes that are read before others have the processor, whatever they inflate to: it may be nothing.
const INPUT: usize = 16 << 10;

/// What the end of a stream costs in these terms, after which another may begin.
const RESET: usize = 64;

/// Larger messages that are inflated at the same time, by all connections of the process, and not yet handed on.
static LARGE_MESSAGES: Semaphore = Semaphore::const_new(4);

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
    /// The end of the messages before, if messages may come compressed.
    window: Option<Window>,
    /// How large the message that is being passed on is at least.
    message: usize,
    /// The right to read it on, if it is larger than usual.
    claim: Claim,
    /// What came from the socket; up to `taken` it has been dealt with.
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
    /// to how many bytes of the messages before them they may refer.
    pub fn new(limits: MessageBytes, window: Option<usize>, received: Vec<u8>) -> Inflating {
        Inflating {
            limits,
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

    /// Gives back the right to inflate a large message, if that is passed on to its end and in memory elsewhere, in bounds.
    pub(crate) fn release(&mut self) {
        if self.inflation.as_ref().is_none_or(Inflation::is_passed) {
            self.end_inflation();
            self.turn = Permit::default();
        }
    }

    fn end_inflation(&mut self) {
        if let Some(inflation) = self.inflation.take() {
            self.window = Some(inflation.window);
        }
    }

    /// Passes on as many bytes as `out` has room for, and says whether there were any. Pending while another's turn comes first,
    /// and after 16 KiB of compressed bytes that inflated to nothing. O(bytes in + bytes out); a message that may be above the
    /// usual size is inflated twice.
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
        let mut input = INPUT;
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
            if unusual && self.claim.poll(cx).is_pending()
                || large && self.turn.poll(&LARGE_MESSAGES, cx).is_pending()
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
            if inflation.measures {
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
                    self.inflation = Some(Inflation::new(message, self.limits, window.take())?);
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

    /// Decides what becomes of a frame whose header is known.
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

/// The end of what was inflated: what follows may refer to it, unless each message is compressed by itself.
#[derive(Debug)]
struct Window {
    bytes: Vec<u8>,
    most: usize,
}

impl Window {
    fn new(most: usize) -> Window {
        Window { bytes: Vec::new(), most }
    }

    /// Takes out what there is, to be continued and put back.
    fn take(&mut self) -> Window {
        Window { bytes: mem::take(&mut self.bytes), most: self.most }
    }

    fn append(&mut self, inflated: &[u8]) {
        let inflated = &inflated[inflated.len().saturating_sub(self.most)..];
        let kept = self.bytes.len().min(self.most - inflated.len());
        self.bytes.drain(..self.bytes.len() - kept);
        self.bytes.extend_from_slice(inflated);
    }

    /// Lets a stream that begins refer to it.
    fn precede(&self, stream: &mut Decompress) -> Result<(), InflateError> {
        if !self.bytes.is_empty() {
            stream.set_dictionary(&self.bytes).map_err(|_| InflateError::Damaged)?;
        }
        Ok(())
    }
}

/// A compressed message that is complete, and is inflated as far as it is read.
#[derive(Debug)]
struct Inflation {
    stream: Decompress,
    window: Window,
    /// The window as it was before, while what is inflated is only counted.
    before: Vec<u8>,
    compressed: Vec<u8>,
    taken: usize,
    inflated: usize,
    max_message_bytes: usize,
    /// What is inflated is only counted, up to the end; then it begins again.
    measures: bool,
    opcode: u8,
    /// A frame with a piece of the message, and how much of it was passed on.
    frame: Vec<u8>,
    passed: usize,
    finished: bool,
}

impl Inflation {
    fn new(message: Gathered, limits: MessageBytes, window: Window) -> Result<Inflation, InflateError> {
        let Gathered { opcode, mut compressed } = message;
        // Small messages are the most frequent by far.
        let piece = compressed.len().saturating_mul(4).clamp(512, PIECE);
        compressed.extend_from_slice(&TAIL);
        let may_be_unusual = compressed.len().saturating_mul(MOST_INFLATED) > limits.usual;
        let measures = limits.usual < limits.most && may_be_unusual;
        // Forty kilobytes that are made in a third of a microsecond: nothing to keep between messages.
        let mut stream = Decompress::new(false);
        window.precede(&mut stream)?;
        Ok(Inflation {
            stream,
            before: if measures { window.bytes.clone() } else { Vec::new() },
            window,
            compressed,
            taken: 0,
            inflated: 0,
            max_message_bytes: limits.most,
            measures,
            opcode,
            frame: Vec::with_capacity(PIECE_HEADER + piece),
            passed: 0,
            finished: false,
        })
    }

    fn is_passed(&self) -> bool {
        self.finished && self.passed == self.frame.len()
    }

    fn is_large(&self) -> bool {
        self.inflated > LARGE && !self.measures
    }

    /// Inflates another piece for nothing, and gives how much that was so far.
    fn measure(&mut self, budget: &mut usize) -> Result<usize, InflateError> {
        let (before, opcode) = (self.inflated, self.opcode);
        self.inflate_piece(budget)?;
        let inflated = self.inflated;
        *budget = budget.saturating_sub(inflated - before);
        if mem::take(&mut self.finished) {
            self.window.bytes = mem::take(&mut self.before);
            self.stream.reset(false);
            self.window.precede(&mut self.stream)?;
            (self.taken, self.inflated, self.measures) = (0, 0, false);
        }
        self.frame.clear();
        (self.passed, self.opcode) = (0, opcode);
        Ok(inflated)
    }

    /// Writes what there is room for; false if that was the end.
    fn write(&mut self, out: &mut ReadBuf<'_>, budget: &mut usize) -> Result<bool, InflateError> {
        if self.passed == self.frame.len() {
            if self.finished {
                return Ok(false);
            }
            self.inflate_piece(budget)?;
        }
        self.passed += put(out, &self.frame[self.passed..]);
        Ok(true)
    }

    /// Inflates until the frame is full, the message at its end, or the budget of compressed bytes used up.
    fn inflate_piece(&mut self, budget: &mut usize) -> Result<(), InflateError> {
        self.frame.clear();
        if self.opcode == CONTINUATION {
            self.frame.reserve(PIECE_HEADER + PIECE);
        }
        self.frame.resize(PIECE_HEADER, 0);
        let most = self.frame.capacity().min(PIECE_HEADER + PIECE);
        while !self.finished && self.frame.len() < most && *budget > 0 {
            let (taken, len) = (self.stream.total_in(), self.frame.len());
            let end = self.compressed.len().min(self.taken + *budget);
            let status = self
                .stream
                .decompress_vec(&self.compressed[self.taken..end], &mut self.frame, FlushDecompress::Sync)
                .map_err(|_| InflateError::Damaged)?;
            let taken = usize::try_from(self.stream.total_in() - taken).map_err(|_| InflateError::Damaged)?;
            self.taken += taken;
            *budget = budget.saturating_sub(taken);
            let all = self.taken == self.compressed.len();
            if status == Status::StreamEnd && !all {
                // A block that calls itself the last: what follows is read as a new stream (RFC 7692, section 7.2.3.5). No client is
                // known that would refer to what was before; it is an error here.
                self.stream.reset(false);
                *budget = budget.saturating_sub(RESET);
            } else if all && (self.frame.len() < self.frame.capacity() || status == Status::StreamEnd) {
                self.finished = true;
            } else if taken == 0 && self.frame.len() == len {
                return Err(InflateError::Damaged);
            }
        }
        let piece = self.frame.len() - PIECE_HEADER;
        if piece == 0 && !self.finished {
            // Nothing to pass on, and more to come.
            self.frame.clear();
            self.passed = 0;
            return Ok(());
        }
        self.inflated += piece;
        if self.inflated > self.max_message_bytes {
            return Err(InflateError::TooLarge);
        }
        self.window.append(&self.frame[PIECE_HEADER..]);
        self.write_header(piece)
    }

    /// Puts the header right before the piece. A client's frame must be masked; this mask changes nothing.
    fn write_header(&mut self, piece: usize) -> Result<(), InflateError> {
        let length = u16::try_from(piece).map_err(|_| InflateError::TooLarge)?;
        let fin = if self.finished { FIN } else { 0 };
        let first = fin | mem::take(&mut self.opcode);
        match u8::try_from(length) {
            Ok(short) if short < TWO_BYTES => {
                self.passed = 2;
                self.frame[2..4].copy_from_slice(&[first, MASKED | short]);
            }
            _ => {
                self.passed = 0;
                let [high, low] = length.to_be_bytes();
                self.frame[..4].copy_from_slice(&[first, MASKED | TWO_BYTES, high, low]);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
