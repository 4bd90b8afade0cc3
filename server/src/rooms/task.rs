//! The task that owns one room: feeds it what its peers send, carries out what it asks for, checkpoints and evicts it.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use coscribe_engine::limits::SLICE_STEPS;
use coscribe_engine::message::{Inbound, Parting, Reason};
use coscribe_engine::room::{Lifecycle, LifecycleLimits, LifecycleStep, PeerId, Room};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{consume_budget, spawn_blocking};
use tokio::time::sleep_until;
use tracing::{debug, error};

use super::door::Door;
use super::inbox::Input;
use super::opened::Opened;
use super::shared::Shared;
use super::spans::Spans;
use super::{Said, shown};
use crate::budget::Charge;
use crate::journal::{CheckpointError, Fate, FateNotice, Health, State};
use crate::limits::{
    FREED_ELSEWHERE_BYTES, INPUTS_PER_FLUSH, MEASURED_AT_LEAST, RECORD_FORMS, SNAPSHOT_FORMS,
    STEPS_BETWEEN_ACCOUNTS, UNSTORED_BYTES,
};

/// Opens the document and serves its peers until nobody needs it any more.
pub(crate) fn run(door: Door, turn: Option<OwnedSemaphorePermit>) -> impl Future<Output = ()> {
    // What is large is boxed: it would have a place in each of the futures that it passes through.
    let opening = Box::pin(RoomTask::open(door, turn));
    async move {
        if let Some(mut task) = opening.await {
            task.serve().await;
            task.end();
        }
    }
}

type Checkpoint = BoxFuture<'static, Result<(), CheckpointError>>;

/// An open room, and what it needs.
pub(super) struct RoomTask {
    pub(super) door: Door,
    pub(super) room: Room,
    pub(super) life: Lifecycle,
    /// Where the journal says what has become of what was appended, and what the room has heard of it.
    pub(super) fate: Arc<FateNotice>,
    known_fate: Fate,
    /// Where the journal says whether anything is stored.
    health: watch::Receiver<Health>,
    /// Bounds what waits for the journal.
    pub(super) unstored: Arc<Semaphore>,
    /// A state that is to be stored when what was appended before is durable.
    snapshot: Option<Box<State>>,
    /// A state that is being stored.
    checkpoint: Option<Checkpoint>,
    /// Nobody but the background checkpoints has asked for this room so far.
    visit: Option<OwnedSemaphorePermit>,
    /// What putting the current flush into all outboxes has cost.
    pub(super) fan_out: Duration,
    /// The last answer with the whole document, as long as that has not changed: all who get it share its compressed form.
    pub(super) full_state: Option<(u64, Arc<Shared>)>,
    /// Messages that are traced.
    pub(super) spans: Spans,
    /// What the room itself has in memory, and what waits for the journal.
    memory: Charge,
    /// What was last looked at of that.
    measured: Measured,
    /// The room's work when others last had their turn.
    worked: u64,
    stop: bool,
}

/// Why a room has something to do.
enum Event {
    Input(Input),
    /// The journal stores again, or does not any more.
    Health,
    Checkpointed(Result<(), CheckpointError>),
    /// The time has come for something, or records are durable.
    Wake,
}

/// What a room had in memory when that was last looked at.
#[derive(Default)]
struct Measured {
    /// The room's work by then.
    work: u64,
    /// Bytes that waited for the journal.
    unstored: usize,
    at: Duration,
}

impl RoomTask {
    /// The task of a room whose document can be read.
    async fn open(mut door: Door, visit: Option<OwnedSemaphorePermit>) -> Option<Box<RoomTask>> {
        let opened = door.open().await?;
        Some(Box::new(RoomTask::new(door, opened, visit)))
    }

    fn new(door: Door, opened: Box<Opened>, visit: Option<OwnedSemaphorePermit>) -> RoomTask {
        // Its box is freed here.
        let Opened { room, stored } = *opened;
        let known_fate = Fate { durable: stored.sequence, lost: 0 };
        let mut health = door.rooms.journal.health();
        let Health { epoch, failure } = health.borrow_and_update().clone();
        let config = &door.rooms.config;
        let limits =
            LifecycleLimits { grace: config.grace.get(), checkpoint_bytes: config.checkpoint_bytes.get() };
        let mut life = Lifecycle::new(limits, stored, visit.is_some(), epoch, door.rooms.now());
        life.journal(epoch, failure.is_none(), &room);
        debug!(document = shown(&door.name), "opened");
        let room_bytes = room.memory();
        RoomTask {
            room,
            life,
            fate: Arc::new(FateNotice::new(known_fate.durable)),
            known_fate,
            health,
            unstored: Arc::new(Semaphore::new(UNSTORED_BYTES as usize)),
            snapshot: None,
            checkpoint: None,
            visit,
            fan_out: Duration::ZERO,
            full_state: None,
            spans: Spans::default(),
            memory: door.mailbox.account.charge(room_bytes),
            measured: Measured::default(),
            worked: 0,
            stop: false,
            door,
        }
    }

    /// Serves until the room ends. Between two turns, a task holds no more than the wait for the next: there are as many as open
    /// documents.
    async fn serve(&mut self) {
        Box::pin(self.apply()).await;
        while !self.stop {
            let event = self.next_event().await;
            Box::pin(self.take_turn(event)).await;
        }
    }

    async fn next_event(&mut self) -> Event {
        let wake = self.next_wake().map(|at| self.door.rooms.at(at));
        let awaits_durable = self.awaits_durable();
        tokio::select! {
            input = self.door.mailbox.inbox.recv() => Event::Input(input),
            () = self.fate.changed(self.known_fate), if awaits_durable => Event::Wake,
            Ok(()) = self.health.changed() => Event::Health,
            result = ended(&mut self.checkpoint) => Event::Checkpointed(result),
            () = sleep_until_if_any(wake) => Event::Wake,
        }
    }

    async fn take_turn(&mut self, event: Event) {
        match event {
            Event::Input(input) => self.take_in(input).await,
            Event::Health => self.hear_health(),
            Event::Checkpointed(result) => self.end_checkpoint(result),
            Event::Wake => {}
        }
        self.flush().await;
        self.pause_after_slice().await;
        while let Some(step) = self.life.step(&self.room, self.now())
            && !self.stop
        {
            self.take_step(step).await;
            if step == LifecycleStep::Evict {
                // If it is not gone, somebody has come, who is in the inbox.
                break;
            }
        }
        consume_budget().await;
    }

    /// Lets others have their turn after a slice of work.
    async fn pause_after_slice(&mut self) {
        if self.room.work() - self.worked > SLICE_STEPS {
            self.door.rooms.long_work.pause(self.door.party).await;
            self.worked = self.room.work();
        }
    }

    /// Does what is next in the document's life.
    async fn take_step(&mut self, step: LifecycleStep) {
        let long_work = &self.door.rooms.long_work;
        match step {
            LifecycleStep::AppendAgain => {
                self.life.appended_again();
                (self.snapshot, self.checkpoint) = (None, None);
                long_work.run(None, pin!(self.room.append_again())).await;
                self.apply().await;
            }
            LifecycleStep::TakeSnapshot => {
                let sequence = self.room.sequence();
                let snapshot = long_work.run(None, pin!(self.room.snapshot())).await;
                let charge = self.door.mailbox.account.charge(SNAPSHOT_FORMS * snapshot.state.len());
                let name = self.door.name.clone();
                self.snapshot = Some(Box::new(State { name, sequence, snapshot, _charge: charge }));
                long_work.run(None, pin!(self.room.append_waiting())).await;
                self.apply().await;
                self.life.snapshot_taken(self.room.sequence());
            }
            LifecycleStep::StoreSnapshot => {
                self.life.snapshot_stores();
                let journal = Arc::clone(&self.door.rooms.journal);
                let state = self.snapshot.take();
                self.checkpoint =
                    state.map(|state| async move { journal.checkpoint(*state).await }.boxed() as Checkpoint);
            }
            LifecycleStep::Evict => {
                if self.door.rooms.evict(&self.door.name, &self.door.mailbox.inbox) {
                    self.door.registered = false;
                    self.stop = true;
                }
            }
        }
    }

    fn end(self: Box<Self>) {
        debug!(document = shown(&self.door.name), "closed");
        if self.room.blocks().memory() > FREED_ELSEWHERE_BYTES {
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
            next = if goes_on { self.door.mailbox.inbox.try_recv() } else { None };
        }
    }

    async fn process(&mut self, input: Input) {
        match input {
            Input::Join { peer, place, terms, greeting, span } => {
                self.visit = None;
                self.door.peers.insert(peer, place);
                let now = self.now();
                self.room.connect(peer, terms, now);
                for wish in greeting {
                    self.receive(peer, wish.clone()).await;
                }
                span.end();
            }
            Input::Said { peer, said, span, _space } => {
                self.work_for(peer);
                self.spans.receive(peer, &span);
                self.hear(peer, said).await;
                span.end();
            }
            // A peer that the room has closed may have more in the inbox: the room must not hear of it.
            Input::Drained { peer } if self.door.peers.contains(peer) => self.room.drained(peer),
            Input::SetAccess { peer, access } => self.room.set_access(peer, access),
            Input::SetSubject { peer, subject } => {
                if let Some(place) = self.door.peers.get_mut(peer) {
                    place.subject = subject;
                }
            }
            Input::Alive { peer } => {
                let now = self.now();
                self.room.alive(peer, now);
            }
            Input::Leave { peer } if self.door.peers.contains(peer) => {
                self.work_for(peer);
                self.door.rooms.long_work.run(self.door.party, pin!(self.room.disconnect(peer))).await;
                // Its last record has its subject.
                self.apply().await;
                self.door.peers.remove(peer);
            }
            Input::TooLarge { peer } => {
                let now = self.now();
                self.room.too_large(peer, now).await;
                self.apply().await;
            }
            Input::Drained { .. } | Input::Leave { .. } => {}
            Input::Hurry => self.life.hurry(),
            Input::GiveWay { words } => {
                self.life.hurry();
                for place in self.door.peers.values() {
                    place.outbox.part(Parting::new(Reason::Overload, words));
                }
            }
            Input::Stop => self.stop = true,
        }
    }

    /// What follows is done for this peer.
    fn work_for(&mut self, peer: PeerId) {
        if let Some(place) = self.door.peers.get(peer) {
            self.door.party = place.outbox.account().party();
        }
    }

    /// Gives the room what a peer has said, and carries out what each message makes it want.
    async fn hear(&mut self, peer: PeerId, said: Said) {
        for message in said.messages {
            if !self.door.peers.contains(peer) {
                return;
            }
            self.receive(peer, message).await;
            self.pause_after_slice().await;
        }
        if let Some(error) = said.error {
            self.door.rooms.long_work.run(self.door.party, pin!(self.room.refuse(peer, error))).await;
            self.apply().await;
        }
    }

    async fn receive(&mut self, peer: PeerId, message: Inbound) {
        let now = self.now();
        self.door.rooms.long_work.run(self.door.party, pin!(self.room.receive(peer, message, now))).await;
        self.apply().await;
    }

    fn hear_fate(&mut self) {
        let fate = self.fate.fate();
        if fate.durable > self.known_fate.durable {
            self.room.durable(fate.durable);
            self.life.durable(fate.durable);
            self.spans.durable(fate.durable);
        }
        if fate.lost > self.known_fate.lost {
            let records = fate.lost - self.known_fate.lost;
            self.door.rooms.metrics.records_unstored.inc_by(records);
            debug!(document = shown(&self.door.name), records, "not stored");
        }
        self.known_fate = fate;
    }

    fn hear_health(&mut self) {
        self.hear_fate();
        let Health { epoch, failure } = self.health.borrow_and_update().clone();
        self.life.journal(epoch, failure.is_none(), &self.room);
    }

    async fn flush(&mut self) {
        self.hear_fate();
        let now = self.now();
        self.room.set_load(self.door.rooms.load.share(now));
        self.door.rooms.long_work.run(self.door.party, pin!(self.room.tick(now))).await;
        self.apply().await;
        self.spans.settle(self.room.is_flushed());
        if !self.fan_out.is_zero() {
            // Most of the cost is in the connections, which are writing the flush before this one until now.
            let writing = Duration::from_nanos(self.door.mailbox.writing.swap(0, Ordering::Relaxed));
            let cost = std::mem::take(&mut self.fan_out) + writing;
            self.door.rooms.metrics.flush_seconds.observe(cost.as_secs_f64());
            self.room.fanned_out(cost, now);
        }
        self.life.occupied(!self.door.peers.is_empty(), now);
        self.measure(now);
    }

    /// Notes what is in memory, where that may have changed by much or was not looked at for a while.
    fn measure(&mut self, now: Duration) {
        let work = self.room.work();
        if work - self.measured.work >= STEPS_BETWEEN_ACCOUNTS
            || self.next_measure().is_some_and(|at| at <= now)
        {
            let unstored = UNSTORED_BYTES as usize - self.unstored.available_permits();
            self.memory.set(self.room.memory() + RECORD_FORMS * unstored);
            self.measured = Measured { work, unstored, at: now };
        }
    }

    /// When to look at what is in memory, if that may have changed.
    fn next_measure(&self) -> Option<Duration> {
        let Measured { work, unstored, at } = self.measured;
        (work < self.room.work() || unstored > 0).then_some(at + MEASURED_AT_LEAST)
    }

    fn end_checkpoint(&mut self, result: Result<(), CheckpointError>) {
        self.checkpoint = None;
        self.life.checkpoint_ended();
        match result {
            Ok(()) => debug!(document = shown(&self.door.name), "checkpointed"),
            Err(error) => error!(document = shown(&self.door.name), "not checkpointed: {error}"),
        }
    }

    /// When the room next has something to do of itself.
    fn next_wake(&self) -> Option<Duration> {
        [self.room.next_tick(), self.life.next_step(&self.room), self.next_measure()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether there is something to do when the disk has caught up.
    fn awaits_durable(&self) -> bool {
        self.room.awaits_durable() || self.door.peers.is_empty() || self.snapshot.is_some()
    }

    fn now(&self) -> Duration {
        self.door.rooms.now()
    }
}

/// The result of the running checkpoint; waits forever if there is none.
async fn ended(checkpoint: &mut Option<Checkpoint>) -> Result<(), CheckpointError> {
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
