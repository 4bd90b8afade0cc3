//! The simulated server: one room of the engine and the store on a disk in memory, put together as the server does it.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::blocks::{Blocks, LoadError};
use coscribe_engine::dialect::y_websocket::Messages;
use coscribe_engine::message::Parting;
use coscribe_engine::room::{Effect, PeerId, Room, RoomLimits};
use coscribe_engine::work::finish;
use coscribe_persistence::{
    Checkpoint, DocumentName, Faults, MemoryDisk, NewRecord, SnapshotIndex, Step, Store, StoreError,
    StoreOptions,
};
use fastrand::Rng;

use super::bugs::Bugs;
use crate::outcome::Oracle;
use crate::scenario::{Crash, During};

/// Where the store is on its disk.
const DIRECTORY: &str = "/store";
/// Segments so small that some are retired in a run.
const SEGMENT_BYTES: u64 = 2 << 10;
/// What putting a frame into one outbox is taken to cost; the flush window follows it.
const FAN_OUT_COST: Duration = Duration::from_micros(20);
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

/// A frame on its way to a peer.
pub(super) struct Sent {
    pub(super) peer: PeerId,
    pub(super) frame: Bytes,
}

/// The server.
pub(super) struct Host {
    disk: MemoryDisk,
    stop: Arc<StopBefore>,
    store: Store,
    name: DocumentName,
    room: Option<Room>,
    /// What the room has appended and the log does not have yet.
    unwritten: Vec<Unwritten>,
    /// What waited once, and was durable.
    durable_waiting: Vec<Bytes>,
    /// Peers that the room wants a sign of life of.
    pub(super) probed: Vec<PeerId>,
    pub(super) bugs: Bugs,
}

/// A record on its way to the log.
struct Unwritten {
    sequence: u64,
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

impl Host {
    /// A server with an empty disk.
    pub(super) fn new(seed: u64, bugs: Bugs) -> Result<Self, Broken> {
        let disk = MemoryDisk::new(seed);
        let stop = Arc::new(StopBefore::default());
        let store = open(&disk, &stop)?;
        let name = DocumentName::new("document").expect("a valid name");
        let (unwritten, durable_waiting, probed) = Default::default();
        Ok(Self { disk, stop, store, name, room: None, unwritten, durable_waiting, probed, bugs })
    }

    /// The room; the document is opened if it is not.
    pub(super) fn room(&mut self) -> Result<&mut Room, Broken> {
        if self.room.is_none() {
            self.room = Some(self.load()?);
        }
        Ok(self.room.as_mut().expect("it has just been put there"))
    }

    fn load(&self) -> Result<Room, Broken> {
        let mut room = Room::new(RoomLimits::default());
        if let Some(stored) = self.store.load(&self.name).map_err(store_error)? {
            let unusable = |error| (Oracle::Store, format!("a stored update: {error}"));
            for update in stored.snapshot.iter().chain(&stored.updates) {
                room.load(update).map_err(unusable)?;
            }
            room.resume_at(stored.sequence);
            for (_, waiting) in &stored.waiting {
                room.load_waiting(waiting).map_err(unusable)?;
            }
        }
        Ok(room)
    }

    /// A frame has come from a peer.
    pub(super) fn receive(&mut self, peer: PeerId, frame: &Bytes, now: Duration) -> Result<(), Broken> {
        self.room()?;
        let room = self.room.as_mut().expect("opened");
        for message in Messages::of(frame.clone()) {
            match message.map(|message| self.bugs.incoming(message, room)) {
                Ok(Some(message)) => finish(room.receive(peer, message, now)),
                Ok(None) => {}
                Err(error) => finish(room.refuse(peer, error)),
            }
        }
        Ok(())
    }

    /// Carries out what the room wants done; gives what it sends.
    pub(super) fn effects(&mut self) -> Result<Vec<Sent>, Broken> {
        let mut sent = Vec::new();
        let Some(room) = &mut self.room else { return Ok(sent) };
        while let Some(effect) = room.poll_effect() {
            match effect {
                Effect::Send { peer, message, .. } => {
                    self.bugs.outgoing(&message, &[peer], false, &mut sent);
                }
                Effect::Broadcast { message, to } => {
                    let receivers = u32::try_from(to.len()).unwrap_or(u32::MAX);
                    room.fanned_out(FAN_OUT_COST * receivers);
                    self.bugs.outgoing(&message, &to, true, &mut sent);
                }
                Effect::Append { sequence, update, waits, .. } => {
                    self.unwritten.push(Unwritten { sequence, payload: update.to_bytes(), waits });
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
        Ok(sent)
    }

    /// Whether something waits to be written.
    pub(super) fn has_unwritten(&self) -> bool {
        !self.unwritten.is_empty()
    }

    /// Writes and syncs what waits; the room hears of it.
    pub(super) fn commit(&mut self, now: Duration) -> Result<(), Broken> {
        self.append(now).map_err(store_error)?;
        let last = self.unwritten.last().map(|last| last.sequence);
        let waiting = self.unwritten.drain(..).filter(|unwritten| unwritten.waits);
        self.durable_waiting.extend(waiting.map(|unwritten| unwritten.payload));
        if let Some(sequence) = last {
            self.room()?.durable(sequence);
        }
        Ok(())
    }

    fn append(&self, now: Duration) -> Result<(), StoreError> {
        let records = self.unwritten.iter().map(|Unwritten { sequence, payload, waits }| NewRecord {
            name: &self.name,
            sequence: *sequence,
            time: millis(now),
            author: "",
            payload,
            waits: *waits,
        });
        self.store.append(&records.collect::<Vec<_>>())
    }

    /// Replaces the document's log by a snapshot.
    pub(super) fn checkpoint(&mut self, now: Duration) -> Result<Vec<Sent>, Broken> {
        let (sequence, state, sent) = self.snapshot(now)?;
        self.replace(sequence, &state, now).map_err(store_error)?;
        Ok(sent)
    }

    /// What a checkpoint is to be of. What waits is durable once more.
    fn snapshot(&mut self, now: Duration) -> Result<(u64, Bytes, Vec<Sent>), Broken> {
        self.commit(now)?;
        let room = self.room()?;
        let (sequence, state) = (room.sequence(), finish(room.snapshot()).state.to_bytes());
        finish(room.append_waiting());
        let sent = self.effects()?;
        self.commit(now)?;
        Ok((sequence, state, sent))
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

    /// Closes the document, whose peers have gone.
    pub(super) fn evict(&mut self, now: Duration) -> Result<(), Broken> {
        self.commit(now)?;
        self.room = None;
        Ok(())
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
            During::Checkpoint(step) => {
                let (sequence, state, _) = self.snapshot(now)?;
                self.stop.set(Some(CHECKPOINT_STEPS[usize::from(step) % CHECKPOINT_STEPS.len()]));
                let _ = self.replace(sequence, &state, now);
            }
        }
        self.stop.set(None);
        self.unwritten.clear();
        self.room = None;
        let mut choose = |below| rng.u64(..below);
        self.disk = if crash.power { self.disk.crash(&mut choose) } else { self.disk.kill() };
        self.store = open(&self.disk, &self.stop)?;
        Ok(())
    }

    /// What is stored, as the blocks of a room that is opened with it.
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

    /// What waited and was durable is in the stored document, or waits there: once more, it is nothing new.
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
