//! Turns compressed messages into plain ones on their way from the socket to tungstenite, which knows nothing of
//! compression.
//!
//! Frames of plain messages pass as they are, faults and all: tungstenite sees them. So does everything with a reserved bit
//! that is not the beginning of a compressed message. What is taken out are compressed messages, whole and in however many
//! frames; control frames between these pass. Nothing is inflated before the last byte is there, so a peer occupies no more
//! memory than it has sent; then it is inflated a piece at a time, as fast as it is read, into frames of one message.

use std::mem;

use flate2::{Decompress, FlushDecompress, Status};
use tokio::io::ReadBuf;

use super::deflate::TAIL;

/// Opcodes of data frames.
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;

/// The reserved bit of a message's first frame that says it is compressed.
const COMPRESSED: u8 = 0x40;

/// The longest header that a client's frame can have.
const LONGEST_HEADER: usize = 14;

/// Most bytes of a frame with inflated content; its length must fit into 16 bits.
const PIECE: usize = 16 << 10;

/// The header of such a frame, with a mask that changes nothing.
const PIECE_HEADER: usize = 8;

/// Why a compressed message cannot be read.
#[derive(Debug, Copy, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InflateError {
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
#[derive(Debug)]
pub(crate) struct Inflating {
    max_message_bytes: usize,
    /// What came from the socket; up to `taken` it has been dealt with.
    received: Vec<u8>,
    taken: usize,
    step: Step,
    header: Header,
    /// A compressed message of which the end has not come.
    gathered: Option<Gathered>,
    /// A compressed message that is being passed on.
    inflation: Option<Inflation>,
}

/// Where in a frame we are.
#[derive(Debug)]
enum Step {
    /// In its header.
    Header,
    /// In a frame that passes as it is: how much of the header has, and how much of the rest has not.
    Pass { header: usize, left: u64 },
    /// In a frame of a compressed message: how much is missing, and how its next byte is masked.
    Gather { left: usize, mask: [u8; 4], last: bool },
}

#[derive(Debug, Default)]
struct Header {
    bytes: [u8; LONGEST_HEADER],
    len: usize,
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
    /// For a connection of which these bytes have been read already.
    pub(crate) fn new(max_message_bytes: usize, received: Vec<u8>) -> Inflating {
        Inflating {
            max_message_bytes,
            received,
            taken: 0,
            step: Step::Header,
            header: Header::default(),
            gathered: None,
            inflation: None,
        }
    }

    /// Takes what came from the socket. To be called only after `pass` had nothing to give.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
    }

    /// Passes on what can be, and tells whether that was anything.
    pub(crate) fn pass(&mut self, out: &mut ReadBuf<'_>) -> Result<bool, InflateError> {
        let before = out.filled().len();
        while out.remaining() > 0 && self.advance(out)? {}
        if self.taken == self.received.len() {
            // An idle connection keeps no buffer.
            self.received = Vec::new();
            self.taken = 0;
        }
        Ok(out.filled().len() > before)
    }

    /// Makes one step; false if that takes more bytes than have come.
    fn advance(&mut self, out: &mut ReadBuf<'_>) -> Result<bool, InflateError> {
        if let Some(inflation) = &mut self.inflation {
            if !inflation.write(out)? {
                self.inflation = None;
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
            Step::Pass { left: 0, .. } => self.end_frame(),
            Step::Pass { left, .. } => {
                let most = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                let passed = put(out, &input[..most]);
                *left -= passed as u64;
                self.taken += passed;
                return Ok(passed > 0);
            }
            Step::Gather { left: 0, last, .. } => {
                if mem::take(last) {
                    let message = self.gathered.take();
                    self.inflation = message.map(|message| Inflation::new(message, self.max_message_bytes));
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
        let (last, reserved, opcode) = (first & 0x80 != 0, first & 0x70, first & 0x0f);
        let length = self.header.payload_length();
        let begins = reserved == COMPRESSED && matches!(opcode, TEXT | BINARY) && self.gathered.is_none();
        let continues = reserved == 0 && opcode == CONTINUATION && self.gathered.is_some();
        if reserved == 0 && matches!(opcode, TEXT | BINARY) && self.gathered.is_some() {
            return Err(InflateError::Interleaved);
        }
        match self.header.mask() {
            Some(mask) if begins || continues => {
                let message = self.gathered.get_or_insert(Gathered { opcode, compressed: Vec::new() });
                let left = usize::try_from(length).unwrap_or(usize::MAX);
                if left > self.max_message_bytes.saturating_sub(message.compressed.len()) {
                    return Err(InflateError::TooLarge);
                }
                Ok(Step::Gather { left, mask, last })
            }
            _ => Ok(Step::Pass { header: 0, left: length }),
        }
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

impl Header {
    /// Takes what is missing of the header, and says how much.
    fn fill(&mut self, input: &[u8]) -> usize {
        let before = self.len;
        // How long it is stands in its second byte.
        while self.len < self.complete_len() && self.len - before < input.len() {
            self.bytes[self.len] = input[self.len - before];
            self.len += 1;
        }
        self.len - before
    }

    fn is_complete(&self) -> bool {
        self.len == self.complete_len()
    }

    fn complete_len(&self) -> usize {
        if self.len < 2 {
            return 2;
        }
        let mask = if self.is_masked() { 4 } else { 0 };
        2 + self.extended().len() + mask
    }

    fn is_masked(&self) -> bool {
        self.bytes[1] & 0x80 != 0
    }

    fn mask(&self) -> Option<[u8; 4]> {
        let mask = &self.bytes[..self.len].last_chunk();
        mask.copied().filter(|_| self.is_masked())
    }

    /// The bytes of a length that does not fit into 7 bits.
    fn extended(&self) -> &[u8] {
        match self.bytes[1] & 0x7f {
            126 => &self.bytes[2..4],
            127 => &self.bytes[2..10],
            _ => &[],
        }
    }

    fn payload_length(&self) -> u64 {
        match self.extended() {
            [] => u64::from(self.bytes[1] & 0x7f),
            extended => extended.iter().fold(0, |length, &byte| length << 8 | u64::from(byte)),
        }
    }
}

/// A compressed message that is complete, and is inflated as far as it is read.
#[derive(Debug)]
struct Inflation {
    stream: Decompress,
    compressed: Vec<u8>,
    taken: usize,
    /// What has been inflated so far may be as much.
    room: usize,
    opcode: u8,
    /// A frame with a piece of the message, and how much of it was passed on.
    frame: Vec<u8>,
    passed: usize,
    finished: bool,
}

impl Inflation {
    fn new(message: Gathered, max_message_bytes: usize) -> Inflation {
        let Gathered { opcode, mut compressed } = message;
        // Small messages are the most frequent by far.
        let piece = compressed.len().saturating_mul(4).clamp(512, PIECE);
        compressed.extend_from_slice(&TAIL);
        Inflation {
            // Forty kilobytes that are made in a third of a microsecond: nothing to keep between messages.
            stream: Decompress::new(false),
            compressed,
            taken: 0,
            room: max_message_bytes,
            opcode,
            frame: Vec::with_capacity(PIECE_HEADER + piece),
            passed: 0,
            finished: false,
        }
    }

    /// Writes what there is room for; false if that was the end.
    fn write(&mut self, out: &mut ReadBuf<'_>) -> Result<bool, InflateError> {
        if self.passed == self.frame.len() {
            if self.finished {
                return Ok(false);
            }
            self.inflate_piece()?;
        }
        self.passed += put(out, &self.frame[self.passed..]);
        Ok(true)
    }

    /// Inflates until the frame is full or the message at its end.
    fn inflate_piece(&mut self) -> Result<(), InflateError> {
        self.frame.clear();
        if self.opcode == CONTINUATION {
            self.frame.reserve(PIECE_HEADER + PIECE);
        }
        self.frame.resize(PIECE_HEADER, 0);
        let most = self.frame.capacity().min(PIECE_HEADER + PIECE);
        while !self.finished && self.frame.len() < most {
            let (taken, len) = (self.stream.total_in(), self.frame.len());
            let status = self
                .stream
                .decompress_vec(&self.compressed[self.taken..], &mut self.frame, FlushDecompress::Sync)
                .map_err(|_| InflateError::Damaged)?;
            let taken = self.stream.total_in() - taken;
            self.taken += usize::try_from(taken).map_err(|_| InflateError::Damaged)?;
            let all = self.taken == self.compressed.len();
            if status == Status::StreamEnd && !all {
                // A block that calls itself the last: what follows is read as a new stream (RFC 7692, section 7.2.3.5).
                self.stream.reset(false);
            } else if all && (self.frame.len() < self.frame.capacity() || status == Status::StreamEnd) {
                self.finished = true;
            } else if taken == 0 && self.frame.len() == len {
                return Err(InflateError::Damaged);
            }
        }
        let piece = self.frame.len() - PIECE_HEADER;
        self.room = self.room.checked_sub(piece).ok_or(InflateError::TooLarge)?;
        self.write_header(piece)
    }

    /// Puts the header right before the piece. A client's frame must be masked; this mask changes nothing.
    fn write_header(&mut self, piece: usize) -> Result<(), InflateError> {
        let length = u16::try_from(piece).map_err(|_| InflateError::TooLarge)?;
        let first = u8::from(self.finished) << 7 | mem::take(&mut self.opcode);
        match u8::try_from(length) {
            Ok(short) if short < 126 => {
                self.passed = 2;
                self.frame[2..4].copy_from_slice(&[first, 0x80 | short]);
            }
            _ => {
                self.passed = 0;
                let [high, low] = length.to_be_bytes();
                self.frame[..4].copy_from_slice(&[first, 0x80 | 126, high, low]);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compress, Compression, FlushCompress};
    use std::io::Cursor;
    use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
    use tokio_tungstenite::tungstenite::{Error, Message};

    const MAX: usize = 1 << 20;

    fn deflate(plain: &[u8]) -> Vec<u8> {
        let mut stream = Compress::new(Compression::fast(), false);
        let mut out = Vec::with_capacity(plain.len() + 100);
        stream.compress_vec(plain, &mut out, FlushCompress::Sync).unwrap();
        out.truncate(out.len() - TAIL.len());
        out
    }

    /// A masked frame; `first` has the FIN bit, the reserved bits and the opcode.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [0x12, 0x34, 0x56, 0x78];
        let mut frame = vec![first];
        match payload.len() {
            len @ 0..126 => frame.push(0x80 | u8::try_from(len).unwrap()),
            len @ 126..65536 => {
                frame.push(0xfe);
                frame.extend(u16::try_from(len).unwrap().to_be_bytes());
            }
            len => {
                frame.push(0xff);
                frame.extend((len as u64).to_be_bytes());
            }
        }
        frame.extend(mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        frame
    }

    /// What comes out of `input`, which arrives in parts of `arriving` bytes and is read in parts of `reading` bytes.
    fn passed(input: &[u8], arriving: usize, reading: usize) -> Result<Vec<u8>, InflateError> {
        let mut inflating = Inflating::new(MAX, Vec::new());
        let mut passed = Vec::new();
        let mut room = vec![0; reading];
        let mut parts = input.chunks(arriving);
        loop {
            let mut out = ReadBuf::new(&mut room);
            if inflating.pass(&mut out)? {
                passed.extend_from_slice(out.filled());
            } else {
                assert_eq!(inflating.received.capacity(), 0, "nothing is kept between messages");
                let Some(part) = parts.next() else { return Ok(passed) };
                inflating.receive(part);
            }
        }
    }

    /// The messages in a stream of frames, as tungstenite reads them, up to the first error.
    fn messages(passed: Vec<u8>) -> (Vec<Message>, Error) {
        let limits = WebSocketConfig::default().max_message_size(Some(MAX)).max_frame_size(Some(MAX));
        let mut socket = WebSocket::from_raw_socket(Cursor::new(passed), Role::Server, Some(limits));
        let mut messages = Vec::new();
        loop {
            match socket.read() {
                Ok(message) => messages.push(message),
                Err(error) => return (messages, error),
            }
        }
    }

    #[test]
    fn plain_frames_pass_byte_by_byte_as_they_are() {
        let long = vec![1; 70_000];
        let frames = [
            frame(0x82, b"binary"),
            frame(0x81, &vec![b'x'; 300]),
            frame(0x02, b"frag"),
            frame(0x89, b"ping"),
            frame(0x80, b"ment"),
            frame(0x82, &long),
            frame(0x82, b""),
            vec![0x82, 3, 1, 2, 3],
            frame(0xa2, b"RSV2"),
            frame(0xc9, b"RSV1 on a ping"),
            frame(0xc0, b"RSV1 on a continuation"),
            frame(0xc3, b"RSV1 on an unknown opcode"),
            vec![0xc2, 3, 1, 2, 3],
        ]
        .concat();
        for (arriving, reading) in [(1, 1), (1, 4096), (4096, 1), (7, 5), (4096, 4096)] {
            assert_eq!(passed(&frames, arriving, reading).unwrap(), frames, "{arriving}, {reading}");
        }
    }

    #[test]
    fn compressed_messages_come_out_plain_however_they_arrive_and_control_frames_between_them_pass() {
        let words: Vec<u8> = (0..30_000u32).flat_map(|n| (n * n % 977).to_string().into_bytes()).collect();
        let (small, large) = (deflate(b"small"), deflate(&words));
        let (head, tail) = large.split_at(large.len() / 3);
        let frames = [
            frame(0xc2, &small),
            frame(0xc1, &small),
            frame(0x42, head),
            frame(0x89, b"ping"),
            frame(0x00, b""),
            frame(0x80, tail),
            frame(0x82, b"plain"),
            frame(0x42, &[]),
            frame(0x80, &[0x00]),
        ]
        .concat();
        let expected = [
            Message::binary(&b"small"[..]),
            Message::text("small"),
            Message::Ping(b"ping"[..].into()),
            Message::binary(words),
            Message::binary(&b"plain"[..]),
            Message::binary(&b""[..]),
        ];
        for (arriving, reading) in [(1, 4096), (4096, 1), (7, 5), (4096, 4096), (frames.len(), 100)] {
            let (read, _) = messages(passed(&frames, arriving, reading).unwrap());
            assert!(read == expected, "{arriving}, {reading}");
        }
    }

    #[test]
    fn blocks_that_call_themselves_the_last_do_not_end_a_message() {
        // RFC 7692, section 7.2.3.5: "Hello" in a block with BFINAL, and the empty block that has to follow it.
        let hello = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        let (read, _) = messages(passed(&frame(0xc1, &hello), 4096, 4096).unwrap());
        assert_eq!(read, [Message::text("Hello")]);
        // Sections 7.2.3.1 and 7.2.3.3: the ordinary form, and a block without compression.
        for hello in [
            &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..],
            &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
        ] {
            let (read, _) = messages(passed(&frame(0xc1, hello), 4096, 4096).unwrap());
            assert_eq!(read, [Message::text("Hello")]);
        }
    }

    #[test]
    fn a_message_that_inflates_to_more_than_the_limit_is_given_up_where_it_crosses_it() {
        let fits = frame(0xc2, &deflate(&vec![0; MAX]));
        let (read, _) = messages(passed(&fits, 4096, 4096).unwrap());
        assert_eq!(read[0].len(), MAX);
        let bomb = frame(0xc2, &deflate(&vec![0; 50 * MAX]));
        let mut inflating = Inflating::new(MAX, bomb);
        let (mut room, mut seen) = (vec![0; 4096], 0);
        let error = loop {
            let mut out = ReadBuf::new(&mut room);
            match inflating.pass(&mut out) {
                Ok(_) => seen += out.filled().len(),
                Err(error) => break error,
            }
        };
        assert_eq!(error, InflateError::TooLarge);
        assert!((MAX - PIECE..MAX + PIECE).contains(&seen), "{seen}");
    }

    #[test]
    fn frames_that_are_too_large_before_inflation_are_refused_without_being_gathered() {
        let header = [0xc2, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 1, 0, 0, 0, 0];
        assert_eq!(passed(&header, 14, 4096), Err(InflateError::TooLarge));
        // Empty blocks without compression inflate to nothing.
        let nothing: Vec<u8> = [0x00, 0x00, 0x00, 0xff, 0xff].repeat(MAX / 10);
        let frames = [frame(0x42, &nothing), frame(0x00, &nothing), frame(0x00, &nothing)].concat();
        assert_eq!(passed(&frames, 4096, 4096), Err(InflateError::TooLarge));
    }

    #[test]
    fn damage_and_messages_inside_others_are_noticed() {
        assert_eq!(passed(&frame(0xc2, &[0xff; 64]), 4096, 4096), Err(InflateError::Damaged));
        let inside = [frame(0x42, &deflate(b"one")), frame(0x82, b"other")].concat();
        assert_eq!(passed(&inside, 4096, 4096), Err(InflateError::Interleaved));
        let inside = [frame(0x42, &deflate(b"one")), frame(0xc2, &deflate(b"other"))].concat();
        let (read, error) = messages(passed(&inside, 4096, 4096).unwrap());
        assert!(read.is_empty() && matches!(error, Error::Protocol(_)), "{error}");
    }

    #[test]
    fn noise_gives_errors_at_most() {
        for _ in 0..2000 {
            let mut noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(300).collect();
            noise[0] = 0xc2;
            noise[1] |= 0x80;
            let _ = passed(&noise, 50, 50);
        }
    }
}
