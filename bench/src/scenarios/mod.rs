//! What crowds of editors do.

pub mod documents;
pub mod hostile;
pub mod idle;
pub mod join;
pub mod presence;
pub mod soak;
pub mod stalled;
pub mod typing;
mod writing;

use std::time::Instant;

use clap::Parser;
use coscribe_engine::document::blocks::Blocks;

use crate::crowd::{Crowd, Target};
use crate::dialect::Incoming;
use crate::ledger::FIRST_CLIENT;
use crate::limits;

/// A load with the defaults of the command line.
pub fn defaults<L: Parser>() -> L {
    L::parse_from(["defaults"])
}

/// Names for the rooms of one run, which no other run has used.
fn room_names(count: usize) -> Vec<String> {
    let run = fastrand::u32(..);
    (0..count).map(|room| format!("bench-{run:08x}-{room}")).collect()
}

/// Lets a crowd read until nothing has come for a while.
fn settle(crowd: &mut Crowd, mut receive: impl FnMut(usize, Instant, Incoming<'_>)) -> anyhow::Result<()> {
    let end = Instant::now() + limits::SETTLING;
    let mut last = Instant::now();
    while last.elapsed() < limits::QUIET && Instant::now() < end {
        crowd.turn(last + limits::QUIET, |editor, at, message| {
            last = at;
            receive(editor, at, message);
        })?;
    }
    Ok(())
}

/// The documents of these rooms, as a newcomer gets them now.
fn read_documents(target: &Target, rooms: &[String]) -> anyhow::Result<Vec<Blocks>> {
    let mut documents: Vec<Blocks> = rooms.iter().map(|_| Blocks::default()).collect();
    let mut failure = None;
    let mut receive = |room: usize, _: Instant, message: Incoming<'_>| {
        if let Incoming::Step2(update) | Incoming::Update(update) = message
            && let Err(error) = documents[room].load(update)
        {
            failure = Some(error);
        }
    };
    let mut crowd = Crowd::new(target.clone())?;
    let newcomer = FIRST_CLIENT - rooms.len() as u64;
    crowd.add_all(rooms.iter().map(String::as_str), newcomer, limits::CONNECT, &mut receive)?;
    settle(&mut crowd, &mut receive)?;
    failure.map_or(Ok(documents), |error| Err(error.into()))
}

/// How many connections ended although nobody wanted it, and the error of the first one.
fn broken(crowd: &Crowd) -> Option<String> {
    let (_, first) = crowd.broken.first()?;
    Some(format!("{} connections lost; the first: {first}", crowd.broken.len()))
}
