//! The messages of a frame: accepted ones are written in their canonical form, and read the same from there. A frame that is read
//! a few messages at a time has the same messages.

use bytes::Bytes;
use coscribe_engine::dialect::y_websocket::{Message, Messages, Request, encode_request};
use coscribe_engine::lib0::Reader;

use super::allocation::{Limit, bounded};

/// Messages are parts of the frame: only the list of them takes memory, 40 bytes for each, of which the shortest has one.
const READ: Limit = Limit { peak: 160, sum: 240 };

/// How many messages are read at a time.
const AT_ONCE: [usize; 3] = [1, 3, 256];

/// Reads `data` as one frame of y-websocket.
pub fn dialect(data: &[u8]) {
    let frame = Bytes::copy_from_slice(data);
    let (messages, rest) = bounded(data.len(), READ, || read(&frame));
    let canonical: Bytes = messages.iter().filter_map(encode_request).flatten().collect();
    assert!(canonical.len() <= data.len() - rest, "the canonical form is the shortest");
    assert_eq!(read(&canonical), (messages.clone(), 0), "what was written can be read");
    assert_eq!(views(&frame), messages.len(), "views of the messages are as many");
    for most in AT_ONCE {
        check_parts(&frame, &messages, rest, most);
    }
}

/// The messages up to the first that cannot be read, and how many bytes are left then.
fn read(frame: &Bytes) -> (Vec<Request>, usize) {
    let (mut messages, mut rest) = (Vec::new(), frame.len());
    let mut ended = false;
    for message in Messages::of(frame.clone()) {
        assert!(!ended, "nothing comes after an error");
        match message {
            Ok(message) => {
                rest -= len_at(&frame[frame.len() - rest..]);
                messages.push(message);
            }
            Err(_) => ended = true,
        }
    }
    assert_eq!(
        ended,
        rest > 0 || frame.is_empty(),
        "an error says that something is left, or that there was nothing"
    );
    (messages, rest)
}

/// The length of a message that can be read.
fn len_at(bytes: &[u8]) -> usize {
    let mut reader = Reader::new(bytes);
    Message::read(&mut reader).expect("it was read before");
    assert!(reader.position() > 0, "every message takes a byte");
    reader.position()
}

fn views(frame: &[u8]) -> usize {
    let mut reader = Reader::new(frame);
    std::iter::from_fn(|| (!reader.is_empty()).then(|| Message::read(&mut reader).ok()).flatten()).count()
}

/// What is read a few messages at a time is the same, and says how far it was read.
fn check_parts(frame: &Bytes, messages: &[Request], rest: usize, most: usize) {
    let (mut left, mut found) = (Messages::of(frame.clone()), Vec::new());
    while !left.is_at_end() {
        let before = left.position();
        let some: Vec<_> = left.by_ref().take(most).collect();
        assert!(!some.is_empty(), "something comes up to the end");
        let is_sound = some.iter().all(Result::is_ok);
        assert!(left.position() > before || !is_sound, "every message takes a byte");
        assert!(is_sound || left.is_at_end(), "nothing comes after an error");
        found.extend(some.into_iter().flatten());
    }
    assert!(rest > 0 || left.position() == frame.len(), "all was read");
    assert_eq!(found, messages);
}
