//! A provider as Hocuspocus' versions 3 and 4 do it: one document, over its connections one after the other. [`Socket`] has
//! many of them on one connection.
//!
//! It counts its changes as that provider does: the count is 1 when it begins to sync, one more for each change, and one less for
//! each SyncStatus; at 0 it takes itself for synced. So a server must send none before it has answered with its state.
//!
//! Where it differs from that provider in a browser: it looks after awareness when something is due and not every three seconds,
//! it numbers its changes, sends nothing while a document is denied or closed, queues nothing while there is no connection, and
//! does not answer queryAwareness, which no server sends.

mod effect;
mod socket;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::dialect::hocuspocus::{Answer, Request};
use coscribe_engine::lib0::ReadError;
use coscribe_engine::message::{Inbound, Outbound};
use coscribe_engine::peer::Access;

pub use self::effect::Effect;
pub use self::socket::{Socket, SocketEffect};
use crate::awareness::ClientAwareness;
use crate::receipts::{Receipt, Receipts};

/// A provider of one document.
#[derive(Debug)]
pub struct Provider {
    awareness: ClientAwareness,
    tells_version: bool,
    /// The document is open at the server, or is to be opened.
    open: bool,
    access: Option<Access>,
    synced: bool,
    unsynced: u64,
    /// Questions of its own that the server has not followed by one. The answer to that is in the server's count.
    questions: u64,
    receipts: Receipts,
    effects: VecDeque<Effect>,
}

impl Provider {
    /// Not connected yet.
    pub fn new(awareness: ClientAwareness) -> Self {
        Self {
            awareness,
            tells_version: true,
            open: false,
            access: None,
            synced: false,
            unsynced: 0,
            questions: 0,
            receipts: Receipts::default(),
            effects: VecDeque::new(),
        }
    }

    /// Tells no version, as providers before version 4.
    #[must_use]
    pub fn without_version(self) -> Self {
        Self { tells_version: false, ..self }
    }

    /// The awareness states that it knows.
    pub fn awareness(&self) -> &ClientAwareness {
        &self.awareness
    }

    /// Whether its messages are sent.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// The access that the server has granted.
    pub fn access(&self) -> Option<Access> {
        self.access
    }

    /// Whether it takes the document for up to date.
    pub fn is_synced(&self) -> bool {
        self.synced
    }

    /// The count of unsynced changes.
    pub fn unsynced(&self) -> u64 {
        self.unsynced
    }

    /// Whether every receipt has come.
    pub fn is_confirmed(&self) -> bool {
        self.receipts.is_settled()
    }

    /// The connection is open, and the document has what this encoded state vector says.
    pub fn opened(&mut self, token: Bytes, state_vector: Bytes) {
        self.closed();
        self.open = true;
        self.authenticate(token);
        self.sync(state_vector);
        let announced = self.awareness.announce();
        self.tell(announced);
    }

    /// The connection has ended.
    pub fn closed(&mut self) {
        (self.open, self.access, self.synced, self.questions) = (false, None, false, 0);
        self.receipts.forget();
        self.awareness.forget_others();
        self.effects.retain(|effect| !matches!(effect, Effect::Send(_) | Effect::Answer(_) | Effect::Synced));
    }

    /// Sends the token: once more, where the server wants it.
    pub fn authenticate(&mut self, token: Bytes) {
        self.send(Request::Auth { token, tells_version: self.tells_version });
    }

    /// A message has come from the server.
    ///
    /// # Errors
    /// If it has awareness that cannot be read.
    pub fn receive(&mut self, answer: Answer, now: Duration) -> Result<(), ReadError> {
        match answer {
            Answer::TokenWanted => self.effects.push_back(Effect::TokenWanted),
            Answer::Granted(access) => {
                self.access = Some(access);
                self.effects.push_back(Effect::Granted(access));
            }
            Answer::Denied(reason) => {
                self.closed();
                self.effects.push_back(Effect::Denied(reason));
            }
            Answer::Closed(reason) => {
                self.closed();
                self.effects.push_back(Effect::Closed(reason));
            }
            Answer::Say(message) => self.hear(message, now)?,
        }
        Ok(())
    }

    fn hear(&mut self, message: Outbound, now: Duration) -> Result<(), ReadError> {
        match message {
            Outbound::Step1(known) => self.effects.push_back(Effect::Answer(known)),
            Outbound::Step2(update) => {
                self.effects.push_back(Effect::Apply(update.to_bytes()));
                self.set_synced();
            }
            Outbound::Update(update) => self.effects.push_back(Effect::Apply(update.to_bytes())),
            // States of others are not sent on.
            Outbound::Awareness(states) => drop(self.awareness.receive(&states.to_bytes(), now)?),
            Outbound::Saved(true) => {
                self.effects.push_back(Effect::Saved(self.receipts.oldest()));
                self.unsynced = self.unsynced.saturating_sub(1);
                if self.unsynced == 0 {
                    self.set_synced();
                }
            }
            Outbound::Saved(false) => self.effects.push_back(Effect::Refused(self.receipts.oldest())),
            Outbound::Stateless(text) => self.effects.push_back(Effect::Stateless(text)),
            Outbound::QueryAwareness => self.tell(self.awareness.announce()),
            // This dialect has none of these.
            Outbound::Confirmed(_) | Outbound::Denied(_) | Outbound::Access(_) => {}
        }
        Ok(())
    }

    fn set_synced(&mut self) {
        if !std::mem::replace(&mut self.synced, true) {
            self.effects.push_back(Effect::Synced);
        }
    }

    /// What the server lacks, as it has asked: see [`Effect::Answer`]. Gives the receipt, if the server counts the answer.
    pub fn answer(&mut self, lacking: Bytes) -> Option<Receipt> {
        self.say(Inbound::Step2(lacking));
        let counted = self.open && self.questions > 0;
        self.questions = self.questions.saturating_sub(1);
        counted.then(|| self.receipts.add())
    }

    /// The document has changed by this update. While there is no connection it is not sent: the next one begins with what the
    /// server lacks. Gives the receipt, if it was sent.
    pub fn write(&mut self, update: Bytes) -> Option<Receipt> {
        self.unsynced += 1;
        self.say(Inbound::Update(update));
        self.open.then(|| self.receipts.add())
    }

    /// Asks what the document lacks, and begins to count once more. It has what this encoded state vector says.
    pub fn sync(&mut self, state_vector: Bytes) {
        self.unsynced = 1;
        self.questions += 1;
        self.send(Request::Say(Some(Inbound::Offer), Inbound::Step1(state_vector)));
    }

    /// Asks for the awareness of all.
    pub fn query_awareness(&mut self) {
        self.say(Inbound::QueryAwareness);
    }

    /// Sends a text of the application, which is no part of the document.
    pub fn send_stateless(&mut self, text: Bytes) {
        self.say(Inbound::Stateless(text));
    }

    /// Sets the own awareness state, which is JSON, or takes it away.
    pub fn set_state(&mut self, state: Option<String>, now: Duration) {
        let told = self.awareness.set_own(state, now);
        self.tell(Some(told));
    }

    /// The document is needed no more: the others hear that the client is gone.
    pub fn leave(&mut self, now: Duration) {
        self.set_state(None, now);
        self.send(Request::Close);
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Duration) {
        let changed = self.awareness.tick(now);
        self.tell(changed);
    }

    /// When [`Self::tick`] has something to do, if nothing else happens.
    pub fn next_tick(&self) -> Option<Duration> {
        self.awareness.next_tick()
    }

    /// The next thing to do. After each input there may be several.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    fn tell(&mut self, states: Option<Bytes>) {
        if let Some(states) = states {
            self.say(Inbound::Awareness(states));
        }
    }

    fn say(&mut self, message: Inbound) {
        self.send(Request::Say(None, message));
    }

    fn send(&mut self, request: Request) {
        if self.open {
            self.effects.push_back(Effect::Send(request));
        }
    }
}

#[cfg(test)]
mod tests;
