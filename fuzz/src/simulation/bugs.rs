//! Bugs that the simulated server can be given, to see that they are found. Without the feature `planted-bugs` there are none.

#[cfg(not(feature = "planted-bugs"))]
pub(super) use absent::Bugs;
#[cfg(feature = "planted-bugs")]
pub(super) use planted::Bugs;
#[cfg(feature = "planted-bugs")]
pub use planted::PlantedBug;

#[cfg(not(feature = "planted-bugs"))]
mod absent {
    use coscribe_engine::message::{Inbound, Outbound};
    use coscribe_engine::peer::Access;
    use coscribe_engine::room::{PeerId, Room};

    /// None.
    pub(in super::super) struct Bugs;

    impl Bugs {
        pub(in super::super) fn granted(&self, access: Access) -> Access {
            access
        }

        pub(in super::super) fn incoming(&mut self, message: Inbound, _room: &Room) -> Option<Inbound> {
            Some(message)
        }

        pub(in super::super) fn outgoing(
            &mut self,
            message: Outbound,
            to: Vec<PeerId>,
            _flush: bool,
            sent: &mut Vec<(Outbound, Vec<PeerId>)>,
        ) {
            sent.push((message, to));
        }

        pub(in super::super) fn appended(&mut self, _room: &mut Room, _sequence: u64) {}
    }
}

#[cfg(feature = "planted-bugs")]
mod planted {
    use bytes::Bytes;
    use clap::ValueEnum;
    use coscribe_engine::document::id_set::IdSet;
    use coscribe_engine::document::state_vector::StateVector;
    use coscribe_engine::message::{Inbound, Outbound};
    use coscribe_engine::peer::Access;
    use coscribe_engine::room::{PeerId, Room};
    use coscribe_engine::update::Update;

    /// A bug of the server.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
    pub enum PlantedBug {
        /// What is broadcast has no delete set.
        DropDeleteSet,
        /// A diff starts one element too late.
        SliceOffByOne,
        /// Updates are acknowledged before they are on disk.
        AcknowledgeEarly,
        /// An update with a gap before it is forgotten instead of parked.
        ForgetParked,
        /// Two flushes leave in the wrong order.
        SwapFlushes,
        /// Nobody hears that an awareness state was removed.
        LoseAwarenessRemoval,
        /// One of several saved changes is not told to a peer that counts them.
        LoseCount,
        /// One of several saved changes is told twice.
        CountTwice,
        /// The room takes in what readers send.
        TakeInReaders,
    }

    impl PlantedBug {
        /// All of them.
        pub const ALL: [Self; 9] = [
            Self::DropDeleteSet,
            Self::SliceOffByOne,
            Self::AcknowledgeEarly,
            Self::ForgetParked,
            Self::SwapFlushes,
            Self::LoseAwarenessRemoval,
            Self::LoseCount,
            Self::CountTwice,
            Self::TakeInReaders,
        ];
    }

    /// The one that was planted, if any.
    pub(in super::super) struct Bugs {
        bug: Option<PlantedBug>,
        /// A flush that is held back until the next.
        held: Option<(Outbound, Vec<PeerId>)>,
        /// Saved changes that were told.
        counted: usize,
    }

    impl Bugs {
        pub(in super::super) fn new(bug: Option<PlantedBug>) -> Self {
            Self { bug, held: None, counted: 0 }
        }

        /// What the room is told that a peer may do.
        pub(in super::super) fn granted(&self, access: Access) -> Access {
            if self.bug == Some(PlantedBug::TakeInReaders) { Access::Write } else { access }
        }

        pub(in super::super) fn incoming(&mut self, message: Inbound, room: &Room) -> Option<Inbound> {
            match (self.bug, message) {
                (Some(PlantedBug::SliceOffByOne), Inbound::Step1(known)) => {
                    Some(Inbound::Step1(one_more(&known)))
                }
                (Some(PlantedBug::ForgetParked), Inbound::Update(update))
                    if has_gap(&update, room.blocks().state_vector()) =>
                {
                    None
                }
                (_, message) => Some(message),
            }
        }

        pub(in super::super) fn outgoing(
            &mut self,
            message: Outbound,
            to: Vec<PeerId>,
            flush: bool,
            sent: &mut Vec<(Outbound, Vec<PeerId>)>,
        ) {
            match (self.bug, &message) {
                (Some(PlantedBug::DropDeleteSet), Outbound::Update(update)) => {
                    sent.push((Outbound::Update(without_delete_set(&update.to_bytes()).into()), to));
                }
                (Some(PlantedBug::SwapFlushes), Outbound::Update(_)) if flush => match self.held.take() {
                    None => self.held = Some((message, to)),
                    Some(held) => sent.extend([(message, to), held]),
                },
                (Some(PlantedBug::LoseAwarenessRemoval), Outbound::Awareness(states))
                    if removes_a_state(&states.to_bytes()) => {}
                (Some(bug @ (PlantedBug::LoseCount | PlantedBug::CountTwice)), Outbound::Saved(true))
                    if self.is_wrong_count() =>
                {
                    let times = if bug == PlantedBug::CountTwice { 2 } else { 0 };
                    sent.extend(vec![(message, to); times]);
                }
                _ => sent.push((message, to)),
            }
        }

        /// Whether the bug shows in this count: in every fourth.
        fn is_wrong_count(&mut self) -> bool {
            self.counted += 1;
            self.counted.is_multiple_of(4)
        }

        pub(in super::super) fn appended(&mut self, room: &mut Room, sequence: u64) {
            if self.bug == Some(PlantedBug::AcknowledgeEarly) {
                room.durable(sequence);
            }
        }
    }

    /// A state vector that claims to know one element more of each client.
    fn one_more(known: &[u8]) -> Bytes {
        let known = StateVector::decode(known).unwrap_or_default();
        let more: StateVector = known.iter().map(|(client, clock)| (client, clock + 1)).collect();
        more.encode().into()
    }

    fn has_gap(update: &[u8], known: &StateVector) -> bool {
        let Ok(update) = Update::scan(Bytes::copy_from_slice(update)) else { return false };
        update
            .runs()
            .any(|run| run.blocks().next().is_some_and(|block| block.id.clock > known.get(run.client())))
    }

    fn without_delete_set(update: &[u8]) -> Vec<u8> {
        let mut delete_set = IdSet::default();
        let mut bytes = update.to_vec();
        if let Ok(update) = Update::scan(Bytes::copy_from_slice(update)) {
            update.deletions().for_each(|(client, range)| delete_set.insert(client, range, |_| {}));
            let mut encoded = Vec::new();
            delete_set.encode(&mut encoded);
            bytes.truncate(bytes.len().saturating_sub(encoded.len()));
            bytes.push(0);
        }
        bytes
    }

    /// There is a null state: a string of four letters, `null`.
    fn removes_a_state(states: &[u8]) -> bool {
        states.windows(5).any(|part| part == b"\x04null")
    }
}
