//! Ways in which the same updates can reach a document.

use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::dialect::sync::SyncMessage;
use coscribe_engine::dialect::y_websocket;
use coscribe_engine::document::blocks::Blocks;
use coscribe_engine::document::state_vector::StateVector;
use coscribe_engine::peer::Access;
use coscribe_engine::room::{Effect, PeerId, Room, RoomLimits};
use coscribe_engine::rope::Rope;
use coscribe_engine::update::Update;
use coscribe_engine::work::finish;
use fastrand::Rng;

use super::library::{LibraryProcess, Trouble};
use crate::gap::has_gap;
use crate::serving;

/// Updates that ought to make the same document.
#[derive(Debug)]
pub(super) struct Way {
    /// How they came about.
    pub(super) name: String,
    pub(super) updates: Vec<Bytes>,
    /// Whether some come before what they build on.
    pub(super) has_gaps: bool,
}

impl Way {
    pub(super) fn new(name: impl Into<String>, updates: Vec<Bytes>) -> Self {
        let mut blocks = Blocks::default();
        let mut has_gaps = false;
        for update in updates.iter().filter_map(|update| Update::scan(update.clone()).ok()) {
            has_gaps |= has_gap(&update, blocks.state_vector());
            blocks.admit(&update, 0);
        }
        Self { name: name.into(), updates, has_gaps }
    }
}

/// In order, in other orders, some twice, in a room, and the rest at once.
pub(super) fn orders(updates: &[Bytes], shuffles: usize, rng: &mut Rng) -> Vec<Way> {
    let mut ways = vec![Way::new("as recorded", updates.to_vec())];
    if updates.len() > 1 {
        ways.push(Way::new("reversed", updates.iter().rev().cloned().collect()));
    }
    for number in 1..=shuffles {
        let mut shuffled = updates.to_vec();
        let name = if number % 2 == 0 {
            shuffled.extend_from_slice(&updates[rng.usize(..=updates.len())..]);
            format!("shuffled, some twice ({number})")
        } else {
            format!("shuffled ({number})")
        };
        rng.shuffle(&mut shuffled);
        ways.push(Way::new(name, shuffled.clone()));
        let seen = rng.usize(..=updates.len());
        ways.push(Way::new(
            format!("the first {seen}, then a diff from there ({number})"),
            then_diff(updates, seen),
        ));
        ways.push(Way::new(
            format!("through a room, with random flushes ({number})"),
            through_room(&shuffled, rng),
        ));
    }
    ways
}

/// Merged by a library in random groups of neighbours.
pub(super) fn merged(updates: &[Bytes], by: &mut LibraryProcess, rng: &mut Rng) -> Result<Way, Trouble> {
    let (mut rest, mut merged) = (updates, Vec::new());
    while !rest.is_empty() {
        let (group, others) = rest.split_at(rng.usize(1..=rest.len().min(8)));
        merged.push(by.merge(group)?);
        rest = others;
    }
    Ok(Way::new(format!("merged in groups by {}", by.library), merged))
}

/// The first few, and then a diff from there to all.
fn then_diff(updates: &[Bytes], seen: usize) -> Vec<Bytes> {
    let diff = admitted(updates).diff(admitted(&updates[..seen]).state_vector());
    updates[..seen].iter().cloned().chain([diff]).collect()
}

/// The document as blocks.
pub(super) fn admitted(updates: &[Bytes]) -> Blocks {
    let mut blocks = Blocks::default();
    for update in updates.iter().filter_map(|update| Update::scan(update.clone()).ok()) {
        blocks.admit(&update, 0);
    }
    blocks
}

/// The updates that one peer of a room gets while another sends the recording.
fn through_room(updates: &[Bytes], rng: &mut Rng) -> Vec<Bytes> {
    let (source, reader) = (PeerId(1), PeerId(2));
    let limits = RoomLimits { parked_bytes: usize::MAX, document_bytes: usize::MAX, ..RoomLimits::default() };
    let (mut room, mut now, mut sent) = (Room::new(limits), Duration::ZERO, Vec::new());
    for peer in [source, reader] {
        serving::connect(&mut room, peer, Access::Write, now);
    }
    let step_1 = y_websocket::sync_frame(&SyncMessage::Step1(&StateVector::default().encode()));
    serving::receive(&mut room, reader, &step_1, now);
    for update in updates {
        serving::receive(&mut room, source, &y_websocket::sync_frame(&SyncMessage::Update(update)), now);
        if rng.u8(..4) == 0 {
            now += Duration::from_millis(rng.u64(..40));
            flush(&mut room, now, reader, &mut sent);
        }
    }
    flush(&mut room, now + Duration::from_secs(1), reader, &mut sent);
    sent
}

fn flush(room: &mut Room, now: Duration, reader: PeerId, sent: &mut Vec<Bytes>) {
    finish(room.tick(now));
    while let Some(effect) = room.poll_effect() {
        let message = match effect {
            Effect::Send { peer, message, .. } if peer == reader => message,
            Effect::Broadcast { message, to } if to.contains(&reader) => message,
            Effect::Append { sequence, .. } => {
                room.durable(sequence);
                continue;
            }
            _ => continue,
        };
        sent.extend(message.update().map(Rope::to_bytes));
    }
}
