//! Compression of messages that are sent (RFC 7692): each by itself, once for all peers with the same window, by the first
//! connection that writes it. A long message is compressed as far as somebody has read it: see [`long`].

mod long;

use std::cell::RefCell;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use coscribe_engine::rope::Rope;
use flate2::{Compress, Compression, FlushCompress};

use crate::extensions::WindowBits;
use crate::limits::{LONG_BYTES, WORTH_COMPRESSING_BYTES};

pub(crate) use self::long::Block;
pub use self::long::Long;

/// An empty block: a sender cuts it off the end of each compressed message, and a receiver puts it back (RFC 7692,
/// section 7.2.1).
pub const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// The number of window sizes.
const WINDOWS: usize = 7;

/// A message for any number of peers. Its compressed forms are made when they are written.
#[derive(Clone, Debug)]
pub struct Outgoing {
    plain: Rope,
    /// `None` where compression is not worth it.
    derived: Option<Arc<Derived>>,
}

/// Compressed forms of a message, each made when it is first needed, for all its receivers.
#[derive(Debug, Default)]
struct Derived {
    /// Of a short message, by window size; `None` where compression gains too little.
    short: [OnceLock<Option<Bytes>>; WINDOWS],
    /// Of a long one.
    long: [OnceLock<Arc<Long>>; WINDOWS],
}

/// A message as one connection writes it.
#[derive(Clone, Debug)]
pub struct Payload {
    message: Outgoing,
    window: Option<WindowBits>,
}

/// A message as it goes over the wire, without frame headers.
#[derive(Debug)]
pub enum Form {
    /// The message as it is.
    Plain(Rope),
    /// The whole message, compressed.
    Deflated(Bytes),
    /// The message, compressed as far as it is read.
    Long(Arc<Long>),
}

impl Outgoing {
    /// A message that has not been compressed yet.
    pub fn new(plain: Rope) -> Outgoing {
        let worth = plain.len() >= WORTH_COMPRESSING_BYTES;
        Outgoing { plain, derived: worth.then(Arc::default) }
    }

    /// The message for a peer with whom compression with this window was negotiated, if it was. O(1).
    pub fn payload(&self, window: Option<WindowBits>) -> Payload {
        Payload { message: self.clone(), window }
    }
}

impl Payload {
    /// How it is to be written. Compresses it if nobody has yet and it has less than 64 KiB: O(bytes), half a millisecond at
    /// most. A longer one is compressed as it is read.
    pub fn form(&self) -> Form {
        let Outgoing { plain, derived } = &self.message;
        let (Some(window), Some(derived)) = (self.window, derived) else {
            return Form::Plain(plain.clone());
        };
        if plain.len() >= LONG_BYTES {
            let long = derived.long[index(window)].get_or_init(|| Arc::new(Long::new(plain.clone(), window)));
            return Form::Long(Arc::clone(long));
        }
        let short = derived.short[index(window)].get_or_init(|| deflate(&plain.to_bytes(), window));
        short.clone().map_or_else(|| Form::Plain(plain.clone()), Form::Deflated)
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

    fn words(len: usize) -> Vec<u8> {
        let words = (0u32..).flat_map(|n| format!("word {}, ", n.wrapping_mul(n) % 977).into_bytes());
        words.take(len).collect()
    }

    /// What goes over the wire, and whether it is compressed.
    async fn wire(message: &Outgoing, window: Option<u8>) -> (Vec<u8>, bool) {
        match message.payload(window.map(WindowBits)).form() {
            Form::Plain(rope) => (rope.to_bytes().into(), false),
            Form::Deflated(bytes) => (bytes.into(), true),
            Form::Long(long) => {
                let mut out = Vec::new();
                for n in 0.. {
                    match long.block(n, None).await {
                        Block::Incompressible => return (message.plain.to_bytes().into(), false),
                        Block::Deflated { bytes, is_last } => {
                            out.extend(bytes);
                            if is_last {
                                break;
                            }
                        }
                    }
                }
                (out, true)
            }
        }
    }

    #[tokio::test]
    async fn every_window_is_readable_with_no_larger_one() {
        for len in [LONG_BYTES - 1, LONG_BYTES, 5 * LONG_BYTES + 3] {
            let words = words(len);
            let outgoing = Outgoing::new(words.clone().into());
            for bits in 9..=15 {
                let (sent, compressed) = wire(&outgoing, Some(bits)).await;
                assert!(compressed && sent.len() < words.len() / 2);
                assert_eq!(inflate(&sent, bits), words, "window of {bits} bits");
            }
        }
    }

    #[tokio::test]
    async fn peers_with_the_same_window_share_one_compression() {
        let short = Outgoing::new(vec![7; LONG_BYTES - 1].into());
        let form = || match short.payload(Some(WindowBits(15))).form() {
            Form::Deflated(bytes) => bytes,
            other => panic!("{other:?}"),
        };
        assert_eq!(form().as_ptr(), form().as_ptr());
        let long = Outgoing::new(vec![7; LONG_BYTES].into());
        let form = || match long.payload(Some(WindowBits(15))).form() {
            Form::Long(long) => long,
            other => panic!("{other:?}"),
        };
        let (one, other) = (form(), form());
        let (Block::Deflated { bytes: one, .. }, Block::Deflated { bytes: other, .. }) =
            tokio::join!(one.block(0, None), other.block(0, None))
        else {
            panic!("sevens can be compressed")
        };
        assert_eq!(one.as_ptr(), other.as_ptr());
        assert!(matches!(long.payload(None).form(), Form::Plain(_)));
    }

    #[tokio::test]
    async fn a_message_is_compressed_as_far_as_it_is_read() {
        let long = Outgoing::new(vec![7; 100 * LONG_BYTES].into());
        let Form::Long(long) = long.payload(Some(WindowBits(15))).form() else { panic!("it is long") };
        assert!(matches!(long.block(0, None).await, Block::Deflated { is_last: false, .. }));
        assert_eq!(long.compressed_blocks().await, 1);
    }

    #[tokio::test]
    async fn what_is_small_or_gains_nothing_stays_as_it_is() {
        let noise = |len| std::iter::repeat_with(|| fastrand::u8(..)).take(len).collect::<Vec<_>>();
        for plain in [vec![7; WORTH_COMPRESSING_BYTES - 1], noise(LONG_BYTES - 1), noise(3 * LONG_BYTES)] {
            let (sent, compressed) = wire(&Outgoing::new(plain.clone().into()), Some(15)).await;
            assert!(!compressed && sent == plain);
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
