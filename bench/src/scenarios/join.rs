//! A document of some size is opened by one person, or by many at once: how long until they have all of it.
//!
//! Messages are set aside with their times, and read afterwards: a joiner's time ends with the message that made its document
//! complete.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context, ensure};
use clap::Parser;
use coscribe_engine::document::blocks::Blocks;
use coscribe_engine::document::state_vector::StateVector;
use serde::Serialize;

use super::{read_documents, room_names, settle};
use crate::connection::Payload;
use crate::crowd::{Crowd, Target};
use crate::dialect::{self, Dialect, Incoming};
use crate::inflate::Inflater;
use crate::ledger::FIRST_CLIENT;
use crate::limits;
use crate::measure::{Cost, Meter};
use crate::servers::Running;
use crate::updates::document;

/// Who wrote the document.
const WRITER: u64 = FIRST_CLIENT - 1000;

/// The document, and how many open it.
#[derive(Debug, Clone, Parser, Serialize)]
pub struct Load {
    /// Size of the document in bytes, encoded
    #[arg(long, default_value_t = 400_000)]
    pub bytes: usize,
    /// Take this file instead, a v1 update with a whole document
    #[arg(long)]
    pub document: Option<PathBuf>,
    /// How many join at once
    #[arg(long, default_value_t = 100)]
    pub joiners: usize,
    /// How often each case is repeated; the median counts
    #[arg(long, default_value_t = 5)]
    pub repeat: usize,
}

/// The outcome.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Size of the document, encoded.
    pub bytes: usize,
    /// One joins a document that others have open.
    pub one: Round,
    /// Many join it at once.
    pub many: Round,
    /// One joins after the server was started again; `None` if it doesn't keep documents as it is set up here.
    pub one_after_restart: Option<Round>,
    /// Many join at once after the server was started again.
    pub many_after_restart: Option<Round>,
}

/// One case.
#[derive(Debug, Clone, Serialize)]
pub struct Round {
    /// How many joined.
    pub joiners: usize,
    /// How many never had all of it.
    pub incomplete: usize,
    /// From the first one's connecting until the first one had all of it, in milliseconds.
    pub first_ms: f64,
    /// Until the last one had it; not a number if nobody ever had.
    pub last_ms: f64,
    /// The total cost.
    pub cost: Cost,
}

/// Runs it.
///
/// # Errors
/// If the server cannot be reached, or does not take the document.
pub fn run(server: &mut Running, load: &Load) -> anyhow::Result<Report> {
    ensure!(server.target.dialect != Dialect::Relay, "a relay has no documents");
    let update = match &load.document {
        Some(path) => std::fs::read(path).with_context(|| path.display().to_string())?,
        None => document(WRITER, load.bytes).0,
    };
    let whole = Blocks::from_update(&update)?.state_vector().clone();
    let room = room_names(1).remove(0);
    server.prepare([room.as_str()])?;
    let mut writer = Crowd::new(server.target.clone())?;
    writer.add_all([room.as_str()], WRITER, limits::CONNECT, |_, _, _| {})?;
    settle(&mut writer, |_, _, _| {})?;
    writer.send(0, |prefix| dialect::update(prefix, &update));
    await_document(&mut writer, &server.target, &room, &whole)?;

    let one = median(load.repeat, || join(server, &room, 1, &whole))?;
    let many = median(load.repeat, || join(server, &room, load.joiners, &whole))?;
    drop(writer);
    let (mut one_after_restart, mut many_after_restart) = (None, None);
    if server.can_restart() {
        let mut after_restart = |joiners| {
            median(load.repeat, || {
                server.restart()?;
                join(server, &room, joiners, &whole)
            })
        };
        one_after_restart = Some(after_restart(1)?);
        many_after_restart = Some(after_restart(load.joiners)?);
    }
    Ok(Report { bytes: update.len(), one, many, one_after_restart, many_after_restart })
}

/// Sends what the writer has written, until a newcomer gets all of it.
fn await_document(
    writer: &mut Crowd,
    target: &Target,
    room: &str,
    whole: &StateVector,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + limits::JOIN;
    loop {
        settle(writer, |_, _, _| {})?;
        let documents = read_documents(target, &[room.to_owned()])?;
        if documents[0].state_vector() == whole {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "the server does not take the document");
    }
}

/// The first round in which somebody waited in vain, or else the round of the median time.
fn median(repeat: usize, mut round: impl FnMut() -> anyhow::Result<Round>) -> anyhow::Result<Round> {
    let mut rounds = Vec::new();
    for _ in 0..repeat.max(1) {
        let round = round()?;
        if round.incomplete > 0 {
            return Ok(round);
        }
        rounds.push(round);
    }
    rounds.sort_by(|a, b| a.last_ms.total_cmp(&b.last_ms));
    Ok(rounds.swap_remove(rounds.len() / 2))
}

/// A message as received.
struct Arrival {
    at: Instant,
    bytes: Rc<[u8]>,
    deflated: bool,
}

/// Everything that came, by joiner.
struct Arrivals {
    of: Vec<Vec<Arrival>>,
    /// The large messages: joiners mostly get the same one, and comparing is faster than keeping another copy.
    large: Vec<Rc<[u8]>>,
}

impl Arrivals {
    fn note(&mut self, joiner: usize, at: Instant, payload: &Payload<'_>) {
        let (bytes, deflated) = payload.raw();
        let known = self.large.iter().find(|known| ***known == *bytes).cloned();
        let bytes = known.unwrap_or_else(|| {
            let bytes = Rc::from(bytes);
            if is_large(&bytes) {
                self.large.push(Rc::clone(&bytes));
            }
            bytes
        });
        self.of[joiner].push(Arrival { at, bytes, deflated });
    }

    /// Whether everybody seems to have been sent a document.
    fn may_be_all(&self) -> bool {
        self.of.iter().all(|arrivals| arrivals.iter().any(|arrival| is_large(&arrival.bytes)))
    }
}

/// The answer to an empty state vector is larger than all greetings.
fn is_large(bytes: &[u8]) -> bool {
    bytes.len() > 1000
}

fn join(server: &Running, room: &str, joiners: usize, whole: &StateVector) -> anyhow::Result<Round> {
    let mut crowd = Crowd::new(server.target.clone())?;
    let mut arrivals = Arrivals { of: (0..joiners).map(|_| Vec::new()).collect(), large: Vec::new() };
    let meter = Meter::start(server.process, &crowd)?;
    let start = Instant::now();
    for joiner in 0..joiners {
        crowd.add(room, FIRST_CLIENT + joiner as u64)?;
    }
    let mut last = start;
    while last.elapsed() < limits::JOIN_QUIET || (start.elapsed() < limits::JOIN && !arrivals.may_be_all()) {
        crowd.turn_unread(Instant::now() + limits::JOIN_QUIET, |joiner, at, payload| {
            last = at;
            arrivals.note(joiner, at, &payload);
        })?;
        if let Some((joiner, error)) = crowd.broken.first() {
            anyhow::bail!("joiner {joiner} was cut off: {error}");
        }
    }
    let cost = meter.stop(&crowd)?;
    let prefix = server.target.dialect.prefix(room);
    let completed = |arrivals: &Vec<Arrival>| completed_at(server.target.dialect, &prefix, arrivals, whole);
    let completed = arrivals.of.iter().map(completed).collect::<anyhow::Result<Vec<_>>>()?;
    let ms = |at: Option<Instant>| at.map_or(f64::NAN, |at| (at - start).as_secs_f64() * 1e3);
    Ok(Round {
        joiners,
        incomplete: completed.iter().filter(|at| at.is_none()).count(),
        first_ms: ms(completed.iter().flatten().min().copied()),
        last_ms: ms(completed.iter().flatten().max().copied()),
        cost,
    })
}

/// When somebody's document was complete.
fn completed_at(
    dialect: Dialect,
    prefix: &[u8],
    arrivals: &[Arrival],
    whole: &StateVector,
) -> anyhow::Result<Option<Instant>> {
    let mut inflater = Inflater::new(true);
    let mut document = Blocks::default();
    for Arrival { at, bytes, deflated } in arrivals {
        let bytes = if *deflated { inflater.inflate(bytes)? } else { bytes };
        if let Incoming::Step2(update) | Incoming::Update(update) = dialect.read(prefix, bytes)? {
            document.load(update)?;
        }
        if document.state_vector() == whole {
            return Ok(Some(*at));
        }
    }
    Ok(None)
}
