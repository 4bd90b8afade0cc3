//! A provider as y-websocket 3.1 does it: one document, over its connections one after the other.
//!
//! Where it differs from that in a browser: it looks after awareness when something is due and not every three seconds, asks for
//! receipts as y-sweet's provider does, and does not answer queryAwareness, which no server sends.

mod reconnect;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::dialect::y_websocket::Request;
use coscribe_engine::lib0::ReadError;
use coscribe_engine::message::{Inbound, Outbound};

pub use self::reconnect::{Reconnect, Step};
use crate::awareness::ClientAwareness;
use crate::effect::Effect;
use crate::receipts::{Receipt, Receipts};

/// A provider of one document.
#[derive(Debug)]
pub struct Provider {
    awareness: ClientAwareness,
    receipts: Receipts,
    resync: Option<Duration>,
    connected: bool,
    /// The server has answered on this connection.
    synced: bool,
    /// When the server was last asked, or [`Effect::Resync`] said that it should be.
    asked: Duration,
    effects: VecDeque<Effect>,
}

impl Provider {
    /// Not connected yet.
    pub fn new(awareness: ClientAwareness) -> Self {
        Self {
            awareness,
            receipts: Receipts::default(),
            resync: None,
            connected: false,
            synced: false,
            asked: Duration::ZERO,
            effects: VecDeque::new(),
        }
    }

    /// Asks the server again and again what the document lacks, so often.
    #[must_use]
    pub fn with_resync(self, interval: Duration) -> Self {
        Self { resync: Some(interval), ..self }
    }

    /// The awareness states that it knows.
    pub fn awareness(&self) -> &ClientAwareness {
        &self.awareness
    }

    /// Whether there is a connection.
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// Whether the server has said on this connection what it has.
    pub fn is_synced(&self) -> bool {
        self.synced
    }

    /// Whether every receipt that was asked for on this connection has come.
    pub fn is_confirmed(&self) -> bool {
        self.receipts.is_settled()
    }

    /// The connection is open, and the document has what this encoded state vector says.
    pub fn opened(&mut self, state_vector: Bytes, now: Duration) {
        (self.connected, self.synced) = (true, false);
        self.ask(state_vector, now);
        let announced = self.awareness.announce();
        self.tell(announced);
    }

    /// The connection has ended.
    pub fn closed(&mut self) {
        (self.connected, self.synced) = (false, false);
        self.receipts.forget();
        self.awareness.forget_others();
        self.effects.retain(|effect| {
            !matches!(effect, Effect::Send(_) | Effect::Answer(_) | Effect::Synced | Effect::Resync)
        });
    }

    /// A message has come from the server.
    ///
    /// # Errors
    /// If it has awareness that cannot be read.
    pub fn receive(&mut self, message: Outbound, now: Duration) -> Result<(), ReadError> {
        match message {
            Outbound::Step1(known) => self.effects.push_back(Effect::Answer(known)),
            Outbound::Step2(update) => {
                self.effects.push_back(Effect::Apply(update.to_bytes()));
                if !std::mem::replace(&mut self.synced, true) {
                    self.effects.push_back(Effect::Synced);
                }
            }
            Outbound::Update(update) => self.effects.push_back(Effect::Apply(update.to_bytes())),
            Outbound::Awareness(states) => {
                let changed = self.awareness.receive(&states.to_bytes(), now)?;
                self.tell(changed);
            }
            Outbound::Confirmed(token) => {
                self.effects.extend(self.receipts.confirmed(&token).map(Effect::Durable));
            }
            Outbound::Denied(reason) => self.effects.push_back(Effect::Denied(reason.into_owned())),
            Outbound::Access(access) => self.effects.push_back(Effect::Granted(access)),
            Outbound::QueryAwareness => self.tell(self.awareness.announce()),
            // This dialect has none of these.
            Outbound::Saved(_) | Outbound::Stateless(_) => {}
        }
        Ok(())
    }

    /// What the server lacks, as it has asked: see [`Effect::Answer`].
    pub fn answer(&mut self, lacking: Bytes) {
        self.send(Inbound::Step2(lacking));
    }

    /// The document has changed by this update. While there is no connection it is not sent: the next one begins with what the
    /// server lacks.
    pub fn write(&mut self, update: Bytes) {
        self.send(Inbound::Update(update));
    }

    /// Asks what the document lacks. It has what this encoded state vector says.
    pub fn ask(&mut self, state_vector: Bytes, now: Duration) {
        self.asked = now;
        self.send(Inbound::Step1(state_vector));
    }

    /// Sends a new token, in place of the one with which the connection was opened.
    pub fn authenticate(&mut self, token: Bytes) {
        self.request(Request::Token(token));
    }

    /// Asks for the awareness of all.
    pub fn query_awareness(&mut self) {
        self.send(Inbound::QueryAwareness);
    }

    /// Asks for a receipt of all that was sent so far; `None` while there is no connection.
    pub fn confirm(&mut self) -> Option<Receipt> {
        if !self.connected {
            return None;
        }
        let (receipt, token) = self.receipts.ask();
        self.send(Inbound::Confirm(token));
        Some(receipt)
    }

    /// Sets the own awareness state, which is JSON, or takes it away.
    pub fn set_state(&mut self, state: Option<String>, now: Duration) {
        let told = self.awareness.set_own(state, now);
        self.tell(Some(told));
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Duration) {
        let changed = self.awareness.tick(now);
        self.tell(changed);
        if self.next_resync().is_some_and(|due| due <= now) {
            self.asked = now;
            self.effects.push_back(Effect::Resync);
        }
    }

    /// When [`Self::tick`] has something to do, if nothing else happens.
    pub fn next_tick(&self) -> Option<Duration> {
        self.awareness.next_tick().into_iter().chain(self.next_resync()).min()
    }

    /// The next thing to do. After each input there may be several.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    fn next_resync(&self) -> Option<Duration> {
        self.resync.filter(|_| self.connected).map(|interval| self.asked + interval)
    }

    fn tell(&mut self, states: Option<Bytes>) {
        if let Some(states) = states {
            self.send(Inbound::Awareness(states));
        }
    }

    fn send(&mut self, message: Inbound) {
        self.request(Request::Say(message));
    }

    fn request(&mut self, request: Request) {
        if self.connected {
            self.effects.push_back(Effect::Send(request));
        }
    }
}

#[cfg(test)]
mod tests;
