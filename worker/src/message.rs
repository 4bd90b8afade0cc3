//! What is asked about a document, and what a worker answers: each a frame, encoded with bincode.

use std::io;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::document::Root;
use crate::limits::DOCUMENTS;

/// One document to look at.
#[derive(Debug, Deserialize, Serialize)]
pub struct Request {
    /// The whole state of the document as a v1 update.
    #[serde(with = "serde_bytes")]
    pub update: Vec<u8>,
    /// What to tell of it.
    pub question: Question,
    /// Processor time after which the worker dies by itself, in case nobody is left to kill it.
    pub processor_time: Duration,
    /// Address space in bytes that the worker may use for it.
    pub memory_bytes: u64,
}

/// What to tell of a document.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub enum Question {
    /// State vector and delete set.
    Summary,
    /// The content as JSON.
    Json,
    /// The plain text of one root, or of all.
    Text(Option<String>),
}

/// What a worker answers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub enum Response {
    /// See [`crate::document::Summary`]; both in order.
    Summary {
        /// Client and next clock.
        state_vector: Vec<(u64, u32)>,
        /// Client, first deleted clock and the clock after the last.
        delete_set: Vec<(u64, u32, u32)>,
    },
    /// JSON text. May be nested deeper than a parser on a normal stack stands.
    Json(String),
    /// Text, which may be empty.
    Text(String),
    /// What was asked for holds no text. These are the roots of the document that hold something.
    NoText(Vec<Root>),
    /// The update was not opened, and why.
    Refused(String),
}

/// The body of a frame that holds `message`.
///
/// # Errors
/// If it has a sequence of unknown length, which no message here has.
pub fn encode(message: &impl Serialize) -> io::Result<Vec<u8>> {
    bincode::serde::encode_to_vec(message, bincode::config::standard()).map_err(io::Error::other)
}

/// The message in the body of a frame.
///
/// # Errors
/// If it is none.
pub fn decode<M: DeserializeOwned>(body: &[u8]) -> io::Result<M> {
    let limited = bincode::config::standard().with_limit::<{ DOCUMENTS.frame_bytes as usize }>();
    let (message, _) = bincode::serde::decode_from_slice(body, limited).map_err(io::Error::other)?;
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let summary =
            Response::Summary { state_vector: vec![(1, 2)], delete_set: vec![(u64::MAX, 0, u32::MAX)] };
        for response in [summary, Response::NoText(Vec::new())] {
            assert_eq!(decode::<Response>(&encode(&response).unwrap()).unwrap(), response);
        }
    }

    #[test]
    fn a_message_cut_short_or_unreadable_is_an_error() {
        let body = encode(&Response::Refused("no".to_owned())).unwrap();
        assert!(decode::<Response>(&body[..body.len() - 1]).is_err());
        assert!(decode::<Response>(&[0x77]).is_err());
    }
}
