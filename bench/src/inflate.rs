//! Messages that a server compressed (RFC 7692, permessage-deflate), made readable again.

use crate::limits;
use flate2::{Decompress, FlushDecompress, Status};

/// The bytes that a sender cuts off the end of each compressed message.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// Inflates the messages of one connection.
#[derive(Debug)]
pub struct Inflater {
    stream: Decompress,
    keeps_context: bool,
    compressed: Vec<u8>,
    message: Vec<u8>,
}

/// A message that is not deflate data, or is unreasonably large.
#[derive(Debug, Copy, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a compressed message could not be inflated")]
pub struct InflateError;

impl Inflater {
    /// With `keeps_context`, each message may refer to the ones before it.
    pub fn new(keeps_context: bool) -> Self {
        Self { stream: Decompress::new(false), keeps_context, compressed: Vec::new(), message: Vec::new() }
    }

    /// Inflates one message.
    ///
    /// # Errors
    /// If it is damaged.
    pub fn inflate(&mut self, payload: &[u8]) -> Result<&[u8], InflateError> {
        self.compressed.clear();
        self.compressed.extend_from_slice(payload);
        self.compressed.extend_from_slice(&TAIL);
        if !self.keeps_context {
            self.stream.reset(false);
        }
        self.message.clear();
        let before = self.stream.total_in();
        loop {
            let taken = usize::try_from(self.stream.total_in() - before).map_err(|_| InflateError)?;
            if self.message.len() == self.message.capacity() {
                self.message.reserve(self.message.len().max(4096));
            }
            let status = self
                .stream
                .decompress_vec(&self.compressed[taken..], &mut self.message, FlushDecompress::Sync)
                .map_err(|_| InflateError)?;
            let all_taken = self.stream.total_in() - before == self.compressed.len() as u64;
            // zlib holds nothing back while the output has room left.
            if all_taken && self.message.len() < self.message.capacity() || status == Status::StreamEnd {
                return Ok(&self.message);
            }
            if self.message.len() > limits::MESSAGE_BYTES || (status == Status::BufError && !self.is_full()) {
                return Err(InflateError);
            }
        }
    }

    fn is_full(&self) -> bool {
        self.message.len() == self.message.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compress, Compression, FlushCompress};

    fn deflate(stream: &mut Compress, message: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(2 * message.len() + 1024);
        stream.compress_vec(message, &mut out, FlushCompress::Sync).unwrap();
        assert!(out.ends_with(&TAIL), "{} bytes became {}", message.len(), out.len());
        out.truncate(out.len() - TAIL.len());
        out
    }

    fn messages() -> Vec<Vec<u8>> {
        let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(70_000).collect();
        vec![b"hello hello hello".to_vec(), vec![0; 300_000], noise, Vec::new(), b"hello".to_vec()]
    }

    #[test]
    fn messages_come_out_as_they_went_in_with_and_without_context() {
        for keeps_context in [false, true] {
            let mut stream = Compress::new(Compression::fast(), false);
            let mut inflater = Inflater::new(keeps_context);
            // After a flush zlib has nothing more to say for an empty message: senders write one without it.
            for message in messages().into_iter().filter(|message| !keeps_context || !message.is_empty()) {
                if !keeps_context {
                    stream.reset();
                }
                let payload = deflate(&mut stream, &message);
                assert_eq!(inflater.inflate(&payload), Ok(&message[..]));
            }
        }
    }

    #[test]
    fn damage_is_noticed() {
        assert_eq!(Inflater::new(false).inflate(&[0xff; 64]), Err(InflateError));
    }
}
