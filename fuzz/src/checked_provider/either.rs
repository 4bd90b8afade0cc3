//! A provider of either dialect.

use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::dialect::MessageError;
use coscribe_engine::dialect::hocuspocus::{Answer, Reply};
use coscribe_engine::dialect::y_websocket::{Replies, encode_request};
use coscribe_engine::message::Outbound;
use coscribe_engine::peer::Access;
use coscribe_provider::awareness::ClientAwareness;
use coscribe_provider::receipts::Receipt;
use coscribe_provider::{Effect, hocuspocus, y_websocket};

use super::Speech;

/// A provider of one document in one of the dialects.
#[derive(Debug)]
pub(super) enum EitherProvider {
    YWebsocket {
        provider: y_websocket::Provider,
        /// Whether it asks for receipts.
        asks: bool,
    },
    Hocuspocus {
        /// With one provider, which has the address.
        socket: hocuspocus::Socket,
        address: Bytes,
        token: Bytes,
        /// The server has answered with its state on this connection.
        answered: bool,
        /// Changes that were refused on this connection: they stay among the unsynced ones.
        refused: u64,
        /// It has begun to count once more on this connection, and may have forgotten changes that were counted before.
        recounted: bool,
    },
}

/// A part of a frame from the server that is taken in as one.
#[derive(Debug)]
pub(super) enum Part {
    Message(Outbound),
    Frame(Bytes),
}

/// Something that a provider wants done, or that it concludes.
#[derive(Debug)]
pub(super) enum Due {
    /// Send this frame.
    Send(Bytes),
    /// Take this update into the document.
    Apply(Bytes),
    /// Give the provider what the server lacks, which has what this state vector says.
    Answer(Bytes),
    /// All up to this receipt is durable.
    Durable(Receipt),
    /// A change is durable, or refused, and none was sent.
    NothingSent,
    /// The document is up to date, though the server has not answered with its state.
    SyncedEarly,
    /// The change of this receipt was refused.
    Refused(Receipt),
    /// It may not write, for this reason.
    ReadOnly(String),
    /// It may write again.
    Writable,
    /// The server denies access.
    Denied(String),
}

impl EitherProvider {
    /// Not connected yet.
    pub(super) fn new(awareness: ClientAwareness, speech: Speech) -> Self {
        match speech {
            Speech::YWebsocket { asks } => {
                Self::YWebsocket { provider: y_websocket::Provider::new(awareness), asks }
            }
            Speech::Hocuspocus { address, token } => {
                let mut socket = hocuspocus::Socket::default();
                socket.attach(address.clone(), hocuspocus::Provider::new(awareness));
                Self::Hocuspocus { socket, address, token, answered: false, refused: 0, recounted: false }
            }
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        match self {
            Self::YWebsocket { provider, .. } => provider.is_connected(),
            Self::Hocuspocus { .. } => self.hocuspocus().is_open(),
        }
    }

    pub(super) fn is_synced(&self) -> bool {
        match self {
            Self::YWebsocket { provider, .. } => provider.is_synced(),
            Self::Hocuspocus { .. } => self.hocuspocus().is_synced(),
        }
    }

    pub(super) fn is_confirmed(&self) -> bool {
        match self {
            Self::YWebsocket { provider, .. } => provider.is_confirmed(),
            Self::Hocuspocus { refused, recounted, .. } => {
                let provider = self.hocuspocus();
                provider.unsynced() <= *refused && (*recounted || provider.is_confirmed())
            }
        }
    }

    /// What the server has said of the access, where the dialect says it to everybody.
    pub(super) fn granted(&self) -> Option<Access> {
        match self {
            Self::YWebsocket { .. } => None,
            Self::Hocuspocus { .. } => self.hocuspocus().access(),
        }
    }

    pub(super) fn awareness(&self) -> &ClientAwareness {
        match self {
            Self::YWebsocket { provider, .. } => provider.awareness(),
            Self::Hocuspocus { .. } => self.hocuspocus().awareness(),
        }
    }

    pub(super) fn opened(&mut self, state_vector: Bytes, now: Duration) {
        match self {
            Self::YWebsocket { provider, .. } => provider.opened(state_vector, now),
            Self::Hocuspocus { token, answered, refused, recounted, .. } => {
                (*answered, *refused, *recounted) = (false, 0, false);
                let token = token.clone();
                self.hocuspocus_mut().opened(token, state_vector);
            }
        }
    }

    pub(super) fn closed(&mut self) {
        match self {
            Self::YWebsocket { provider, .. } => provider.closed(),
            Self::Hocuspocus { socket, .. } => socket.closed(),
        }
    }

    /// The parts of a frame, each of which is taken in before the next is read.
    pub(super) fn parts(&self, frame: Bytes) -> Vec<Result<Part, MessageError>> {
        match self {
            Self::YWebsocket { .. } => {
                Replies::of(frame).map(|message| Ok(Part::Message(message?))).collect()
            }
            Self::Hocuspocus { .. } => vec![Ok(Part::Frame(frame))],
        }
    }

    pub(super) fn receive(&mut self, part: Part, now: Duration) -> Result<(), MessageError> {
        match (self, part) {
            (Self::YWebsocket { provider, .. }, Part::Message(message)) => provider.receive(message, now)?,
            (Self::Hocuspocus { socket, answered, .. }, Part::Frame(frame)) => {
                *answered |= matches!(
                    Reply::read(&frame),
                    Ok(Some(Reply::Addressed { answer: Answer::Say(Outbound::Step2(_)), .. }))
                );
                socket.receive(&frame, now)?;
            }
            _ => unreachable!("parts are of the provider's dialect"),
        }
        Ok(())
    }

    pub(super) fn poll(&mut self) -> Option<Due> {
        loop {
            let due = match self {
                Self::YWebsocket { provider, .. } => match provider.poll_effect()? {
                    Effect::Send(message) => encode_request(&message).map(Due::Send),
                    Effect::Apply(update) => Some(Due::Apply(update)),
                    Effect::Answer(known) => Some(Due::Answer(known)),
                    Effect::Durable(receipt) => Some(Due::Durable(receipt)),
                    Effect::Denied(reason) => Some(Due::ReadOnly(reason)),
                    Effect::Granted(Access::Write) => Some(Due::Writable),
                    Effect::Granted(Access::Read) | Effect::Synced | Effect::Resync => None,
                },
                Self::Hocuspocus { socket, .. } => match socket.poll_effect()? {
                    hocuspocus::SocketEffect::Send(frame) => Some(Due::Send(frame)),
                    hocuspocus::SocketEffect::Document { effect, .. } => self.hocuspocus_due(effect),
                },
            };
            if due.is_some() {
                return due;
            }
        }
    }

    fn hocuspocus_due(&mut self, effect: hocuspocus::Effect) -> Option<Due> {
        let Self::Hocuspocus { token, answered, refused, .. } = self else { return None };
        match effect {
            hocuspocus::Effect::Apply(update) => Some(Due::Apply(update)),
            hocuspocus::Effect::Answer(known) => Some(Due::Answer(known)),
            hocuspocus::Effect::Saved(receipt) => Some(receipt.map_or(Due::NothingSent, Due::Durable)),
            hocuspocus::Effect::Synced => (!*answered).then_some(Due::SyncedEarly),
            hocuspocus::Effect::Refused(receipt) => {
                *refused += 1;
                Some(receipt.map_or(Due::NothingSent, Due::Refused))
            }
            hocuspocus::Effect::Denied(reason) => Some(Due::Denied(reason)),
            hocuspocus::Effect::Closed(reason) => {
                Some(Due::Denied(format!("it closes the document: {reason}")))
            }
            hocuspocus::Effect::TokenWanted => {
                let token = token.clone();
                self.hocuspocus_mut().authenticate(token);
                None
            }
            hocuspocus::Effect::Send(_)
            | hocuspocus::Effect::Granted(_)
            | hocuspocus::Effect::Stateless(_) => None,
        }
    }

    /// Sends a change; gives the receipt that is owed for it.
    pub(super) fn write(&mut self, update: Bytes) -> Option<Receipt> {
        match self {
            Self::YWebsocket { provider, asks } => {
                provider.write(update);
                if *asks { provider.confirm() } else { None }
            }
            Self::Hocuspocus { .. } => self.hocuspocus_mut().write(update),
        }
    }

    /// Sends what the server lacks; gives the receipt that is owed for it.
    pub(super) fn answer(&mut self, lacking: Bytes) -> Option<Receipt> {
        match self {
            Self::YWebsocket { provider, asks } => {
                provider.answer(lacking);
                if *asks { provider.confirm() } else { None }
            }
            Self::Hocuspocus { .. } => self.hocuspocus_mut().answer(lacking),
        }
    }

    /// Asks once more what the document lacks, and who is here.
    pub(super) fn ask(&mut self, state_vector: Bytes, now: Duration) {
        match self {
            Self::YWebsocket { provider, asks } => {
                provider.query_awareness();
                provider.ask(state_vector, now);
                if *asks {
                    provider.confirm();
                }
            }
            Self::Hocuspocus { recounted, .. } => {
                *recounted = true;
                let provider = self.hocuspocus_mut();
                provider.query_awareness();
                provider.sync(state_vector);
            }
        }
    }

    pub(super) fn set_state(&mut self, state: Option<String>, now: Duration) {
        match self {
            Self::YWebsocket { provider, .. } => provider.set_state(state, now),
            Self::Hocuspocus { .. } => self.hocuspocus_mut().set_state(state, now),
        }
    }

    pub(super) fn tick(&mut self, now: Duration) {
        match self {
            Self::YWebsocket { provider, .. } => provider.tick(now),
            Self::Hocuspocus { socket, .. } => socket.tick(now),
        }
    }

    fn hocuspocus(&self) -> &hocuspocus::Provider {
        let Self::Hocuspocus { socket, address, .. } = self else { unreachable!("asked of its dialect") };
        socket.provider(address).expect("it never leaves")
    }

    fn hocuspocus_mut(&mut self) -> &mut hocuspocus::Provider {
        let Self::Hocuspocus { socket, address, .. } = self else { unreachable!("asked of its dialect") };
        socket.provider_mut(address).expect("it never leaves")
    }
}
