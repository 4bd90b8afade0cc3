//! One compressed message that is complete: inflated a piece at a time, into frames.

use std::mem;

use flate2::{Decompress, FlushDecompress, Status};
use tokio::io::ReadBuf;

use super::header::{CONTINUATION, FIN, MASKED, TWO_BYTES};
use super::{InflateError, put};
use crate::deflate::TAIL;
use crate::large::MessageBytes;
use crate::limits::{LARGE_INFLATION_BYTES, PIECE_BYTES, RESET_COST};

/// The header of such a frame, with a mask that changes nothing.
const PIECE_HEADER: usize = 8;

/// A compressed byte inflates to so many at most: a match of 258 bytes takes two bits.
const MOST_INFLATED: usize = 1032;

/// The last bytes that were inflated: messages that follow may refer to them, unless each is compressed by itself.
#[derive(Debug)]
pub(super) struct Window {
    bytes: Vec<u8>,
    most: usize,
}

impl Window {
    /// Nothing was inflated. It will have `most` bytes at most.
    pub(super) fn new(most: usize) -> Window {
        Window { bytes: Vec::new(), most }
    }

    /// Takes out the bytes that there are, to be continued and put back.
    pub(super) fn take(&mut self) -> Window {
        Window { bytes: mem::take(&mut self.bytes), most: self.most }
    }

    fn append(&mut self, inflated: &[u8]) {
        let inflated = &inflated[inflated.len().saturating_sub(self.most)..];
        let kept = self.bytes.len().min(self.most - inflated.len());
        self.bytes.drain(..self.bytes.len() - kept);
        // A connection holds no more than it may use.
        let (capacity, wanted) = (self.bytes.capacity(), kept + inflated.len());
        if capacity < wanted {
            self.bytes.reserve_exact((2 * capacity).clamp(wanted, self.most) - kept);
        }
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
pub(super) struct Inflation {
    stream: Decompress,
    window: Window,
    /// The window as it was before, while inflated bytes are only counted.
    before: Vec<u8>,
    compressed: Vec<u8>,
    taken: usize,
    inflated: usize,
    max_message_bytes: usize,
    /// Inflated bytes are only counted, up to the end; then inflation begins again.
    measures: bool,
    opcode: u8,
    /// A frame with a piece of the message, and how much of it was passed on.
    frame: Vec<u8>,
    passed: usize,
    finished: bool,
}

impl Inflation {
    /// For a message of which nothing has been inflated; `compressed` is without its tail, and may refer to `window`.
    pub(super) fn new(
        opcode: u8,
        mut compressed: Vec<u8>,
        limits: MessageBytes,
        window: Window,
    ) -> Result<Inflation, InflateError> {
        // Small messages are the most frequent by far.
        let piece = compressed.len().saturating_mul(4).clamp(512, PIECE_BYTES);
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

    /// Bytes that it has in memory, beside its stream.
    pub(super) fn held(&self) -> usize {
        self.compressed.len() + self.frame.len() + self.before.len()
    }

    /// Whether all of it has been passed on.
    pub(super) fn is_passed(&self) -> bool {
        self.finished && self.passed == self.frame.len()
    }

    /// Whether it is only counted how many bytes it inflates to: [`Self::measure`] goes on with that.
    pub(super) fn measures(&self) -> bool {
        self.measures
    }

    /// The window for the messages after it.
    pub(super) fn into_window(self) -> Window {
        self.window
    }

    /// Whether so much of it was inflated, to be passed on, that it has to wait for its turn.
    pub(super) fn is_large(&self) -> bool {
        self.inflated > LARGE_INFLATION_BYTES && !self.measures
    }

    /// Inflates another piece for nothing, and gives how many bytes that were so far.
    pub(super) fn measure(&mut self, budget: &mut usize) -> Result<usize, InflateError> {
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

    /// Writes as many bytes as there is room for; false if that was the end.
    pub(super) fn write(&mut self, out: &mut ReadBuf<'_>, budget: &mut usize) -> Result<bool, InflateError> {
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
            self.frame.reserve(PIECE_HEADER + PIECE_BYTES);
        }
        self.frame.resize(PIECE_HEADER, 0);
        let most = self.frame.capacity().min(PIECE_HEADER + PIECE_BYTES);
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
                // A block that calls itself the last: the bytes after it are read as a new stream (RFC 7692, section 7.2.3.5).
                // No client is known that would refer to the stream before; that is an error here.
                self.stream.reset(false);
                *budget = budget.saturating_sub(RESET_COST);
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
