//! People who type in documents of their own, come back after a kill as browsers do, and know what they were told is saved.

use std::iter;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use coscribe_engine::document::state_vector::StateVector;
use coscribe_engine::update::Clock;

use super::super::writing::Writing;
use super::super::{broken, read_documents, room_names, settle};
use crate::crowd::{Crowd, Target};
use crate::dialect::{self, Incoming};
use crate::ledger::{FIRST_CLIENT, Shape};
use crate::limits;
use crate::measure::Times;
use crate::updates::typed;

/// How often each of them asks whether all that was typed is saved, as editors with an indicator of it do.
const ASKED: Duration = Duration::from_secs(1);

/// All of them.
pub(super) struct People {
    rooms: Vec<String>,
    /// `None` while they are away.
    crowd: Option<Crowd>,
    writing: Writing<fn(u64, Clock) -> Vec<u8>>,
    /// Characters that the server had confirmed and did not have later.
    pub(super) lost: u64,
}

impl People {
    /// So many for each of so many documents, who type `rate` characters a second each when they come.
    pub(super) fn new(documents: usize, people: usize, rate: f64) -> Self {
        let shape = Shape { rooms: documents, people, writers: people };
        let writing = Writing::new(shape, rate, None, typed as fn(u64, Clock) -> Vec<u8>);
        Self { rooms: room_names(documents), crowd: None, writing, lost: 0 }
    }

    /// They come, and send what the server lacks of what they have typed. Latencies count from now on.
    ///
    /// # Errors
    /// If one of them cannot connect, or does not learn what the server has.
    pub(super) fn come(&mut self, target: &Target) -> anyhow::Result<()> {
        let shape = self.writing.ledger.shape();
        let places = self.rooms.iter().flat_map(|room| iter::repeat_n(room.as_str(), shape.people));
        let mut crowd = Crowd::new(target.clone())?;
        let mut has: Vec<Option<StateVector>> = vec![None; shape.editors()];
        let mut unreadable = false;
        let ledger = &mut self.writing.ledger;
        let mut receive = |editor: usize, at, message: Incoming<'_>| match message {
            Incoming::Step1(vector) => has[editor] = StateVector::decode(vector).ok(),
            Incoming::Step2(update) | Incoming::Update(update) => {
                unreadable |= ledger.receive(editor, at, update).is_err();
            }
            _ => {}
        };
        crowd.add_all(places, FIRST_CLIENT, limits::CONNECT, &mut receive)?;
        settle(&mut crowd, &mut receive)?;
        ensure!(!unreadable, "the server sent a malformed update");
        for (editor, has) in has.into_iter().enumerate() {
            let has = has.with_context(|| format!("person {editor} does not learn what the server has"))?;
            self.go_on(&mut crowd, editor, &has);
        }
        self.crowd = Some(crowd);
        self.writing.measure();
        self.writing.schedule.resume(Instant::now());
        Ok(())
    }

    /// One of them sends what the server lacks. All write, so each editor is the writer of the same number.
    fn go_on(&mut self, crowd: &mut Crowd, editor: usize, has: &StateVector) {
        let ledger = &self.writing.ledger;
        let client = ledger.client(editor);
        self.lost += u64::from(ledger.confirmed(editor).saturating_sub(has.get(client)));
        for clock in has.get(client)..ledger.next_clock(editor) {
            crowd.send(editor, |prefix| dialect::update(prefix, &typed(client, clock)));
        }
    }

    /// They type for some time, whether the server is there or not.
    ///
    /// # Errors
    /// If the server sends what cannot be read.
    pub(super) fn type_for(&mut self, time: Duration) -> anyhow::Result<()> {
        let crowd = self.crowd.as_mut().context("nobody is there")?;
        let end = Instant::now() + time;
        while let left = end.saturating_duration_since(Instant::now())
            && !left.is_zero()
        {
            self.writing.go_on_for(crowd, left.min(ASKED))?;
            ask(crowd, &self.writing);
        }
        Ok(())
    }

    /// How many of them the server has sent away, and why.
    pub(super) fn sent_away(&self) -> Option<String> {
        self.crowd.as_ref().and_then(broken)
    }

    /// They leave when everybody has everything, and everything is saved. Returns what was wrong, if anything was.
    ///
    /// # Errors
    /// If the server sends what cannot be read, or doesn't let them go.
    pub(super) fn leave(&mut self) -> anyhow::Result<Option<String>> {
        let Self { crowd, writing, .. } = self;
        let mut crowd = crowd.take().context("nobody is there")?;
        writing.drain(&mut crowd, limits::TYPISTS_QUIET, 0)?;
        ask(&mut crowd, writing);
        let end = Instant::now() + limits::CONFIRMED;
        while unconfirmed(writing) > 0 && Instant::now() < end {
            writing.turn(&mut crowd, end)?;
        }
        let wrong = broken(&crowd).or_else(|| {
            let unconfirmed = unconfirmed(writing);
            (unconfirmed > 0).then(|| format!("{unconfirmed} characters were not confirmed"))
        });
        (0..crowd.len()).for_each(|editor| crowd.close(editor));
        while crowd.present() > 0 {
            ensure!(Instant::now() < end, "the server does not let people go");
            writing.turn(&mut crowd, end)?;
        }
        Ok(wrong)
    }

    /// How long characters took to the others, since they came.
    pub(super) fn latency(&self) -> Times {
        self.writing.ledger.latencies().into()
    }

    /// Characters that they have typed.
    pub(super) fn written(&self) -> u64 {
        self.writing.ledger.written()
    }

    /// Deliveries of these to others that never came.
    pub(super) fn missing(&self) -> u64 {
        self.writing.ledger.missing()
    }

    /// Characters that newcomers do not get.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub(super) fn missing_in_documents(&self, target: &Target) -> anyhow::Result<u64> {
        let documents = read_documents(target, &self.rooms)?;
        let missing = |(room, document)| self.writing.ledger.missing_in(room, document);
        Ok(documents.iter().enumerate().map(missing).sum())
    }
}

fn ask<W>(crowd: &mut Crowd, writing: &Writing<W>) {
    for writer in 0..writing.ledger.shape().all_writers() {
        let clock = writing.ledger.next_clock(writer);
        crowd.send(writer, |prefix| dialect::confirm(prefix, &clock.to_be_bytes()));
    }
}

fn unconfirmed<W>(writing: &Writing<W>) -> u64 {
    let ledger = &writing.ledger;
    let of = |writer| u64::from(ledger.next_clock(writer) - ledger.confirmed(writer));
    (0..ledger.shape().all_writers()).map(of).sum()
}
