//! A room as a whole, under any inputs of peers, time and disk: [`Stage`] has the promises that must hold after each step, and
//! [`super::cost`] the cost that each step may have.

mod made_up;
mod peer;
mod script;
mod seed;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::dialect::sync::SyncMessage;
use coscribe_engine::dialect::y_websocket::{Messages, awareness_frame, sync_frame, sync_status_frame};
use coscribe_engine::document::blocks::Blocks;
use coscribe_engine::document::state_vector::StateVector;
use coscribe_engine::message::Outbound;
use coscribe_engine::room::{Effect, PeerId, Room, RoomLimits};

use self::peer::Peer;
use self::script::{SLOTS, Script, Step};
use super::metered::Metered;
use super::planted::Planted;
use crate::limits;

pub(super) use self::seed::{seed, seeds_of_large_frames};

/// A peer that is there from the beginning, only listens and never lags: all broadcasts go to it.
const LISTENER: PeerId = PeerId(1);

/// Takes `data` as limits and as steps: see [`script`].
pub fn room(data: &[u8]) {
    run(data, Planted::none());
}

/// The same with a room that does too much for each message.
#[cfg(feature = "planted-bugs")]
pub fn room_with(data: &[u8], waste: Option<super::planted::Waste>) {
    run(data, Planted::new(waste));
}

fn run(data: &[u8], planted: Planted) {
    let Ok((mut script, limits)) = Script::read(data) else { return };
    let mut stage = Stage::new(limits, script.eager, planted);
    while let Ok((slot, step)) = script.next() {
        stage.step(slot, step);
        stage.check();
    }
    if script.abrupt { stage.end_as_it_is() } else { stage.end() }
}

/// Something that the room has appended.
struct Logged {
    update: Bytes,
    source: Option<PeerId>,
    waits: bool,
}

/// A room, and the model of its state.
struct Stage {
    room: Metered,
    limits: RoomLimits,
    /// Whether the room ticks after each step.
    eager: bool,
    now: Duration,
    slots: [Option<PeerId>; SLOTS],
    peers: BTreeMap<PeerId, Peer>,
    last_peer: u64,
    /// How long the last frame was.
    last_frame: usize,
    /// The appended updates, each with the peer that sent it; one that waits has none.
    log: Vec<Logged>,
    /// All of the log, loaded.
    logged: Blocks,
    /// How much of the log was flushed to the peers.
    flushed: usize,
    /// How much of the log is on disk, and that loaded.
    durable: usize,
    on_disk: Blocks,
}

impl Stage {
    fn new(limits: RoomLimits, eager: bool, planted: Planted) -> Self {
        let mut stage = Self {
            room: Metered::new(limits, planted),
            limits,
            eager,
            now: Duration::ZERO,
            slots: [None; SLOTS],
            peers: BTreeMap::new(),
            last_peer: LISTENER.0 - 1,
            last_frame: 0,
            log: Vec::new(),
            logged: Blocks::default(),
            flushed: 0,
            durable: 0,
            on_disk: Blocks::default(),
        };
        let listener = stage.connect();
        stage.ask(listener);
        stage.tick(Duration::ZERO);
        stage
    }

    fn step(&mut self, slot: usize, step: Step<'_>) {
        match (self.slots[slot], step) {
            (_, Step::Tick(milliseconds)) => self.tick(Duration::from_millis(milliseconds.into())),
            (_, Step::Load(load)) => self.room.set_load(f32::from(load) / f32::from(u8::MAX)),
            (_, Step::Durable(more)) => self.sync(more.into()),
            (_, Step::Crowd(more)) => self.gather_a_crowd(more),
            (None, Step::Connect) => self.slots[slot] = Some(self.connect()),
            (None, _) | (_, Step::Connect) => {}
            (Some(peer), step) => self.step_of(peer, step),
        }
        if self.eager {
            self.tick(Duration::ZERO);
        }
        self.slots.iter_mut().for_each(|slot| *slot = slot.filter(|peer| self.peers.contains_key(peer)));
    }

    fn step_of(&mut self, peer: PeerId, step: Step<'_>) {
        match step {
            Step::Disconnect => self.disconnect(peer),
            Step::Frame(frame) => self.send(peer, &Bytes::copy_from_slice(frame)),
            Step::Update(update) => self.send(peer, &sync_frame(&SyncMessage::Update(&update))),
            Step::Answer(update) => self.send(peer, &sync_frame(&SyncMessage::Step2(update))),
            Step::Awareness(states) => self.send(peer, &awareness_frame(&states)),
            Step::SyncStatus(payload) => self.send(peer, &sync_status_frame(payload)),
            Step::Claim(known) => self.send(peer, &sync_frame(&SyncMessage::Step1(&known))),
            Step::Ask => self.ask(peer),
            Step::Gather => self.gather(peer),
            Step::Repeat(times) => self.repeat(peer, times),
            Step::Stalled => self.stall(peer),
            Step::Drained => self.drained(peer),
            Step::Connect | Step::Durable(_) | Step::Tick(_) | Step::Load(_) | Step::Crowd(_) => {}
        }
    }

    fn peer(&mut self, peer: PeerId) -> &mut Peer {
        self.peers.get_mut(&peer).expect("it is here")
    }

    fn connect(&mut self) -> PeerId {
        self.last_peer += 1;
        let peer = PeerId(self.last_peer);
        self.peers.insert(peer, Peer::default());
        let effects = self.room.connect(peer, self.now);
        self.settle(effects);
        peer
    }

    fn disconnect(&mut self, peer: PeerId) {
        let effects = self.room.disconnect(peer);
        self.peers.remove(&peer);
        self.settle(effects);
    }

    /// More peers come who read nothing.
    fn gather_a_crowd(&mut self, more: u8) {
        for _ in 0..more {
            let peer = self.connect();
            self.stall(peer);
        }
    }

    fn stall(&mut self, peer: PeerId) {
        let effects = self.room.stalled(peer);
        (self.peer(peer).lagging, self.peer(peer).misses) = (true, true);
        self.settle(effects);
    }

    fn drained(&mut self, peer: PeerId) {
        self.peer(peer).lagging = false;
        let effects = self.room.drained(peer);
        self.settle(effects);
    }

    /// The peer says truly what it has.
    fn ask(&mut self, id: PeerId) {
        let peer = self.peer(id);
        let known = peer.replica.state_vector().encode();
        // A peer that gathers messages has asked when they are sent.
        peer.asked |= peer.gathered.is_none();
        peer.will_have_asked |= peer.gathered.is_some();
        self.send(id, &sync_frame(&SyncMessage::Step1(&known)));
    }

    /// The peer begins to gather messages, or sends what it has gathered.
    fn gather(&mut self, id: PeerId) {
        let peer = self.peer(id);
        match peer.gathered.take() {
            None => peer.gathered = Some(Vec::new()),
            Some(gathered) => {
                peer.asked |= std::mem::take(&mut peer.will_have_asked);
                if !gathered.is_empty() {
                    self.receive(id, &gathered.into());
                }
            }
        }
    }

    fn repeat(&mut self, peer: PeerId, times: usize) {
        let frame = self.peer(peer).last_frame.clone();
        let repeated = frame.repeat(times.min(limits::SCRIPT_FRAME_BYTES / frame.len().max(1)));
        if !repeated.is_empty() {
            self.send(peer, &repeated.into());
        }
    }

    /// A peer sends a frame, or adds it to others.
    fn send(&mut self, id: PeerId, frame: &Bytes) {
        let readable = Messages::of(frame.clone()).all(|message| message.is_ok());
        match &mut self.peer(id).gathered {
            Some(gathered) if readable && gathered.len() + frame.len() <= limits::SCRIPT_FRAME_BYTES => {
                gathered.extend_from_slice(frame);
            }
            Some(_) => {
                self.gather(id);
                if self.peers.contains_key(&id) {
                    self.receive(id, frame);
                }
            }
            None => self.receive(id, frame),
        }
    }

    fn receive(&mut self, peer: PeerId, frame: &Bytes) {
        self.peer(peer).sends(frame);
        self.last_frame = frame.len();
        let before = self.room.room().blocks().memory();
        let effects = self.room.receive(peer, frame, self.now);
        let allowed = before.max(self.limits.document_bytes).saturating_add(256 * frame.len() + 4096);
        assert!(self.room.room().blocks().memory() <= allowed, "the document stays within its limit");
        self.settle(effects);
    }

    /// Time passes, and the room does what is due until nothing is.
    fn tick(&mut self, passed: Duration) {
        self.now += passed;
        loop {
            let effects = self.room.tick(self.now);
            self.settle(effects);
            match self.room.room().next_tick() {
                Some(Duration::ZERO) => {}
                next => break assert!(next.is_none_or(|at| at > self.now), "a tick does what is due"),
            }
        }
        for peer in self.peers.values_mut().filter(|peer| !peer.lagging) {
            assert!(!peer.asked, "whoever asks is answered");
            peer.misses = false;
        }
        assert_same(&self.logged, self.room.room().blocks());
        assert_eq!(self.room.room().sequence(), self.log.len() as u64);
    }

    /// So many more appends are on disk.
    fn sync(&mut self, more: usize) {
        let durable = (self.durable + more).min(self.log.len());
        for Logged { update, .. } in self.log[self.durable..durable].iter().filter(|logged| !logged.waits) {
            self.on_disk.load(update).expect("the log has no gap");
        }
        self.on_disk.collect();
        self.durable = durable;
        let effects = self.room.durable(durable as u64);
        self.settle(effects);
    }

    /// Carries out the effects of the room.
    fn settle(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Append { sequence, update, source, waits } => {
                    self.append(sequence, Logged { update: update.to_bytes(), source, waits });
                }
                Effect::Send { peer, message, .. } => self.deliver(peer, &message),
                Effect::Broadcast { message, to } => self.broadcast(&message, &to),
                // Nobody answers, so that states go to those who claim them.
                Effect::Probe { peer } | Effect::Warn { peer, .. } => assert!(self.peers.contains_key(&peer)),
                Effect::Part { peer, parting } => {
                    assert!(self.peers.remove(&peer).is_some() && !parting.words.is_empty());
                }
            }
        }
    }

    fn append(&mut self, sequence: u64, logged: Logged) {
        assert!(!logged.waits || logged.source.is_none(), "what waits comes from several");
        if !logged.waits {
            self.logged.load(&logged.update).expect("the log has no gap");
        }
        self.log.push(logged);
        assert_eq!(sequence, self.log.len() as u64, "no sequence is left out");
    }

    fn broadcast(&mut self, message: &Outbound, to: &[PeerId]) {
        let is_update = matches!(message, Outbound::Update(_));
        assert!(is_update || matches!(message, Outbound::Awareness(_)), "{message:?}");
        assert!(to.is_sorted_by(|a, b| a < b), "each once");
        assert!(
            to.contains(&LISTENER) || !is_update,
            "and the listener, unless others see states that it knows"
        );
        for &peer in to {
            assert!(!self.peer(peer).misses, "whoever missed something is told that first");
            self.deliver(peer, message);
        }
        if is_update {
            self.check_flush(to);
        }
    }

    /// After a flush all peers that keep up have the whole document; only the source of a flush does not get it.
    fn check_flush(&mut self, to: &[PeerId]) {
        let flushed = std::mem::replace(&mut self.flushed, self.log.len());
        for (id, peer) in self.peers.iter_mut().filter(|(_, peer)| peer.synced && peer.keeps_up()) {
            if !to.contains(id) {
                for Logged { update, source, .. } in self.log[flushed..].iter().filter(|logged| !logged.waits)
                {
                    assert_eq!(*source, Some(*id), "all others get what is new");
                    peer.replica.load(update).expect("its own edits follow each other");
                }
            }
            assert_same(&peer.replica, self.room.room().blocks());
        }
    }

    fn deliver(&mut self, id: PeerId, message: &Outbound) {
        let room = self.room.room();
        let peer = self.peers.get_mut(&id).expect("nothing is sent to who is gone");
        assert!(!peer.lagging, "nothing is sent to who does not keep up");
        match message {
            Outbound::Step1(known) => {
                let known = StateVector::decode(known).expect("the room's own encoding");
                assert_eq!(known, *room.blocks().state_vector(), "what the room knows");
            }
            Outbound::Step2(update) => {
                if peer.is_answered_with(&update.to_bytes()) {
                    assert_same(&peer.replica, room.blocks());
                }
            }
            Outbound::Update(update) if peer.synced => {
                peer.replica.load(&update.to_bytes()).expect("what is broadcast has no gap");
            }
            Outbound::Update(_) => {}
            Outbound::Awareness(states) => peer.learns(&states.to_bytes()),
            Outbound::Confirmed(token) => peer.is_acknowledged(token, &self.on_disk),
            Outbound::Saved(_)
            | Outbound::Denied(_)
            | Outbound::Access(_)
            | Outbound::Stateless(_)
            | Outbound::QueryAwareness => {
                panic!("these peers count nothing and may do everything")
            }
        }
    }

    /// The promises that must hold after every step.
    fn check(&mut self) {
        let room = self.room.room();
        assert_eq!(room.sequence(), self.log.len() as u64);
        assert!(room.blocks().parked().bytes() <= self.limits.parked_bytes, "no more waits than may");
        assert_eq!(room.is_empty(), self.peers.is_empty());
    }

    /// When all has been sent, flushed, drained and synced, everybody has everything and waits for nothing.
    fn end(mut self) {
        let ids: Vec<_> = self.peers.keys().copied().collect();
        for id in ids {
            if self.peers.get(&id).is_some_and(|peer| peer.gathered.is_some()) {
                self.gather(id);
            }
            if self.peers.contains_key(&id) {
                self.drained(id);
            }
        }
        self.tick(Duration::from_secs(1));
        self.sync(self.log.len());
        self.tick(Duration::ZERO);
        self.check();
        assert_same(&self.on_disk, self.room.room().blocks());
        let ids: Vec<_> = self.peers.keys().copied().collect();
        let newcomer = self.connect();
        self.ask(newcomer);
        self.tick(Duration::ZERO);
        let all = self.peer(newcomer).cursors.clone();
        for id in ids {
            self.check_at_the_end(id, &all);
        }
        assert_same(&self.peers[&newcomer].replica, self.room.room().blocks());
        self.reopen();
    }

    /// What the room has kept while some lag, ask or wait is no more than it may be.
    fn end_as_it_is(self) {
        let Self { room, last_peer, last_frame, peers, log, .. } = self;
        drop((peers, log));
        room.end(last_peer, last_frame);
    }

    fn check_at_the_end(&self, id: PeerId, cursors: &peer::Cursors) {
        let (peer, blocks) = (&self.peers[&id], self.room.room().blocks());
        if peer.synced {
            assert_same(&peer.replica, blocks);
        }
        assert!(peer.is_answered() || blocks.parked().waits_for(id.0), "who waits is answered");
        let mut others = cursors.clone();
        others.retain(|client, _| !peer.own.contains(client));
        assert_eq!(peer.sees(), others, "all see the same");
    }

    /// A room that is opened with what was stored, half of it in a snapshot, is the same.
    fn reopen(&mut self) {
        let (covered, rest) = self.log.split_at(self.log.len() / 2);
        let mut snapshot = Blocks::default();
        let updates = |log: &[Logged]| -> Vec<Bytes> {
            log.iter().filter(|logged| !logged.waits).map(|logged| logged.update.clone()).collect()
        };
        for update in updates(covered) {
            snapshot.load(&update).expect("the log has no gap");
        }
        let mut room = Room::new(self.limits);
        room.load(&snapshot.encode_state()).expect("a snapshot has no gap");
        for update in updates(rest) {
            room.load(&update).expect("the log has no gap");
        }
        for Logged { update: waiting, .. } in self.log.iter().filter(|logged| logged.waits) {
            room.load_waiting(waiting).expect("what waits can be read");
        }
        assert_same(room.blocks(), self.room.room().blocks());
        let [opened, live] =
            [room.blocks(), self.room.room().blocks()].map(|blocks| blocks.parked().is_empty());
        assert_eq!(opened, live, "the same waits");
    }
}

/// They are the same document, though each may have collected other parts of it.
fn assert_same(copy: &Blocks, blocks: &Blocks) {
    assert_eq!(copy.state_vector(), blocks.state_vector());
    if copy.delete_set() != blocks.delete_set() {
        assert_eq!(collected(copy).delete_set(), collected(blocks).delete_set());
    }
}

fn collected(blocks: &Blocks) -> Blocks {
    let mut copy = Blocks::from_update(&blocks.encode_state()).expect("a state has no gap");
    copy.collect();
    copy
}
