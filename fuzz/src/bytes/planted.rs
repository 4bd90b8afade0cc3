//! Rooms that cost too much, to see that it is found. Without the feature `planted-bugs` there are none.

#[cfg(not(feature = "planted-bugs"))]
pub(super) use absent::Planted;
#[cfg(feature = "planted-bugs")]
pub(super) use present::Planted;
#[cfg(feature = "planted-bugs")]
pub use present::Waste;

#[cfg(not(feature = "planted-bugs"))]
mod absent {
    use std::time::Duration;

    use coscribe_engine::dialect::MessageError;
    use coscribe_engine::message::Inbound;
    use coscribe_engine::room::{PeerId, Room};

    /// None.
    #[derive(Debug)]
    pub(in super::super) struct Planted;

    impl Planted {
        pub(in super::super) fn none() -> Self {
            Self
        }

        pub(in super::super) fn before(
            &mut self,
            _room: &mut Room,
            _peer: PeerId,
            _message: &Result<Inbound, MessageError>,
            _now: Duration,
        ) {
        }

        pub(in super::super) fn after(&mut self, _room: &mut Room, _now: Duration) {}
    }
}

#[cfg(feature = "planted-bugs")]
mod present {
    use std::time::Duration;

    use coscribe_engine::dialect::MessageError;
    use coscribe_engine::message::Inbound;
    use coscribe_engine::room::{PeerId, Room};
    use coscribe_engine::work::finish;

    /// A way to do too much for each message.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Waste {
        /// Each question is answered by itself.
        AnswerEach,
        /// The whole document is encoded.
        EncodeAll,
        /// All that the peers have sent is taken in once more.
        ReadAllAgain,
        /// All that the peers have sent is copied.
        CopyAll,
    }

    /// The one that was planted, if any.
    #[derive(Debug)]
    pub(in super::super) struct Planted {
        waste: Option<Waste>,
        /// What the peers have sent.
        history: Vec<(PeerId, Inbound)>,
    }

    impl Planted {
        pub(in super::super) fn none() -> Self {
            Self::new(None)
        }

        pub(in super::super) fn new(waste: Option<Waste>) -> Self {
            Self { waste, history: Vec::new() }
        }

        pub(in super::super) fn before(
            &mut self,
            room: &mut Room,
            peer: PeerId,
            message: &Result<Inbound, MessageError>,
            now: Duration,
        ) {
            match self.waste {
                Some(Waste::EncodeAll) => drop(finish(room.snapshot())),
                Some(Waste::ReadAllAgain) => {
                    for (peer, message) in &self.history {
                        finish(room.receive(*peer, message.clone(), now));
                    }
                }
                Some(Waste::CopyAll) => drop(copies(&self.history)),
                Some(Waste::AnswerEach) | None => return,
            }
            let updates = |message: &&Inbound| matches!(message, Inbound::Update(_) | Inbound::Awareness(_));
            if let Some(message) = message.as_ref().ok().filter(updates) {
                self.history.push((peer, message.clone()));
            }
        }

        pub(in super::super) fn after(&mut self, room: &mut Room, now: Duration) {
            if self.waste == Some(Waste::AnswerEach) {
                finish(room.tick(now));
            }
        }
    }

    /// A hundred copies of all that was sent, as if each of a hundred peers had one.
    fn copies(history: &[(PeerId, Inbound)]) -> Vec<Vec<u8>> {
        let bytes = |(_, message): &(PeerId, Inbound)| match message {
            Inbound::Update(bytes) | Inbound::Awareness(bytes) => bytes.to_vec(),
            _ => Vec::new(),
        };
        (0..100).flat_map(|_| history.iter().map(bytes)).collect()
    }
}
