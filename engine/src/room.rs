//! A document room as a state machine: what peers send and what the shell observes go in, effects come out.
//!
//! It does no I/O and has no clock: every input carries `now`, a time since an origin of the caller's choosing. After
//! each input the caller takes effects with [`Room::poll_effect`] until there are none, and calls [`Room::tick`] when
//! its inbox is empty and at [`Room::next_tick`].
//!
//! - What a peer sends is admitted at once, and logged at once; it is broadcast at the next flush, merged with all
//!   that came meanwhile.
//! - A peer whose outbox is over its limit is *lagging*: it is sent nothing, and what it misses is remembered as
//!   [`Changes`], which stay small however long it takes. When its outbox is empty it gets one diff.
//! - A SyncStatus is given back when all that its sender sent before is durable: not while a part of it waits for a
//!   gap to fill.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use crate::awareness::{Awareness, AwarenessError};
use crate::blocks::{Blocks, Changes, LoadError};
use crate::lib0::{ReadError, Reader};
use crate::limits::{DOCUMENT_BYTES, PARKED_BYTES, SYNC_STATUS_BYTES, UNANSWERED_SYNC_STATUSES};
use crate::protocol::MessageError;
use crate::protocol::sync::SyncMessage;
use crate::protocol::y_websocket::{self, Message};
use crate::state_vector::StateVector;
use crate::update::{ClientId, Update, UpdateError};

pub use crate::peer::PeerId;

/// Longest time between two flushes: one frame of a screen.
const LONGEST_FLUSH_WINDOW: Duration = Duration::from_millis(16);
/// A room spends at most one part in so many of its time on fan-out, while that keeps it under the longest window.
const FAN_OUT_SHARE: u32 = 16;
/// How often awareness is searched for states that were not renewed.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(5);

/// WebSocket close codes that a room uses.
mod close {
    /// The peer broke a rule.
    pub(super) const POLICY: u16 = 1008;
    /// More than fits.
    pub(super) const TOO_BIG: u16 = 1009;
    /// Over a limit that may not last.
    pub(super) const TRY_AGAIN_LATER: u16 = 1013;
}

/// Bounds of one room.
#[derive(Debug, Copy, Clone)]
pub struct RoomLimits {
    /// Memory that updates may take which wait for a gap to fill.
    pub parked_bytes: usize,
    /// Memory that the document may take: no update is admitted that would make it larger. One that is larger already can
    /// still be read, and deleted from.
    pub document_bytes: usize,
}

impl Default for RoomLimits {
    fn default() -> Self {
        Self { parked_bytes: PARKED_BYTES, document_bytes: DOCUMENT_BYTES }
    }
}

/// What the room wants done. Effects are to be carried out in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// One frame for one peer.
    Send {
        /// Who gets it.
        peer: PeerId,
        /// A whole binary WebSocket message.
        frame: Bytes,
    },
    /// One frame for several peers.
    Broadcast {
        /// A whole binary WebSocket message.
        frame: Bytes,
        /// Who gets it.
        to: Vec<PeerId>,
    },
    /// An update to log. It is durable when [`Room::durable`] says so of its sequence.
    Append {
        /// Its place in the document's log: one more than that of the append before.
        sequence: u64,
        /// The update, v1.
        update: Bytes,
        /// Who sent it.
        author: PeerId,
    },
    /// A connection to close. The room has forgotten the peer already.
    Close {
        /// Whose connection.
        peer: PeerId,
        /// The WebSocket close code.
        code: u16,
        /// Why, in words.
        reason: String,
    },
}

/// Why a peer's frame makes the room close its connection.
#[derive(Debug, thiserror::Error)]
enum Violation {
    #[error("malformed message: {0}")]
    Message(#[from] MessageError),
    #[error("malformed state vector: {0}")]
    StateVector(ReadError),
    #[error("malformed update: {0}")]
    Update(#[from] UpdateError),
    #[error("bad awareness: {0}")]
    Awareness(#[from] AwarenessError),
    #[error("the document would be too large")]
    DocumentTooLarge,
    #[error("acknowledgement request too large")]
    SyncStatusTooLarge,
    #[error("too many unanswered acknowledgement requests")]
    TooManySyncStatuses,
}

impl Violation {
    fn close_code(&self) -> u16 {
        match self {
            Self::DocumentTooLarge => close::TOO_BIG,
            _ => close::POLICY,
        }
    }
}

impl From<ReadError> for Violation {
    fn from(error: ReadError) -> Self {
        Self::Message(error.into())
    }
}

#[derive(Debug, Default)]
struct Peer {
    /// Acknowledgements it waits for, and the sequence that must be durable first; `None` while something it sent
    /// waits for a gap to fill.
    acknowledgements: VecDeque<(Option<u64>, Bytes)>,
    /// Whether it was asked for what is missing, and has not answered.
    asked: bool,
    /// What it misses since its outbox went over the limit.
    lagging: Option<Missed>,
}

/// What a lagging peer misses.
#[derive(Debug, Default)]
struct Missed {
    changes: Changes,
    /// How many awareness states had been removed in the last flush that it got.
    removals: u64,
}

/// Who wrote what a flush holds.
#[derive(Debug, Default, Copy, Clone)]
enum Authors {
    #[default]
    Nobody,
    Only(PeerId),
    Several,
}

impl Authors {
    fn add(&mut self, peer: PeerId) {
        *self = match *self {
            Self::Nobody => Self::Only(peer),
            Self::Only(author) if author == peer => Self::Only(peer),
            _ => Self::Several,
        };
    }
}

/// What has changed since the last flush.
#[derive(Debug, Default)]
struct Pending {
    changes: Changes,
    /// The update that brought the changes, if it was one.
    only: Option<Bytes>,
    authors: Authors,
    /// Clients whose awareness has changed.
    awareness: BTreeSet<ClientId>,
    awareness_authors: Authors,
}

/// A live document and its peers.
#[derive(Debug, Default)]
pub struct Room {
    limits: RoomLimits,
    blocks: Blocks,
    awareness: Awareness,
    peers: BTreeMap<PeerId, Peer>,
    /// How many acknowledgements the peers wait for.
    unanswered: usize,
    effects: VecDeque<Effect>,
    /// The last one given to an append.
    sequence: u64,
    durable: u64,
    pending: Pending,
    last_flush: Duration,
    /// How many awareness states had been removed in all at the last flush.
    flushed_removals: u64,
    flush_window: Duration,
    next_expiry: Duration,
    /// SyncStep2 with the whole document, until it changes.
    full_state: Option<Bytes>,
}

impl Room {
    /// An empty room without peers.
    pub fn new(limits: RoomLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Takes in a stored update: a snapshot, or what the log has after it, in order.
    ///
    /// # Errors
    /// If the bytes are not an update, or depend on others that are missing.
    pub fn load(&mut self, update: &[u8]) -> Result<(), LoadError> {
        self.full_state = None;
        self.blocks.load(update)
    }

    /// Says which sequence the last stored update has. The next append follows it.
    pub fn resume_at(&mut self, sequence: u64) {
        self.sequence = sequence;
        self.durable = sequence;
    }

    /// The document.
    pub fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    /// The sequence of the last append.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Whether there are no peers.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// The whole document as one update; encoded once until it changes.
    pub fn encode_state(&mut self) -> Bytes {
        let frame = self.full_state();
        let mut reader = Reader::new(&frame[2..]);
        let update = reader.var_buf().expect("our own frame");
        frame.slice_ref(update)
    }

    /// Whether a frame is the one that everybody gets who asks for the whole document, as long as that does not change.
    pub fn is_full_state(&self, frame: &Bytes) -> bool {
        self.full_state.as_ref().is_some_and(|state| state.as_ptr() == frame.as_ptr())
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// A peer has come: it is asked for what the server lacks, and told who is here.
    pub fn connect(&mut self, peer: PeerId, now: Duration) {
        if self.awareness.is_empty() {
            self.next_expiry = now + EXPIRY_INTERVAL;
        }
        self.peers.insert(peer, Peer::default());
        self.send_step_1(peer);
        self.send_awareness(peer);
    }

    /// A peer has gone, and its awareness goes with it.
    pub fn disconnect(&mut self, peer: PeerId) {
        let Some(gone) = self.peers.remove(&peer) else { return };
        self.unanswered -= gone.acknowledgements.len();
        self.blocks.forget_parked(peer.0);
        let left = self.awareness.leave(peer);
        if !left.is_empty() {
            self.pending.awareness.extend(left);
            self.pending.awareness_authors = Authors::Several;
        }
    }

    /// A frame has come from a peer. A frame that breaks a rule closes its connection.
    pub fn receive(&mut self, peer: PeerId, frame: &Bytes, now: Duration) {
        if !self.peers.contains_key(&peer) {
            return;
        }
        if let Err(violation) = self.receive_frame(peer, frame, now) {
            self.close(peer, violation.close_code(), violation.to_string());
        }
    }

    /// A peer's outbox is over its limit: it is sent nothing until [`Room::drained`].
    pub fn stalled(&mut self, peer: PeerId) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            let removals = self.flushed_removals;
            peer.lagging.get_or_insert_with(|| Missed { removals, ..Missed::default() });
        }
    }

    /// A peer's outbox is empty again: it gets what it missed as one diff.
    pub fn drained(&mut self, peer: PeerId) {
        let Some(mut missed) = self.peers.get_mut(&peer).and_then(|peer| peer.lagging.take()) else {
            return;
        };
        if !missed.changes.is_empty() {
            // The diff reaches up to the last block of each client, and that may depend on what is yet to be flushed.
            missed.changes.extend(&self.pending.changes);
            let diff = self.blocks.diff_changes(&missed.changes);
            self.send(peer, y_websocket::sync_frame(&SyncMessage::Step2(&diff)));
        }
        if self.blocks.parked().waits_for(peer.0) {
            self.send_step_1(peer);
        }
        let left = self.awareness.removed_since(missed.removals).collect();
        self.send_awareness_and(peer, left);
        self.acknowledge(peer);
    }

    /// All appends up to this sequence are on disk: acknowledgements that waited for it go out.
    pub fn durable(&mut self, sequence: u64) {
        self.durable = sequence;
        self.acknowledge_all();
    }

    /// Whether somebody waits to hear what is durable.
    pub fn awaits_durable(&self) -> bool {
        self.unanswered > 0
    }

    /// What the fan-out of the last flush took. The time to the next one follows it.
    pub fn fanned_out(&mut self, cost: Duration) {
        self.flush_window = (cost * FAN_OUT_SHARE).min(LONGEST_FLUSH_WINDOW);
    }

    /// Time has passed: flushes if it is time, and lets awareness expire.
    pub fn tick(&mut self, now: Duration) {
        if now >= self.next_expiry && !self.awareness.is_empty() {
            self.next_expiry = now + EXPIRY_INTERVAL;
            let expired = self.awareness.expire(now);
            self.pending.awareness.extend(expired);
            self.pending.awareness_authors = Authors::Several;
        }
        if self.has_pending() && now >= self.last_flush + self.flush_window {
            self.flush(now);
        }
    }

    /// When [`Room::tick`] has something to do next, if nothing else happens.
    pub fn next_tick(&self) -> Option<Duration> {
        let flush = self.has_pending().then_some(self.last_flush + self.flush_window);
        let expiry = (!self.awareness.is_empty()).then_some(self.next_expiry);
        flush.into_iter().chain(expiry).min()
    }

    fn has_pending(&self) -> bool {
        !self.pending.changes.is_empty() || !self.pending.awareness.is_empty()
    }

    fn receive_frame(&mut self, peer: PeerId, frame: &Bytes, now: Duration) -> Result<(), Violation> {
        let mut reader = Reader::new(frame);
        if reader.is_empty() {
            return Err(MessageError::Empty.into());
        }
        while !reader.is_empty() && self.peers.contains_key(&peer) {
            match Message::read(&mut reader)? {
                Message::Sync(SyncMessage::Step1(known)) => self.receive_step_1(peer, known)?,
                Message::Sync(SyncMessage::Step2(update)) => {
                    self.peer(peer).asked = false;
                    // What is still missing then it does not have: to ask again would go on for ever.
                    self.receive_update(peer, frame.slice_ref(update))?;
                }
                Message::Sync(SyncMessage::Update(update)) => {
                    if self.receive_update(peer, frame.slice_ref(update))? {
                        self.ask(peer);
                    }
                }
                Message::Awareness(states) => self.receive_awareness(peer, states, now)?,
                Message::QueryAwareness => self.send_awareness(peer),
                Message::SyncStatus(payload) => self.receive_sync_status(peer, payload)?,
            }
        }
        Ok(())
    }

    fn receive_step_1(&mut self, peer: PeerId, known: &[u8]) -> Result<(), Violation> {
        let known = StateVector::decode(known).map_err(Violation::StateVector)?;
        if self.peer(peer).lagging.is_some() {
            // Answered by the diff that it gets when its outbox is empty.
            let missed = self.blocks.changes_since(&known);
            self.peer(peer).lagging.get_or_insert_default().changes.extend(&missed);
        } else if known.is_empty() {
            let frame = self.full_state();
            self.send(peer, frame);
        } else {
            let diff = self.blocks.diff(&known);
            self.send(peer, y_websocket::sync_frame(&SyncMessage::Step2(&diff)));
        }
        Ok(())
    }

    /// Takes in an update, and says whether a part of it waits for what is missing.
    fn receive_update(&mut self, peer: PeerId, update: Bytes) -> Result<bool, Violation> {
        let update = Update::scan(update)?;
        self.check_size(&update)?;
        let admission = self.blocks.admit(&update, peer.0);
        if let Some(update) = admission.update {
            self.full_state = None;
            self.sequence += 1;
            let append = Effect::Append { sequence: self.sequence, update: update.clone(), author: peer };
            self.effects.push_back(append);
            self.pending.only = self.pending.changes.is_empty().then_some(update);
            self.pending.changes.extend(&admission.changes);
            self.pending.authors.add(peer);
        }
        if admission.woken {
            // What had waited came from others: the author has not seen it.
            self.pending.authors = Authors::Several;
            self.acknowledge_all();
        }
        if admission.parked {
            self.limit_parked();
        }
        Ok(admission.parked)
    }

    /// Refuses an update that would make the document too large.
    fn check_size(&self, update: &Update) -> Result<(), Violation> {
        let room = self.limits.document_bytes.saturating_sub(self.blocks.memory());
        // What is new of an update is counted only where it matters.
        if update.bytes().len() > room && self.blocks.growth(update) > room {
            return Err(Violation::DocumentTooLarge);
        }
        Ok(())
    }

    /// Closes the connection that makes the most wait, if it is too much in all.
    fn limit_parked(&mut self) {
        if self.blocks.parked().bytes() > self.limits.parked_bytes
            && let Some(largest) = self.blocks.parked().largest_author()
        {
            let reason = "too much waits for updates that are missing".to_owned();
            self.close(PeerId(largest), close::TRY_AGAIN_LATER, reason);
        }
    }

    /// Asks a peer for what is missing before the updates of its that wait.
    fn ask(&mut self, peer: PeerId) {
        if let Some(asked) = self.peers.get_mut(&peer)
            && !std::mem::replace(&mut asked.asked, true)
        {
            self.send_step_1(peer);
        }
    }

    fn receive_awareness(&mut self, peer: PeerId, states: &[u8], now: Duration) -> Result<(), Violation> {
        let received = self.awareness.receive(peer, states, now)?;
        if !received.changed.is_empty() {
            self.pending.awareness.extend(received.changed);
            self.pending.awareness_authors.add(peer);
        }
        if !received.unseen.is_empty() {
            let removals = self.awareness.encode(received.unseen.into_iter());
            self.send(peer, y_websocket::awareness_frame(&removals));
        }
        Ok(())
    }

    fn receive_sync_status(&mut self, peer: PeerId, payload: &[u8]) -> Result<(), Violation> {
        if payload.len() > SYNC_STATUS_BYTES {
            return Err(Violation::SyncStatusTooLarge);
        }
        let waits = self.blocks.parked().waits_for(peer.0);
        let sequence = (!waits).then_some(self.sequence);
        let acknowledgements = &mut self.peer(peer).acknowledgements;
        if acknowledgements.len() >= UNANSWERED_SYNC_STATUSES {
            return Err(Violation::TooManySyncStatuses);
        }
        acknowledgements.push_back((sequence, Bytes::copy_from_slice(payload)));
        self.unanswered += 1;
        self.acknowledge(peer);
        Ok(())
    }

    fn acknowledge_all(&mut self) {
        let waiting = self.peers.iter().filter(|(_, peer)| !peer.acknowledgements.is_empty());
        for peer in waiting.map(|(&peer, _)| peer).collect::<Vec<_>>() {
            self.acknowledge(peer);
        }
    }

    /// Gives back the acknowledgements of a peer that are due.
    fn acknowledge(&mut self, peer: PeerId) {
        if self.peer(peer).lagging.is_some() || self.blocks.parked().waits_for(peer.0) {
            return;
        }
        let (sequence, durable) = (self.sequence, self.durable);
        let acknowledgements = &mut self.peer(peer).acknowledgements;
        for (due, _) in acknowledgements.iter_mut() {
            // What waited has just been appended.
            due.get_or_insert(sequence);
        }
        let due =
            acknowledgements.iter().take_while(|(due, _)| due.is_some_and(|due| due <= durable)).count();
        let due: Vec<_> = acknowledgements.drain(..due).collect();
        self.unanswered -= due.len();
        for (_, payload) in due {
            self.send(peer, y_websocket::sync_status_frame(&payload));
        }
    }

    fn flush(&mut self, now: Duration) {
        self.last_flush = now;
        self.flushed_removals = self.awareness.removals();
        let pending = std::mem::take(&mut self.pending);
        if !pending.changes.is_empty() {
            let merged = || self.blocks.diff_changes(&pending.changes);
            let update = pending.only.unwrap_or_else(merged);
            for lagging in self.peers.values_mut().filter_map(|peer| peer.lagging.as_mut()) {
                lagging.changes.extend(&pending.changes);
            }
            self.broadcast(y_websocket::sync_frame(&SyncMessage::Update(&update)), pending.authors);
        }
        if !pending.awareness.is_empty() {
            let states = self.awareness.encode(pending.awareness.into_iter());
            self.broadcast(y_websocket::awareness_frame(&states), pending.awareness_authors);
        }
    }

    /// One frame for all who are not lagging, but for the author if it is one.
    fn broadcast(&mut self, frame: Bytes, authors: Authors) {
        let gets = |&(&id, peer): &(&PeerId, &Peer)| {
            peer.lagging.is_none() && !matches!(authors, Authors::Only(author) if author == id)
        };
        let to: Vec<_> = self.peers.iter().filter(gets).map(|(&peer, _)| peer).collect();
        if !to.is_empty() {
            self.effects.push_back(Effect::Broadcast { frame, to });
        }
    }

    fn full_state(&mut self) -> Bytes {
        let blocks = &self.blocks;
        let encode = || y_websocket::sync_frame(&SyncMessage::Step2(&blocks.encode_state()));
        self.full_state.get_or_insert_with(encode).clone()
    }

    fn send_step_1(&mut self, peer: PeerId) {
        let state = self.blocks.state_vector().encode();
        self.send(peer, y_websocket::sync_frame(&SyncMessage::Step1(&state)));
    }

    fn send_awareness(&mut self, peer: PeerId) {
        self.send_awareness_and(peer, Vec::new());
    }

    /// Tells a peer who is here, and who of those that it may know have left.
    fn send_awareness_and(&mut self, peer: PeerId, mut clients: Vec<ClientId>) {
        clients.extend(self.awareness.clients());
        if !clients.is_empty() {
            let states = self.awareness.encode(clients.into_iter());
            self.send(peer, y_websocket::awareness_frame(&states));
        }
    }

    /// One frame for one peer, unless it is lagging: whatever it misses then, it gets when its outbox is empty.
    fn send(&mut self, peer: PeerId, frame: Bytes) {
        if self.peers.get(&peer).is_some_and(|peer| peer.lagging.is_none()) {
            self.effects.push_back(Effect::Send { peer, frame });
        }
    }

    fn close(&mut self, peer: PeerId, code: u16, reason: String) {
        self.disconnect(peer);
        self.effects.push_back(Effect::Close { peer, code, reason });
    }

    fn peer(&mut self, peer: PeerId) -> &mut Peer {
        self.peers.get_mut(&peer).expect("only called for peers that are here")
    }
}
