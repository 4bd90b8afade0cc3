//! A room, simulated time, and what peers send.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::dialect::hocuspocus::{self, Frame, Request};
use coscribe_engine::dialect::sync::SyncMessage;
use coscribe_engine::dialect::y_websocket::{self, GREETING, Message, Messages};
use coscribe_engine::document::blocks::Blocks;
use coscribe_engine::lib0::{Reader, write_var_buf, write_var_uint};
use coscribe_engine::message::{Outbound, Parting, Reason};
use coscribe_engine::room::{Access, Effect, PeerId, Room, Terms};
use coscribe_engine::work::finish;

pub(crate) const A: PeerId = PeerId(1);
pub(crate) const B: PeerId = PeerId(2);
pub(crate) const C: PeerId = PeerId(3);

/// Within this time whoever comes sees everybody, and is seen.
pub(crate) const SOON: Duration = Duration::from_millis(900);

/// A room, a clock, and all that came out.
#[derive(Default)]
pub(crate) struct Stage {
    pub(crate) room: Room,
    pub(crate) now: Duration,
    pub(crate) frames: BTreeMap<PeerId, Vec<Bytes>>,
    pub(crate) log: Vec<(u64, Bytes)>,
    /// Who has sent each record of the log, and of what waits.
    pub(crate) sources: Vec<Option<PeerId>>,
    /// What the log has of what waits.
    pub(crate) waiting: Vec<(u64, Bytes)>,
    pub(crate) closed: Vec<(PeerId, Reason, String)>,
    pub(crate) probed: Vec<PeerId>,
    pub(crate) warned: Vec<PeerId>,
    /// Peers that speak the dialect of Hocuspocus, of a document `d`.
    pub(crate) hocuspocus: BTreeSet<PeerId>,
}

impl Stage {
    pub(crate) fn with(peers: &[PeerId]) -> Self {
        let mut stage = Self::default();
        for &peer in peers {
            stage.connect(peer);
        }
        stage.tick();
        stage.frames.clear();
        stage
    }

    /// The server was started again, and these come.
    pub(crate) fn restarted(&self, peers: &[PeerId]) -> Self {
        let mut stage =
            Self { log: self.log.clone(), waiting: self.waiting.clone(), now: self.now, ..Self::default() };
        for (_, update) in &self.log {
            stage.room.load(update).expect("the log has no gap");
        }
        stage.room.resume_at((self.log.len() + self.waiting.len()) as u64);
        for (_, waiting) in &self.waiting {
            stage.room.load_waiting(waiting).expect("what waits can be read");
        }
        for &peer in peers {
            stage.connect(peer);
        }
        stage.tick();
        stage.frames.clear();
        stage
    }

    pub(crate) fn settle(&mut self) {
        while let Some(effect) = self.room.poll_effect() {
            match effect {
                Effect::Send { peer, message, .. } => self.deliver(&message, &[peer]),
                Effect::Broadcast { message, to } => self.deliver(&message, &to),
                Effect::Append { sequence, update, waits, source } => {
                    self.sources.push(source);
                    let log = if waits { &mut self.waiting } else { &mut self.log };
                    log.push((sequence, update.to_bytes()));
                }
                Effect::Probe { peer } => self.probed.push(peer),
                Effect::Warn { peer, .. } => self.warned.push(peer),
                Effect::Part { peer, parting: Parting { reason, words } } => {
                    self.closed.push((peer, reason, words.into_owned()));
                }
            }
        }
    }

    fn deliver(&mut self, message: &Outbound, to: &[PeerId]) {
        for &peer in to {
            let frame = if self.hocuspocus.contains(&peer) {
                hocuspocus::encode(b"d", message)
            } else {
                y_websocket::encode(message)
            };
            let frame = frame.expect("the dialect has it").to_bytes();
            self.frames.entry(peer).or_default().push(frame);
        }
    }

    /// A peer comes, as one does that speaks the dialect of Hocuspocus.
    pub(crate) fn open(&mut self, peer: PeerId, access: Access) {
        self.hocuspocus.insert(peer);
        self.room.connect(peer, hocuspocus::terms(access, true), self.now);
        for wish in &hocuspocus::GREETING {
            finish(self.room.receive(peer, wish.clone(), self.now));
        }
    }

    /// A peer that speaks the dialect of Hocuspocus says this of the document.
    pub(crate) fn say(&mut self, peer: PeerId, body: &[u8]) {
        let frame = [b"\x01d", body].concat().into();
        let Ok(Frame::Addressed { request: Ok(Request::Say(wish, message)), .. }) = Frame::read(&frame)
        else {
            panic!("not for the room: {frame:?}");
        };
        for message in wish.into_iter().chain([message]) {
            finish(self.room.receive(peer, message, self.now));
        }
        self.flush();
    }

    /// A peer comes, as one does that speaks the dialect of y-websocket.
    pub(crate) fn connect(&mut self, peer: PeerId) {
        self.room.connect(peer, Terms::default(), self.now);
        for wish in &GREETING {
            finish(self.room.receive(peer, wish.clone(), self.now));
        }
    }

    /// A peer comes that may only read.
    pub(crate) fn read(&mut self, peer: PeerId) {
        self.room.connect(peer, Terms { access: Access::Read, ..Terms::default() }, self.now);
        for wish in &GREETING {
            finish(self.room.receive(peer, wish.clone(), self.now));
        }
    }

    /// A frame comes in, and the room flushes when it is due.
    pub(crate) fn send(&mut self, peer: PeerId, frame: impl Into<Bytes>) {
        self.receive(peer, frame);
        self.flush();
    }

    /// A frame comes in.
    pub(crate) fn receive(&mut self, peer: PeerId, frame: impl Into<Bytes>) {
        for message in Messages::of(frame.into()) {
            match message {
                Ok(y_websocket::Request::Say(message)) => finish(self.room.receive(peer, message, self.now)),
                Ok(y_websocket::Request::Token(_)) => panic!("tokens are not for rooms"),
                Err(error) => finish(self.room.refuse(peer, error)),
            }
        }
    }

    /// The room does what is due now.
    pub(crate) fn tick(&mut self) {
        finish(self.room.tick(self.now));
        self.settle();
    }

    pub(crate) fn flush(&mut self) {
        finish(self.room.tick(self.now));
        while let Some(at) = self.room.next_tick().filter(|&at| at <= self.now + Duration::from_millis(16)) {
            self.now = self.now.max(at);
            finish(self.room.tick(self.now));
        }
        self.settle();
    }

    /// Time passes, and the room does what is due meanwhile.
    pub(crate) fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.room.next_tick().filter(|&at| at <= until) {
            self.now = self.now.max(at);
            self.tick();
        }
        self.now = until;
    }

    pub(crate) fn take(&mut self, peer: PeerId) -> Vec<Bytes> {
        self.frames.remove(&peer).unwrap_or_default()
    }

    /// The only frame that a peer got, which must be an update, applied to what it has.
    pub(crate) fn take_update(&mut self, peer: PeerId, replica: &mut Blocks) {
        let frames = self.take(peer);
        assert_eq!(frames.len(), 1, "one frame");
        replica.load(&update_of(&frames[0])).expect("no gaps");
    }
}

pub(crate) fn update_of(frame: &Bytes) -> Bytes {
    match Message::read(&mut Reader::new(frame)) {
        Ok(Message::Sync(SyncMessage::Update(update) | SyncMessage::Step2(update))) => {
            frame.slice_ref(update)
        }
        other => panic!("not an update: {other:?}"),
    }
}

pub(crate) fn is_step_1(frame: &Bytes) -> bool {
    matches!(Message::read(&mut Reader::new(frame)), Ok(Message::Sync(SyncMessage::Step1(_))))
}

/// What `client` sends when it types at the end of its own text.
pub(crate) fn typed(client: u8, clock: u64, text: &str) -> Vec<u8> {
    let mut update = vec![1, 1, client];
    write_var_uint(&mut update, clock);
    if clock == 0 {
        update.extend([4, 1, 1, b't']);
    } else {
        update.extend([0x84, client]);
        write_var_uint(&mut update, clock - 1);
    }
    write_var_buf(&mut update, text.as_bytes());
    update.push(0);
    update
}

pub(crate) fn number(number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    write_var_uint(&mut out, number);
    out
}

pub(crate) fn update(update: &[u8]) -> Bytes {
    y_websocket::sync_frame(&SyncMessage::Update(update))
}

pub(crate) fn awareness(client: u8, clock: u8, json: &str) -> Bytes {
    let mut states = vec![1, client, clock];
    write_var_buf(&mut states, json.as_bytes());
    y_websocket::awareness_frame(&states)
}
