//! Frames of Hocuspocus, read as a server and as a client read them: accepted ones are written in their canonical form, and
//! read the same from there. Then two peers send them to a room, which counts their changes: each is told of just as many as it
//! has sent, when all is durable, and everything costs what it may cost.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::dialect::MessageError;
use coscribe_engine::dialect::hocuspocus::{
    Answer, Frame, Reply, Request, close_frame, denied_frame, encode, encode_request, granted_frame,
};
use coscribe_engine::lib0::Reader;
use coscribe_engine::message::{Inbound, Outbound};
use coscribe_engine::room::{Effect, PeerId, RoomLimits};

use super::allocation::{Limit, bounded};
use super::metered::Metered;
use super::planted::Planted;
use crate::limits;

/// Messages are parts of the frame, but for reasons in words.
const READ: Limit = Limit { peak: 2, sum: 4 };

/// Time between ticks: longer than that between flushes.
const PAUSE: Duration = Duration::from_millis(20);

/// Peers of the room.
const PEERS: u64 = 2;

/// Reads `data` as one frame, and as several with their lengths, which peers send in turn.
pub fn hocuspocus(data: &[u8]) {
    check_frame(&Bytes::copy_from_slice(data));
    let frames = frames(data);
    frames.iter().for_each(check_frame);
    let mut meeting = Meeting::new();
    meeting.hear(&frames);
    meeting.hear(&repeated(&frames));
    meeting.end();
}

fn frames(data: &[u8]) -> Vec<Bytes> {
    let mut reader = Reader::new(data);
    let frames = std::iter::from_fn(|| reader.var_buf().ok());
    frames.map(Bytes::copy_from_slice).collect()
}

/// The same frames again and again.
fn repeated(frames: &[Bytes]) -> Vec<Bytes> {
    let bytes: usize = frames.iter().map(Bytes::len).sum();
    let times = limits::FRAME_REPEATS.min(limits::REPEATED_FRAME_BYTES / bytes.max(1));
    // The list itself has a bound as well: empty frames are short.
    let times = times.min(limits::MODEL_ELEMENTS / frames.len().max(1));
    frames.iter().cycle().take(frames.len() * times).cloned().collect()
}

fn check_frame(frame: &Bytes) {
    let read = bounded(frame.len(), READ, || Frame::read(frame));
    if let Ok(Frame::Addressed { address, request: Ok(request) }) = read {
        let canonical = encode_request(&address, &request).expect("clients send what is read");
        assert_eq!(
            Frame::read(&canonical),
            Ok(Frame::Addressed { address, request: Ok(request) }),
            "what was written can be read"
        );
    }
    let read = bounded(frame.len(), READ, || Reply::read(frame));
    if let Ok(Some(Reply::Addressed { address, answer })) = read
        && let Some(canonical) = encode_answer(&address, &answer)
    {
        assert!(
            canonical.len() <= frame.len().max(granted_len(&answer)),
            "the canonical form is the shortest"
        );
        assert_eq!(
            Reply::read(&canonical),
            Ok(Some(Reply::Addressed { address, answer })),
            "what was written can be read"
        );
    }
}

/// The frame of a server's message; `None` if ours sends no such.
fn encode_answer(address: &[u8], answer: &Answer) -> Option<Bytes> {
    match answer {
        Answer::TokenWanted => None,
        Answer::Granted(access) => Some(granted_frame(address, *access)),
        Answer::Denied(reason) => Some(denied_frame(address, reason)),
        Answer::Closed(reason) => Some(close_frame(address, reason)),
        Answer::Say(message) => Some(encode(address, message).expect("servers send what is read").to_bytes()),
    }
}

/// A grant is written in a word of its own, whatever was read.
fn granted_len(answer: &Answer) -> usize {
    if matches!(answer, Answer::Granted(_)) { usize::MAX } else { 0 }
}

/// A room, and the peers that have the document open.
struct Meeting {
    room: Metered,
    now: Duration,
    /// The connection of each peer with the document open, and the changes of which it was not told yet.
    open: BTreeMap<u64, Connection>,
    last: u64,
}

struct Connection {
    peer: PeerId,
    /// Updates that it has sent since it came, and SyncStep2 messages, which count if they answer the question that it wanted.
    updates: u64,
    answers: u64,
    told: u64,
    /// A message of its was refused: it hears of no other, and leaves.
    refused: bool,
}

impl Meeting {
    fn new() -> Self {
        let room = Metered::new(RoomLimits::default(), Planted::none());
        Self { room, now: Duration::ZERO, open: BTreeMap::new(), last: 0 }
    }

    fn hear(&mut self, frames: &[Bytes]) {
        for (number, frame) in (0..).zip(frames) {
            if let Ok(Frame::Addressed { request, .. }) = Frame::read(frame) {
                self.take(number % PEERS, frame.len(), request);
            }
            if number % PEERS == PEERS - 1 {
                self.tick();
            }
        }
        self.tick();
    }

    fn take(&mut self, sender: u64, bytes: usize, request: Result<Request, MessageError>) {
        match request {
            Ok(Request::Auth { .. }) => self.open(sender),
            Ok(Request::Close) => self.close(sender),
            Ok(Request::Say(wish, message)) => {
                let Some(connection) = self.open.get_mut(&sender) else { return };
                connection.updates += u64::from(matches!(message, Inbound::Update(_)));
                connection.answers += u64::from(matches!(message, Inbound::Step2(_)));
                let messages = wish.into_iter().chain([message]).collect();
                let effects = self.room.take(connection.peer, bytes, messages, self.now);
                self.note(&effects);
            }
            // The server closes the document.
            Err(_) => self.close(sender),
        }
    }

    fn open(&mut self, sender: u64) {
        self.close(sender);
        self.last += 1;
        let peer = PeerId(self.last);
        self.open.insert(sender, Connection { peer, updates: 0, answers: 0, told: 0, refused: false });
        let effects = self.room.open(peer, self.now);
        self.note(&effects);
    }

    fn close(&mut self, sender: u64) {
        if let Some(Connection { peer, .. }) = self.open.remove(&sender) {
            self.room.disconnect(peer);
        }
    }

    fn tick(&mut self) {
        self.now += PAUSE;
        loop {
            let effects = self.room.tick(self.now);
            self.note(&effects);
            if self.room.room().next_tick() != Some(Duration::ZERO) {
                break;
            }
        }
        let sequence = self.room.room().sequence();
        let effects = self.room.durable(sequence);
        self.note(&effects);
    }

    /// Nobody is told of more changes than it has sent.
    fn note(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Send { peer, message: Outbound::Saved(saved), .. } => {
                    let connection = self.open.values_mut().find(|connection| connection.peer == *peer);
                    let connection = connection.expect("no effect names a peer that is gone");
                    connection.told += 1;
                    connection.refused |= !saved;
                    assert!(connection.told <= connection.updates + connection.answers, "told of too many");
                }
                Effect::Part { peer, .. } => self.open.retain(|_, connection| connection.peer != *peer),
                _ => {}
            }
        }
    }

    /// All is durable: where nothing waits, all senders were told of their updates.
    fn end(mut self) {
        self.tick();
        self.tick();
        if self.room.room().blocks().parked().is_empty() {
            for Connection { peer, updates, told, refused, .. } in self.open.values() {
                assert!(*refused || told >= updates, "{peer:?} was told of {told} of {updates} updates");
            }
        }
        for sender in 0..PEERS {
            self.close(sender);
        }
        self.tick();
    }
}
