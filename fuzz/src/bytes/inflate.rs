//! A client's frames pass through the server's inflation, in any parts. The output is that of a plain reading of the whole stream,
//! inflated in one go.

use std::task::{Context, Poll, Waker};

use coscribe_engine::lib0::{ReadError, Reader};
use coscribe_websocket::{InflateError, Inflating, MessageBytes, TAIL};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use tokio::io::ReadBuf;

use super::allocation::{Limit, bounded, uncounted};
use crate::limits;

/// What came, the compressed message in it, and growing room for both. The shortest message has 6 bytes, and inflating
/// it takes its own 64 KiB.
const INFLATE: Limit = Limit { peak: 8, sum: 16 << 10 };

/// Bytes of input for which that limit allows the state of one inflation and a piece of the message.
const STATE: usize = 16 << 10;

/// Sizes that a message may have.
const MAX_MESSAGE_BYTES: [usize; 5] = [4096, 0, 100, 70_000, 2 << 20];

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const MASKED: u8 = 0x80;

/// Takes `data` as limits and sizes, and as frames that are written out or are to be made.
pub fn inflate(data: &[u8]) {
    let Ok(script) = Script::read(data) else { return };
    let (passed, error) = bounded(script.wire.len() + STATE, INFLATE, || script.pass());
    let (expected, expected_error) = script.expect();
    assert_eq!(error.is_some(), expected_error.is_some(), "{error:?} and {expected_error:?}");
    let mut rest = &passed[..];
    for item in &expected {
        rest = item.strip_from(rest);
    }
    assert!(rest.is_empty() || error.is_some(), "{} bytes too many", rest.len());
    if let Some(error) = error.filter(|_| rest.is_empty()) {
        // Whether a broken message was too large as well depends on how far it was inflated.
        let inflated = |error| matches!(error, InflateError::TooLarge | InflateError::Damaged);
        assert!(Some(error) == expected_error || inflated(error) && expected_error.is_some_and(inflated));
    }
    assert!(
        rest.len() <= script.max_message_bytes + script.max_message_bytes / 8 + 64,
        "no more than a message"
    );
}

/// What arrives, and how.
struct Script {
    max_message_bytes: usize,
    /// In parts of how many bytes it arrives, and is read.
    arriving: usize,
    reading: usize,
    wire: Vec<u8>,
}

/// What comes out.
enum Item<'a> {
    /// Bytes as they came.
    Passed(&'a [u8]),
    /// A message that was compressed, in frames of any size.
    Message { opcode: u8, plain: Vec<u8> },
}

impl Script {
    fn read(data: &[u8]) -> Result<Self, ReadError> {
        let mut reader = Reader::new(data);
        let max_message_bytes = MAX_MESSAGE_BYTES[usize::from(reader.u8()?) % MAX_MESSAGE_BYTES.len()];
        let part = |number: u64| usize::try_from(number).unwrap_or(usize::MAX).clamp(1, 16 << 10);
        let (arriving, reading) = (part(reader.var_uint()?), part(reader.var_uint()?));
        let mut script = Self { max_message_bytes, arriving, reading, wire: Vec::new() };
        while !reader.is_empty() {
            script.read_step(&mut reader)?;
        }
        Ok(script)
    }

    /// Reads what to put on the wire: bytes as they are, a frame, or a compressed message.
    fn read_step(&mut self, reader: &mut Reader<'_>) -> Result<(), ReadError> {
        match reader.u8()? % 3 {
            0 => self.wire.extend_from_slice(reader.var_buf()?),
            1 => {
                let (first, mask) = (reader.u8()?, reader.u8()?);
                write_frame(
                    first,
                    (mask > 0).then_some([mask, 7, 0, 255]),
                    reader.var_buf()?,
                    &mut self.wire,
                );
            }
            _ => {
                let (times, fragments, plain) = (reader.u8()?, reader.u8()? % 4, reader.var_buf()?);
                let times = usize::from(times)
                    .min(limits::INFLATED_BYTES.saturating_sub(self.wire.len()) / plain.len().max(1));
                self.write_message(&deflate(&plain.repeat(times)), usize::from(fragments));
            }
        }
        Ok(())
    }

    /// A compressed message, with so many fragments before the last one, and a ping before that.
    fn write_message(&mut self, compressed: &[u8], fragments: usize) {
        let mask = Some([1, 2, 3, 4]);
        let (mut first, mut rest) = (RSV1 | 2, compressed);
        for _ in 0..fragments {
            let (fragment, after) = rest.split_at(rest.len() / 2);
            write_frame(first, mask, fragment, &mut self.wire);
            (first, rest) = (0, after);
        }
        if fragments > 0 {
            write_frame(FIN | 9, mask, b"ping", &mut self.wire);
        }
        write_frame(FIN | first, mask, rest, &mut self.wire);
    }

    /// Lets all of it arrive and pass; gives what came out, and the error that ended it.
    fn pass(&self) -> (Vec<u8>, Option<InflateError>) {
        let mut inflating =
            Inflating::new(MessageBytes::up_to(self.max_message_bytes), Some(0), Vec::new(), None);
        let (mut passed, mut room) = uncounted(|| (Vec::new(), vec![0; self.reading]));
        let mut parts = self.wire.chunks(self.arriving);
        loop {
            let mut out = ReadBuf::new(&mut room);
            let polled = inflating.poll_pass(&mut Context::from_waker(Waker::noop()), &mut out);
            uncounted(|| passed.extend_from_slice(out.filled()));
            match polled {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => match parts.next() {
                    Some(part) => inflating.receive(part),
                    None => return (passed, None),
                },
                Poll::Ready(Err(error)) => return (passed, Some(error)),
                // Other tests inflate large messages too.
                Poll::Pending => std::thread::yield_now(),
            }
        }
    }

    /// The same, by looking at the whole wire at once.
    fn expect(&self) -> (Vec<Item<'_>>, Option<InflateError>) {
        let (mut items, mut at) = (Vec::new(), 0);
        let mut gathered: Option<(u8, Vec<u8>)> = None;
        // How much of a message there is in the frames so far.
        let mut message = 0;
        while let Some(frame) = Frame::at(&self.wire[at..]) {
            let data = matches!(frame.opcode(), 1 | 2);
            let begins = frame.reserved() == RSV1 && data && gathered.is_none();
            let continues = frame.reserved() == 0 && frame.opcode() == 0 && gathered.is_some();
            if frame.reserved() == 0 && data && gathered.is_some() {
                return (items, Some(InflateError::Interleaved));
            }
            let whole = &self.wire[at..at + frame.header + frame.payload.len()];
            at += whole.len();
            let Some(mask) = frame.mask.filter(|_| begins || continues) else {
                if frame.opcode() & 8 == 0 {
                    let before = if frame.opcode() == 0 { message } else { 0 };
                    if frame.len > self.max_message_bytes.saturating_sub(before) as u64 {
                        return (items, Some(InflateError::TooLarge));
                    }
                    let ends = frame.first & FIN != 0;
                    message = if ends { 0 } else { before + frame.payload.len() };
                }
                items.push(Item::Passed(whole));
                continue;
            };
            let (_, compressed) = gathered.get_or_insert((frame.opcode(), Vec::new()));
            if frame.len > (self.max_message_bytes - compressed.len()) as u64 {
                return (items, Some(InflateError::TooLarge));
            }
            message = compressed.len() + frame.payload.len();
            compressed.extend(frame.payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
            if (frame.payload.len() as u64) < frame.len {
                break;
            }
            if let Some((opcode, compressed)) = gathered.take_if(|_| frame.first & FIN != 0) {
                message = 0;
                match inflate_at_once(compressed, self.max_message_bytes) {
                    Ok(plain) => items.push(Item::Message { opcode, plain }),
                    Err(error) => return (items, Some(error)),
                }
            }
        }
        (items, None)
    }
}

impl Item<'_> {
    /// Panics unless `passed` starts with this; gives what follows.
    fn strip_from<'a>(&self, mut passed: &'a [u8]) -> &'a [u8] {
        let Self::Message { opcode, plain } = self else {
            let Self::Passed(bytes) = self else { unreachable!("there are two kinds") };
            return passed.strip_prefix(*bytes).expect("other frames pass as they are");
        };
        let (mut found, mut opcode) = (Vec::new(), *opcode);
        loop {
            let frame = Frame::at(passed).expect("a frame with a piece of the message");
            assert_eq!(frame.mask, Some([0; 4]), "the mask changes nothing");
            assert_eq!(frame.len, frame.payload.len() as u64, "the piece is complete");
            assert_eq!(
                frame.first & !FIN,
                opcode,
                "the first frame has the opcode, those after it have none"
            );
            found.extend_from_slice(frame.payload);
            passed = &passed[frame.header + frame.payload.len()..];
            opcode = 0;
            if frame.first & FIN != 0 {
                assert!(found == *plain, "inflated in pieces and at once are the same");
                return passed;
            }
        }
    }
}

/// A frame whose header is complete.
struct Frame<'a> {
    first: u8,
    mask: Option<[u8; 4]>,
    header: usize,
    /// How long the payload is.
    len: u64,
    /// As much of it as is there.
    payload: &'a [u8],
}

impl<'a> Frame<'a> {
    fn at(bytes: &'a [u8]) -> Option<Self> {
        let (&[first, second], _) = bytes.split_first_chunk()?;
        let (len, mut header) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes(*bytes[2..].first_chunk()?)), 4),
            127 => (u64::from_be_bytes(*bytes[2..].first_chunk()?), 10),
            short => (u64::from(short), 2),
        };
        let mut mask = None;
        if second & MASKED != 0 {
            mask = Some(*bytes[header..].first_chunk()?);
            header += 4;
        }
        let rest = &bytes[header..];
        let payload = &rest[..usize::try_from(len).unwrap_or(usize::MAX).min(rest.len())];
        Some(Self { first, mask, header, len, payload })
    }

    fn opcode(&self) -> u8 {
        self.first & 0x0f
    }

    fn reserved(&self) -> u8 {
        self.first & 0x70
    }
}

fn write_frame(first: u8, mask: Option<[u8; 4]>, payload: &[u8], out: &mut Vec<u8>) {
    let masked = if mask.is_some() { MASKED } else { 0 };
    out.push(first);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(len @ 0..126), _) => out.push(masked | len),
        (_, Ok(len)) => {
            out.push(masked | 126);
            out.extend(len.to_be_bytes());
        }
        _ => {
            out.push(masked | 127);
            out.extend((payload.len() as u64).to_be_bytes());
        }
    }
    out.extend(mask.into_iter().flatten());
    let key = mask.unwrap_or_default();
    out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
}

/// A compressed message as clients send it, without its tail.
fn deflate(plain: &[u8]) -> Vec<u8> {
    let mut stream = Compress::new(Compression::fast(), false);
    let mut out = Vec::with_capacity(plain.len() + plain.len() / 8 + 100);
    stream.compress_vec(plain, &mut out, FlushCompress::Sync).expect("it can be compressed");
    out.strip_suffix(&TAIL).expect("a flush ends with it").to_vec()
}

/// Inflates a message into one buffer.
fn inflate_at_once(mut compressed: Vec<u8>, max_bytes: usize) -> Result<Vec<u8>, InflateError> {
    compressed.extend_from_slice(&TAIL);
    let (mut rest, mut out) = (&compressed[..], Vec::with_capacity(max_bytes + 1));
    let mut stream = Decompress::new(false);
    while !rest.is_empty() {
        let (taken, before) = (stream.total_in(), out.len());
        let status = stream.decompress_vec(rest, &mut out, FlushDecompress::Sync);
        let status = status.map_err(|_| InflateError::Damaged)?;
        let taken = usize::try_from(stream.total_in() - taken).expect("no more than there is");
        rest = &rest[taken..];
        if out.len() > max_bytes {
            return Err(InflateError::TooLarge);
        }
        if status == Status::StreamEnd {
            stream.reset(false);
        } else if taken == 0 && out.len() == before {
            return Err(InflateError::Damaged);
        }
    }
    Ok(out)
}
