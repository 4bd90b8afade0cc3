//! Carries out a scenario in simulated time: editors, their connections, a server with its room and its log, and the faults
//! between them. Everything here depends on the scenario alone.

mod access;
mod bugs;
mod check;
mod connecting;
mod connections;
mod delivery;
mod editor;
mod faults;
mod label;
mod permissions;
mod sending;
mod server;
mod transcript;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::room::{PeerId, Room};
use coscribe_engine::update::ClientId;
use fastrand::Rng;

use self::bugs::Bugs;
use self::delivery::Delivery;
use self::editor::SimulatedEditor;
use self::server::{Broken, SimulatedServer};
use self::transcript::Transcript;
use crate::acknowledged::Acknowledged;
use crate::checked_provider::ProviderError;
use crate::edit::Edit;
use crate::limits;
use crate::outcome::{Failure, Oracle, Outcome};
use crate::replica::{NodeProcess, NodeReplica, Replica, ReplicaError, YrsReplica};
use crate::scenario::{Event, Fault, Kind, Scenario};

#[cfg(feature = "planted-bugs")]
pub use self::bugs::PlantedBug;

/// How long the server collects updates before it writes them.
const COMMIT_WINDOW: Duration = Duration::from_millis(2);
/// The interval at which editors renew their awareness.
const AWARENESS_INTERVAL: Duration = Duration::from_secs(3);
/// An editor connects again so long after the server has gone.
const RECONNECT: Duration = Duration::from_millis(100);

/// The things that a run needs beside its scenario.
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
    let mut transcript = Transcript::new(surroundings.timeline);
    let failure =
        Simulation::new(scenario, surroundings, &mut transcript).and_then(|mut run| run.run()).err();
    transcript.finish(failure)
}

/// An event that is due at some time.
enum Due {
    /// A frame reaches the server, with these messages.
    ToServer { peer: PeerId, frame: Bytes, messages: Range<usize> },
    /// A frame reaches a replica.
    ToReplica { replica: usize, peer: PeerId, frame: Bytes, message: usize },
    /// The server writes its log.
    Commit,
    /// There is room on the disk again.
    Room,
    /// The room wants to flush.
    Flush,
    /// Editors renew their awareness.
    Awareness,
    /// A pong reaches the server.
    Alive(PeerId),
    /// The server notices that a connection is dead.
    Notice(PeerId),
    /// An editor connects again.
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
    transcript: &'a mut Transcript,
    rng: Rng,
    now: Duration,
    queue: BinaryHeap<Reverse<Entry>>,
    /// Entries that have been put into the queue.
    queued: u64,
    /// Entries in the queue that are work, and not a periodic look (see [`Due::is_work`]).
    busy: usize,
    server: SimulatedServer,
    editors: Vec<SimulatedEditor<'a>>,
    /// Connections that the server takes for alive, though their editors have left.
    ghosts: Vec<PeerId>,
    next_peer: u64,
    next_client: ClientId,
    commit_due: bool,
    /// When the room is to be called next.
    flush_due: Option<Duration>,
    /// The step that is carried out.
    step: usize,
    /// Updates that were acknowledged to replicas that are gone.
    acknowledged: Acknowledged,
}

impl<'a> Simulation<'a> {
    fn new(
        scenario: &'a Scenario,
        surroundings: &'a Surroundings<'a>,
        transcript: &'a mut Transcript,
    ) -> Result<Self, Failure> {
        let mut rng = Rng::with_seed(scenario.seed);
        #[cfg(feature = "planted-bugs")]
        let bugs = Bugs::new(surroundings.bug);
        #[cfg(not(feature = "planted-bugs"))]
        let bugs = Bugs;
        let broken = |(oracle, detail)| Failure { oracle, step: 0, time: 0, detail };
        let mut simulation = Self {
            server: SimulatedServer::new(rng.u64(..), bugs).map_err(broken)?,
            next_client: rng.u64(1..1 << 31),
            scenario,
            surroundings,
            transcript,
            rng,
            now: Duration::ZERO,
            queue: BinaryHeap::new(),
            queued: 0,
            busy: 0,
            editors: Vec::new(),
            ghosts: Vec::new(),
            next_peer: 0,
            commit_due: false,
            flush_due: None,
            step: 0,
            acknowledged: Acknowledged::default(),
        };
        let restores =
            scenario.steps.iter().any(|step| matches!(step.event, Event::Fault(Fault::Restore(..))));
        for (number, &kind) in scenario.replicas.iter().enumerate() {
            let replica = simulation.new_replica(kind).map_err(|error| simulation.replica_failed(&error))?;
            let latency = Duration::from_micros(simulation.rng.u64(200..5_000));
            simulation.editors.push(SimulatedEditor::new(
                replica,
                (scenario.dialect(number), scenario.access(number)),
                latency,
                restores,
            ));
        }
        Ok(simulation)
    }

    fn run(&mut self) -> Result<(), Failure> {
        self.schedule(AWARENESS_INTERVAL, Due::Awareness);
        for replica in 0..self.editors.len() {
            self.connect(replica)?;
        }
        let scenario = self.scenario;
        for (number, step) in scenario.steps.iter().enumerate() {
            self.step = number;
            self.wait(Duration::from_millis(step.after.into()))?;
            self.transcript.event(&step.event, self.now, self.editors.len());
            match &step.event {
                Event::Edit { replica, edit } => self.edit(replica % self.editors.len(), edit)?,
                Event::Cursor { replica, state } => self.move_cursor(replica % self.editors.len(), *state)?,
                Event::Gather { replica, messages } => self.gather(replica % self.editors.len(), *messages),
                Event::Ask { replica, times } => self.ask(replica % self.editors.len(), *times)?,
                Event::Access { replica, access } => {
                    self.set_access(replica % self.editors.len(), *access)?
                }
                Event::Heal => self.heal()?,
                Event::Fault(fault) => self.fault(fault)?,
            }
        }
        self.step = scenario.steps.len();
        self.heal()
    }

    /// A new replica.
    fn new_replica(&mut self, kind: Kind) -> Result<Box<dyn Replica + 'a>, ReplicaError> {
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

    fn edit(&mut self, replica: usize, edit: &Edit) -> Result<(), Failure> {
        let editor = &mut self.editors[replica];
        let written = editor.remember().and_then(|()| editor.replica.edit(edit));
        for update in written.map_err(|error| self.replica_failed(&error))? {
            let editor = &mut self.editors[replica];
            if std::mem::take(&mut editor.loses_next) {
                editor.has_lost = true;
                editor.provider.lose(update);
                continue;
            }
            let frames = editor.provider.write(update);
            self.send(replica, frames);
        }
        Ok(())
    }

    fn move_cursor(&mut self, replica: usize, state: Option<u32>) -> Result<(), Failure> {
        let state = state.map(|state| format!("{{\"cursor\":{state}}}"));
        let frames = self.editors[replica].provider.set_state(state, self.now);
        self.send(replica, frames);
        Ok(())
    }

    /// Lets the server do everything that is due: its room may flush, and its messages are put on their way.
    fn serve(&mut self) -> Result<(), Failure> {
        loop {
            self.server.tick(self.now);
            let sent = self.server.effects().map_err(|broken| self.broken(broken))?;
            if sent.is_empty() && !self.server.step(self.now).map_err(|broken| self.broken(broken))? {
                break;
            }
            for Delivery { peer, frame } in sent {
                self.deliver(peer, frame)?;
            }
            for peer in std::mem::take(&mut self.server.probed) {
                self.ping(peer);
            }
        }
        if self.server.has_unwritten() && !std::mem::replace(&mut self.commit_due, true) {
            self.schedule(COMMIT_WINDOW, Due::Commit);
        }
        if let Some(at) = self.server.next_tick()
            && self.flush_due.is_none_or(|due| at < due)
        {
            self.flush_due = Some(at);
            self.schedule(at.saturating_sub(self.now), Due::Flush);
        }
        Ok(())
    }

    /// The editor at the other end answers, unless the connection is dead.
    fn ping(&mut self, peer: PeerId) {
        if let Some(replica) = self.replica_of(peer)
            && !self.editors[replica].cut
        {
            self.schedule(2 * self.editors[replica].latency, Due::Alive(peer));
        }
    }

    /// Puts a frame into a peer's outbox, and from there on its way to the replica if the replica reads.
    fn deliver(&mut self, peer: PeerId, frame: Bytes) -> Result<(), Failure> {
        let Some(replica) = self.replica_of(peer) else { return Ok(()) };
        let editor = &mut self.editors[replica];
        let link = editor.link.as_mut().expect("it was found by its link");
        link.push(frame);
        if !editor.stalled {
            self.pass_on(replica);
        } else if link.outbox_bytes > limits::OUTBOX_BYTES && !std::mem::replace(&mut link.lagging, true) {
            self.room(|room| room.stalled(peer))?;
        }
        Ok(())
    }

    /// Puts all frames that wait for a replica on their way.
    fn pass_on(&mut self, replica: usize) {
        let (now, editor) = (self.now, &mut self.editors[replica]);
        let Some(link) = &mut editor.link else { return };
        for frame in link.take() {
            let at = (now + editor.latency).max(link.arrives[1]);
            link.arrives[1] = at;
            let message = self.transcript.sent(0, replica + 1, (&frame, editor.dialect), now);
            if !editor.cut {
                let due = Due::ToReplica { replica, peer: link.peer, frame, message };
                self.queued += 1;
                self.busy += 1;
                self.queue.push(Reverse(Entry { at, number: self.queued, due }));
            }
        }
    }

    fn replica_of(&self, peer: PeerId) -> Option<usize> {
        self.editors.iter().position(|editor| editor.link.as_ref().is_some_and(|link| link.peer == peer))
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

    /// Carries out the next entry of the queue.
    fn next(&mut self) -> Result<(), Failure> {
        let Some(Reverse(Entry { at, due, .. })) = self.queue.pop() else { return Ok(()) };
        self.now = self.now.max(at);
        self.busy -= usize::from(due.is_work());
        match due {
            Due::ToServer { peer, frame, messages } => self.server_receives(peer, &frame, messages),
            Due::ToReplica { replica, peer, frame, message } => {
                self.replica_receives(replica, peer, frame, message)
            }
            Due::Commit => {
                self.commit_due = false;
                self.server.commit(self.now).map_err(|broken| self.broken(broken))?;
                self.serve()
            }
            Due::Room => {
                self.server.set_full(false);
                self.serve()
            }
            Due::Flush => {
                self.flush_due = None;
                self.serve()
            }
            Due::Awareness => {
                for replica in 0..self.editors.len() {
                    self.release(replica);
                    let frames = self.editors[replica].provider.tick(self.now);
                    self.send(replica, frames);
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
            Due::Reconnect(replica) => self.connect(replica),
        }
    }

    fn server_receives(
        &mut self,
        peer: PeerId,
        frame: &Bytes,
        messages: Range<usize>,
    ) -> Result<(), Failure> {
        // What is on its way when a connection ends gets lost, unless only the replica knows that it has ended.
        if self.replica_of(peer).is_some() || self.ghosts.contains(&peer) {
            messages.for_each(|message| self.transcript.arrived(message, self.now));
            self.server.receive(peer, frame, self.now).map_err(|broken| self.broken(broken))?;
        }
        // What comes at the same time is taken in before the room does anything.
        if self.queue.peek().is_some_and(|Reverse(next)| next.at <= self.now && next.due.is_for_server()) {
            return Ok(());
        }
        self.serve()
    }

    fn replica_receives(
        &mut self,
        replica: usize,
        peer: PeerId,
        frame: Bytes,
        message: usize,
    ) -> Result<(), Failure> {
        let now = self.now;
        let editor = &mut self.editors[replica];
        if editor.link.as_ref().is_none_or(|link| link.peer != peer) || editor.cut {
            return Ok(());
        }
        self.transcript.arrived(message, now);
        let frames = editor.provider.receive(editor.replica.as_mut(), frame, now);
        let frames = frames.map_err(|error| self.provider_failed(replica, &error))?;
        self.send(replica, frames);
        Ok(())
    }

    /// Calls the room; a document that is not open is opened first.
    fn room<T>(&mut self, act: impl FnOnce(&mut Room) -> T) -> Result<T, Failure> {
        let done = self.server.room(self.now).map(act);
        done.map_err(|broken| self.broken(broken))
    }

    fn broken(&self, (oracle, detail): Broken) -> Failure {
        let time = u64::try_from(self.now.as_millis()).unwrap_or(u64::MAX);
        Failure { oracle, step: self.step, time, detail }
    }

    fn replica_failed(&self, error: &ReplicaError) -> Failure {
        self.broken((Oracle::Refused, error.to_string()))
    }

    fn provider_failed(&self, replica: usize, error: &ProviderError) -> Failure {
        let oracle = match error {
            ProviderError::Gap(_) => Oracle::Gap,
            ProviderError::Early(_) => Oracle::Early,
            ProviderError::Message(_) | ProviderError::Replica(_) | ProviderError::Denied(_) => {
                Oracle::Refused
            }
        };
        self.broken((oracle, format!("at replica {replica}: {error}")))
    }
}

impl Due {
    fn is_for_server(&self) -> bool {
        matches!(self, Self::ToServer { .. })
    }

    /// Whether it is work, and not a periodic look.
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
