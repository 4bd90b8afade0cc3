//! A room as a whole, under whatever peers, time and disk do to it: see [`Stage`] for what must hold after each step.

mod peer;
mod script;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::blocks::Blocks;
use coscribe_engine::lib0::{Reader, write_var_buf};
use coscribe_engine::protocol::sync::SyncMessage;
use coscribe_engine::protocol::y_websocket::{Message, awareness_frame, sync_frame, sync_status_frame};
use coscribe_engine::room::{Effect, PeerId, Room, RoomLimits};
use coscribe_engine::state_vector::StateVector;

use self::peer::Peer;
use self::script::{SLOTS, Script, Step, number};
use super::allocation::{Limit, bounded};

/// A frame may bring back an answer with the whole document; the rest is as for [`super::blocks()`].
const RECEIVE: Limit = Limit { peak: 512, sum: 16 << 10 };

/// Is there from the beginning, only listens and never lags: whatever is broadcast goes to it.
const LISTENER: PeerId = PeerId(1);

/// Takes `data` as limits and as steps: see [`script`].
pub fn room(data: &[u8]) {
    let Ok((mut script, limits)) = Script::read(data) else { return };
    let mut stage = Stage::new(limits);
    while let Ok((slot, step)) = script.next() {
        stage.step(slot, step);
        stage.check();
    }
    stage.end();
}

/// A room, and what should have come of it.
struct Stage {
    room: Room,
    limits: RoomLimits,
    now: Duration,
    slots: [Option<PeerId>; SLOTS],
    peers: BTreeMap<PeerId, Peer>,
    last_peer: u64,
    /// Bytes of all frames that came.
    received: usize,
    /// The appended updates and their authors.
    log: Vec<(Bytes, PeerId)>,
    /// All of the log, loaded.
    logged: Blocks,
    /// How much of the log was flushed to the peers.
    flushed: usize,
    /// How much of the log is on disk, and that loaded.
    durable: usize,
    on_disk: Blocks,
}

/// How frames with a SyncStep2 are to be taken.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
enum Asked {
    /// They answer what nobody knows: they are not looked at.
    Anything,
    /// They bring the peer up from where it stands.
    Truly,
}

impl Stage {
    fn new(limits: RoomLimits) -> Self {
        let mut stage = Self {
            room: Room::new(limits),
            limits,
            now: Duration::ZERO,
            slots: [None; SLOTS],
            peers: BTreeMap::new(),
            last_peer: LISTENER.0 - 1,
            received: 0,
            log: Vec::new(),
            logged: Blocks::default(),
            flushed: 0,
            durable: 0,
            on_disk: Blocks::default(),
        };
        let listener = stage.connect();
        stage.ask(listener);
        stage
    }

    fn step(&mut self, slot: usize, step: Step<'_>) {
        match (self.slots[slot], step) {
            (_, Step::Tick(milliseconds)) => self.tick(Duration::from_millis(milliseconds.into())),
            (_, Step::FannedOut(cost)) => self.room.fanned_out(Duration::from_micros(100) * cost.into()),
            (_, Step::Durable(more)) => self.sync(more.into()),
            (None, Step::Connect) => self.slots[slot] = Some(self.connect()),
            (None, _) | (_, Step::Connect) => {}
            (Some(peer), step) => self.step_of(peer, step),
        }
        self.slots.iter_mut().for_each(|slot| *slot = slot.filter(|peer| self.peers.contains_key(peer)));
    }

    fn step_of(&mut self, peer: PeerId, step: Step<'_>) {
        match step {
            Step::Disconnect => {
                self.room.disconnect(peer);
                self.peers.remove(&peer);
            }
            Step::Frame(frame) => self.receive(peer, Bytes::copy_from_slice(frame)),
            Step::Update(update) => self.receive(peer, sync_frame(&SyncMessage::Update(update))),
            Step::Answer(update) => self.receive(peer, sync_frame(&SyncMessage::Step2(update))),
            Step::Edit(update) => self.receive(peer, sync_frame(&SyncMessage::Update(&update))),
            Step::Awareness(states) => self.receive(peer, awareness_frame(states)),
            Step::SyncStatus(payload) => self.receive(peer, sync_status_frame(payload)),
            Step::Ask => self.ask(peer),
            Step::Stalled => {
                self.room.stalled(peer);
                self.peer(peer).lagging = true;
            }
            Step::Drained => self.drained(peer),
            Step::Connect | Step::Durable(_) | Step::Tick(_) | Step::FannedOut(_) => {}
        }
        self.settle(Asked::Anything);
    }

    fn peer(&mut self, peer: PeerId) -> &mut Peer {
        self.peers.get_mut(&peer).expect("it is here")
    }

    fn connect(&mut self) -> PeerId {
        self.last_peer += 1;
        let peer = PeerId(self.last_peer);
        self.room.connect(peer, self.now);
        self.peers.insert(peer, Peer::default());
        self.settle(Asked::Anything);
        peer
    }

    /// The peer says truly what it has.
    fn ask(&mut self, peer: PeerId) {
        let known = self.peer(peer).replica.state_vector().encode();
        self.receive(peer, sync_frame(&SyncMessage::Step1(&known)));
        self.settle(Asked::Truly);
        let peer = self.peer(peer);
        peer.asked |= peer.lagging;
        peer.synced |= !peer.lagging;
    }

    fn drained(&mut self, id: PeerId) {
        let peer = self.peer(id);
        let was_lagging = std::mem::take(&mut peer.lagging);
        let complete = was_lagging && (peer.synced || peer.asked);
        self.room.drained(id);
        self.settle(if complete { Asked::Truly } else { Asked::Anything });
        let peer = self.peer(id);
        peer.synced |= std::mem::take(&mut peer.asked);
    }

    fn receive(&mut self, peer: PeerId, frame: Bytes) {
        self.received += frame.len();
        self.peer(peer).sends(&frame);
        let before = self.room.blocks().memory();
        let room = &mut self.room;
        let (now, received) = (self.now, self.received);
        bounded(received, RECEIVE, || room.receive(peer, &frame, now));
        let allowed = before.max(self.limits.document_bytes).saturating_add(256 * frame.len() + 4096);
        assert!(self.room.blocks().memory() <= allowed, "the document stays within its limit");
    }

    fn tick(&mut self, passed: Duration) {
        self.now += passed;
        self.room.tick(self.now);
        self.settle(Asked::Anything);
        assert!(self.room.next_tick().is_none_or(|at| at > self.now), "a tick does what is due");
    }

    /// So many more appends are on disk.
    fn sync(&mut self, more: usize) {
        let durable = (self.durable + more).min(self.log.len());
        for (update, _) in &self.log[self.durable..durable] {
            self.on_disk.load(update).expect("the log has no gap");
        }
        self.durable = durable;
        self.room.durable(durable as u64);
        self.settle(Asked::Anything);
    }

    /// Carries out what the room wants done.
    fn settle(&mut self, asked: Asked) {
        while let Some(effect) = self.room.poll_effect() {
            match effect {
                Effect::Append { sequence, update, author } => self.append(sequence, update, author),
                Effect::Send { peer, frame } => self.deliver(peer, &frame, asked),
                Effect::Broadcast { frame, to } => self.broadcast(&frame, &to),
                Effect::Close { peer, code, reason } => {
                    assert!(self.peers.remove(&peer).is_some() && code > 1000 && !reason.is_empty());
                }
            }
        }
    }

    fn append(&mut self, sequence: u64, update: Bytes, author: PeerId) {
        self.log.push((update.clone(), author));
        assert_eq!(sequence, self.log.len() as u64, "no sequence is left out");
        self.logged.load(&update).expect("the log has no gap");
    }

    fn broadcast(&mut self, frame: &Bytes, to: &[PeerId]) {
        let flushes = !matches!(read(frame), Message::Awareness(_));
        assert!(to.is_sorted_by(|a, b| a < b) && to.contains(&LISTENER), "each once, and the listener");
        for &peer in to {
            self.deliver(peer, frame, Asked::Truly);
        }
        if flushes {
            self.check_flush(to);
        }
    }

    /// After a flush all who keep up have all there is; whoever did not get it has written it.
    fn check_flush(&mut self, to: &[PeerId]) {
        let flushed = std::mem::replace(&mut self.flushed, self.log.len());
        for (id, peer) in self.peers.iter_mut().filter(|(_, peer)| peer.synced && !peer.lagging) {
            if !to.contains(id) {
                for (update, author) in &self.log[flushed..] {
                    assert_eq!(author, id, "all others get what is new");
                    peer.replica.load(update).expect("its own edits follow each other");
                }
            }
            assert_same(&peer.replica, self.room.blocks());
        }
    }

    fn deliver(&mut self, id: PeerId, frame: &Bytes, asked: Asked) {
        let peer = self.peers.get_mut(&id).expect("nothing is sent to who is gone");
        assert!(!peer.lagging, "nothing is sent to who does not keep up");
        match read(frame) {
            Message::Sync(SyncMessage::Step1(known)) => {
                let known = StateVector::decode(known).expect("the room's own encoding");
                let state = self.room.blocks().state_vector();
                assert!(
                    known.iter().all(|(client, clock)| clock <= state.get(client)),
                    "what the room knows"
                );
            }
            Message::Sync(SyncMessage::Step2(update)) if asked == Asked::Truly => {
                peer.replica.load(update).expect("an answer has no gap");
            }
            Message::Sync(SyncMessage::Update(update)) if peer.synced => {
                peer.replica.load(update).expect("what is broadcast has no gap");
            }
            Message::Sync(_) => {}
            Message::Awareness(states) => peer.learns(states),
            Message::SyncStatus(payload) => peer.is_acknowledged(payload, &self.on_disk),
            Message::QueryAwareness => panic!("the room asks nobody"),
        }
    }

    /// What must hold after every step.
    fn check(&mut self) {
        assert_same(&self.logged, self.room.blocks());
        assert_eq!(self.room.sequence(), self.log.len() as u64);
        assert!(self.room.blocks().parked().bytes() <= self.limits.parked_bytes, "no more waits than may");
        assert_eq!(self.room.is_empty(), self.peers.is_empty());
    }

    /// When all has been flushed, drained and synced, everybody has everything and waits for nothing.
    fn end(mut self) {
        let ids: Vec<_> = self.peers.keys().copied().collect();
        for &id in &ids {
            self.drained(id);
        }
        self.tick(Duration::from_secs(1));
        self.sync(self.log.len());
        self.check();
        assert_same(&self.on_disk, self.room.blocks());
        let newcomer = self.connect();
        self.ask(newcomer);
        let all = self.peer(newcomer).cursors.clone();
        for id in ids {
            let peer = &self.peers[&id];
            if peer.synced {
                assert_same(&peer.replica, self.room.blocks());
            }
            assert!(
                peer.is_answered() || self.room.blocks().parked().waits_for(id.0),
                "who waits is answered"
            );
            let mut others = all.clone();
            others.retain(|client, _| !peer.own.contains(client));
            assert_eq!(peer.sees(), others, "all see the same");
        }
        assert_same(&self.peers[&newcomer].replica, self.room.blocks());
        self.reopen();
    }

    /// A room that is opened with what was stored, half of it in a snapshot, is the same.
    fn reopen(&mut self) {
        let (covered, rest) = self.log.split_at(self.log.len() / 2);
        let mut snapshot = Blocks::default();
        for (update, _) in covered {
            snapshot.load(update).expect("the log has no gap");
        }
        let mut room = Room::new(self.limits);
        room.load(&snapshot.encode_state()).expect("a snapshot has no gap");
        for (update, _) in rest {
            room.load(update).expect("the log has no gap");
        }
        assert_same(room.blocks(), self.room.blocks());
    }
}

/// The one message in a frame of the room.
fn read(frame: &Bytes) -> Message<'_> {
    let mut reader = Reader::new(frame);
    let message = Message::read(&mut reader).expect("a message of the dialect");
    assert!(reader.is_empty(), "clients read one message of a frame");
    message
}

fn assert_same(copy: &Blocks, blocks: &Blocks) {
    assert_eq!(copy.state_vector(), blocks.state_vector());
    assert_eq!(copy.delete_set(), blocks.delete_set());
}

/// A script in which two peers write these updates by turns and a third one does not keep up.
pub(super) fn seed(updates: &[Vec<u8>], cursors: &[u8]) -> Vec<u8> {
    let mut script = vec![0];
    for slot in 0..3 {
        script.extend([number::CONNECT, slot, number::ASK, slot]);
    }
    for (turn, update) in updates.iter().enumerate() {
        let slot = u8::from(turn % 2 == 1);
        script.extend([number::UPDATE, slot]);
        write_var_buf(&mut script, update);
        match turn % 8 {
            1 => script.extend([number::TICK, 0, 20]),
            2 => {
                script.extend([number::AWARENESS, slot]);
                write_var_buf(&mut script, cursors);
            }
            3 => script.extend([number::STALLED, 2, number::SYNC_STATUS, slot, 1, 7]),
            5 => script.extend([number::DURABLE, 0, 3]),
            7 => script.extend([number::TICK, 0, 20, number::DRAINED, 2]),
            _ => {}
        }
    }
    script
}
