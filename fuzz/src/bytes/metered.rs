//! A room whose every input is measured, and held to the rates of [`super::cost`].

use std::collections::{BTreeMap, HashSet};
use std::mem::discriminant;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use allocation_counter::measure;
use bytes::Bytes;
use coscribe_engine::dialect::{hocuspocus, y_websocket};
use coscribe_engine::lib0::Reader;
use coscribe_engine::limits::{ANSWERS_AT_ONCE, SLICE_STEPS};
use coscribe_engine::message::{Inbound, Outbound};
use coscribe_engine::peer::Access;
use coscribe_engine::room::{Effect, PeerId, Room, RoomLimits};
use coscribe_engine::rope::Rope;
use coscribe_engine::update::Update;

use super::cost::{self, Before, Spent, Traffic};
use super::planted::Planted;
use crate::serving::{self, messages};

/// Steps by which work between two pauses may exceed a slice: the costliest thing that is done in one go, which is to check
/// an awareness state that is as long as it may be.
const OVERSHOOT: u64 = 8 * 1024 + 64;

/// A room, and its cost so far.
pub(super) struct Metered {
    room: Room,
    planted: Planted,
    /// All traffic so far, and the cost of it.
    all: Traffic,
    spent: Spent,
    /// How much had come when these peers began to lag.
    lagging: BTreeMap<PeerId, u64>,
    /// The same of peers that have drained, and are owed what they missed.
    drained: BTreeMap<PeerId, u64>,
}

impl Metered {
    /// An empty room, with a bug if one was planted.
    pub(super) fn new(limits: RoomLimits, planted: Planted) -> Self {
        Self::of(Room::new(limits), planted)
    }

    /// A room with a document.
    pub(super) fn of(room: Room, planted: Planted) -> Self {
        let (all, spent) = Default::default();
        Self { room, planted, all, spent, lagging: BTreeMap::new(), drained: BTreeMap::new() }
    }

    /// The room itself.
    pub(super) fn room(&self) -> &Room {
        &self.room
    }

    /// A peer comes.
    pub(super) fn connect(&mut self, peer: PeerId, now: Duration) -> Vec<Effect> {
        self.input(Traffic::input(), |room| serving::connect(room, peer, Access::Write, now))
    }

    /// A peer comes that speaks Hocuspocus.
    pub(super) fn open(&mut self, peer: PeerId, now: Duration) -> Vec<Effect> {
        self.input(Traffic::input(), |room| serving::open(room, peer, Access::Write, now))
    }

    /// The messages of a frame of so many bytes come, which was read elsewhere.
    pub(super) fn take(
        &mut self,
        peer: PeerId,
        bytes: usize,
        messages: Vec<Inbound>,
        now: Duration,
    ) -> Vec<Effect> {
        let waits = !self.room.blocks().parked().is_empty();
        let effects = self.input(of_messages(bytes, messages.iter().cloned(), waits), |room| {
            for message in messages {
                paused(room, async |room| room.receive(peer, message, now).await);
            }
        });
        check_answers(&effects);
        effects
    }

    /// A peer goes.
    pub(super) fn disconnect(&mut self, peer: PeerId) -> Vec<Effect> {
        self.input(Traffic::input(), |room| paused(room, async |room| room.disconnect(peer).await))
    }

    /// A peer does not keep up.
    pub(super) fn stalled(&mut self, peer: PeerId) -> Vec<Effect> {
        let since = self.drained.remove(&peer).unwrap_or(self.all.bytes_in);
        self.lagging.entry(peer).or_insert(since);
        self.input(Traffic::input(), |room| room.stalled(peer))
    }

    /// A peer has read everything that was sent to it.
    pub(super) fn drained(&mut self, peer: PeerId) -> Vec<Effect> {
        self.drained.extend(self.lagging.remove_entry(&peer));
        self.input(Traffic::input(), |room| room.drained(peer))
    }

    /// The log is on disk up to here.
    pub(super) fn durable(&mut self, sequence: u64) -> Vec<Effect> {
        self.input(Traffic::input(), |room| room.durable(sequence))
    }

    /// Fan-out took so long.
    pub(super) fn set_load(&mut self, load: f32) {
        self.room.set_load(load);
    }

    /// A frame comes.
    pub(super) fn receive(&mut self, peer: PeerId, frame: &Bytes, now: Duration) -> Vec<Effect> {
        let mut planted = std::mem::replace(&mut self.planted, Planted::none());
        let waits = !self.room.blocks().parked().is_empty();
        let effects = self.input(of_frame(frame, waits), |room| {
            for message in messages(frame) {
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
        effects
    }

    /// The room ticks.
    pub(super) fn tick(&mut self, now: Duration) -> Vec<Effect> {
        let effects = self.input(Traffic::input(), |room| paused(room, async |room| room.tick(now).await));
        check_answers(&effects);
        effects
    }

    /// Ends the room. Panics if it has kept more memory than it may. Nothing else may hold bytes that came from it, or went into it.
    pub(super) fn end(self, peers: u64, last_frame: usize) {
        let document_bytes = self.room.blocks().memory() as u64;
        let kept = measure(|| drop(self.room)).bytes_current;
        cost::check_retained(kept.min(0).unsigned_abs(), document_bytes, last_frame as u64, &self.all, peers);
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
        for effect in &effects {
            traffic += of_effect(effect);
            if let Effect::Send { peer, .. } = effect
                && let Some(since) = self.drained.remove(peer)
            {
                traffic.bytes_missed += self.all.bytes_in - since;
            }
        }
        let spent = Spent {
            steps: room.work() - steps,
            memory: allocations.bytes_max,
            allocated: allocations.bytes_total,
            growth: (room.blocks().memory() as u64).saturating_sub(memory),
        };
        self.all += traffic;
        self.spent += spent;
        cost::check_all(&self.all, &self.spent);
        cost::check(&traffic, &before, &spent);
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
        while work.as_mut().poll(&mut cx).is_pending() {
            slices += 1;
        }
    }
    let steps = room.work() - steps;
    assert!(steps <= slices * (SLICE_STEPS + OVERSHOOT), "{steps} steps in {slices} slices");
}

/// The traffic of a frame. Where deletions wait, each run of blocks may be deleted as soon as it has come.
fn of_frame(frame: &Bytes, waits: bool) -> Traffic {
    of_messages(frame.len(), messages(frame).flatten(), waits)
}

fn of_messages(bytes: usize, messages: impl Iterator<Item = Inbound>, waits: bool) -> Traffic {
    let mut traffic = Traffic { bytes_in: bytes as u64, ..Traffic::input() };
    let mut runs = 0;
    for message in messages {
        match message {
            Inbound::Step2(update) | Inbound::Update(update) => {
                let Ok(update) = Update::scan(update) else { continue };
                traffic.deletions += update.deletions().count() as u64;
                runs += update.runs().len() as u64;
            }
            Inbound::Step1(said)
            | Inbound::Awareness(said)
            | Inbound::Confirm(said)
            | Inbound::Stateless(said) => {
                traffic.bytes_said += said.len() as u64;
            }
            Inbound::QueryAwareness | Inbound::Offer | Inbound::Create => {}
        }
    }
    if waits || traffic.deletions > 0 {
        traffic.deletions += runs;
    }
    traffic
}

/// The traffic of an effect.
fn of_effect(effect: &Effect) -> Traffic {
    let (bytes, clients) = match effect {
        Effect::Append { update, .. } => (update.len(), clients(update)),
        Effect::Send { message, .. } | Effect::Broadcast { message, .. } => {
            (encoded_len(message), message.update().map_or(0, clients))
        }
        Effect::Probe { .. } | Effect::Warn { .. } | Effect::Part { .. } => return Traffic::default(),
    };
    Traffic { frames_out: 1, bytes_out: bytes as u64, clients_out: clients, ..Traffic::default() }
}

/// The length of a message's frame in either dialect, without an address.
fn encoded_len(message: &Outbound) -> usize {
    let frame = y_websocket::encode(message).or_else(|| hocuspocus::encode(&[], message));
    frame.map_or(0, |frame| frame.len())
}

/// How many clients have blocks in an update.
fn clients(update: &Rope) -> u64 {
    let beginning: Vec<u8> = update.parts().iter().flatten().take(10).copied().collect();
    Reader::new(&beginning).var_uint().expect("the room's own encoding")
}

/// A peer gets each answer once, however often it has asked; and after enough bytes of answers the other peers wait.
fn check_answers(effects: &[Effect]) {
    let (mut given, mut before, mut bytes, mut last) = (HashSet::new(), 0, 0, None);
    for effect in effects {
        let Effect::Send { peer, message, .. } = effect else { continue };
        if !matches!(message, Outbound::Confirmed(_) | Outbound::Saved(_)) {
            let kind = discriminant(message);
            assert!(given.insert((*peer, kind)), "{peer:?} is answered twice: {message:?}");
        }
        if last.replace(*peer) != Some(*peer) {
            before = bytes;
        }
        bytes += message.len();
    }
    assert!(before < ANSWERS_AT_ONCE, "{before} bytes, and the next is answered as well");
}
