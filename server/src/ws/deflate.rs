//! Compression of what is sent (RFC 7692): each message by itself, once for all peers with the same window.

use std::array;
use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress};
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

use super::extensions::WindowBits;

/// What a sender cuts off the end of each compressed message, and a receiver puts back: an empty block.
pub(crate) const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// Below this, compression costs more than it gives.
const WORTH_COMPRESSING: usize = 1 << 10;

/// From here on compression takes long enough to be in the way of others: a millisecond for some 300 KB.
const LARGE: usize = 64 << 10;

/// The number of window sizes.
const WINDOWS: usize = 7;

/// What a connection writes as one message.
#[derive(Clone, Debug)]
pub(crate) struct Payload {
    /// What goes over the wire, without frame headers.
    pub(crate) bytes: Bytes,
    /// Whether `bytes` is compressed.
    pub(crate) compressed: bool,
    /// How long the message is when it is not.
    pub(crate) plain_len: usize,
    /// Set while `bytes` is large and yet to be compressed.
    large: Option<Arc<Large>>,
}

/// A large message that is compressed when the first connection gets to writing it.
#[derive(Debug)]
struct Large {
    window: WindowBits,
    made: OnceCell<Option<Bytes>>,
}

impl Payload {
    /// A message that is written as it is.
    pub(crate) fn plain(bytes: Bytes) -> Payload {
        Payload { plain_len: bytes.len(), bytes, compressed: false, large: None }
    }

    fn deflated(plain: &Bytes, window: WindowBits) -> Payload {
        if plain.len() >= LARGE {
            let large = Some(Arc::new(Large { window, made: OnceCell::new() }));
            return Payload { large, ..Payload::plain(plain.clone()) };
        }
        match deflate(plain, window) {
            Some(bytes) => Payload { bytes, compressed: true, plain_len: plain.len(), large: None },
            None => Payload::plain(plain.clone()),
        }
    }

    /// Whether it is still to be compressed.
    pub(crate) fn is_uncompressed(&self) -> bool {
        self.large.is_some()
    }

    /// Compresses what is still to be compressed, or waits until another connection has.
    pub(crate) async fn compress(&mut self) {
        if let Some(large) = self.large.take()
            && let Some(bytes) = large.deflated(&self.bytes).await
        {
            self.bytes = bytes;
            self.compressed = true;
        }
    }
}

impl Large {
    async fn deflated(&self, plain: &Bytes) -> Option<Bytes> {
        let (plain, window) = (plain.clone(), self.window);
        let make = async || spawn_blocking(move || deflate(&plain, window)).await.ok().flatten();
        self.made.get_or_init(make).await.clone()
    }
}

/// A message for any number of peers, and its compressed forms, each of which is made at most once.
#[derive(Debug)]
pub(crate) struct Outgoing {
    plain: Bytes,
    /// By window size.
    deflated: [Option<Payload>; WINDOWS],
}

impl Outgoing {
    /// A message that has not been compressed yet.
    pub(crate) fn new(plain: Bytes) -> Outgoing {
        Outgoing { plain, deflated: array::from_fn(|_| None) }
    }

    /// The message as it is.
    pub(crate) fn plain(&self) -> &Bytes {
        &self.plain
    }

    /// The message for a peer: compressed, if that was negotiated and gains something.
    pub(crate) fn payload(&mut self, window: Option<WindowBits>) -> Payload {
        match window.filter(|_| self.plain.len() >= WORTH_COMPRESSING) {
            Some(window) => {
                let made = &mut self.deflated[index(window)];
                made.get_or_insert_with(|| Payload::deflated(&self.plain, window)).clone()
            }
            None => Payload::plain(self.plain.clone()),
        }
    }
}

fn index(window: WindowBits) -> usize {
    usize::from(WindowBits::MAX.get() - window.get())
}

/// A compressed message as it goes over the wire, or `None` if it would save less than a sixteenth.
fn deflate(plain: &[u8], window: WindowBits) -> Option<Bytes> {
    let mut compressor = COMPRESSORS
        .with_borrow_mut(|kept| kept[index(window)].take())
        .unwrap_or_else(|| Compress::new_with_window_bits(Compression::fast(), false, window.get()));
    // Where this is not enough room, it is not worth it.
    let mut out = Vec::with_capacity(plain.len() - plain.len() / 16);
    compressor.compress_vec(plain, &mut out, FlushCompress::Sync).ok()?;
    // With room left nothing is held back. Where something is, the compressor must not be used again: zlib-rs 0.6.8 writes
    // wrong bytes or panics after a reset in the middle of a block.
    if out.len() == out.capacity() || compressor.total_in() < plain.len() as u64 {
        return None;
    }
    compressor.reset();
    COMPRESSORS.with_borrow_mut(|kept| kept[index(window)] = Some(compressor));
    debug_assert!(out.ends_with(&TAIL));
    out.truncate(out.len() - TAIL.len());
    out.shrink_to_fit();
    Some(Bytes::from(out))
}

thread_local! {
    /// A compressor has a few hundred kilobytes: too much for each connection or room, and to make one for each message.
    static COMPRESSORS: RefCell<[Option<Compress>; WINDOWS]> = const { RefCell::new([const { None }; WINDOWS]) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Decompress, FlushDecompress};

    fn inflate(bytes: &[u8], window: u8) -> Vec<u8> {
        let mut input = bytes.to_vec();
        input.extend(TAIL);
        let mut out = Vec::with_capacity(1 << 20);
        let mut stream = Decompress::new_with_window_bits(false, window);
        stream.decompress_vec(&input, &mut out, FlushDecompress::Sync).unwrap();
        assert_eq!(stream.total_in(), input.len() as u64);
        out
    }

    fn window(bits: u8) -> Option<WindowBits> {
        Some(WindowBits(bits))
    }

    #[tokio::test]
    async fn every_window_is_readable_with_no_larger_one() {
        let words: Vec<u8> =
            (0..40_000u32).flat_map(|n| format!("word {}, ", n * n % 977).into_bytes()).collect();
        for words in [&words[..LARGE - 1], &words] {
            let mut outgoing = Outgoing::new(words.to_vec().into());
            for bits in 9..=15 {
                let mut payload = outgoing.payload(window(bits));
                payload.compress().await;
                assert!(payload.compressed && payload.bytes.len() < words.len() / 2);
                assert_eq!(inflate(&payload.bytes, bits), words, "window of {bits} bits");
            }
        }
    }

    #[tokio::test]
    async fn peers_with_the_same_window_share_one_compression() {
        for len in [LARGE - 1, LARGE] {
            let mut outgoing = Outgoing::new(vec![7; len].into());
            let (mut one, mut other) = (outgoing.payload(window(15)), outgoing.payload(window(15)));
            tokio::join!(one.compress(), other.compress());
            assert_eq!(one.bytes.as_ptr(), other.bytes.as_ptr());
            assert!(one.compressed && one.bytes.len() < 1000);
            assert!(!outgoing.payload(None).compressed);
        }
    }

    #[tokio::test]
    async fn what_is_small_or_gains_nothing_stays_as_it_is() {
        let noise = |len| std::iter::repeat_with(|| fastrand::u8(..)).take(len).collect();
        for plain in [vec![7; WORTH_COMPRESSING - 1], noise(LARGE - 1), noise(LARGE)] {
            let mut payload = Outgoing::new(plain.clone().into()).payload(window(15));
            payload.compress().await;
            assert!(!payload.compressed && payload.bytes == plain);
        }
    }

    #[test]
    fn a_message_that_gains_nothing_does_not_spoil_the_next_one() {
        for n in 0..300 {
            let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(1024 + n * 50).collect();
            assert_eq!(deflate(&noise, WindowBits::MAX), None);
            let digits: Vec<u8> = noise.iter().map(|byte| b'0' + byte % 4).collect();
            let deflated = deflate(&digits, WindowBits::MAX).unwrap();
            assert_eq!(inflate(&deflated, 15), digits);
        }
    }
}
