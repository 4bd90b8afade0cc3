//! A document room as a state machine: what peers send and what the shell observes go in, effects come out.
//!
//! It does no I/O and has no clock: every input carries `now`, a time since an origin of the caller's choosing. After
//! each input the caller takes effects with [`Room::poll_effect`] until there are none, and calls [`Room::tick`] when
//! its inbox is empty and at [`Room::next_tick`]. Inputs that may take long pause: see [`crate::work`].
//!
//! - What a peer sends is admitted at once. It is logged at the next tick, and broadcast at the next flush, merged with
//!   all that came meanwhile.
//! - What a peer asks for is *owed* to it, and given once at the next tick, however often it asks until then.
//! - A peer whose outbox is over its limit is *lagging*: it is sent nothing. What it misses is kept once for all who
//!   lag (`changes.rs`). When its outbox is empty it gets one diff, and what it is owed.
//! - A receipt is given when all that its peer sent before is durable: not while a part of it waits for a gap to fill, and
//!   not before what the peer is owed.

mod answer;
mod effect;
mod flush;
mod lifecycle;
mod peer;
mod receipts;
mod receive;
mod refusal;
mod renewal;
mod violation;
mod window;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use self::flush::{Unflushed, Unlogged};
use self::peer::{Missed, Peer};
use self::refusal::Refusals;
use self::renewal::Renewal;
use self::window::FlushWindow;
use crate::awareness::{Awareness, Moment};
use crate::document::blocks::{Blocks, LoadError};
use crate::document::changes::Trail;
use crate::limits::{AWARENESS_EXPIRY_INTERVAL, SLICE_STEPS};
use crate::message::Parting;
use crate::rope::Rope;
use crate::work::Work;

pub use self::effect::{Effect, RoomLimits, Snapshot};
pub use self::lifecycle::{Lifecycle, LifecycleLimits, LifecycleStep, Stored};
pub use crate::peer::{Access, Confirmation, PeerId, PeerMap, Terms};

/// A live document and its peers.
#[derive(Debug)]
pub struct Room {
    limits: RoomLimits,
    blocks: Blocks,
    awareness: Awareness,
    peers: PeerMap<Box<Peer>>,
    /// Peers that are owed something and don't lag, in the order in which they are answered.
    queue: VecDeque<PeerId>,
    /// What must be durable before somebody gets a receipt.
    due: BTreeSet<(u64, PeerId)>,
    effects: VecDeque<Effect>,
    /// The last one given to an append.
    sequence: u64,
    durable: u64,
    /// What changed, for the log, the next flush and those who lag.
    trail: Trail,
    unlogged: Unlogged,
    unflushed: Unflushed,
    last_flush: Duration,
    window: FlushWindow,
    /// The last moment of the awareness at the last flush.
    flushed_moment: Moment,
    next_expiry: Duration,
    renewal: Renewal,
    /// Updates that were refused for good.
    refusals: Refusals,
    /// The whole document as an update, until it changes, and its version.
    full_state: Option<(u64, Rope)>,
    /// How often the whole document was encoded for a peer.
    versions: u64,
    /// The encoded state vector, until it changes.
    state_vector: Option<Bytes>,
    work: Work,
}

impl Default for Room {
    fn default() -> Self {
        Self::new(RoomLimits::default())
    }
}

impl Room {
    /// An empty room without peers.
    pub fn new(limits: RoomLimits) -> Self {
        let mut trail = Trail::default();
        Self {
            limits,
            blocks: Blocks::with_parked_bytes(limits.parked_bytes).keep_deleted(limits.keep_deleted),
            awareness: Awareness::default(),
            peers: PeerMap::default(),
            queue: VecDeque::new(),
            due: BTreeSet::new(),
            effects: VecDeque::new(),
            sequence: 0,
            durable: 0,
            unlogged: Unlogged::Nothing,
            unflushed: Unflushed::since(trail.bookmark()),
            trail,
            last_flush: Duration::ZERO,
            window: FlushWindow::default(),
            flushed_moment: 0,
            next_expiry: Duration::ZERO,
            renewal: Renewal::default(),
            refusals: Refusals::default(),
            full_state: None,
            versions: 0,
            state_vector: None,
            work: Work::in_slices(SLICE_STEPS),
        }
    }

    /// Takes in a stored update: a snapshot, or what the log has after it, in order. O(bytes of the update).
    ///
    /// # Errors
    /// If the bytes are not an update, or depend on others that are missing.
    pub fn load(&mut self, update: &[u8]) -> Result<(), LoadError> {
        self.forget_encoded();
        self.blocks.load(update)
    }

    /// Says that all stored updates are loaded, and which sequence the last one has. The next append follows it. What they
    /// say of what lies below deleted types goes: O(bytes of the document).
    pub fn resume_at(&mut self, sequence: u64) {
        self.blocks.collect();
        self.forget_encoded();
        self.sequence = sequence;
        self.durable = sequence;
    }

    /// Takes in what the log says that waits, after [`Self::resume_at`]. O(bytes).
    ///
    /// # Errors
    /// If the bytes are something else.
    pub fn load_waiting(&mut self, stored: &[u8]) -> Result<(), LoadError> {
        let changes = self.blocks.load_waiting(stored)?;
        if !changes.is_empty() {
            // What comes may depend on it, so there must be an update with it.
            self.forget_encoded();
            let update = self.blocks.diff_changes(&changes);
            self.append(None, update.into(), false);
        }
        Ok(())
    }

    /// The document.
    pub fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    /// About how many bytes of memory it takes, without the effects that are to be taken. O(peers).
    pub fn memory(&self) -> usize {
        let encoded = self.full_state.as_ref().map_or(0, |(_, state)| state.memory())
            + self.state_vector.as_ref().map_or(0, Bytes::len);
        let peers: usize = self.peers.values().map(|peer| peer.memory()).sum();
        self.blocks.memory() + self.awareness.memory() + self.trail.memory() + encoded + peers
    }

    /// The sequence of the last append.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Whether there are no peers.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// The steps of work that it has ever done: see [`crate::work`].
    pub fn work(&self) -> u64 {
        self.work.total()
    }

    /// The most steps that it ever did between two pauses.
    pub fn longest_slice(&self) -> u64 {
        self.work.longest()
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// A peer has come, on these terms.
    pub fn connect(&mut self, peer: PeerId, terms: Terms, now: Duration) {
        if self.awareness.is_empty() {
            self.next_expiry = now + AWARENESS_EXPIRY_INTERVAL;
        }
        self.peers.insert(peer, Box::new(Peer { came: now, terms, ..Peer::default() }));
    }

    /// A peer has gone, and its awareness goes with it. What it sent is appended to the log. What it left waiting stays.
    /// O(these · log).
    pub async fn disconnect(&mut self, peer: PeerId) {
        self.log_of(peer).await;
        let Some(gone) = self.peers.remove(peer).map(|gone| *gone) else { return };
        for due in gone.receipts.dues() {
            self.due.remove(&(due, peer));
        }
        if let Some(due) = gone.leaves_at {
            self.refusals.forget(peer, due);
        }
        if let Some(known) = gone.owed.state {
            known.discard(&mut self.work).await;
        }
        if let Some(missed) = gone.missed {
            self.trail.release(missed.since, &mut self.work).await;
        }
        self.blocks.leave(peer.0, &mut self.work).await;
        let left = self.awareness.leave(peer);
        self.renewal.forget(peer, &left);
        self.unflushed.awareness_changed(left);
    }

    /// A peer may do this with the document from now on, and is told so. What it sent before stays, and what it sends is treated
    /// as from any peer with this access. Where it may write again, it is asked for all that the room lacks: that has what
    /// was refused meanwhile, and nothing is confirmed before it has come. Nothing happens where the access is the same.
    /// O(log peers).
    pub fn set_access(&mut self, id: PeerId, access: Access) {
        self.work.count(1);
        let Some(peer) = self.peers.get_mut(id).filter(|peer| peer.terms.access != access) else { return };
        peer.terms.access = access;
        peer.tried_to_write = false;
        self.tell_access(id);
        let may_write = access == Access::Write;
        self.owe(id, |owed| {
            owed.step_1 |= may_write;
            // It is asked for what was refused, so it need not hear of that.
            owed.denial &= !may_write;
        });
    }

    /// Tells a peer what it may do with the document. O(log peers).
    pub fn tell_access(&mut self, peer: PeerId) {
        self.work.count(1);
        self.owe(peer, |owed| owed.access = true);
    }

    /// A peer has given the sign of life that [`Effect::Probe`] wants. O(its clients · log).
    pub fn alive(&mut self, peer: PeerId, now: Duration) {
        if self.peers.contains(peer) {
            let back = self.awareness.alive(peer, now);
            self.owe(peer, |owed| owed.renewals.extend(back));
        }
    }

    /// A peer's outbox is over its limit: it is sent nothing until [`Room::drained`]. O(log peers).
    pub fn stalled(&mut self, peer: PeerId) {
        let Some(peer) = self.peers.get_mut(peer) else { return };
        peer.lagging = true;
        if peer.missed.is_none() {
            let since = self.trail.duplicate(self.unflushed.bookmark());
            peer.missed = Some(Missed { since, moment: self.flushed_moment });
        }
    }

    /// A peer's outbox is empty again: it is to get what it missed, and what it is owed. O(log peers).
    pub fn drained(&mut self, peer: PeerId) {
        let waits = self.blocks.parked().waits_for(peer.0);
        let Some(known) = self.peers.get_mut(peer) else { return };
        if std::mem::take(&mut known.lagging) {
            self.owe(peer, |owed| {
                owed.step_1 |= waits;
                owed.awareness = true;
            });
        }
    }

    /// All appends up to this sequence are on disk: receipts that waited for it are to be given. O(these · log).
    pub fn durable(&mut self, sequence: u64) {
        self.durable = sequence;
        while let Some(&(due, peer)) = self.due.first()
            && due <= sequence
        {
            self.due.pop_first();
            self.owe(peer, |_| {});
        }
    }

    /// Whether somebody waits to hear what is durable.
    pub fn awaits_durable(&self) -> bool {
        !self.due.is_empty()
    }

    /// Logs what has come, flushes if it is time, answers some of those who are owed something, lets awareness expire, and goes
    /// on with a collection that is due.
    /// O(what it sends), but what others have is shared.
    pub async fn tick(&mut self, now: Duration) {
        if now >= self.next_expiry && !self.awareness.is_empty() {
            self.next_expiry = now + AWARENESS_EXPIRY_INTERVAL;
            let expired = self.awareness.expire(now);
            self.unflushed.awareness_changed(expired);
        }
        self.close_refused(now).await;
        self.settle_claims(now);
        self.renew(now).await;
        self.log().await;
        self.log_waiting().await;
        if !self.unflushed.is_empty() && now >= self.last_flush + self.window.length() {
            self.flush(now).await;
        }
        self.answer_some().await;
        self.collect_some().await;
    }

    /// Goes on with a collection that is due: last, and a slice at a time, because nobody waits for it. Nothing is collected that
    /// is still to be broadcast: who keeps up gets what came.
    async fn collect_some(&mut self) {
        if self.unflushed.is_empty() && self.blocks.collect_some(&mut self.work).await {
            self.full_state = None;
        }
    }

    /// Whether everything that has come has been sent to all who keep up.
    pub fn is_flushed(&self) -> bool {
        self.unflushed.is_empty()
    }

    /// When [`Room::tick`] has something to do next, if nothing else happens.
    pub fn next_tick(&self) -> Option<Duration> {
        let collects = self.unflushed.is_empty() && self.blocks.collection_is_due();
        let at_once = collects || !self.queue.is_empty();
        let at_once = at_once.then_some(Duration::ZERO);
        let flush = (!self.unflushed.is_empty()).then_some(self.last_flush + self.window.length());
        let expiry = (!self.awareness.is_empty()).then_some(self.next_expiry);
        let awareness = self.renewal.next().into_iter().chain(self.awareness.next_settlement());
        let refused = self.refusals.next();
        at_once.into_iter().chain(flush).chain(expiry).chain(awareness).chain(refused).min()
    }

    /// Gives states to whoever claims them, where their owners are silent.
    fn settle_claims(&mut self, now: Duration) {
        if self.awareness.next_settlement().is_some_and(|due| due <= now) {
            let settled = self.awareness.settle(now);
            self.work.count(4 * (settled.changed.len() + settled.probe.len()));
            self.unflushed.awareness_changed(settled.changed);
            self.effects.extend(settled.probe.into_iter().map(|peer| Effect::Probe { peer }));
        }
        for (owner, client) in self.awareness.take_unraised() {
            self.owe(owner, |owed| owed.renewals.extend([client]));
        }
    }

    /// Sends a peer away, and forgets it.
    async fn part(&mut self, peer: PeerId, parting: Parting) {
        self.disconnect(peer).await;
        self.effects.push_back(Effect::Part { peer, parting });
    }

    /// Forgets what was encoded of the document as it was.
    fn forget_encoded(&mut self) {
        self.full_state = None;
        self.state_vector = None;
    }
}
