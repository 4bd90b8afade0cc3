//! The task that owns one room: feeds it what its peers send, carries out what it asks for, checkpoints and evicts it.

use std::collections::HashMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use coscribe_engine::limits::SLICE_STEPS;
use coscribe_engine::message::{Inbound, Outbound, Parting, Reason};
use coscribe_engine::room::{Effect, PeerId, Room, RoomLimits};
use coscribe_persistence::DocumentName;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::{spawn_blocking, yield_now};
use tokio::time::sleep_until;
use tracing::{debug, error, warn};

use super::opened::Opened;
use super::outbox::{Outbox, Queued};
use super::shared::Shared;
use super::{Hold, Rooms, Said, Shown};
use crate::checkpointer::{CheckpointError, State};
use crate::writer::{Append, Saving, Space};

/// What the task takes from its inbox before it lets the room flush.
const INPUTS_PER_FLUSH: usize = 256;

/// To free the memory of a larger document takes longer than others should wait, so that is done elsewhere.
const LARGE_DOCUMENT: usize = 1 << 20;

/// What comes into a room's inbox.
pub(crate) enum Input {
    /// A connection wants to be a peer.
    Join { peer: PeerId, outbox: Arc<Outbox>, greeting: &'static [Inbound] },
    /// A peer has said something. The space in the inbox is free again when that has been processed.
    Said { peer: PeerId, said: Said, _space: (OwnedSemaphorePermit, Hold) },
    /// A peer has begun to send a message that is larger than any may be.
    TooLarge { peer: PeerId },
    /// Everything that was queued to a stalled peer has been written.
    Drained { peer: PeerId },
    /// A peer has given the sign of life that the room wanted.
    Alive { peer: PeerId },
    /// A connection is gone.
    Leave { peer: PeerId },
    /// The server stops: end when all that came before this is processed.
    Stop,
}

/// Opens the document and serves its peers until nobody needs it any more.
pub(crate) async fn run(mut door: Door, turn: Option<OwnedSemaphorePermit>) {
    let (store, name) = (Arc::clone(&door.rooms.store), door.name.clone());
    let config = &door.rooms.config;
    let limits = RoomLimits {
        document_bytes: config.max_document_bytes,
        keep_deleted: config.keep_deleted.match_name(&name),
        ..RoomLimits::default()
    };
    // Replaying a large log takes long enough to be in the way of others.
    match spawn_blocking(move || Opened::load(&store, &name, limits)).await {
        Ok(Ok(opened)) => {
            // It is large, and would have a place in each of the futures that it passes through.
            let mut task = Box::new(RoomTask::new(door, opened, turn));
            task.serve().await;
            task.end();
        }
        Ok(Err(error)) => {
            door.farewell = "the document cannot be read";
            error!(document = %Shown(&door.name), "the document cannot be read: {error}");
        }
        Err(error) => error!(document = %Shown(&door.name), "opening the document failed: {error}"),
    }
}

/// The room's place in the register and its peers. However the task ends, nobody is left waiting at the door.
pub(crate) struct Door {
    rooms: Arc<Rooms>,
    name: DocumentName,
    inbox: UnboundedReceiver<Input>,
    peers: HashMap<PeerId, Arc<Outbox>>,
    /// Nanoseconds that the peers' connections have spent on writing.
    writing: Arc<AtomicU64>,
    registered: bool,
    /// What those hear who are still here when the task ends.
    farewell: &'static str,
}

impl Door {
    /// The door of a room that is in the register.
    pub(crate) fn new(
        rooms: Arc<Rooms>,
        name: DocumentName,
        inbox: UnboundedReceiver<Input>,
        writing: Arc<AtomicU64>,
    ) -> Door {
        let (peers, farewell) = (HashMap::new(), "internal error");
        Door { rooms, name, inbox, peers, writing, registered: true, farewell }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if self.registered {
            self.rooms.remove(&self.name);
        }
        // From here on nobody can send a Join here any more.
        while let Ok(input) = self.inbox.try_recv() {
            if let Input::Join { peer, outbox, .. } = input {
                self.peers.insert(peer, outbox);
            }
        }
        for outbox in self.peers.values() {
            outbox.part(Parting::new(Reason::Failure, self.farewell));
        }
    }
}

type Checkpoint = Pin<Box<dyn Future<Output = (u64, Result<(), CheckpointError>)> + Send>>;

struct RoomTask {
    door: Door,
    room: Room,
    /// Where the writer says what is on disk.
    durable: watch::Receiver<u64>,
    announce_durable: watch::Sender<u64>,
    /// What the room knows of it.
    known_durable: u64,
    /// Where the writer says whether anything is saved.
    saving: watch::Receiver<Saving>,
    /// How often that has begun again, as far as the room has done its part.
    resumed: u64,
    /// Up to here there is nothing left to checkpoint.
    checkpointed: u64,
    /// What of this room may wait for the disk.
    log_space: Space,
    /// Log bytes since the last checkpoint.
    log_bytes: usize,
    checkpoint: Option<Checkpoint>,
    /// Since when there has been no peer.
    empty_since: Option<Duration>,
    /// Nobody but the background checkpoints has asked for this room so far.
    visit: Option<OwnedSemaphorePermit>,
    /// What putting the current flush into all outboxes has cost.
    fan_out: Duration,
    /// The last answer with the whole document, as long as that has not changed: all who get it share its compressed form.
    full_state: Option<(u64, Arc<Shared>)>,
    stop: bool,
}

impl RoomTask {
    fn new(door: Door, opened: Opened, visit: Option<OwnedSemaphorePermit>) -> RoomTask {
        let stored = opened.stored;
        let (announce_durable, durable) = watch::channel(stored);
        let mut saving = door.rooms.writer.saving();
        let resumed = saving.borrow_and_update().resumed;
        debug!(document = %Shown(&door.name), "opened");
        RoomTask {
            room: opened.room,
            durable,
            announce_durable,
            known_durable: stored,
            saving,
            resumed,
            checkpointed: opened.checkpointed,
            log_space: Space::new(),
            log_bytes: opened.log_bytes,
            checkpoint: None,
            empty_since: Some(door.rooms.origin.elapsed()),
            visit,
            fan_out: Duration::ZERO,
            full_state: None,
            stop: false,
            door,
        }
    }

    async fn serve(&mut self) {
        self.apply().await;
        let mut worked = self.room.work();
        loop {
            let wake = self.next_wake().map(|at| self.door.rooms.origin + at);
            tokio::select! {
                Some(input) = self.door.inbox.recv() => self.take_in(input).await,
                Ok(()) = self.durable.changed(), if self.awaits_durable() => {}
                // Rare work is boxed, so that a room does not always hold the space for it.
                Ok(()) = self.saving.changed() => Box::pin(self.save_again()).await,
                (appended, result) = poll(&mut self.checkpoint) => self.after_checkpoint(appended, result),
                () = sleep_until_if_any(wake) => {}
            }
            self.flush().await;
            if self.room.work() - worked > SLICE_STEPS {
                yield_now().await;
                worked = self.room.work();
            }
            if self.stop || self.evict() {
                break;
            }
            if self.is_checkpoint_due() {
                Box::pin(self.begin_checkpoint()).await;
            }
        }
    }

    fn end(self) {
        debug!(document = %Shown(&self.door.name), "closed");
        if self.room.blocks().memory() > LARGE_DOCUMENT {
            let room = self.room;
            drop(spawn_blocking(move || drop(room)));
        }
    }

    /// Takes what waits in the inbox before anything is flushed, so that it leaves as one frame. After much work others have
    /// their turn.
    async fn take_in(&mut self, first: Input) {
        let (mut next, mut inputs, before) = (Some(first), 0, self.room.work());
        while let Some(input) = next {
            self.process(input).await;
            inputs += 1;
            let goes_on = inputs < INPUTS_PER_FLUSH && self.room.work() - before < SLICE_STEPS;
            next = if goes_on { self.door.inbox.try_recv().ok() } else { None };
        }
    }

    async fn process(&mut self, input: Input) {
        match input {
            Input::Join { peer, outbox, greeting } => {
                self.visit = None;
                self.door.peers.insert(peer, outbox);
                let now = self.now();
                self.room.connect(peer, now);
                for wish in greeting {
                    self.receive(peer, wish.clone()).await;
                }
            }
            Input::Said { peer, said, _space } => self.hear(peer, said).await,
            // A peer that the room has closed may have more in the inbox: the room must not hear of it.
            Input::Drained { peer } if self.door.peers.contains_key(&peer) => self.room.drained(peer),
            Input::Alive { peer } => {
                let now = self.now();
                self.room.alive(peer, now);
            }
            Input::Leave { peer } if self.door.peers.remove(&peer).is_some() => {
                self.door.rooms.turns.run(pin!(self.room.disconnect(peer))).await;
            }
            Input::TooLarge { peer } => {
                let now = self.now();
                self.room.too_large(peer, now).await;
                self.apply().await;
            }
            Input::Drained { .. } | Input::Leave { .. } => {}
            Input::Stop => self.stop = true,
        }
    }

    /// Gives the room what a peer has said, and carries out what each message makes it want.
    async fn hear(&mut self, peer: PeerId, said: Said) {
        for message in said.messages {
            if !self.door.peers.contains_key(&peer) {
                return;
            }
            self.receive(peer, message).await;
        }
        if let Some(error) = said.error {
            self.door.rooms.turns.run(pin!(self.room.refuse(peer, error))).await;
            self.apply().await;
        }
    }

    async fn receive(&mut self, peer: PeerId, message: Inbound) {
        let now = self.now();
        self.door.rooms.turns.run(pin!(self.room.receive(peer, message, now))).await;
        self.apply().await;
    }

    /// Appends the document once more, if what was appended of it before is not saved and never will be.
    async fn save_again(&mut self) {
        let Saving { resumed, failure } = self.saving.borrow_and_update().clone();
        if resumed == self.resumed || failure.is_some() {
            return;
        }
        self.resumed = resumed;
        self.hear_what_is_durable();
        if self.is_durable() {
            return;
        }
        // It waits for a sequence that will not be durable, or has got what there is.
        self.checkpoint = None;
        self.door.rooms.turns.run(pin!(self.room.append_again())).await;
        self.apply().await;
    }

    fn hear_what_is_durable(&mut self) {
        let durable = *self.durable.borrow();
        if durable > self.known_durable {
            self.known_durable = durable;
            self.room.durable(durable);
        }
    }

    async fn flush(&mut self) {
        self.hear_what_is_durable();
        let now = self.now();
        self.door.rooms.turns.run(pin!(self.room.tick(now))).await;
        self.apply().await;
        if !self.fan_out.is_zero() {
            // Most of the cost is in the connections, which are writing the flush before this one until now.
            let writing = Duration::from_nanos(self.door.writing.swap(0, Ordering::Relaxed));
            let cost = std::mem::take(&mut self.fan_out) + writing;
            self.door.rooms.metrics.flush_seconds.observe(cost.as_secs_f64());
            self.room.fanned_out(cost);
        }
        if self.door.peers.is_empty() {
            self.empty_since.get_or_insert(self.door.rooms.origin.elapsed());
        } else {
            self.empty_since = None;
        }
    }

    /// Carries out what the room wants done.
    async fn apply(&mut self) {
        while let Some(effect) = self.room.poll_effect() {
            match effect {
                Effect::Send { peer, message, version } => self.send(peer, message, version),
                Effect::Broadcast { message, to } => self.broadcast(message, &to),
                Effect::Append { sequence, update, waits, .. } => {
                    if !waits {
                        self.full_state = None;
                        self.door.rooms.metrics.updates_received.inc();
                    }
                    let (name, durable) = (self.door.name.clone(), self.announce_durable.clone());
                    let append = Append { name, sequence, update, waits, resumed: self.resumed, durable };
                    self.log_bytes += append.record_bytes();
                    self.door.rooms.writer.append(append, &self.log_space).await;
                }
                Effect::Probe { peer } => {
                    if let Some(outbox) = self.door.peers.get(&peer) {
                        outbox.probe();
                    }
                }
                Effect::Warn { peer, what } => {
                    warn!(document = %Shown(&self.door.name), peer = peer.0, "{what}");
                }
                Effect::Part { peer, parting } => {
                    if let Some(outbox) = self.door.peers.remove(&peer) {
                        outbox.part(parting);
                    }
                }
            }
        }
    }

    fn broadcast(&mut self, message: Outbound, to: &[PeerId]) {
        let start = Instant::now();
        let metrics = &self.door.rooms.metrics;
        metrics.flush_bytes.observe(message.len() as f64);
        if matches!(message, Outbound::Update(_)) {
            metrics.updates_sent.inc_by(to.len() as u64);
        }
        let message = Shared::new(message);
        for &peer in to {
            self.push(peer, Arc::clone(&message), false);
        }
        self.fan_out += start.elapsed();
    }

    fn send(&mut self, peer: PeerId, message: Outbound, version: Option<u64>) {
        let Some(version) = version else { return self.push(peer, Shared::new(message), true) };
        let same = self.full_state.take().filter(|(last, _)| *last == version);
        let (_, message) = self.full_state.insert(same.unwrap_or_else(|| (version, Shared::new(message))));
        let message = Arc::clone(message);
        self.push(peer, message, true);
    }

    fn push(&mut self, peer: PeerId, message: Arc<Shared>, is_answer: bool) {
        let Some(outbox) = self.door.peers.get(&peer) else { return };
        if outbox.push(Queued { message, is_answer }) {
            debug!(document = %Shown(&self.door.name), peer = peer.0, "lagging");
            self.room.stalled(peer);
        }
    }

    /// Ends the room if nobody needs it: no peers for a while, everything on disk, and nothing to checkpoint.
    fn evict(&mut self) -> bool {
        let done = self.expired() && self.is_durable() && self.checkpoint.is_none() && !self.can_checkpoint();
        if done && self.door.rooms.evict(&self.door.name, &self.door.inbox) {
            self.door.registered = false;
        }
        !self.door.registered
    }

    /// Whether there is something to checkpoint. Once the log has failed nothing is, and the log has what is durable.
    fn can_checkpoint(&self) -> bool {
        self.checkpointed != self.room.sequence() && self.door.rooms.writer.failure().is_none()
    }

    fn is_checkpoint_due(&self) -> bool {
        // A snapshot is as large as the document: it has to be worth it.
        let worth = self.door.rooms.config.checkpoint_bytes.max(self.room.blocks().memory() / 2);
        let large = self.log_bytes >= worth;
        let last = self.expired() && self.is_durable();
        (large || last) && self.checkpoint.is_none() && self.can_checkpoint()
    }

    async fn begin_checkpoint(&mut self) {
        let sequence = self.room.sequence();
        let snapshot = self.door.rooms.turns.run(pin!(self.room.snapshot())).await;
        let state = State { name: self.door.name.clone(), sequence, snapshot };
        // The log lets go of what waits with all else that has come so far, so it must have that once more before.
        self.door.rooms.turns.run(pin!(self.room.append_waiting())).await;
        self.apply().await;
        let appended = self.room.sequence();
        self.log_bytes = 0;
        let (rooms, mut durable) = (Arc::clone(&self.door.rooms), self.durable.clone());
        self.checkpoint = Some(Box::pin(async move {
            let result = match durable.wait_for(|durable| *durable >= appended).await.map(drop) {
                Ok(()) => rooms.checkpointer.checkpoint(state).await,
                Err(_) => Err(CheckpointError::Stopping),
            };
            (appended, result)
        }));
    }

    /// `appended`: the last record that needs no other checkpoint, since what follows the snapshot up to there only waits.
    fn after_checkpoint(&mut self, appended: u64, result: Result<(), CheckpointError>) {
        self.checkpoint = None;
        // Where it failed the log keeps everything, and the next change or start is soon enough to try again.
        self.checkpointed = appended;
        match result {
            Ok(()) => debug!(document = %Shown(&self.door.name), appended, "checkpointed"),
            Err(error) => error!(document = %Shown(&self.door.name), "not checkpointed: {error}"),
        }
    }

    /// When the room next has something to do of itself.
    fn next_wake(&self) -> Option<Duration> {
        // What waits for the disk is woken by it.
        let waits = self.checkpoint.is_some() || !self.is_durable();
        let eviction = if waits { None } else { self.expiry() };
        [self.room.next_tick(), eviction].into_iter().flatten().min()
    }

    /// When the room has been empty for long enough. A document that was never written to
    /// needs no grace, unless somebody comes back who has been refused.
    fn expiry(&self) -> Option<Duration> {
        let unwritten = self.room.sequence() == 0 && !self.room.has_refused();
        let brief = self.visit.is_some() || unwritten;
        let grace = if brief { Duration::ZERO } else { self.door.rooms.config.grace };
        self.empty_since.map(|since| since + grace)
    }

    fn expired(&self) -> bool {
        self.expiry().is_some_and(|at| at <= self.now())
    }

    /// Whether there is something to do when the disk has caught up.
    fn awaits_durable(&self) -> bool {
        self.room.awaits_durable() || self.door.peers.is_empty()
    }

    fn is_durable(&self) -> bool {
        *self.durable.borrow() == self.room.sequence()
    }

    fn now(&self) -> Duration {
        self.door.rooms.origin.elapsed()
    }
}

/// The result of the running checkpoint; waits forever if there is none.
async fn poll(checkpoint: &mut Option<Checkpoint>) -> (u64, Result<(), CheckpointError>) {
    match checkpoint {
        Some(running) => running.await,
        None => std::future::pending().await,
    }
}

/// Sleeps until then; for ever if there is no such time.
async fn sleep_until_if_any(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
