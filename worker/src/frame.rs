//! Frames, over a child's stdin and stdout: `length: u32 little-endian, body`. One goes in, one comes out.

use std::io::{self, ErrorKind, Read, Write};

/// Sends a frame.
///
/// # Errors
/// If the body has more than `longest` bytes, or the other side is gone.
pub fn write(to: &mut impl Write, body: &[u8], longest: u32) -> io::Result<()> {
    let length = u32::try_from(body.len()).ok().filter(|&length| length <= longest);
    let length = length
        .ok_or_else(|| io::Error::new(ErrorKind::FileTooLarge, "the document is too large for a worker"))?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(body)?;
    to.flush()
}

/// Waits for a frame; `None` when the other side is gone.
///
/// # Errors
/// If the frame ends early, or claims more than `longest` bytes.
pub fn read(from: &mut impl Read, longest: u32) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    }
    let length = u32::from_le_bytes(length);
    if length > longest {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut body = Vec::new();
    // Grows with what arrives: a child gone wild may claim any length.
    if from.take(length.into()).read_to_end(&mut body)? < length as usize {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: u32 = 5;

    #[test]
    fn frames_are_read_as_they_were_written() {
        let mut stream = Vec::new();
        write(&mut stream, b"hello", LONGEST).unwrap();
        write(&mut stream, b"", LONGEST).unwrap();
        let mut stream = &stream[..];
        assert_eq!(read(&mut stream, LONGEST).unwrap().as_deref(), Some(&b"hello"[..]));
        assert_eq!(read(&mut stream, LONGEST).unwrap().as_deref(), Some(&b""[..]));
        assert_eq!(read(&mut stream, LONGEST).unwrap(), None);
    }

    #[test]
    fn a_frame_cut_short_or_too_long_is_an_error() {
        assert!(read(&mut &[2, 0, 0, 0, 0x77][..], LONGEST).is_err());
        assert!(read(&mut &[6, 0, 0, 0, 1, 2, 3, 4, 5, 6][..], LONGEST).is_err());
        let mut stream = Vec::new();
        let error = write(&mut stream, b"longer", LONGEST).unwrap_err();
        assert_eq!(error.to_string(), "the document is too large for a worker");
        assert!(stream.is_empty(), "nothing of it is sent");
    }
}
