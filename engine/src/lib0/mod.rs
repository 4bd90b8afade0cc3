//! Bounded reading and writing of lib0's primitives, the alphabet of every Yjs message.
//!
//! | Primitive | Bytes |
//! |---|---|
//! | varUint | LEB128, at most [`MAX_SAFE_INTEGER`] |
//! | varInt | first byte: `0x80` more, `0x40` negative, 6 bits; then LEB128 |
//! | varString, varBuf | varUint length in bytes, then that many bytes (a string is UTF-8) |
//! | any | a tag byte from 127 down to 116, then its value (see [`Reader::skip_any`]) |

mod alike;
mod json;

pub(crate) use alike::are_alike;
pub(crate) use json::JsonCheck;

use crate::limits::{MAX_ANY_DEPTH, MAX_SAFE_INTEGER, SHORT_BYTES};
use crate::work::BYTES_PER_STEP;

/// Why bytes could not be read.
#[derive(Debug, Copy, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The input ended inside a value.
    #[error("unexpected end of input")]
    UnexpectedEnd,
    /// A number is larger than JavaScript can hold.
    #[error("number out of range")]
    NumberOutOfRange,
    /// A count promises more elements than the input has bytes.
    #[error("count exceeds the input")]
    CountExceedsInput,
    /// A string is not UTF-8.
    #[error("string is not UTF-8")]
    InvalidUtf8,
    /// A string that must hold JSON does not.
    #[error("invalid JSON")]
    InvalidJson,
    /// Arrays and objects are nested deeper than [`MAX_ANY_DEPTH`].
    #[error("value nested too deep")]
    TooDeep,
    /// An `any` value starts with an unknown tag.
    #[error("unknown type of value: {0}")]
    UnknownAny(u8),
}

/// Reads primitives from a byte slice. Never reads past its end, never allocates.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    /// Whether everything has been read.
    pub fn is_empty(&self) -> bool {
        self.remaining() == 0
    }

    /// The bytes between `start` and the present position.
    pub fn read_since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.position]
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, ReadError> {
        let byte = *self.bytes.get(self.position).ok_or(ReadError::UnexpectedEnd)?;
        self.position += 1;
        Ok(byte)
    }

    /// The next `len` bytes.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], ReadError> {
        let end = self.position.checked_add(len).ok_or(ReadError::UnexpectedEnd)?;
        let taken = self.bytes.get(self.position..end).ok_or(ReadError::UnexpectedEnd)?;
        self.position = end;
        Ok(taken)
    }

    /// A varUint.
    #[inline]
    pub fn var_uint(&mut self) -> Result<u64, ReadError> {
        let first = self.u8()?;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        self.leb128(u64::from(first & 0x7f), 7)
    }

    /// Continues a LEB128 number whose low `shift` bits are `number`.
    fn leb128(&mut self, mut number: u64, mut shift: u32) -> Result<u64, ReadError> {
        loop {
            let byte = self.u8()?;
            // 8 groups of 7 bits hold every safe integer; longer encodings are padding at best.
            if shift >= 56 {
                return Err(ReadError::NumberOutOfRange);
            }
            number |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if number > MAX_SAFE_INTEGER {
                return Err(ReadError::NumberOutOfRange);
            }
            if byte < 0x80 {
                return Ok(number);
            }
        }
    }

    /// A varUint that counts elements of at least `min_bytes` each, so that it cannot promise more than the input holds.
    pub fn count(&mut self, min_bytes: usize) -> Result<usize, ReadError> {
        let count = usize::try_from(self.var_uint()?).map_err(|_| ReadError::CountExceedsInput)?;
        if count > self.remaining() / min_bytes {
            return Err(ReadError::CountExceedsInput);
        }
        Ok(count)
    }

    /// A varBuf.
    pub fn var_buf(&mut self) -> Result<&'a [u8], ReadError> {
        let len = usize::try_from(self.var_uint()?).map_err(|_| ReadError::UnexpectedEnd)?;
        self.take(len)
    }

    /// A varString.
    pub fn var_string(&mut self) -> Result<&'a str, ReadError> {
        std::str::from_utf8(self.var_buf()?).map_err(|_| ReadError::InvalidUtf8)
    }

    /// A varString that holds JSON. Every client parses it, so invalid JSON would break them all.
    pub fn var_json(&mut self) -> Result<&'a str, ReadError> {
        let json = self.var_string()?;
        check_json(json)?;
        Ok(json)
    }

    /// Passes over one `any` value: 127 undefined, 126 null, 125 varInt, 124 f32, 123 f64, 122 i64 (big-endian),
    /// 121 false, 120 true, 119 string, 118 object, 117 array, 116 buffer. O(bytes of the value).
    pub fn skip_any(&mut self) -> Result<(), ReadError> {
        let mut walk = AnyWalk::over(1);
        while let Walked::Text(text) = walk.advance::<true>(self, &mut { usize::MAX })? {
            check_utf8(text)?;
        }
        Ok(())
    }

    /// The next bytes, as many as are wanted.
    fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        self.take(N)?.try_into().map_err(|_| ReadError::UnexpectedEnd)
    }

    /// A varInt, which JavaScript has as a float.
    #[expect(clippy::cast_precision_loss, reason = "no varInt is larger than a safe integer")]
    fn var_int(&mut self) -> Result<f64, ReadError> {
        let first = self.u8()?;
        let low = u64::from(first & 0x3f);
        let number = if first & 0x80 != 0 { self.leb128(low, 6)? } else { low } as f64;
        Ok(if first & 0x40 != 0 { -number } else { number })
    }
}

/// A walk over `any` values that can stop between any two of them.
#[derive(Debug)]
pub(crate) struct AnyWalk {
    /// The values themselves.
    values: Level,
    /// Arrays and objects that are open, the outermost first.
    open: Vec<Level>,
}

/// How far a walk came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Walked<'a> {
    /// To the end.
    Done,
    /// As far as its steps allowed.
    Paused,
    /// Past a long string, which is still to be checked.
    Text(&'a [u8]),
}

#[derive(Debug)]
struct Level {
    /// Values that have not been begun.
    left: usize,
    is_object: bool,
    /// The key of the next value has been read.
    has_key: bool,
}

impl Level {
    fn of(left: usize, is_object: bool) -> Self {
        Self { left, is_object, has_key: false }
    }
}

impl AnyWalk {
    /// A walk over this many consecutive values.
    pub(crate) fn over(values: usize) -> Self {
        Self { values: Level::of(values, false), open: Vec::new() }
    }

    /// Walks on and subtracts its cost from `steps`: a step for each value, and one for each [`BYTES_PER_STEP`] of its bytes.
    /// Stops when no steps are left. With `CHECK` unset, strings are passed over unread.
    pub(crate) fn advance<'a, const CHECK: bool>(
        &mut self,
        reader: &mut Reader<'a>,
        steps: &mut usize,
    ) -> Result<Walked<'a>, ReadError> {
        loop {
            let depth = self.open.len();
            let level = self.open.last_mut().unwrap_or(&mut self.values);
            let Some(left) = level.left.checked_sub(1) else {
                if self.open.pop().is_none() {
                    return Ok(Walked::Done);
                }
                continue;
            };
            if *steps == 0 {
                return Ok(Walked::Paused);
            }
            let start = reader.position();
            if level.is_object && !std::mem::replace(&mut level.has_key, true) {
                let key = reader.var_buf()?;
                if CHECK && key.len() > SHORT_BYTES {
                    return Ok(Walked::Text(key));
                }
                check_short::<CHECK>(key)?;
            }
            (level.left, level.has_key) = (left, false);
            match reader.u8()? {
                120 | 121 | 126 | 127 => {}
                125 => drop(reader.var_int()?),
                124 => drop(reader.take(4)?),
                122 | 123 => drop(reader.take(8)?),
                119 => {
                    let text = reader.var_buf()?;
                    if CHECK && text.len() > SHORT_BYTES {
                        return Ok(Walked::Text(text));
                    }
                    check_short::<CHECK>(text)?;
                }
                116 => drop(reader.var_buf()?),
                117 | 118 if depth >= MAX_ANY_DEPTH => return Err(ReadError::TooDeep),
                117 => self.open.push(Level::of(reader.count(1)?, false)),
                118 => self.open.push(Level::of(reader.count(2)?, true)),
                tag => return Err(ReadError::UnknownAny(tag)),
            }
            let bytes = if CHECK { reader.position() - start } else { 0 };
            *steps = steps.saturating_sub(1 + bytes / BYTES_PER_STEP);
        }
    }
}

/// Checks that bytes are UTF-8.
///
/// # Errors
/// [`ReadError::InvalidUtf8`].
pub(crate) fn check_utf8(bytes: &[u8]) -> Result<&str, ReadError> {
    std::str::from_utf8(bytes).map_err(|_| ReadError::InvalidUtf8)
}

fn check_short<const CHECK: bool>(text: &[u8]) -> Result<(), ReadError> {
    if CHECK {
        check_utf8(text)?;
    }
    Ok(())
}

/// Checks that `text` is one JSON value.
///
/// # Errors
/// [`ReadError::InvalidJson`].
pub fn check_json(text: &str) -> Result<(), ReadError> {
    let mut check = JsonCheck::new();
    check.read(text.as_bytes()).and_then(|()| check.end()).map_err(|_| ReadError::InvalidJson)
}

/// Appends a varUint.
pub fn write_var_uint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// Appends a varBuf (or, with the bytes of a `str`, a varString).
pub fn write_var_buf(out: &mut Vec<u8>, bytes: &[u8]) {
    write_var_uint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Bytes that [`write_var_uint`] takes for `number`.
pub fn var_uint_len(number: u64) -> usize {
    let bits = u64::BITS - number.leading_zeros();
    bits.div_ceil(7).max(1) as usize
}

/// Length of a UTF-8 string in UTF-16 units, as JavaScript counts. `text` must be UTF-8.
pub fn utf16_len(text: &[u8]) -> usize {
    // Each character has one unit, and those outside the basic plane, of four bytes, have two. Sums in one byte are added
    // many at a time; the largest, of 64 bytes, is 64.
    let units = |&byte: &u8| u8::from(byte & 0xc0 != 0x80) + u8::from(byte >= 0xf0);
    text.chunks(64).map(|part| usize::from(part.iter().map(units).sum::<u8>())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_were_written() {
        for number in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), MAX_SAFE_INTEGER] {
            let mut bytes = Vec::new();
            write_var_uint(&mut bytes, number);
            assert_eq!(bytes.len(), var_uint_len(number));
            assert_eq!(Reader::new(&bytes).var_uint(), Ok(number));
            assert_eq!(Reader::new(&bytes[..bytes.len() - 1]).var_uint(), Err(ReadError::UnexpectedEnd));
        }
    }

    #[test]
    fn numbers_beyond_javascript_are_refused() {
        let mut bytes = Vec::new();
        write_var_uint(&mut bytes, MAX_SAFE_INTEGER + 1);
        assert_eq!(Reader::new(&bytes).var_uint(), Err(ReadError::NumberOutOfRange));
        assert_eq!(Reader::new(&[0xff; 12]).var_uint(), Err(ReadError::NumberOutOfRange));
        assert_eq!(Reader::new(&[0x80; 12]).var_uint(), Err(ReadError::NumberOutOfRange));
    }

    #[test]
    fn a_count_cannot_promise_more_than_the_input_holds() {
        assert_eq!(Reader::new(&[4, 0, 0, 0]).count(1), Err(ReadError::CountExceedsInput));
        assert_eq!(Reader::new(&[3, 0, 0, 0]).count(1), Ok(3));
        assert_eq!(Reader::new(&[2, 0, 0, 0]).count(2), Err(ReadError::CountExceedsInput));
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| [[117u8, 1].repeat(depth), vec![126]].concat();
        assert_eq!(Reader::new(&nested(MAX_ANY_DEPTH)).skip_any(), Ok(()));
        assert_eq!(Reader::new(&nested(MAX_ANY_DEPTH + 1)).skip_any(), Err(ReadError::TooDeep));
        assert_eq!(Reader::new(&nested(100_000)).skip_any(), Err(ReadError::TooDeep));
    }

    #[test]
    fn lengths_count_utf16_units() {
        for text in ["", "a", "ü", "€", "😀", "a😀€ü\u{10ffff}", "\u{ffff}"] {
            assert_eq!(utf16_len(text.as_bytes()), text.encode_utf16().count());
        }
    }

    #[test]
    fn json_must_be_one_value() {
        for good in ["null", "{}", "[1,\"a\"]", " true "] {
            assert_eq!(check_json(good), Ok(()));
        }
        for bad in ["", "undefined", "{", "1 2", "{\"a\":}"] {
            assert_eq!(check_json(bad), Err(ReadError::InvalidJson));
        }
    }
}
