//! Many small documents are opened, written in and left, one after the other: what each costs, and what stays behind.

use std::time::{Duration, Instant};

use clap::Parser;
use coscribe_engine::update::Clock;
use serde::Serialize;

use super::{broken, read_documents, room_names};
use crate::crowd::Crowd;
use crate::dialect::{self, Dialect, Incoming};
use crate::ledger::FIRST_CLIENT;
use crate::limits;
use crate::measure::{Cost, Meter};
use crate::servers::Running;
use crate::updates::typed;

/// Documents that are opened again at the end.
const CHECKED: usize = 100;

/// How many of them there are.
#[derive(Debug, Clone, Parser, Serialize)]
pub struct Load {
    /// Documents
    #[arg(long, default_value_t = 5000)]
    pub documents: usize,
    /// How many are open at the same time
    #[arg(long, default_value_t = 50)]
    pub at_once: usize,
    /// Characters that are typed in each
    #[arg(long, default_value_t = 20)]
    pub characters: u32,
    /// How long to wait before looking at the memory that is kept, in seconds
    #[arg(long, default_value_t = 40.0)]
    pub rest: f64,
}

/// The outcome.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Documents opened, written and left in a second.
    pub documents_per_second: f64,
    /// The server's time for each, in milliseconds.
    pub cpu_millis_per_document: Option<f64>,
    /// Resident memory that each has left behind when the last one was closed, in kB of 1,000 bytes.
    pub resident_kb_per_document: Option<f64>,
    /// The same after the rest.
    pub resident_kb_per_document_after_rest: Option<f64>,
    /// Of the documents that were opened again, those that lack something; `None` if the server doesn't keep documents.
    pub incomplete: Option<usize>,
    /// The same after the server was started again; `None` if it doesn't keep documents as it is set up here.
    pub incomplete_after_restart: Option<usize>,
    /// Connections that ended during the run.
    pub broken: Option<String>,
    /// The total cost, without the rest.
    pub cost: Cost,
}

/// Runs it.
///
/// # Errors
/// If the server cannot be reached.
pub fn run(server: &mut Running, load: &Load) -> anyhow::Result<Report> {
    let rooms = room_names(load.documents);
    server.prepare(rooms.iter().map(String::as_str))?;
    let mut crowd = Crowd::new(server.target.clone())?;
    let meter = Meter::start(server.process, &crowd)?;
    visit(&mut crowd, &rooms, load)?;
    let cost = meter.stop(&crowd)?;
    let kb_each = |cost: &Cost| cost.grown_mb().map(|mb| mb * 1e3 / load.documents as f64);

    let end = Instant::now() + Duration::from_secs_f64(load.rest);
    while Instant::now() < end {
        crowd.turn(end, |_, _, _| {})?;
    }
    let resident_kb_per_document_after_rest = kb_each(&meter.stop(&crowd)?);
    let (mut incomplete, mut incomplete_after_restart) = (None, None);
    if server.keeps_documents() {
        incomplete = Some(count_incomplete(server, &rooms, load.characters)?);
        if server.can_restart() {
            server.restart()?;
            incomplete_after_restart = Some(count_incomplete(server, &rooms, load.characters)?);
        }
    }
    Ok(Report {
        documents_per_second: load.documents as f64 / cost.seconds,
        cpu_millis_per_document: cost.cpu_micros_each(load.documents as u64).map(|micros| micros / 1e3),
        resident_kb_per_document: kb_each(&cost),
        resident_kb_per_document_after_rest,
        incomplete,
        incomplete_after_restart,
        broken: broken(&crowd),
        cost,
    })
}

/// Opens every document, types when the server has answered, and leaves.
fn visit(crowd: &mut Crowd, rooms: &[String], load: &Load) -> anyhow::Result<()> {
    let answers = crowd.dialect() != Dialect::Relay;
    let mut synced = Vec::new();
    while crowd.len() < rooms.len() || crowd.present() > 0 {
        let (progress, before) = (Instant::now(), crowd.present());
        while crowd.len() < rooms.len() && crowd.present() < load.at_once {
            let room = crowd.add(&rooms[crowd.len()], FIRST_CLIENT + crowd.len() as u64)?;
            if !answers {
                synced.push(room);
            }
        }
        while crowd.present() >= before.max(1) {
            crowd.turn(progress + limits::DOCUMENT, |room, _, message| {
                if matches!(message, Incoming::Step2(_)) {
                    synced.push(room);
                }
            })?;
            synced.retain(|&room| !type_and_leave(crowd, room, load.characters));
            anyhow::ensure!(
                progress.elapsed() < limits::DOCUMENT,
                "no document was left for {:?}",
                limits::DOCUMENT
            );
        }
    }
    Ok(())
}

/// Returns whether the connection was open.
fn type_and_leave(crowd: &mut Crowd, room: usize, characters: Clock) -> bool {
    if !crowd.is_greeted(room) {
        return false;
    }
    for clock in 0..characters {
        crowd.send(room, |prefix| dialect::update(prefix, &typed(FIRST_CLIENT + room as u64, clock)));
    }
    crowd.close(room);
    true
}

/// Opens some of the documents again, and counts those that lack something.
fn count_incomplete(server: &Running, rooms: &[String], characters: Clock) -> anyhow::Result<usize> {
    let step = rooms.len().div_ceil(CHECKED).max(1);
    let (numbers, names): (Vec<_>, Vec<_>) = rooms.iter().cloned().enumerate().step_by(step).unzip();
    let documents = read_documents(&server.target, &names)?;
    let lacks = |(room, document): &(usize, _)| {
        let document: &coscribe_engine::document::blocks::Blocks = document;
        document.state_vector().get(FIRST_CLIENT + *room as u64) < characters
    };
    Ok(numbers.into_iter().zip(documents).filter(lacks).count())
}
