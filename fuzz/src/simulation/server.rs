//! The simulated server: one room of the engine and the store on a disk in memory, put together as the server does it.

mod receiving;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::document::blocks::{Blocks, LoadError};
use coscribe_engine::message::Parting;
use coscribe_engine::room::{
    Effect, Lifecycle, LifecycleLimits, LifecycleStep, PeerId, Room, RoomLimits, Stored,
};
use coscribe_engine::work::finish;
use coscribe_persistence::{
    Checkpoint, DocumentName, Faults, MemoryDisk, NewRecord, SnapshotIndex, Step, Store, StoreError,
    StoreOptions,
};
use fastrand::Rng;

use super::bugs::Bugs;
use super::connections::Connections;
use super::delivery::Delivery;
use super::permissions::Permissions;
use crate::outcome::Oracle;
use crate::scenario::{Crash, During};

/// Where the store is on its disk.
const DIRECTORY: &str = "/store";
/// Segments so small that some are retired in a run.
const SEGMENT_BYTES: u64 = 2 << 10;
/// How busy the server is: not at all, somewhat, or so much that flushes are as far apart as they may be.
const LOADS: [f32; 3] = [0.0, 0.2, 1.0];
/// How long a document stays open without peers, and how many bytes of its log are worth a checkpoint.
pub(super) const LIFE: LifecycleLimits =
    LifecycleLimits { grace: Duration::from_millis(50), checkpoint_bytes: 4 << 10 };
/// The steps of a checkpoint at which it can be stopped.
const CHECKPOINT_STEPS: [Step; 7] = [
    Step::WriteSnapshot,
    Step::SyncSnapshots,
    Step::WriteCatalog,
    Step::SyncCatalog,
    Step::CreateSegment,
    Step::RetireSegment,
    Step::PruneSnapshots,
];

/// A promise that is broken, and how.
pub(super) type Broken = (Oracle, String);

/// The server.
pub(super) struct SimulatedServer {
    disk: MemoryDisk,
    stop: Arc<StopBefore>,
    store: Store,
    name: DocumentName,
    open: Option<Open>,
    connections: Connections,
    permissions: Permissions,
    /// Frames that no room sends.
    replies: Vec<Delivery>,
    /// Records that the room has appended and the log does not have yet.
    unwritten: Vec<Unwritten>,
    /// How busy the server is.
    load: f32,
    /// How often the disk was full, and whether it is.
    epoch: u64,
    is_full: bool,
    /// Updates that waited for a gap, and were durable.
    durable_waiting: Vec<Bytes>,
    /// Peers that the room wants a sign of life of.
    pub(super) probed: Vec<PeerId>,
    pub(super) bugs: Bugs,
}

/// An open document.
struct Open {
    room: Room,
    life: Lifecycle,
    /// A state that is to be stored, and its sequence.
    snapshot: Option<(u64, Bytes)>,
}

/// A record on its way to the log.
struct Unwritten {
    sequence: u64,
    epoch: u64,
    payload: Bytes,
    waits: bool,
}

/// Lets the store fail before a step.
#[derive(Debug, Default)]
struct StopBefore(Mutex<Option<Step>>);

impl StopBefore {
    fn set(&self, step: Option<Step>) {
        *self.0.lock().expect("nobody panics here") = step;
    }
}

impl Faults for StopBefore {
    fn before(&self, step: Step) -> io::Result<()> {
        let stops = *self.0.lock().expect("nobody panics here") == Some(step);
        if stops { Err(io::Error::other("the machine stops")) } else { Ok(()) }
    }
}

impl SimulatedServer {
    /// A server with an empty disk.
    pub(super) fn new(seed: u64, bugs: Bugs) -> Result<Self, Broken> {
        let disk = MemoryDisk::new(seed);
        let stop = Arc::new(StopBefore::default());
        let store = open(&disk, &stop)?;
        let name = DocumentName::new("document").expect("a valid name");
        let (unwritten, durable_waiting, probed, epoch, is_full) = Default::default();
        let (connections, permissions, replies) = Default::default();
        let open = None;
        let load = LOADS[usize::try_from(seed % 3).unwrap_or_default()];
        Ok(Self {
            load,
            disk,
            stop,
            store,
            name,
            open,
            connections,
            permissions,
            replies,
            unwritten,
            epoch,
            is_full,
            durable_waiting,
            probed,
            bugs,
        })
    }

    /// The room; the document is opened if it is not.
    pub(super) fn room(&mut self, now: Duration) -> Result<&mut Room, Broken> {
        if self.open.is_none() {
            self.open = Some(self.load(now)?);
        }
        Ok(&mut self.open.as_mut().expect("it has just been put there").room)
    }

    /// Whether the document is open.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    fn load(&self, now: Duration) -> Result<Open, Broken> {
        let mut room = Room::new(RoomLimits::default());
        let mut known = Stored::default();
        if let Some(stored) = self.store.load(&self.name).map_err(store_error)? {
            let unusable = |error| (Oracle::Store, format!("a stored update: {error}"));
            for update in stored.snapshot.iter().chain(&stored.updates) {
                room.load(update).map_err(unusable)?;
            }
            room.resume_at(stored.sequence);
            for (_, waiting) in &stored.waiting {
                room.load_waiting(waiting).map_err(unusable)?;
            }
            known = Stored {
                sequence: stored.sequence,
                checkpointed: if stored.updates.is_empty() { stored.sequence } else { stored.covered() },
                log_bytes: stored.updates.iter().map(Vec::len).sum(),
            };
        }
        let mut life = Lifecycle::new(LIFE, known, false, self.epoch, now);
        life.journal(self.epoch, !self.is_full, &room);
        room.set_load(self.load);
        Ok(Open { room, life, snapshot: None })
    }

    /// The room does what is due.
    pub(super) fn tick(&mut self, now: Duration) {
        if let Some(Open { room, .. }) = &mut self.open {
            finish(room.tick(now));
        }
    }

    /// Takes the next step in the document's life, after all effects of the room are carried out. Gives whether there was one.
    pub(super) fn step(&mut self, now: Duration) -> Result<bool, Broken> {
        let Some(Open { room, life, snapshot }) = &mut self.open else { return Ok(false) };
        life.occupied(!room.is_empty(), now);
        let step = life.step(room, now);
        match step {
            None => {}
            Some(LifecycleStep::AppendAgain) => {
                life.appended_again();
                *snapshot = None;
                finish(room.append_again());
            }
            Some(LifecycleStep::TakeSnapshot) => {
                *snapshot = Some((room.sequence(), finish(room.snapshot()).state.to_bytes()));
                finish(room.append_waiting());
                life.snapshot_taken(room.sequence());
            }
            Some(LifecycleStep::StoreSnapshot) => {
                let stored = snapshot.take();
                life.snapshot_stores();
                life.checkpoint_ended();
                if let Some((sequence, state)) = stored {
                    self.replace(sequence, &state, now).map_err(store_error)?;
                }
            }
            Some(LifecycleStep::Evict) => self.open = None,
        }
        Ok(step.is_some())
    }

    /// When [`Self::tick`] or [`Self::step`] has something to do, if nothing else happens.
    pub(super) fn next_tick(&self) -> Option<Duration> {
        let Open { room, life, .. } = self.open.as_ref()?;
        room.next_tick().into_iter().chain(life.next_step(room)).min()
    }

    /// The log of the document becomes long enough for a checkpoint.
    pub(super) fn lengthen_log(&mut self) {
        if let Some(open) = &mut self.open {
            open.life.appended(LIFE.checkpoint_bytes.max(open.room.blocks().memory()));
        }
    }

    /// The disk is full, or has room again.
    pub(super) fn set_full(&mut self, is_full: bool) {
        self.epoch += u64::from(self.is_full && !is_full);
        self.is_full = is_full;
        if let Some(Open { room, life, .. }) = &mut self.open {
            life.journal(self.epoch, !is_full, room);
        }
    }

    /// Carries out the effects of the room; gives the frames that it sends.
    pub(super) fn effects(&mut self) -> Result<Vec<Delivery>, Broken> {
        let (mut sent, mut frames) = (Vec::new(), std::mem::take(&mut self.replies));
        let Some(Open { room, life, .. }) = &mut self.open else { return Ok(frames) };
        while let Some(effect) = room.poll_effect() {
            self.permissions.check(&effect)?;
            match effect {
                Effect::Send { peer, message, .. } => {
                    self.bugs.outgoing(message, vec![peer], false, &mut sent);
                }
                Effect::Broadcast { message, to } => {
                    self.bugs.outgoing(message, to, true, &mut sent);
                }
                Effect::Append { sequence, update, waits, .. } => {
                    life.appended(update.len());
                    let epoch = life.epoch();
                    self.unwritten.push(Unwritten { sequence, epoch, payload: update.to_bytes(), waits });
                    self.bugs.appended(room, sequence);
                }
                Effect::Probe { peer } => self.probed.push(peer),
                Effect::Warn { .. } => {}
                Effect::Part { peer, parting: Parting { reason, words } } => {
                    let detail = format!("the server closes connection {} ({reason:?}): {words}", peer.0);
                    return Err((Oracle::Refused, detail));
                }
            }
        }
        for (message, to) in sent {
            frames.extend(
                to.into_iter().filter_map(|peer| {
                    Some(Delivery { peer, frame: self.connections.encode(peer, &message)? })
                }),
            );
        }
        Ok(frames)
    }

    /// Whether something waits to be written.
    pub(super) fn has_unwritten(&self) -> bool {
        !self.unwritten.is_empty()
    }

    /// Writes and syncs the waiting records, and tells the room. Records for which the disk has no room are lost, and so are all
    /// that were appended before it had room again.
    pub(super) fn commit(&mut self, now: Duration) -> Result<(), Broken> {
        let (epoch, is_full) = (self.epoch, self.is_full);
        self.unwritten.retain(|unwritten| unwritten.epoch == epoch && !is_full);
        self.append(now).map_err(store_error)?;
        let last = self.unwritten.last().map(|last| last.sequence);
        let waiting = self.unwritten.drain(..).filter(|unwritten| unwritten.waits);
        self.durable_waiting.extend(waiting.map(|unwritten| unwritten.payload));
        if let (Some(sequence), Some(Open { room, life, .. })) = (last, &mut self.open) {
            room.durable(sequence);
            life.durable(sequence);
        }
        Ok(())
    }

    fn append(&self, now: Duration) -> Result<(), StoreError> {
        let records = self.unwritten.iter().map(|Unwritten { sequence, payload, waits, .. }| NewRecord {
            name: &self.name,
            sequence: *sequence,
            time: millis(now),
            subject: "",
            payload,
            waits: *waits,
        });
        self.store.append(&records.collect::<Vec<_>>())
    }

    /// What a checkpoint is to be of, in the middle of which the server stops. What waits is durable once more.
    fn snapshot(&mut self, now: Duration) -> Result<(u64, Bytes), Broken> {
        self.commit(now)?;
        let room = self.room(now)?;
        let (sequence, state) = (room.sequence(), finish(room.snapshot()).state.to_bytes());
        finish(room.append_waiting());
        self.effects()?;
        self.commit(now)?;
        Ok((sequence, state))
    }

    fn replace(&self, sequence: u64, state: &[u8], now: Duration) -> Result<(), StoreError> {
        if sequence == 0 {
            return Ok(());
        }
        self.store.checkpoint(&[Checkpoint {
            name: &self.name,
            sequence,
            time: millis(now),
            state: &[state],
        }])
    }

    /// Stops without warning, and starts again.
    pub(super) fn crash(&mut self, crash: Crash, now: Duration, rng: &mut Rng) -> Result<(), Broken> {
        match crash.during {
            During::Nothing => {}
            During::Append => {
                self.stop.set(Some(Step::SyncLog));
                // It fails there, if there was anything to write.
                let _ = self.append(now);
            }
            // On a full disk there is none.
            During::Checkpoint(_) if self.is_full => {}
            During::Checkpoint(step) => {
                let (sequence, state) = self.snapshot(now)?;
                self.stop.set(Some(CHECKPOINT_STEPS[usize::from(step) % CHECKPOINT_STEPS.len()]));
                let _ = self.replace(sequence, &state, now);
            }
        }
        self.stop.set(None);
        self.unwritten.clear();
        self.connections.clear();
        self.permissions.clear();
        self.replies.clear();
        self.open = None;
        let mut choose = |below| rng.u64(..below);
        self.disk = if crash.power { self.disk.crash(&mut choose) } else { self.disk.kill() };
        self.store = open(&self.disk, &self.stop)?;
        Ok(())
    }

    /// The stored document, as the blocks of a room that is opened with it.
    pub(super) fn stored(&self) -> Result<Blocks, Broken> {
        let mut blocks = Blocks::default();
        if let Some(stored) = self.store.load(&self.name).map_err(store_error)? {
            let unusable = |error: LoadError| (Oracle::Stored, error.to_string());
            for update in stored.snapshot.iter().chain(&stored.updates) {
                blocks.load(update).map_err(unusable)?;
            }
            for (_, waiting) in &stored.waiting {
                blocks.load_waiting(waiting).map_err(unusable)?;
            }
        }
        self.check_waiting(&mut blocks)?;
        blocks.collect();
        Ok(blocks)
    }

    /// Durable updates that waited are in the stored document, or still wait there: admitted once more, they are nothing new.
    fn check_waiting(&self, stored: &mut Blocks) -> Result<(), Broken> {
        let before = stored.parked().bytes();
        for waiting in &self.durable_waiting {
            let new = stored.load_waiting(waiting).map_err(|error| (Oracle::Stored, error.to_string()))?;
            if !new.is_empty() || stored.parked().bytes() != before {
                return Err((Oracle::Stored, "what waited and was durable is forgotten".to_owned()));
            }
        }
        Ok(())
    }
}

fn open(disk: &MemoryDisk, stop: &Arc<StopBefore>) -> Result<Store, Broken> {
    let options = StoreOptions {
        segment_bytes: SEGMENT_BYTES,
        disk: Arc::new(disk.clone()),
        snapshot_index: SnapshotIndex::Memory,
        faults: Some(Arc::clone(stop) as Arc<dyn Faults>),
    };
    let (store, recovery) = Store::open(Path::new(DIRECTORY), options).map_err(store_error)?;
    if !recovery.damage.is_empty() || !recovery.unreadable.is_empty() {
        return Err((Oracle::Store, recovery.warnings().join("; ")));
    }
    Ok(store)
}

fn store_error(error: StoreError) -> Broken {
    (Oracle::Store, error.to_string())
}

fn millis(now: Duration) -> u64 {
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
