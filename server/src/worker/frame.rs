//! What the server and a worker say to each other: `length: u32 little-endian, bincode`, over the worker's stdin and stdout.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The longest frame in bytes. A document of this size cannot be opened within the memory limit anyway.
const MAX_FRAME_BYTES: u32 = 512 << 20;

/// One document to look at.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Request {
    /// The whole state of the document as a v1 update.
    #[serde(with = "serde_bytes")]
    pub(crate) update: Vec<u8>,
    /// What to tell of it.
    pub(crate) question: Question,
    /// Processor time after which the worker dies by itself, in case nobody is left to kill it.
    pub(crate) processor_time: Duration,
}

/// What to tell of a document.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) enum Question {
    /// State vector and delete set.
    Summary,
    /// The content as JSON.
    Json,
    /// The plain text of one root, or of all.
    Text(Option<String>),
}

/// What a worker answers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) enum Response {
    /// See `coscribe_worker::document::Summary`; both in order.
    Summary {
        /// Client and next clock.
        state_vector: Vec<(u64, u32)>,
        /// Client, first deleted clock and the clock after the last.
        delete_set: Vec<(u64, u32, u32)>,
    },
    /// JSON text. May be nested deeper than a parser on a normal stack stands.
    Json(String),
    /// Text, if there is any.
    Text(Option<String>),
    /// The update was not opened, and why.
    Refused(String),
}

/// A whole frame that holds `message`.
pub(super) fn encode(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    bincode::serde::encode_into_std_write(message, &mut frame, bincode::config::standard())
        .map_err(io::Error::other)?;
    let length = u32::try_from(frame.len() - 4).ok().filter(|&length| length <= MAX_FRAME_BYTES);
    let length = length
        .ok_or_else(|| io::Error::new(ErrorKind::FileTooLarge, "the document is too large for a worker"))?;
    frame[..4].copy_from_slice(&length.to_le_bytes());
    Ok(frame)
}

/// Sends a frame.
pub(super) fn write(to: &mut impl Write, frame: &[u8]) -> io::Result<()> {
    to.write_all(frame)?;
    to.flush()
}

/// Waits for a frame; `None` when the other side is gone.
pub(super) fn read<M: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<M>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    }
    let length = u32::from_le_bytes(length);
    if length > MAX_FRAME_BYTES {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut body = Vec::new();
    // Grows with what arrives: a worker gone wild may claim any length.
    if from.take(length.into()).read_to_end(&mut body)? < length as usize {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let limited = bincode::config::standard().with_limit::<{ MAX_FRAME_BYTES as usize }>();
    let (message, _) = bincode::serde::decode_from_slice(&body, limited).map_err(io::Error::other)?;
    Ok(Some(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let response =
            Response::Summary { state_vector: vec![(1, 2)], delete_set: vec![(u64::MAX, 0, u32::MAX)] };
        let mut stream = encode(&response).unwrap();
        stream.extend(encode(&Response::Text(None)).unwrap());
        let mut stream = &stream[..];
        assert_eq!(read(&mut stream).unwrap(), Some(response));
        assert_eq!(read(&mut stream).unwrap(), Some(Response::Text(None)));
        assert_eq!(read::<Response>(&mut stream).unwrap(), None);
    }

    #[test]
    fn a_frame_cut_short_or_too_long_or_unreadable_is_an_error() {
        let frame = encode(&Response::Refused("no".to_owned())).unwrap();
        assert!(read::<Response>(&mut &frame[..frame.len() - 1]).is_err());
        assert!(read::<Response>(&mut &[0xff; 64][..]).is_err());
        assert!(read::<Response>(&mut &[1, 0, 0, 0, 0x77][..]).is_err());
    }
}
