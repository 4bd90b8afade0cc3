//! Messages of peers to a room, measured: each one alone, all of them in one frame, and after that all again, many times.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::room::{Effect, PeerId, Room, RoomLimits};

use super::metered::Metered;
use super::planted::Planted;
use crate::limits;

/// A peer that neither reads nor sends.
const LAGGING: PeerId = PeerId(1000);

/// Time between ticks: longer than that between flushes.
const PAUSE: Duration = Duration::from_millis(20);

/// Has peers of a room, in which this update is the document, send these frames, each of one message.
pub(super) fn check(document: Option<&Bytes>, said: &[(PeerId, Bytes)]) {
    let mut whole: BTreeMap<PeerId, Vec<u8>> = BTreeMap::new();
    said.iter().for_each(|(peer, frame)| whole.entry(*peer).or_default().extend_from_slice(frame));
    let whole: Vec<_> = whole.into_iter().map(|(peer, frame)| (peer, Bytes::from(frame))).collect();
    let repeated = |(peer, frame): &(PeerId, Bytes)| {
        let times = limits::FRAME_REPEATS.min(limits::REPEATED_FRAME_BYTES / frame.len().max(1)).max(1);
        (*peer, Bytes::from(frame.repeat(times)))
    };
    let mut one_by_one = Meeting::new(document);
    one_by_one.hear(said);
    one_by_one.hear(&whole.iter().map(repeated).collect::<Vec<_>>());
    one_by_one.end();
    let mut at_once = Meeting::new(document);
    at_once.hear(&whole);
    at_once.end();
}

/// A room, and the peers that are in it as far as they know.
struct Meeting {
    room: Metered,
    now: Duration,
    /// The connections of those who are here.
    connections: BTreeMap<PeerId, PeerId>,
    last: PeerId,
}

impl Meeting {
    fn new(document: Option<&Bytes>) -> Self {
        let mut room = Room::new(RoomLimits::default());
        if let Some(document) = document {
            room.load(document).expect("a document without gaps");
        }
        let mut room = Metered::of(room, Planted::none());
        room.connect(LAGGING, Duration::ZERO);
        room.stalled(LAGGING);
        Self { room, now: Duration::ZERO, connections: BTreeMap::new(), last: LAGGING }
    }

    /// Peers send frames, and get what they are to get after each.
    fn hear(&mut self, said: &[(PeerId, Bytes)]) {
        for (peer, frame) in said {
            let connection = self.connection(*peer);
            let effects = self.room.receive(connection, frame, self.now);
            self.connections.retain(|_, connection| !is_closed(&effects, *connection));
            self.tick();
        }
    }

    /// The connection of a peer: a new one, if it broke a rule on the one before.
    fn connection(&mut self, peer: PeerId) -> PeerId {
        if let Some(connection) = self.connections.get(&peer) {
            return *connection;
        }
        self.last.0 += 1;
        self.room.connect(self.last, self.now);
        self.connections.insert(peer, self.last);
        self.last
    }

    fn tick(&mut self) {
        self.now += PAUSE;
        self.room.tick(self.now);
        while self.room.room().next_tick() == Some(Duration::ZERO) {
            self.room.tick(self.now);
        }
        let sequence = self.room.room().sequence();
        self.room.durable(sequence);
    }

    /// The lagging peers get everything, and all peers go.
    fn end(mut self) {
        self.room.drained(LAGGING);
        self.tick();
        for peer in self.connections.values().copied().chain([LAGGING]) {
            self.room.disconnect(peer);
        }
        self.tick();
    }
}

fn is_closed(effects: &[Effect], connection: PeerId) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Part { peer, .. } if *peer == connection))
}
