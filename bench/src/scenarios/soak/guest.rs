//! One connection to one document, for as long as somebody stays.

use std::time::Instant;

use anyhow::{bail, ensure};
use coscribe_engine::document::blocks::Blocks;
use coscribe_engine::document::state_vector::StateVector;
use coscribe_engine::update::Clock;

use crate::crowd::{Crowd, Target};
use crate::dialect::{self, Incoming};
use crate::limits;

/// The only one of its crowd.
const ME: usize = 0;

/// Somebody in a document.
pub(super) struct Guest {
    crowd: Crowd,
    heard: Heard,
    asked: u32,
}

/// What the server has told.
#[derive(Default)]
struct Heard {
    /// What the server had at the start.
    has: Option<StateVector>,
    is_synced: bool,
    document: Blocks,
    confirmed: u32,
    unreadable: bool,
}

impl Guest {
    /// Comes into a document, and returns when both sides know what the other one has.
    ///
    /// # Errors
    /// If the server refuses, or takes too long.
    pub(super) fn join(target: &Target, document: &str, client: u64) -> anyhow::Result<Self> {
        let mut crowd = Crowd::new(target.clone())?;
        crowd.add(document, client)?;
        let mut guest = Self { crowd, heard: Heard::default(), asked: 0 };
        guest.wait_for("the document", |heard| heard.is_synced && heard.has.is_some())?;
        Ok(guest)
    }

    /// The clock before which the server had everything of a client when this one came.
    pub(super) fn server_had(&self, client: u64) -> Clock {
        self.heard.has.as_ref().map_or(0, |has| has.get(client))
    }

    /// Writes, and returns when that is saved.
    ///
    /// # Errors
    /// If the connection ends before that, or it takes too long.
    pub(super) fn save(&mut self, update: &[u8]) -> anyhow::Result<()> {
        self.crowd.send(ME, |prefix| dialect::update(prefix, update));
        self.asked += 1;
        let asked = self.asked;
        self.crowd.send(ME, |prefix| dialect::confirm(prefix, &asked.to_be_bytes()));
        self.wait_for("a confirmation", |heard| heard.confirmed == asked)
    }

    /// Stops reading.
    pub(super) fn stall(&mut self) {
        self.crowd.stall(ME);
    }

    /// Reads again, and returns when everything of a client before this clock has come.
    ///
    /// # Errors
    /// If the connection ends before that, or it takes too long.
    pub(super) fn catch_up(&mut self, client: u64, until: Clock) -> anyhow::Result<()> {
        self.crowd.resume(ME);
        self.wait_for("what others wrote", |heard| heard.document.state_vector().get(client) >= until)
    }

    /// Goes, and returns when the server has let go.
    ///
    /// # Errors
    /// If that takes too long.
    pub(super) fn leave(mut self) -> anyhow::Result<()> {
        self.crowd.close(ME);
        let end = Instant::now() + limits::GUEST;
        while self.crowd.present() > 0 {
            ensure!(Instant::now() < end, "the server does not let a guest go");
            self.crowd.turn(end, |_, _, _| {})?;
        }
        Ok(())
    }

    /// Vanishes in the middle of a message.
    pub(super) fn break_off(mut self, update: &[u8]) {
        self.crowd.break_off(ME, |prefix| dialect::update(prefix, update));
    }

    fn wait_for(&mut self, what: &str, is_there: impl Fn(&Heard) -> bool) -> anyhow::Result<()> {
        let end = Instant::now() + limits::GUEST;
        while !is_there(&self.heard) {
            let heard = &mut self.heard;
            self.crowd.turn(end, |_, _, message| heard.hear(message))?;
            ensure!(!self.heard.unreadable, "a guest received an update that cannot be read");
            if let Some((_, error)) = self.crowd.broken.first() {
                bail!("a guest who waited for {what} was sent away: {error}");
            }
            ensure!(Instant::now() < end, "a guest has waited for {what} for {:?}", limits::GUEST);
        }
        Ok(())
    }
}

impl Heard {
    fn hear(&mut self, message: Incoming<'_>) {
        match message {
            Incoming::Step1(vector) => self.has = StateVector::decode(vector).ok(),
            Incoming::Step2(update) => {
                self.is_synced = true;
                self.unreadable |= self.document.load(update).is_err();
            }
            Incoming::Update(update) => self.unreadable |= self.document.load(update).is_err(),
            Incoming::Confirmed(asked) => {
                self.confirmed = asked.try_into().map_or(0, u32::from_be_bytes);
            }
            Incoming::Awareness(_) | Incoming::Other => {}
        }
    }
}
