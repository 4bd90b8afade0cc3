//! A room, and the cost of its inputs.

use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::dialect::y_websocket::{self, GREETING, Messages, Request};
use coscribe_engine::limits::SLICE_STEPS;
use coscribe_engine::message::Outbound;
use coscribe_engine::room::{Effect, PeerId, Room, Terms};
use coscribe_engine::rope::Rope;
use coscribe_engine::work::finish;

/// Steps that a byte in or out may cost. The dearest are known deletions, of two bytes.
pub(crate) const STEPS_PER_BYTE: u64 = 8;
/// Steps that a message may cost beside its bytes: one chunk that is written anew, block by block.
pub(crate) const STEPS_PER_MESSAGE: u64 = 2_000;
/// Memory that a message may take beside its bytes, the bytes sent, and the bytes that the document keeps.
pub(crate) const MEMORY: u64 = 16 << 20;

pub(crate) const MIB: usize = 1 << 20;
pub(crate) const A: PeerId = PeerId(1);
pub(crate) const B: PeerId = PeerId(2);

/// A room, and its costs.
#[derive(Default)]
pub(crate) struct Meter {
    pub(crate) room: Room,
    /// Frames and bytes that were sent, by answers and by broadcasts to each of their receivers.
    pub(crate) frames: u64,
    pub(crate) bytes_out: u64,
    /// The frames themselves.
    pub(crate) sent: Vec<Rope>,
    pub(crate) appends: Vec<Rope>,
    pub(crate) closed: Vec<String>,
    pub(crate) messages: u64,
    pub(crate) bytes_in: u64,
}

/// The cost of some inputs.
#[derive(Debug)]
pub(crate) struct Cost {
    pub(crate) steps: u64,
    pub(crate) messages: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) frames: u64,
    /// The most memory in use at once, beside the memory that was in use before.
    pub(crate) memory: u64,
}

impl Meter {
    pub(crate) fn with(peers: &[PeerId]) -> Self {
        let mut meter = Self::default();
        for &peer in peers {
            meter.connect(peer);
        }
        meter.tick();
        meter
    }

    pub(crate) fn connect(&mut self, peer: PeerId) {
        self.room.connect(peer, Terms::default(), Duration::ZERO);
        for wish in &GREETING {
            finish(self.room.receive(peer, wish.clone(), Duration::ZERO));
        }
    }

    pub(crate) fn tick(&mut self) {
        loop {
            finish(self.room.tick(Duration::from_secs(1)));
            self.carry_out();
            if self.room.next_tick().is_none_or(|at| at > Duration::ZERO) {
                return;
            }
        }
    }

    pub(crate) fn carry_out(&mut self) {
        while let Some(effect) = self.room.poll_effect() {
            match effect {
                Effect::Send { message, .. } => self.send(&message, 1),
                Effect::Broadcast { message, to } => self.send(&message, to.len() as u64),
                Effect::Append { update, .. } => {
                    self.bytes_out += update.len() as u64;
                    self.appends.push(update);
                }
                Effect::Probe { .. } | Effect::Warn { .. } => {}
                Effect::Part { parting, .. } => self.closed.push(parting.words.into_owned()),
            }
        }
    }

    pub(crate) fn send(&mut self, message: &Outbound, receivers: u64) {
        let frame = y_websocket::encode(message).expect("the dialect has it");
        self.frames += receivers;
        self.bytes_out += receivers * frame.len() as u64;
        self.sent.push(frame);
    }

    /// A frame comes in, and the room does what is due.
    pub(crate) fn receive(&mut self, peer: PeerId, frame: impl Into<Bytes>) {
        let frame = frame.into();
        self.bytes_in += frame.len() as u64;
        for message in Messages::of(frame) {
            self.messages += 1;
            let Ok(Request::Say(message)) = message else { panic!("it can be read, and is for the room") };
            finish(self.room.receive(peer, message, Duration::ZERO));
            self.carry_out();
        }
        self.tick();
    }

    /// The cost of `inputs`. Frames that were sent before are gone.
    pub(crate) fn cost(&mut self, inputs: impl FnOnce(&mut Self)) -> Cost {
        self.sent.clear();
        self.appends.clear();
        let before = (self.room.work(), self.messages, self.bytes_in, self.bytes_out, self.frames);
        let memory = allocation_counter::measure(|| inputs(self)).bytes_max;
        let cost = Cost {
            steps: self.room.work() - before.0,
            messages: self.messages - before.1,
            bytes_in: self.bytes_in - before.2,
            bytes_out: self.bytes_out - before.3,
            frames: self.frames - before.4,
            memory,
        };
        assert!(self.closed.is_empty(), "{:?}", self.closed);
        let longest = self.room.longest_slice();
        assert!(longest < 2 * SLICE_STEPS, "{longest} steps at once");
        cost
    }
}

impl Cost {
    #[track_caller]
    pub(crate) fn is_in_proportion(&self) -> &Self {
        let bytes = self.bytes_in + self.bytes_out;
        let allowed = STEPS_PER_BYTE * bytes + STEPS_PER_MESSAGE * (self.messages + self.frames + 1);
        assert!(self.steps <= allowed, "{allowed} steps are allowed: {self:?}");
        self
    }

    /// Bytes that are sent may be shared, so only the bytes that came, and those that the document keeps of them, are allowed
    /// for.
    #[track_caller]
    pub(crate) fn takes_memory_for_what_came(&self) {
        assert!(self.memory <= MEMORY + 4 * self.bytes_in, "{self:?}");
    }
}
