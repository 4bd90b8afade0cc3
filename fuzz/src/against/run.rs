//! Carries out a scenario on one document of a real server, in real time but faster than the scenario says.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::update::ClientId;
use coscribe_provider::line::{End, Incoming, OpenError};
use fastrand::Rng;
use tokio::time::{Instant, timeout_at};

use super::editor::ConnectedEditor;
use super::line::Line;
use super::stop::{Stop, refused};
use super::target::Target;
use crate::acknowledged::Acknowledged;
use crate::checked_provider::Speech;
use crate::edit::Edit;
use crate::limits;
use crate::outcome::{Coverage, Failure, Oracle};
use crate::replica::{NodeProcess, NodeReplica, Replica, View, YrsReplica};
use crate::scenario::{Event, Fault, Kind, Scenario};

/// Time passes so many times faster than the scenario says.
const HASTE: u32 = 10;
/// The interval at which editors renew their awareness.
pub(super) const AWARENESS_INTERVAL: Duration = Duration::from_secs(3);

/// The server, and the promises that it is expected to keep.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) target: Target,
    /// The command that restarts it.
    pub(super) restart: Option<String>,
    /// Whether it acknowledges by SyncStatus messages.
    pub(super) acknowledges: bool,
    /// Whether documents must be there when everybody has left them, and after a restart.
    pub(super) keeps: bool,
    /// How long it may take until every editor has everything.
    pub(super) settle: Duration,
    /// Whether it may send an update before those that it builds on.
    pub(super) allows_gaps: bool,
    /// Whether awareness is compared.
    pub(super) awareness: bool,
}

/// The account of a run: what it did, and its failure.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) coverage: Coverage,
    pub(super) connections: usize,
    pub(super) restarts: usize,
    pub(super) heals: usize,
    /// Updates that came before those that they build on.
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
    /// When editors renew their awareness next.
    next_tick: Instant,
    pub(super) editors: Vec<ConnectedEditor<'a>>,
    /// Connections that the server takes for alive, though their editors have left.
    pub(super) ghosts: Vec<Line>,
    next_client: ClientId,
    /// Updates that were acknowledged to replicas that are gone.
    pub(super) acknowledged: Acknowledged,
    /// The common view at the last heal.
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
    run.account.gaps += run.editors.iter().map(|editor| editor.gate.gaps).sum::<usize>();
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
            editors: Vec::new(),
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
            let replica = self.new_replica(kind)?;
            self.editors.push(ConnectedEditor::new(replica, self.speech(), restores, self.now()));
            self.connect(self.editors.len() - 1).await?;
        }
        for (number, scheduled) in scenario.steps.iter().enumerate() {
            *step = number;
            self.wait(hastened(scheduled.after).min(limits::LONGEST_PAUSE)).await?;
            self.count(&scheduled.event);
            match &scheduled.event {
                Event::Edit { replica, edit } => self.edit(replica % self.editors.len(), edit)?,
                Event::Cursor { replica, state } => self.move_cursor(replica % self.editors.len(), *state),
                // Other servers read one message of a frame.
                Event::Gather { .. } | Event::Access { .. } => {}
                Event::Ask { replica, times } => self.ask(replica % self.editors.len(), *times)?,
                Event::Heal => self.heal(false).await?,
                Event::Fault(fault) => self.fault(fault).await?,
            }
        }
        *step = scenario.steps.len();
        self.heal(self.server.awareness).await
    }

    /// A new replica.
    pub(super) fn new_replica(&mut self, kind: Kind) -> Result<Box<dyn Replica + 'a>, Stop> {
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

    /// How an editor of the document speaks to the server.
    pub(super) fn speech(&self) -> Speech {
        self.server.target.speech(&self.document, self.server.acknowledges)
    }

    pub(super) fn kind(&self, replica: usize) -> Kind {
        self.scenario.replicas[replica]
    }

    /// Time since the start.
    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn edit(&mut self, replica: usize, edit: &Edit) -> Result<(), Stop> {
        let editor = &mut self.editors[replica];
        editor.remember()?;
        for update in editor.replica.edit(edit)? {
            if std::mem::take(&mut editor.loses_next) {
                editor.has_lost = true;
                editor.provider.lose(update);
                continue;
            }
            let frames = editor.provider.write(update);
            editor.send(frames);
        }
        Ok(())
    }

    fn move_cursor(&mut self, replica: usize, state: Option<u32>) {
        let state = state.map(|state| format!("{{\"cursor\":{state}}}"));
        let now = self.now();
        let editor = &mut self.editors[replica];
        let frames = editor.provider.set_state(state, now);
        editor.send(frames);
    }

    fn ask(&mut self, replica: usize, times: usize) -> Result<(), Stop> {
        let (now, editor) = (self.now(), &mut self.editors[replica]);
        let frames = editor.provider.ask_again(editor.replica.as_mut(), times, now)?;
        editor.send(frames);
        Ok(())
    }

    pub(super) async fn connect(&mut self, replica: usize) -> Result<(), Stop> {
        if self.editors[replica].line.is_some() {
            return Ok(());
        }
        let mut line = self.open().await?;
        let (now, editor) = (self.now(), &mut self.editors[replica]);
        line.delay = editor.delay;
        editor.line = Some(line);
        let frames = editor.provider.open(editor.replica.as_mut(), now)?;
        editor.send(frames);
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

    /// The server has ended a connection: perhaps because it is gone.
    async fn closed(&self, replica: usize, how: &End) -> Stop {
        match self.server.target.open(&self.document).await {
            Err(error) if !matches!(error, OpenError::Refused { .. }) => gone(&error),
            _ => {
                let detail = format!("the server closed the connection of replica {replica} unasked, {how}");
                Stop::Broken(Oracle::Refused, detail)
            }
        }
    }

    /// Time passes: frames go and come.
    pub(super) async fn wait(&mut self, time: Duration) -> Result<(), Stop> {
        let until = Instant::now() + time;
        loop {
            let due = self.editors.iter().filter_map(|editor| editor.line.as_ref()?.next_due()).min();
            let next = due.into_iter().chain([until, self.next_tick]).min().unwrap_or(until);
            if let Ok((replica, incoming)) = timeout_at(next, next_incoming(&mut self.editors)).await {
                match incoming {
                    Incoming::Frame(frame) => self.take_in(replica, &frame)?,
                    Incoming::Ended(how) => return Err(self.closed(replica, &how).await),
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
        for editor in &mut self.editors {
            let frames = editor.provider.tick(now);
            editor.send(frames);
        }
    }

    fn take_in(&mut self, replica: usize, frame: &Bytes) -> Result<(), Stop> {
        let (now, dialect) = (self.now(), self.server.target.dialect());
        let editor = &mut self.editors[replica];
        let frame = match self.server.allows_gaps {
            true => editor.gate.pass(editor.replica.as_mut(), frame, dialect, editor.provider.is_synced())?,
            false => frame.clone(),
        };
        let frames = editor.provider.receive(editor.replica.as_mut(), frame, now);
        let frames = frames.map_err(|error| refused(&format!("replica {replica}"), error))?;
        editor.send(frames);
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
            Event::Edit { .. }
            | Event::Cursor { .. }
            | Event::Gather { .. }
            | Event::Ask { .. }
            | Event::Access { .. } => {}
        }
    }
}

/// Waits for the next frame or end of any connection, and writes frames that are due.
async fn next_incoming(editors: &mut [ConnectedEditor<'_>]) -> (usize, Incoming) {
    poll_fn(|cx| {
        for (number, editor) in editors.iter_mut().enumerate() {
            if let Some(line) = &mut editor.line
                && let Poll::Ready(incoming) = line.poll(cx)
            {
                return Poll::Ready((number, incoming));
            }
        }
        Poll::Pending
    })
    .await
}

/// The failure of a server that accepts no connections any more.
fn gone(error: &OpenError) -> Stop {
    Stop::Broken(Oracle::Refused, format!("the server is gone, it may have died: {error}"))
}

/// A time of a scenario, in real time.
pub(super) fn hastened(millis: u32) -> Duration {
    Duration::from_millis(millis.into()) / HASTE
}
