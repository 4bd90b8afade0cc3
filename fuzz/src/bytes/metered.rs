//! A room whose every input is measured, and held to what it may cost: see [`super::cost`].

use std::collections::BTreeSet;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use allocation_counter::measure;
use bytes::Bytes;
use coscribe_engine::lib0::Reader;
use coscribe_engine::limits::{ANSWERS_AT_ONCE, SLICE_STEPS};
use coscribe_engine::message::Inbound;
use coscribe_engine::protocol::y_websocket::Messages;
use coscribe_engine::room::{Effect, PeerId, Room, RoomLimits};
use coscribe_engine::rope::Rope;
use coscribe_engine::update::Update;

use super::cost::{self, Before, Spent, Traffic};
use super::planted::Planted;

/// Steps by which work between two pauses may exceed a slice: the costliest thing that is done in one go, which is to
/// rewrite a chunk.
const OVERSHOOT: u64 = 2048;

/// The room, and what it has cost.
pub(super) struct Metered {
    room: Room,
    planted: Planted,
    all: Traffic,
    /// Steps that the room had taken before it was measured.
    steps_before: u64,
}

impl Metered {
    /// An empty room, with a bug if one was planted.
    pub(super) fn new(limits: RoomLimits, planted: Planted) -> Self {
        Self::of(Room::new(limits), planted)
    }

    /// A room with a document.
    pub(super) fn of(room: Room, planted: Planted) -> Self {
        Self { steps_before: room.work(), room, planted, all: Traffic::default() }
    }

    /// The room itself.
    pub(super) fn room(&self) -> &Room {
        &self.room
    }

    /// Somebody comes.
    pub(super) fn connect(&mut self, peer: PeerId, now: Duration) -> Vec<Effect> {
        self.input(Traffic::input(0, 0), |room| room.connect(peer, now))
    }

    /// Somebody goes.
    pub(super) fn disconnect(&mut self, peer: PeerId) -> Vec<Effect> {
        self.input(Traffic::input(0, 0), |room| paused(room, async |room| room.disconnect(peer).await))
    }

    /// Somebody does not keep up.
    pub(super) fn stalled(&mut self, peer: PeerId) -> Vec<Effect> {
        self.input(Traffic::input(0, 0), |room| room.stalled(peer))
    }

    /// Somebody has read all that was sent.
    pub(super) fn drained(&mut self, peer: PeerId) -> Vec<Effect> {
        self.input(Traffic::input(0, 0), |room| room.drained(peer))
    }

    /// The log is on disk up to here.
    pub(super) fn durable(&mut self, sequence: u64) -> Vec<Effect> {
        self.input(Traffic::input(0, 0), |room| room.durable(sequence))
    }

    /// Fan-out took so long.
    pub(super) fn fanned_out(&mut self, cost: Duration) {
        self.room.fanned_out(cost);
    }

    /// A frame comes. Nothing is sent before the next tick.
    pub(super) fn receive(&mut self, peer: PeerId, frame: &Bytes, now: Duration) -> Vec<Effect> {
        let mut planted = std::mem::take(&mut self.planted);
        let effects = self.input(Traffic::input(frame.len(), deletions(frame)), |room| {
            for message in Messages::of(frame.clone()) {
                planted.before(room, peer, &message, now);
                match message {
                    Ok(message) => paused(room, async |room| room.receive(peer, message, now).await),
                    Err(error) => paused(room, async |room| room.refuse(peer, error).await),
                }
                planted.after(room, now);
            }
        });
        self.planted = planted;
        check_answers(&effects);
        let sends = effects.iter().any(|effect| matches!(effect, Effect::Send { .. } | Effect::Broadcast { .. }));
        assert!(!sends, "what is sent waits for a tick");
        effects
    }

    /// The room does what is due.
    pub(super) fn tick(&mut self, now: Duration) -> Vec<Effect> {
        let effects = self.input(Traffic::input(0, 0), |room| paused(room, async |room| room.tick(now).await));
        check_answers(&effects);
        effects
    }

    /// Measures an input, and gives its effects.
    fn input(&mut self, mut traffic: Traffic, run: impl FnOnce(&mut Room)) -> Vec<Effect> {
        let room = &mut self.room;
        let (steps, memory) = (room.work(), room.blocks().memory() as u64);
        let before = Before {
            parked_bytes: room.blocks().parked().bytes() as u64,
            document_bytes: memory,
            bytes_in: self.all.bytes_in,
        };
        let allocations = measure(|| run(room));
        let effects: Vec<_> = std::iter::from_fn(|| room.poll_effect()).collect();
        effects.iter().for_each(|effect| traffic += of_effect(effect));
        let spent = Spent {
            steps: room.work() - steps,
            memory: allocations.bytes_max,
            growth: (room.blocks().memory() as u64).saturating_sub(memory),
        };
        self.all += traffic;
        cost::check(&self.all, self.room.work() - self.steps_before, &traffic, &before, &spent);
        effects
    }
}

/// Runs something that pauses to its end. Panics if it does not pause as often as it should.
fn paused(room: &mut Room, run: impl AsyncFnOnce(&mut Room)) {
    let steps = room.work();
    let mut slices = 1;
    {
        let mut work = pin!(run(room));
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Pending = work.as_mut().poll(&mut cx) {
            slices += 1;
        }
    }
    let steps = room.work() - steps;
    assert!(steps <= slices * (SLICE_STEPS + OVERSHOOT), "{steps} steps in {slices} slices");
}

/// Deleted ranges in the updates of a frame.
fn deletions(frame: &Bytes) -> usize {
    let update = |message| match message {
        Ok(Inbound::Step2(update) | Inbound::Update(update)) => Update::scan(update).ok(),
        _ => None,
    };
    Messages::of(frame.clone()).filter_map(update).map(|update| update.deletions().count()).sum()
}

/// What an effect counts as.
fn of_effect(effect: &Effect) -> Traffic {
    let (rope, clients) = match effect {
        Effect::Append { update, .. } => (update, clients(&beginning(update))),
        Effect::Send { frame, .. } | Effect::Broadcast { frame, .. } => (frame, clients_in_frame(frame)),
        Effect::Close { .. } => return Traffic::default(),
    };
    Traffic { frames_out: 1, bytes_out: rope.len() as u64, clients_out: clients, ..Traffic::default() }
}

fn clients_in_frame(frame: &Rope) -> u64 {
    let frame = beginning(frame);
    let mut reader = Reader::new(&frame);
    match (reader.var_uint(), reader.var_uint(), reader.var_uint()) {
        (Ok(0), Ok(1 | 2), Ok(_)) => clients(&frame[reader.position()..]),
        _ => 0,
    }
}

/// The first bytes, which say what it is.
fn beginning(rope: &Rope) -> Vec<u8> {
    rope.parts().iter().flatten().take(24).copied().collect()
}

/// How many clients have blocks in an update that begins so.
fn clients(update: &[u8]) -> u64 {
    Reader::new(update).var_uint().expect("the room's own encoding")
}

/// However often a peer has asked, it gets each answer once; and when it is enough for once, the others wait.
fn check_answers(effects: &[Effect]) {
    let (mut given, mut before, mut bytes, mut last) = (BTreeSet::new(), 0, 0, None);
    for effect in effects {
        let Effect::Send { peer, frame } = effect else { continue };
        // A SyncStep1, a SyncStep2, awareness, or a receipt, of which there may be several.
        let kind = match beginning(frame)[..] {
            [0, sync, ..] => Some(sync),
            [1, ..] => None,
            _ => continue,
        };
        assert!(given.insert((*peer, kind)), "{peer:?} is answered twice: {kind:?}");
        if last.replace(*peer) != Some(*peer) {
            before = bytes;
        }
        bytes += frame.len();
    }
    assert!(before < ANSWERS_AT_ONCE, "{before} bytes, and the next is answered as well");
}
