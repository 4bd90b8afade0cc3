//! One WebSocket with many documents, each at its address: `name`, or `name\0session` where several providers have the same
//! document.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::dialect::MessageError;
use coscribe_engine::dialect::hocuspocus::{PONG, Reply, encode_request};

use super::{Effect, Provider};

/// How long a connection may bring no message, once it has brought one.
const SILENCE: Duration = Duration::from_secs(30);

/// The providers of one WebSocket.
#[derive(Debug, Default)]
pub struct Socket {
    providers: BTreeMap<Bytes, Provider>,
    /// When the last message has come on this connection.
    heard: Option<Duration>,
    frames: VecDeque<Bytes>,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketEffect {
    /// Send this frame.
    Send(Bytes),
    /// A provider wants this done, which is not to send something.
    Document {
        /// The provider's address.
        address: Bytes,
        /// What it wants.
        effect: Effect,
    },
}

impl Socket {
    /// Adds a provider, and gives the one that had the address before. If the WebSocket is open, the caller opens the provider.
    pub fn attach(&mut self, address: Bytes, provider: Provider) -> Option<Provider> {
        self.providers.insert(address, provider)
    }

    /// Removes a provider, which says farewell.
    pub fn detach(&mut self, address: &[u8], now: Duration) -> Option<Provider> {
        let mut provider = self.providers.remove(address)?;
        provider.leave(now);
        while let Some(effect) = provider.poll_effect() {
            if let Effect::Send(request) = effect {
                self.frames.extend(encode_request(address, &request));
            }
        }
        provider.closed();
        Some(provider)
    }

    /// The provider at an address.
    pub fn provider(&self, address: &[u8]) -> Option<&Provider> {
        self.providers.get(address)
    }

    /// The provider at an address, for a change.
    pub fn provider_mut(&mut self, address: &[u8]) -> Option<&mut Provider> {
        self.providers.get_mut(address)
    }

    /// The addresses of all providers.
    pub fn addresses(&self) -> impl Iterator<Item = &Bytes> {
        self.providers.keys()
    }

    /// A frame has come. One for an address without a provider is ignored, as one of an unknown type is.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn receive(&mut self, frame: &Bytes, now: Duration) -> Result<(), MessageError> {
        self.heard = Some(now);
        match Reply::read(frame)? {
            Some(Reply::Ping) => self.frames.push_back(Bytes::from_static(PONG)),
            Some(Reply::Addressed { address, answer }) => {
                if let Some(provider) = self.providers.get_mut(&address) {
                    provider.receive(answer, now)?;
                }
            }
            None => {}
        }
        Ok(())
    }

    /// The connection has ended.
    pub fn closed(&mut self) {
        self.heard = None;
        self.frames.clear();
        self.providers.values_mut().for_each(Provider::closed);
    }

    /// Whether the connection is to be given up because it brings nothing any more.
    pub fn is_silent(&self, now: Duration) -> bool {
        self.heard.is_some_and(|heard| now.saturating_sub(heard) > SILENCE)
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Duration) {
        self.providers.values_mut().for_each(|provider| provider.tick(now));
    }

    /// When [`Self::tick`] has something to do or the connection [is silent](Self::is_silent), if nothing else happens.
    pub fn next_tick(&self) -> Option<Duration> {
        let silent = self.heard.map(|heard| heard + SILENCE);
        self.providers.values().filter_map(Provider::next_tick).chain(silent).min()
    }

    /// The next thing to do. After each input there may be several.
    pub fn poll_effect(&mut self) -> Option<SocketEffect> {
        if let Some(frame) = self.frames.pop_front() {
            return Some(SocketEffect::Send(frame));
        }
        for (address, provider) in &mut self.providers {
            while let Some(effect) = provider.poll_effect() {
                let Effect::Send(request) = effect else {
                    return Some(SocketEffect::Document { address: address.clone(), effect });
                };
                if let Some(frame) = encode_request(address, &request) {
                    return Some(SocketEffect::Send(frame));
                }
            }
        }
        None
    }
}
