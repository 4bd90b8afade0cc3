//! The task that owns one room: feeds it what its peers send, carries out what it asks for, checkpoints and evicts it.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use coscribe_engine::blocks::LoadError;
use coscribe_engine::room::{Effect, PeerId, Room, RoomLimits};
use coscribe_persistence::{DocumentName, Store, StoreError};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::sleep_until;
use tracing::{debug, error};

use crate::checkpointer::{CheckpointError, State};
use crate::rooms::{Rooms, Shown};
use crate::writer::Append;
use crate::ws::outbox::Outbox;

/// What the task takes from its inbox before it lets the room flush.
const INPUTS_PER_FLUSH: usize = 256;

/// What comes into a room's inbox.
pub(crate) enum Input {
    /// A connection wants to be a peer.
    Join { peer: PeerId, outbox: Arc<Outbox> },
    /// A peer sent a binary message. The space in the inbox is free again when the message has been processed.
    Frame { peer: PeerId, frame: Bytes, _space: OwnedSemaphorePermit },
    /// Everything that was queued to a stalled peer has been written.
    Drained { peer: PeerId },
    /// A connection is gone.
    Leave { peer: PeerId },
    /// The server stops: end when all that came before this is processed.
    Stop,
}

/// Opens the document and serves its peers until nobody needs it any more.
pub(crate) async fn run(
    rooms: Arc<Rooms>,
    name: DocumentName,
    inbox: UnboundedReceiver<Input>,
    turn: Option<OwnedSemaphorePermit>,
) {
    let mut door =
        Door { rooms, name, inbox, peers: HashMap::new(), registered: true, farewell: "internal error" };
    let (store, name) = (Arc::clone(&door.rooms.store), door.name.clone());
    // Replaying a large log takes long enough to be in the way of others.
    match tokio::task::spawn_blocking(move || Opened::load(&store, &name)).await {
        Ok(Ok(opened)) => RoomTask::new(door, opened, turn).serve().await,
        Ok(Err(error)) => {
            door.farewell = "the document cannot be read";
            error!(document = %Shown(&door.name), "the document cannot be read: {error}");
        }
        Err(error) => error!(document = %Shown(&door.name), "opening the document failed: {error}"),
    }
}

/// The room's place in the register and its peers. However the task ends, nobody is left waiting at the door.
struct Door {
    rooms: Arc<Rooms>,
    name: DocumentName,
    inbox: UnboundedReceiver<Input>,
    peers: HashMap<PeerId, Arc<Outbox>>,
    registered: bool,
    /// What those hear who are still here when the task ends.
    farewell: &'static str,
}

impl Drop for Door {
    fn drop(&mut self) {
        if self.registered {
            self.rooms.remove(&self.name);
        }
        // From here on nobody can send a Join here any more.
        while let Ok(input) = self.inbox.try_recv() {
            if let Input::Join { peer, outbox } = input {
                self.peers.insert(peer, outbox);
            }
        }
        for outbox in self.peers.values() {
            outbox.close(1011, self.farewell.into());
        }
    }
}

/// A document as it was read from disk.
struct Opened {
    room: Room,
    /// What the snapshot covers; equal to the room's sequence if the log has nothing more.
    checkpointed: u64,
    log_bytes: usize,
}

/// Why a document cannot be opened.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Unreadable(#[from] LoadError),
}

impl Opened {
    fn load(store: &Store, name: &DocumentName) -> Result<Opened, OpenError> {
        let mut room = Room::new(RoomLimits::default());
        let Some(stored) = store.load(name)? else {
            return Ok(Opened { room, checkpointed: 0, log_bytes: 0 });
        };
        for update in stored.snapshot.iter().chain(&stored.updates) {
            room.load(update)?;
        }
        room.resume_at(stored.sequence);
        let dirty = stored.updates.len() as u64;
        Ok(Opened {
            room,
            checkpointed: stored.sequence.saturating_sub(dirty),
            log_bytes: stored.updates.iter().map(Vec::len).sum(),
        })
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
    /// Up to here there is nothing left to checkpoint.
    checkpointed: u64,
    /// Log bytes since the last checkpoint.
    log_bytes: usize,
    checkpoint: Option<Checkpoint>,
    /// Since when there has been no peer.
    empty_since: Option<Duration>,
    /// Nobody but the background checkpoints has asked for this room so far.
    visit: Option<OwnedSemaphorePermit>,
    /// What sending the current flush to all peers has cost.
    fan_out: Duration,
    stop: bool,
}

impl RoomTask {
    fn new(door: Door, opened: Opened, visit: Option<OwnedSemaphorePermit>) -> RoomTask {
        let stored = opened.room.sequence();
        let (announce_durable, durable) = watch::channel(stored);
        debug!(document = %Shown(&door.name), "opened");
        RoomTask {
            room: opened.room,
            durable,
            announce_durable,
            known_durable: stored,
            checkpointed: opened.checkpointed,
            log_bytes: opened.log_bytes,
            checkpoint: None,
            empty_since: Some(door.rooms.origin.elapsed()),
            visit,
            fan_out: Duration::ZERO,
            stop: false,
            door,
        }
    }

    async fn serve(mut self) {
        loop {
            let wake = self.next_wake().map(|at| self.door.rooms.origin + at);
            tokio::select! {
                Some(input) = self.door.inbox.recv() => self.take_in(input).await,
                Ok(()) = self.durable.changed() => {}
                (sequence, result) = poll(&mut self.checkpoint) => self.after_checkpoint(sequence, result),
                () = async { sleep_until(wake.unwrap_or_else(tokio::time::Instant::now)).await }, if wake.is_some() => {}
            }
            self.flush().await;
            if self.stop || self.evict() {
                break;
            }
            self.checkpoint_if_due();
        }
        debug!(document = %Shown(&self.door.name), "closed");
    }

    /// Takes what waits in the inbox before anything is flushed, so that it leaves as one frame.
    async fn take_in(&mut self, first: Input) {
        let mut next = Some(first);
        for _ in 0..INPUTS_PER_FLUSH {
            let Some(input) = next else { break };
            self.process(input);
            self.apply().await;
            next = self.door.inbox.try_recv().ok();
        }
        if let Some(input) = next {
            self.process(input);
            self.apply().await;
        }
    }

    fn process(&mut self, input: Input) {
        let now = self.now();
        match input {
            Input::Join { peer, outbox } => {
                self.visit = None;
                self.door.peers.insert(peer, outbox);
                self.room.connect(peer, now);
            }
            // A peer that the room has closed may have more in the inbox: the room must not hear of it.
            Input::Frame { peer, frame, _space } if self.door.peers.contains_key(&peer) => {
                self.room.receive(peer, &frame, now);
            }
            Input::Drained { peer } if self.door.peers.contains_key(&peer) => self.room.drained(peer),
            Input::Leave { peer } if self.door.peers.remove(&peer).is_some() => self.room.disconnect(peer),
            Input::Frame { .. } | Input::Drained { .. } | Input::Leave { .. } => {}
            Input::Stop => self.stop = true,
        }
    }

    async fn flush(&mut self) {
        let durable = *self.durable.borrow();
        if durable > self.known_durable {
            self.known_durable = durable;
            self.room.durable(durable);
        }
        self.room.tick(self.now());
        self.apply().await;
        if !self.fan_out.is_zero() {
            self.room.fanned_out(std::mem::take(&mut self.fan_out));
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
                Effect::Send { peer, frame } => self.push(peer, frame),
                Effect::Broadcast { frame, to } => {
                    let start = Instant::now();
                    for peer in to {
                        self.push(peer, frame.clone());
                    }
                    self.fan_out += start.elapsed();
                }
                Effect::Append { sequence, update, .. } => {
                    self.log_bytes += update.len();
                    let (name, durable) = (self.door.name.clone(), self.announce_durable.clone());
                    self.door.rooms.writer.append(Append { name, sequence, update, durable }).await;
                }
                Effect::Close { peer, code, reason } => {
                    if let Some(outbox) = self.door.peers.remove(&peer) {
                        outbox.close(code, reason.into());
                    }
                }
            }
        }
    }

    fn push(&mut self, peer: PeerId, frame: Bytes) {
        if self.door.peers.get(&peer).is_some_and(|outbox| outbox.push(frame)) {
            debug!(document = %Shown(&self.door.name), peer = peer.0, "lagging");
            self.room.stalled(peer);
        }
    }

    /// Ends the room if nobody needs it: no peers for a while, everything on disk and checkpointed.
    fn evict(&mut self) -> bool {
        let done = self.expired() && self.is_durable() && self.checkpoint.is_none();
        if done
            && self.checkpointed == self.room.sequence()
            && self.door.rooms.evict(&self.door.name, &self.door.inbox)
        {
            self.door.registered = false;
        }
        !self.door.registered
    }

    fn checkpoint_if_due(&mut self) {
        let sequence = self.room.sequence();
        let due = self.log_bytes >= self.door.rooms.config.checkpoint_bytes
            || (self.expired() && self.is_durable());
        if !due
            || self.checkpoint.is_some()
            || self.checkpointed == sequence
            || self.door.rooms.writer.failure().is_some()
        {
            return;
        }
        let state = State {
            name: self.door.name.clone(),
            sequence,
            update: self.room.encode_state(),
            state_vector: self.room.blocks().state_vector().clone(),
            delete_set: self.room.blocks().delete_set().clone(),
        };
        self.log_bytes = 0;
        let (rooms, mut durable) = (Arc::clone(&self.door.rooms), self.durable.clone());
        self.checkpoint = Some(Box::pin(async move {
            let result = match durable.wait_for(|durable| *durable >= sequence).await.map(drop) {
                Ok(()) => rooms.checkpointer.checkpoint(state).await,
                Err(_) => Err(CheckpointError::Stopping),
            };
            (sequence, result)
        }));
    }

    fn after_checkpoint(&mut self, sequence: u64, result: Result<(), CheckpointError>) {
        self.checkpoint = None;
        // Where it failed the log keeps everything, and the next change or start is soon enough to try again.
        self.checkpointed = sequence;
        match result {
            Ok(()) => debug!(document = %Shown(&self.door.name), sequence, "checkpointed"),
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

    /// When the room has been empty for long enough. A document that was never written to needs no grace.
    fn expiry(&self) -> Option<Duration> {
        let brief = self.visit.is_some() || self.room.sequence() == 0;
        let grace = if brief { Duration::ZERO } else { self.door.rooms.config.grace };
        self.empty_since.map(|since| since + grace)
    }

    fn expired(&self) -> bool {
        self.expiry().is_some_and(|at| at <= self.now())
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
