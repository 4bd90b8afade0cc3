//! The messages of a frame are read; what is accepted is written in its canonical form, and is read the same from there.

use coscribe_engine::lib0::Reader;
use coscribe_engine::protocol::sync::SyncMessage;
use coscribe_engine::protocol::y_websocket::{
    Message, awareness_frame, is_update, sync_frame, sync_status_frame,
};

use super::allocation::{Limit, bounded};

/// Messages are views of the frame: only the list of them takes memory, 32 bytes for each, of which the shortest has one.
const READ: Limit = Limit { peak: 128, sum: 192 };

/// Reads `data` as one frame of y-websocket.
pub fn dialect(data: &[u8]) {
    let (messages, rest) = bounded(data.len(), READ, || read(data));
    let canonical: Vec<u8> = messages.iter().flat_map(write).collect();
    assert!(canonical.len() <= data.len() - rest, "the canonical form is the shortest");
    assert_eq!(read(&canonical), (messages.clone(), 0), "what was written can be read");
    let brings_update =
        matches!(messages.first(), Some(Message::Sync(SyncMessage::Step2(_) | SyncMessage::Update(_))));
    assert_eq!(is_update(data), brings_update);
}

/// The messages up to the first that cannot be read, and how many bytes are left then.
fn read(frame: &[u8]) -> (Vec<Message<'_>>, usize) {
    let mut reader = Reader::new(frame);
    let (mut messages, mut rest) = (Vec::new(), frame.len());
    while rest > 0 {
        let Ok(message) = Message::read(&mut reader) else { break };
        assert!(reader.remaining() < rest, "every message takes a byte");
        rest = reader.remaining();
        messages.push(message);
    }
    (messages, rest)
}

fn write(message: &Message<'_>) -> Vec<u8> {
    match message {
        Message::Sync(message) => sync_frame(message).into(),
        Message::Awareness(states) => awareness_frame(states).into(),
        Message::QueryAwareness => vec![3],
        Message::SyncStatus(payload) => sync_status_frame(payload).into(),
    }
}
