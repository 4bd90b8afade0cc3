//! Carries out a scenario in simulated time: replicas, their connections, a server with its room and its log, and what goes
//! wrong between them. Nothing here depends on anything but the scenario.

mod bugs;
mod check;
mod faults;
mod host;
mod record;
mod seat;
mod sending;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::room::{PeerId, Room};
use coscribe_engine::update::ClientId;
use coscribe_engine::work::finish;
use fastrand::Rng;

use self::bugs::Bugs;
use self::host::{Broken, Host, Sent};
use self::record::Record;
use self::seat::{Link, Seat};
use crate::acknowledged::Acknowledged;
use crate::edit::Edit;
use crate::editor::EditorError;
use crate::frame;
use crate::outcome::{Failure, Oracle, Outcome};
use crate::replica::{NodeProcess, NodeReplica, Replica, ReplicaError, YrsReplica};
use crate::scenario::{Event, Fault, Kind, Scenario};

#[cfg(feature = "planted-bugs")]
pub use self::bugs::PlantedBug;

/// How long the server collects updates before it writes them.
const COMMIT_WINDOW: Duration = Duration::from_millis(2);
/// How much may wait for a replica that does not read.
const OUTBOX_BYTES: usize = 2 << 10;
/// How often clients look after their awareness.
const AWARENESS_INTERVAL: Duration = Duration::from_secs(3);
/// A client tries again this long after the server has gone.
const RECONNECT: Duration = Duration::from_millis(100);

/// What a run needs beside its scenario.
#[derive(Default)]
pub struct Surroundings<'a> {
    /// Where real Yjs runs. Without it, replicas of that kind run yrs.
    pub node: Option<&'a NodeProcess>,
    /// Whether the timeline is to be kept.
    pub timeline: bool,
    /// The bug that the simulated server is given.
    #[cfg(feature = "planted-bugs")]
    pub bug: Option<PlantedBug>,
}

/// Carries out a scenario, and checks all promises.
pub fn run(scenario: &Scenario, surroundings: &Surroundings<'_>) -> Outcome {
    let mut record = Record::new(surroundings.timeline);
    let failure = Simulation::new(scenario, surroundings, &mut record).and_then(|mut run| run.run()).err();
    record.finish(failure)
}

/// What is due at some time.
enum Due {
    /// A frame reaches the server, with these messages.
    ToServer { peer: PeerId, frame: Bytes, messages: Range<usize> },
    /// A frame reaches a replica.
    ToReplica { seat: usize, peer: PeerId, frame: Bytes, message: usize },
    /// The server writes its log.
    Commit,
    /// There is room on the disk again.
    Room,
    /// The room wants to flush.
    Flush,
    /// Clients look after their awareness.
    Awareness,
    /// A pong reaches the server.
    Alive(PeerId),
    /// The server notices that a connection is dead.
    Notice(PeerId),
    /// A client connects again.
    Reconnect(usize),
}

/// An entry of the queue: earliest first, and in the order in which they were put there.
struct Entry {
    at: Duration,
    number: u64,
    due: Due,
}

struct Simulation<'a> {
    scenario: &'a Scenario,
    surroundings: &'a Surroundings<'a>,
    record: &'a mut Record,
    rng: Rng,
    now: Duration,
    queue: BinaryHeap<Reverse<Entry>>,
    /// Entries that have been put into the queue.
    queued: u64,
    /// Entries in the queue that are more than somebody looking after something now and then.
    busy: usize,
    host: Host,
    seats: Vec<Seat<'a>>,
    /// Connections that the server takes for alive, and nobody is there.
    ghosts: Vec<PeerId>,
    next_peer: u64,
    next_client: ClientId,
    commit_due: bool,
    /// When the room is to be called next.
    flush_due: Option<Duration>,
    /// The step that is carried out.
    step: usize,
    /// What was acknowledged to replicas that are no more.
    acknowledged: Acknowledged,
}

impl<'a> Simulation<'a> {
    fn new(
        scenario: &'a Scenario,
        surroundings: &'a Surroundings<'a>,
        record: &'a mut Record,
    ) -> Result<Self, Failure> {
        let mut rng = Rng::with_seed(scenario.seed);
        #[cfg(feature = "planted-bugs")]
        let bugs = Bugs::new(surroundings.bug);
        #[cfg(not(feature = "planted-bugs"))]
        let bugs = Bugs;
        let broken = |(oracle, detail)| Failure { oracle, step: 0, time: 0, detail };
        let mut simulation = Self {
            host: Host::new(rng.u64(..), bugs).map_err(broken)?,
            next_client: rng.u64(1..1 << 31),
            scenario,
            surroundings,
            record,
            rng,
            now: Duration::ZERO,
            queue: BinaryHeap::new(),
            queued: 0,
            busy: 0,
            seats: Vec::new(),
            ghosts: Vec::new(),
            next_peer: 0,
            commit_due: false,
            flush_due: None,
            step: 0,
            acknowledged: Acknowledged::default(),
        };
        let restores =
            scenario.steps.iter().any(|step| matches!(step.event, Event::Fault(Fault::Restore(..))));
        for &kind in &scenario.replicas {
            let replica = simulation.replica(kind).map_err(|error| simulation.replica_failed(&error))?;
            let latency = Duration::from_micros(simulation.rng.u64(200..5_000));
            simulation.seats.push(Seat::new(replica, latency, restores));
        }
        Ok(simulation)
    }

    fn run(&mut self) -> Result<(), Failure> {
        self.schedule(AWARENESS_INTERVAL, Due::Awareness);
        for seat in 0..self.seats.len() {
            self.connect(seat)?;
        }
        let scenario = self.scenario;
        for (number, step) in scenario.steps.iter().enumerate() {
            self.step = number;
            self.wait(Duration::from_millis(step.after.into()))?;
            self.record.event(&step.event, self.now, self.seats.len());
            match &step.event {
                Event::Edit { replica, edit } => self.edit(replica % self.seats.len(), edit)?,
                Event::Cursor { replica, state } => self.move_cursor(replica % self.seats.len(), *state)?,
                Event::Gather { replica, messages } => self.gather(replica % self.seats.len(), *messages),
                Event::Ask { replica, times } => self.ask(replica % self.seats.len(), *times)?,
                Event::Heal => self.heal()?,
                Event::Fault(fault) => self.fault(fault)?,
            }
        }
        self.step = scenario.steps.len();
        self.heal()
    }

    /// A new replica.
    fn replica(&mut self, kind: Kind) -> Result<Box<dyn Replica + 'a>, ReplicaError> {
        let client = self.next_client;
        // Some are smaller than those before, some are larger: their order decides between concurrent edits.
        self.next_client = self.rng.u64(1..1 << 31);
        let undo = self
            .scenario
            .steps
            .iter()
            .any(|step| matches!(&step.event, Event::Edit { edit: Edit::Undo | Edit::Redo, .. }));
        Ok(match (kind, self.surroundings.node) {
            (Kind::Yjs, Some(node)) => Box::new(NodeReplica::new(node, client, undo)?),
            _ => Box::new(YrsReplica::new(client, undo)),
        })
    }

    fn edit(&mut self, seat: usize, edit: &Edit) -> Result<(), Failure> {
        let place = &mut self.seats[seat];
        let written = place.remember().and_then(|()| place.replica.edit(edit));
        for update in written.map_err(|error| self.replica_failed(&error))? {
            let place = &mut self.seats[seat];
            if std::mem::take(&mut place.loses_next) {
                place.has_lost = true;
                place.editor.lose(update);
                continue;
            }
            let frames = place.editor.write(update);
            self.send(seat, frames);
        }
        Ok(())
    }

    fn move_cursor(&mut self, seat: usize, state: Option<u32>) -> Result<(), Failure> {
        let state = state.map(|state| format!("{{\"cursor\":{state}}}"));
        let frames = self.seats[seat].editor.set_state(state, self.now);
        self.send(seat, frames);
        Ok(())
    }

    fn connect(&mut self, seat: usize) -> Result<(), Failure> {
        if self.seats[seat].link.is_some() {
            return Ok(());
        }
        self.next_peer += 1;
        let peer = PeerId(self.next_peer);
        let now = self.now;
        self.room(|room| frame::connect(room, peer, now))?;
        let place = &mut self.seats[seat];
        place.link = Some(Link::new(peer, now));
        let frames = place.editor.open(place.replica.as_mut(), now);
        let frames = frames.map_err(|error| self.replica_failed(&error))?;
        self.send(seat, frames);
        self.serve()
    }

    /// The connection of a replica ends, and both ends know.
    fn disconnect(&mut self, seat: usize) -> Result<(), Failure> {
        let Some(link) = self.leave(seat) else { return Ok(()) };
        self.room(|room| finish(room.disconnect(link.peer)))?;
        self.serve()
    }

    /// A replica takes its connection for ended.
    fn leave(&mut self, seat: usize) -> Option<Link> {
        let place = &mut self.seats[seat];
        (place.cut, place.stalled, place.has_lost) = (false, false, false);
        place.gathered = None;
        place.editor.close();
        place.link.take()
    }

    /// The server has something to do: its room may flush, and what it sends is put on its way.
    fn serve(&mut self) -> Result<(), Failure> {
        loop {
            self.host.tick(self.now);
            let sent = self.host.effects().map_err(|broken| self.broken(broken))?;
            if sent.is_empty() && !self.host.step(self.now).map_err(|broken| self.broken(broken))? {
                break;
            }
            for Sent { peer, frame } in sent {
                self.deliver(peer, frame)?;
            }
            for peer in std::mem::take(&mut self.host.probed) {
                self.ping(peer);
            }
        }
        if self.host.has_unwritten() && !std::mem::replace(&mut self.commit_due, true) {
            self.schedule(COMMIT_WINDOW, Due::Commit);
        }
        if let Some(at) = self.host.next_tick()
            && self.flush_due.is_none_or(|due| at < due)
        {
            self.flush_due = Some(at);
            self.schedule(at.saturating_sub(self.now), Due::Flush);
        }
        Ok(())
    }

    /// Whoever is at the other end answers: nobody, where the connection is dead.
    fn ping(&mut self, peer: PeerId) {
        if let Some(seat) = self.seat_of(peer)
            && !self.seats[seat].cut
        {
            self.schedule(2 * self.seats[seat].latency, Due::Alive(peer));
        }
    }

    /// A frame goes into a peer's outbox, and from there to its replica if that reads.
    fn deliver(&mut self, peer: PeerId, frame: Bytes) -> Result<(), Failure> {
        let Some(seat) = self.seat_of(peer) else { return Ok(()) };
        let place = &mut self.seats[seat];
        let link = place.link.as_mut().expect("it was found by its link");
        link.push(frame);
        if !place.stalled {
            self.pass_on(seat);
        } else if link.outbox_bytes > OUTBOX_BYTES && !std::mem::replace(&mut link.lagging, true) {
            self.room(|room| room.stalled(peer))?;
        }
        Ok(())
    }

    /// What waits for a replica is put on its way.
    fn pass_on(&mut self, seat: usize) {
        let (now, place) = (self.now, &mut self.seats[seat]);
        let Some(link) = &mut place.link else { return };
        for frame in link.take() {
            let at = (now + place.latency).max(link.arrives[1]);
            link.arrives[1] = at;
            let message = self.record.sent(0, seat + 1, &frame, now);
            if !place.cut {
                let due = Due::ToReplica { seat, peer: link.peer, frame, message };
                self.queued += 1;
                self.busy += 1;
                self.queue.push(Reverse(Entry { at, number: self.queued, due }));
            }
        }
    }

    fn seat_of(&self, peer: PeerId) -> Option<usize> {
        self.seats.iter().position(|seat| seat.link.as_ref().is_some_and(|link| link.peer == peer))
    }

    fn schedule(&mut self, after: Duration, due: Due) {
        self.queued += 1;
        self.busy += usize::from(due.is_work());
        self.queue.push(Reverse(Entry { at: self.now + after, number: self.queued, due }));
    }

    /// Time passes.
    fn wait(&mut self, time: Duration) -> Result<(), Failure> {
        let until = self.now + time;
        while self.queue.peek().is_some_and(|Reverse(entry)| entry.at <= until) {
            self.next()?;
        }
        self.now = until;
        Ok(())
    }

    /// What is due next happens.
    fn next(&mut self) -> Result<(), Failure> {
        let Some(Reverse(Entry { at, due, .. })) = self.queue.pop() else { return Ok(()) };
        self.now = self.now.max(at);
        self.busy -= usize::from(due.is_work());
        match due {
            Due::ToServer { peer, frame, messages } => self.server_receives(peer, &frame, messages),
            Due::ToReplica { seat, peer, frame, message } => {
                self.replica_receives(seat, peer, frame, message)
            }
            Due::Commit => {
                self.commit_due = false;
                self.host.commit(self.now).map_err(|broken| self.broken(broken))?;
                self.serve()
            }
            Due::Room => {
                self.host.set_full(false);
                self.serve()
            }
            Due::Flush => {
                self.flush_due = None;
                self.serve()
            }
            Due::Awareness => {
                for seat in 0..self.seats.len() {
                    self.release(seat);
                    let frames = self.seats[seat].editor.tick(self.now);
                    self.send(seat, frames);
                }
                self.schedule(AWARENESS_INTERVAL, Due::Awareness);
                Ok(())
            }
            Due::Alive(peer) => {
                let now = self.now;
                self.room(|room| room.alive(peer, now))?;
                self.serve()
            }
            Due::Notice(peer) => self.notice(peer),
            Due::Reconnect(seat) => self.connect(seat),
        }
    }

    fn server_receives(
        &mut self,
        peer: PeerId,
        frame: &Bytes,
        messages: Range<usize>,
    ) -> Result<(), Failure> {
        // What is on its way when a connection ends gets lost, unless only the replica knows that it has ended.
        if self.seat_of(peer).is_some() || self.ghosts.contains(&peer) {
            messages.for_each(|message| self.record.arrived(message, self.now));
            self.host.receive(peer, frame, self.now).map_err(|broken| self.broken(broken))?;
        }
        // What comes at the same time is taken in before the room does anything.
        if self.queue.peek().is_some_and(|Reverse(next)| next.at <= self.now && next.due.is_for_server()) {
            return Ok(());
        }
        self.serve()
    }

    fn replica_receives(
        &mut self,
        seat: usize,
        peer: PeerId,
        frame: Bytes,
        message: usize,
    ) -> Result<(), Failure> {
        let now = self.now;
        let place = &mut self.seats[seat];
        if place.link.as_ref().is_none_or(|link| link.peer != peer) || place.cut {
            return Ok(());
        }
        self.record.arrived(message, now);
        let frames = place.editor.receive(place.replica.as_mut(), frame, now);
        let frames = frames.map_err(|error| self.editor_failed(seat, &error))?;
        self.send(seat, frames);
        Ok(())
    }

    /// The server gives up a connection at whose other end nobody is.
    fn notice(&mut self, peer: PeerId) -> Result<(), Failure> {
        let Some(ghost) = self.ghosts.iter().position(|&ghost| ghost == peer) else { return Ok(()) };
        self.ghosts.swap_remove(ghost);
        self.room(|room| finish(room.disconnect(peer)))?;
        self.serve()
    }

    /// Does something with the room; the document is opened if it is not.
    fn room<T>(&mut self, act: impl FnOnce(&mut Room) -> T) -> Result<T, Failure> {
        let done = self.host.room(self.now).map(act);
        done.map_err(|broken| self.broken(broken))
    }

    fn broken(&self, (oracle, detail): Broken) -> Failure {
        let time = u64::try_from(self.now.as_millis()).unwrap_or(u64::MAX);
        Failure { oracle, step: self.step, time, detail }
    }

    fn replica_failed(&self, error: &ReplicaError) -> Failure {
        self.broken((Oracle::Refused, error.to_string()))
    }

    fn editor_failed(&self, seat: usize, error: &EditorError) -> Failure {
        let oracle = match error {
            EditorError::Gap(_) => Oracle::Gap,
            EditorError::Message(_) | EditorError::Replica(_) | EditorError::Denied(_) => Oracle::Refused,
        };
        self.broken((oracle, format!("at replica {seat}: {error}")))
    }
}

impl Due {
    fn is_for_server(&self) -> bool {
        matches!(self, Self::ToServer { .. })
    }

    /// Whether something is going on, rather than somebody looking after something now and then.
    fn is_work(&self) -> bool {
        matches!(
            self,
            Self::ToServer { .. }
                | Self::ToReplica { .. }
                | Self::Commit
                | Self::Alive(_)
                | Self::Reconnect(_)
        )
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}
