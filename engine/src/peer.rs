//! The number of a connection in its room, and what it may do and hears.

/// One connection as its room sees it. Never reused while a room lives, and never 0.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u64);

/// What a peer may do with the document.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default)]
pub enum Access {
    /// It gets what others write, is seen, and changes nothing.
    Read,
    /// It may write as well.
    #[default]
    Write,
}

/// How a peer hears that its updates are durable.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default)]
pub enum Confirmation {
    /// It asks for it ([`crate::message::Inbound::Confirm`]).
    #[default]
    OnRequest,
    /// It counts its messages with an update, and hears of each, also if that is refused
    /// ([`crate::message::Outbound::Saved`]). An answer to a question that it has not wanted
    /// ([`crate::message::Inbound::Offer`]) does not count.
    Counted,
    /// It gets an update back that names the same elements, without their content.
    ByIds,
}

/// What a peer may do, and what it wants to hear beside what it asks for.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default)]
pub struct Terms {
    /// What it may do with the document.
    pub access: Access,
    /// How it hears that its updates are durable.
    pub confirmation: Confirmation,
    /// Told that its own client is gone, it raises its clock without a word, and has to be asked for its awareness.
    pub renews_silently: bool,
    /// It can be sent texts of the application.
    pub hears_stateless: bool,
    /// What it wants confirmed ([`crate::message::Inbound::Confirm`]) includes its answer to the room's first question, also if
    /// that comes later.
    pub confirms_answer: bool,
}

/// Something for each peer of a room, by their numbers from low to high. Most rooms have few peers: there is memory for one where
/// there is one.
#[derive(Debug)]
pub struct PeerMap<T>(Vec<(PeerId, T)>);

impl<T> PeerMap<T> {
    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many peers there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether this peer is here. O(log peers).
    pub fn contains(&self, peer: PeerId) -> bool {
        self.find(peer).is_ok()
    }

    /// That of a peer. O(log peers).
    pub fn get(&self, peer: PeerId) -> Option<&T> {
        self.find(peer).ok().map(|at| &self.0[at].1)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, peer: PeerId) -> Option<&mut T> {
        self.find(peer).ok().map(|at| &mut self.0[at].1)
    }

    /// Adds that of a peer, or replaces it. O(log peers) where the peer has the highest number, as who comes last mostly has; else
    /// O(peers).
    pub fn insert(&mut self, peer: PeerId, value: T) {
        match self.find(peer) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => {
                if self.0.is_empty() {
                    self.0.reserve_exact(1);
                }
                self.0.insert(at, (peer, value));
            }
        }
    }

    /// Takes that of a peer out. O(peers): some microseconds for thousands.
    pub fn remove(&mut self, peer: PeerId) -> Option<T> {
        let (_, value) = self.0.remove(self.find(peer).ok()?);
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
        Some(value)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (PeerId, &T)> {
        self.0.iter().map(|(peer, value)| (*peer, value))
    }

    /// The same, without the numbers.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, value)| value)
    }

    fn find(&self, peer: PeerId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&peer, |&(other, _)| other)
    }
}

impl<T> Default for PeerMap<T> {
    fn default() -> PeerMap<T> {
        PeerMap(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_in_order_however_they_come_and_nobody_takes_no_memory() {
        let mut peers = PeerMap::default();
        for number in [2, 5, 3, 1, 3] {
            peers.insert(PeerId(number), number * 10 + peers.len() as u64);
        }
        assert_eq!(
            peers.iter().map(|(peer, &value)| (peer.0, value)).collect::<Vec<_>>(),
            [(1, 13), (2, 20), (3, 34), (5, 51)]
        );
        assert!(peers.contains(PeerId(5)) && !peers.contains(PeerId(4)));
        assert_eq!((peers.remove(PeerId(4)), peers.remove(PeerId(2))), (None, Some(20)));
        assert_eq!((peers.get(PeerId(2)), peers.get(PeerId(3))), (None, Some(&34)));
        for number in [1, 3, 5] {
            peers.remove(PeerId(number));
        }
        assert!(peers.is_empty() && peers.0.capacity() == 0);
    }
}
