//! Carries out a scenario on one document of a real server, in real time that passes faster than the scenario says.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::update::ClientId;
use coscribe_provider::line::{End, Incoming, OpenError};
use fastrand::Rng;
use tokio::time::{Instant, timeout_at};

use super::line::Line;
use super::seat::Seat;
use super::target::Target;
use crate::acknowledged::Acknowledged;
use crate::edit::Edit;
use crate::editor::EditorError;
use crate::outcome::{Coverage, Failure, Oracle};
use crate::replica::{NodeProcess, NodeReplica, Replica, ReplicaError, View, YrsReplica};
use crate::scenario::{Event, Fault, Kind, Scenario};

/// So many times faster than the scenario says time passes, and no step waits longer than this.
const HASTE: u32 = 10;
const LONGEST_PAUSE: Duration = Duration::from_millis(30);
/// How often clients look after their awareness.
pub(super) const AWARENESS_INTERVAL: Duration = Duration::from_secs(3);

/// The server, and what is expected of it.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) target: Target,
    /// The command that restarts it.
    pub(super) restart: Option<String>,
    /// Whether it gives SyncStatus messages back.
    pub(super) acknowledges: bool,
    /// Whether documents must be there when everybody has left them, and after a restart.
    pub(super) keeps: bool,
    /// How long it has until everybody has everything.
    pub(super) settle: Duration,
    /// Whether it may send an update before what that builds on.
    pub(super) allows_gaps: bool,
    /// Whether awareness is compared.
    pub(super) awareness: bool,
}

/// Why a run does not go on.
#[derive(Debug)]
pub(super) enum Stop {
    /// A promise is broken.
    Broken(Oracle, String),
    /// It cannot be tried.
    Impossible(anyhow::Error),
}

/// What was done in a run.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) coverage: Coverage,
    pub(super) connections: usize,
    pub(super) restarts: usize,
    pub(super) heals: usize,
    /// Updates that came before what they build on.
    pub(super) gaps: usize,
    pub(super) failure: Option<Failure>,
}

/// One run.
pub(super) struct Run<'a> {
    scenario: &'a Scenario,
    pub(super) server: &'a Server,
    node: Option<&'a NodeProcess>,
    pub(super) document: String,
    rng: Rng,
    start: Instant,
    /// When clients look after their awareness next.
    next_tick: Instant,
    pub(super) seats: Vec<Seat<'a>>,
    /// Connections that the server takes for alive, and nobody is there.
    pub(super) ghosts: Vec<Line>,
    next_client: ClientId,
    /// What was acknowledged to replicas that are no more.
    pub(super) acknowledged: Acknowledged,
    /// What everybody had at the last heal.
    pub(super) settled: Option<View>,
    /// Kinds of faults since then.
    faults: BTreeSet<&'static str>,
    pub(super) account: Account,
}

/// Carries out a scenario, and checks all promises that can be checked from outside.
///
/// # Errors
/// If it cannot be tried: the server denies access, the restart command fails, and the like.
pub(super) async fn carry_out(
    scenario: &Scenario,
    server: &Server,
    node: Option<&NodeProcess>,
    document: String,
) -> anyhow::Result<Account> {
    let mut run = Run::new(scenario, server, node, document);
    let mut step = 0;
    match run.run(&mut step).await {
        Ok(()) => {}
        Err(Stop::Broken(oracle, detail)) => {
            let time = u64::try_from(run.start.elapsed().as_millis()).unwrap_or(u64::MAX);
            run.account.failure = Some(Failure { oracle, step, time, detail });
        }
        Err(Stop::Impossible(error)) => return Err(error),
    }
    run.account.gaps += run.seats.iter().map(|seat| seat.gate.gaps).sum::<usize>();
    Ok(run.account)
}

impl<'a> Run<'a> {
    fn new(
        scenario: &'a Scenario,
        server: &'a Server,
        node: Option<&'a NodeProcess>,
        document: String,
    ) -> Self {
        let mut rng = Rng::with_seed(scenario.seed);
        Self {
            next_client: rng.u64(1..1 << 31),
            scenario,
            server,
            node,
            document,
            rng,
            start: Instant::now(),
            next_tick: Instant::now() + AWARENESS_INTERVAL,
            seats: Vec::new(),
            ghosts: Vec::new(),
            acknowledged: Acknowledged::default(),
            settled: None,
            faults: BTreeSet::new(),
            account: Account::default(),
        }
    }

    async fn run(&mut self, step: &mut usize) -> Result<(), Stop> {
        let scenario = self.scenario;
        let restores =
            scenario.steps.iter().any(|step| matches!(step.event, Event::Fault(Fault::Restore(..))));
        for &kind in &scenario.replicas {
            let replica = self.replica(kind)?;
            self.seats.push(Seat::new(replica, self.server.acknowledges, restores, self.now()));
            self.connect(self.seats.len() - 1).await?;
        }
        for (number, scheduled) in scenario.steps.iter().enumerate() {
            *step = number;
            self.wait(hastened(scheduled.after).min(LONGEST_PAUSE)).await?;
            self.count(&scheduled.event);
            match &scheduled.event {
                Event::Edit { replica, edit } => self.edit(replica % self.seats.len(), edit)?,
                Event::Cursor { replica, state } => self.move_cursor(replica % self.seats.len(), *state),
                // Other servers read one message of a frame.
                Event::Gather { .. } => {}
                Event::Ask { replica, times } => self.ask(replica % self.seats.len(), *times)?,
                Event::Heal => self.heal(false).await?,
                Event::Fault(fault) => self.fault(fault).await?,
            }
        }
        *step = scenario.steps.len();
        self.heal(self.server.awareness).await
    }

    /// A new replica.
    pub(super) fn replica(&mut self, kind: Kind) -> Result<Box<dyn Replica + 'a>, Stop> {
        let client = self.next_client;
        self.next_client = self.rng.u64(1..1 << 31);
        let undo = self
            .scenario
            .steps
            .iter()
            .any(|step| matches!(&step.event, Event::Edit { edit: Edit::Undo | Edit::Redo, .. }));
        Ok(match (kind, self.node) {
            (Kind::Yjs, Some(node)) => Box::new(NodeReplica::new(node, client, undo)?),
            _ => Box::new(YrsReplica::new(client, undo)),
        })
    }

    pub(super) fn kind(&self, seat: usize) -> Kind {
        self.scenario.replicas[seat]
    }

    /// Time since the start.
    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn edit(&mut self, seat: usize, edit: &Edit) -> Result<(), Stop> {
        let place = &mut self.seats[seat];
        place.remember()?;
        for update in place.replica.edit(edit)? {
            if std::mem::take(&mut place.loses_next) {
                place.has_lost = true;
                place.editor.lose(update);
                continue;
            }
            let frames = place.editor.write(update);
            place.send(frames);
        }
        Ok(())
    }

    fn move_cursor(&mut self, seat: usize, state: Option<u32>) {
        let state = state.map(|state| format!("{{\"cursor\":{state}}}"));
        let now = self.now();
        let place = &mut self.seats[seat];
        let frames = place.editor.set_state(state, now);
        place.send(frames);
    }

    fn ask(&mut self, seat: usize, times: usize) -> Result<(), Stop> {
        let (now, place) = (self.now(), &mut self.seats[seat]);
        let frames = place.editor.ask_again(place.replica.as_mut(), times, now)?;
        place.send(frames);
        Ok(())
    }

    pub(super) async fn connect(&mut self, seat: usize) -> Result<(), Stop> {
        if self.seats[seat].line.is_some() {
            return Ok(());
        }
        let mut line = self.open().await?;
        let (now, place) = (self.now(), &mut self.seats[seat]);
        line.delay = place.delay;
        place.line = Some(line);
        let frames = place.editor.open(place.replica.as_mut(), now)?;
        place.send(frames);
        Ok(())
    }

    /// A connection to the document.
    pub(super) async fn open(&mut self) -> Result<Line, Stop> {
        self.account.connections += 1;
        match self.server.target.open(&self.document).await {
            Ok(line) => Ok(Line::new(line)),
            Err(error @ OpenError::Refused { status: 401 | 403 | 404, .. }) => {
                Err(Stop::Impossible(error.into()))
            }
            Err(error @ OpenError::Connect(..)) => Err(gone(&error)),
            Err(error) => {
                let detail = format!("the server takes no new connection, though it took others: {error}");
                Err(Stop::Broken(Oracle::Refused, detail))
            }
        }
    }

    /// A connection ended that nobody has closed: maybe because nobody is there any more.
    async fn closed(&self, seat: usize, how: &End) -> Stop {
        match self.server.target.open(&self.document).await {
            Err(error) if !matches!(error, OpenError::Refused { .. }) => gone(&error),
            _ => {
                let detail = format!("the server closed the connection of replica {seat} unasked, {how}");
                Stop::Broken(Oracle::Refused, detail)
            }
        }
    }

    /// Time passes: frames go and come.
    pub(super) async fn wait(&mut self, time: Duration) -> Result<(), Stop> {
        let until = Instant::now() + time;
        loop {
            let due = self.seats.iter().filter_map(|seat| seat.line.as_ref()?.next_due()).min();
            let next = due.into_iter().chain([until, self.next_tick]).min().unwrap_or(until);
            if let Ok((seat, incoming)) = timeout_at(next, next_incoming(&mut self.seats)).await {
                match incoming {
                    Incoming::Frame(frame) => self.take_in(seat, &frame)?,
                    Incoming::Ended(how) => return Err(self.closed(seat, &how).await),
                }
            }
            let now = Instant::now();
            if now >= self.next_tick {
                self.tick();
            }
            if now >= until {
                return Ok(());
            }
        }
    }

    fn tick(&mut self) {
        self.next_tick = Instant::now() + AWARENESS_INTERVAL;
        let now = self.now();
        for seat in &mut self.seats {
            let frames = seat.editor.tick(now);
            seat.send(frames);
        }
    }

    fn take_in(&mut self, seat: usize, frame: &Bytes) -> Result<(), Stop> {
        let now = self.now();
        let place = &mut self.seats[seat];
        let frame = match self.server.allows_gaps {
            true => place.gate.pass(place.replica.as_mut(), frame, place.editor.provider().is_synced())?,
            false => frame.clone(),
        };
        let frames = place.editor.receive(place.replica.as_mut(), frame, now);
        let frames = frames.map_err(|error| refused(&format!("replica {seat}"), error))?;
        place.send(frames);
        Ok(())
    }

    /// Counts which kinds of events were tried, and under which faults.
    fn count(&mut self, event: &Event) {
        let (kind, coverage) = (event.kind(), &mut self.account.coverage);
        coverage.edits += usize::from(matches!(event, Event::Edit { .. }));
        if self.faults.is_empty() {
            coverage.pairs.insert((kind, "no fault"));
        }
        coverage.pairs.extend(self.faults.iter().map(|fault| (kind, *fault)));
        match event {
            Event::Fault(_) => drop(self.faults.insert(kind)),
            Event::Heal => self.faults.clear(),
            Event::Edit { .. } | Event::Cursor { .. } | Event::Gather { .. } | Event::Ask { .. } => {}
        }
    }
}

/// The next that comes on any connection; what is due is written.
async fn next_incoming(seats: &mut [Seat<'_>]) -> (usize, Incoming) {
    poll_fn(|cx| {
        for (number, seat) in seats.iter_mut().enumerate() {
            if let Some(line) = &mut seat.line
                && let Poll::Ready(incoming) = line.poll(cx)
            {
                return Poll::Ready((number, incoming));
            }
        }
        Poll::Pending
    })
    .await
}

/// Nobody takes connections any more.
fn gone(error: &OpenError) -> Stop {
    Stop::Broken(Oracle::Refused, format!("the server is gone, it may have died: {error}"))
}

/// A frame that somebody does not take.
pub(super) fn refused(who: &str, error: EditorError) -> Stop {
    match error {
        EditorError::Gap(_) => Stop::Broken(
            Oracle::Gap,
            format!("{who} was sent what builds on something it does not have: {error}"),
        ),
        EditorError::Message(_) => {
            Stop::Broken(Oracle::Refused, format!("{who} cannot read a message of the server's: {error}"))
        }
        EditorError::Denied(_) => Stop::Impossible(error.into()),
        EditorError::Replica(_) => {
            Stop::Broken(Oracle::Refused, format!("{who} does not take what the server sent: {error}"))
        }
    }
}

/// A time of a scenario, in real time.
pub(super) fn hastened(millis: u32) -> Duration {
    Duration::from_millis(millis.into()) / HASTE
}

impl From<ReplicaError> for Stop {
    fn from(error: ReplicaError) -> Self {
        match error {
            ReplicaError::Refused(_) => Self::Broken(Oracle::Refused, error.to_string()),
            ReplicaError::Process(_) => Self::Impossible(error.into()),
        }
    }
}

impl From<EditorError> for Stop {
    fn from(error: EditorError) -> Self {
        refused("a replica", error)
    }
}
