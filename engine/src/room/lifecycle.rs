//! When an open document is durable, due for a checkpoint, and needed no more.
//!
//! Like the room beside it this is a state machine without a clock or a disk: the shell tells it what was appended, what the
//! journal says and who is here, and does what [`Lifecycle::step`] says is next.
//!
//! A checkpoint takes two steps. The room's state is taken, and what waits is appended once more, since the state does not
//! have it and the log lets go of all that came before. When all that is durable, the state is stored.

use std::time::Duration;

use super::Room;

/// Bounds of one document's life.
#[derive(Debug, Copy, Clone)]
pub struct LifecycleLimits {
    /// How long a document stays open without peers.
    pub grace: Duration,
    /// Bytes of records that are worth a checkpoint, if the document is not larger than twice as much.
    pub checkpoint_bytes: usize,
}

/// What the log has of a document when it is opened.
#[derive(Debug, Copy, Clone, Default)]
pub struct Stored {
    /// The sequence of the last record.
    pub sequence: u64,
    /// Up to here there is nothing to checkpoint: no update, that is.
    pub checkpointed: u64,
    /// Bytes of its records.
    pub log_bytes: usize,
}

/// What is to be done next with an open document.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum LifecycleStep {
    /// What was lost can be stored now: [`Room::append_again`], then [`Lifecycle::appended_again`].
    AppendAgain,
    /// The state is to be taken: [`Room::snapshot`] and [`Room::append_waiting`], then [`Lifecycle::snapshot_taken`].
    TakeSnapshot,
    /// The state that was taken is to be stored; then [`Lifecycle::checkpoint_ended`].
    StoreSnapshot,
    /// Nobody needs the document any more.
    Evict,
}

/// A checkpoint that has begun.
#[derive(Debug, Copy, Clone)]
struct Checkpoint {
    /// The last record that needs no other checkpoint: what follows the state up to there only waits.
    appended: u64,
    /// Whether it is being stored.
    is_stored: bool,
}

/// One document's life, from when it is opened.
#[derive(Debug)]
pub struct Lifecycle {
    limits: LifecycleLimits,
    durable: u64,
    checkpointed: u64,
    log_bytes: usize,
    checkpoint: Option<Checkpoint>,
    /// Since when there has been no peer.
    empty_since: Option<Duration>,
    /// Nobody has ever been here: it was opened to be checkpointed.
    is_visit: bool,
    /// It is to go as soon as nobody is here.
    hurries: bool,
    /// The epoch that what is appended belongs to. An epoch of the journal ends where it could store nothing for a while: what
    /// was appended in it and is not durable never will be.
    epoch: u64,
    /// The epoch that the journal is in, and whether it stores anything now.
    journal: (u64, bool),
}

impl Lifecycle {
    /// A document that has just been opened, by a journal in this epoch.
    pub fn new(limits: LifecycleLimits, stored: Stored, is_visit: bool, epoch: u64, now: Duration) -> Self {
        Self {
            limits,
            durable: stored.sequence,
            checkpointed: stored.checkpointed,
            log_bytes: stored.log_bytes,
            checkpoint: None,
            empty_since: Some(now),
            is_visit,
            hurries: false,
            epoch,
            journal: (epoch, true),
        }
    }

    /// The epoch that what is appended now belongs to.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// A record of so many bytes was appended.
    pub fn appended(&mut self, bytes: usize) {
        self.log_bytes += bytes;
    }

    /// All appends up to this sequence are durable.
    pub fn durable(&mut self, sequence: u64) {
        self.durable = self.durable.max(sequence);
    }

    /// The journal is in this epoch, and stores what is appended, or nothing.
    pub fn journal(&mut self, epoch: u64, stores: bool, room: &Room) {
        self.journal = (epoch, stores);
        if self.is_durable(room) {
            self.epoch = epoch;
        }
    }

    /// Somebody is here, or nobody.
    pub fn occupied(&mut self, is_occupied: bool, now: Duration) {
        if is_occupied {
            (self.empty_since, self.is_visit) = (None, false);
        } else {
            self.empty_since.get_or_insert(now);
        }
    }

    /// Memory is short: the document is to go as soon as nobody is here, without any grace.
    pub fn hurry(&mut self) {
        self.hurries = true;
    }

    /// What was lost has been appended once more.
    pub fn appended_again(&mut self) {
        self.epoch = self.journal.0;
        // It waits for a sequence that will not be durable.
        self.checkpoint = None;
    }

    /// The state was taken, and what waits was appended once more, up to this sequence.
    pub fn snapshot_taken(&mut self, appended: u64) {
        self.checkpoint = Some(Checkpoint { appended, is_stored: false });
        self.log_bytes = 0;
    }

    /// The state is being stored.
    pub fn snapshot_stores(&mut self) {
        if let Some(checkpoint) = &mut self.checkpoint {
            checkpoint.is_stored = true;
        }
    }

    /// The state was stored, or could not be: then the log keeps everything, and the next change or start is soon enough to try
    /// again.
    pub fn checkpoint_ended(&mut self) {
        if let Some(Checkpoint { appended, .. }) = self.checkpoint.take() {
            self.checkpointed = appended;
        }
    }

    /// What is to be done next, if anything is. O(1).
    pub fn step(&self, room: &Room, now: Duration) -> Option<LifecycleStep> {
        let (epoch, stores) = self.journal;
        if stores && epoch > self.epoch {
            return Some(LifecycleStep::AppendAgain);
        }
        if let Some(Checkpoint { appended, is_stored }) = self.checkpoint {
            return (!is_stored && self.durable >= appended).then_some(LifecycleStep::StoreSnapshot);
        }
        let is_over = self.expiry(room).is_some_and(|at| at <= now) && self.is_durable(room);
        if self.can_checkpoint(room) {
            // A snapshot is as large as the document: it has to be worth it.
            let worth = self.limits.checkpoint_bytes.max(room.blocks().memory() / 2);
            return (is_over || self.log_bytes >= worth).then_some(LifecycleStep::TakeSnapshot);
        }
        is_over.then_some(LifecycleStep::Evict)
    }

    /// When [`Self::step`] may say something else, if nothing else happens.
    pub fn next_step(&self, room: &Room) -> Option<Duration> {
        // What waits for the disk is woken by it.
        let waits = self.checkpoint.is_some() || !self.is_durable(room);
        if waits { None } else { self.expiry(room) }
    }

    /// Whether all of the document is durable. O(1).
    pub fn is_durable(&self, room: &Room) -> bool {
        self.durable == room.sequence()
    }

    /// Whether there is something to checkpoint. While the journal stores nothing it is not, and the log has what is durable.
    fn can_checkpoint(&self, room: &Room) -> bool {
        self.checkpointed != room.sequence() && self.journal.1
    }

    /// When the document has been without peers for long enough. One that was never written to needs no grace, unless somebody
    /// comes back who has been refused.
    fn expiry(&self, room: &Room) -> Option<Duration> {
        let is_unwritten = room.sequence() == 0 && !room.has_refused();
        let grace =
            if self.is_visit || self.hurries || is_unwritten { Duration::ZERO } else { self.limits.grace };
        self.empty_since.map(|since| since + grace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::{PeerId, RoomLimits, Terms};
    use crate::work::finish;

    const LIMITS: LifecycleLimits =
        LifecycleLimits { grace: Duration::from_secs(10), checkpoint_bytes: 1000 };

    const START: Duration = Duration::ZERO;

    fn later(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A room in which somebody has written, and its life.
    fn written() -> (Room, Lifecycle) {
        let mut room = Room::new(RoomLimits::default());
        let mut life = Lifecycle::new(LIMITS, Stored::default(), false, 0, START);
        room.connect(PeerId(1), Terms::default(), START);
        life.occupied(true, START);
        write(&mut room, &mut life, 0);
        (room, life)
    }

    fn write(room: &mut Room, life: &mut Lifecycle, clock: u8) {
        let update = vec![1, 1, 1, clock, 0x04, 1, 1, b't', 1, b'a', 0];
        finish(room.receive(PeerId(1), crate::message::Inbound::Update(update.into()), START));
        finish(room.tick(START));
        life.appended(100);
    }

    #[test]
    fn a_document_goes_when_it_was_left_for_long_enough_and_is_stored() {
        let (mut room, mut life) = written();
        finish(room.disconnect(PeerId(1)));
        life.occupied(false, later(1));
        assert_eq!(life.step(&room, later(20)), None, "it is not durable");
        life.durable(1);
        assert_eq!(life.next_step(&room), Some(later(11)));
        assert_eq!(life.step(&room, later(10)), None);
        assert_eq!(life.step(&room, later(11)), Some(LifecycleStep::TakeSnapshot));
        life.snapshot_taken(1);
        assert_eq!(life.step(&room, later(11)), Some(LifecycleStep::StoreSnapshot));
        life.snapshot_stores();
        assert_eq!(life.step(&room, later(11)), None);
        life.checkpoint_ended();
        assert_eq!(life.step(&room, later(11)), Some(LifecycleStep::Evict));
        life.occupied(true, later(12));
        assert_eq!(life.step(&room, later(90)), None, "somebody is back");
    }

    #[test]
    fn a_document_that_hurries_goes_as_soon_as_nobody_is_there() {
        let (mut room, mut life) = written();
        life.durable(1);
        life.hurry();
        assert_eq!(life.step(&room, later(20)), None, "somebody is here");
        finish(room.disconnect(PeerId(1)));
        life.occupied(false, later(30));
        assert_eq!(life.step(&room, later(30)), Some(LifecycleStep::TakeSnapshot), "no grace");
    }

    #[test]
    fn what_nobody_wrote_to_goes_at_once() {
        let room = Room::new(RoomLimits::default());
        let life = Lifecycle::new(LIMITS, Stored::default(), false, 0, START);
        assert_eq!(life.step(&room, START), Some(LifecycleStep::Evict));
    }

    #[test]
    fn a_long_log_is_checkpointed_when_what_waits_is_durable_as_well() {
        let (mut room, mut life) = written();
        life.durable(1);
        assert_eq!(life.step(&room, START), None);
        life.appended(900);
        assert_eq!(life.step(&room, START), Some(LifecycleStep::TakeSnapshot));
        life.snapshot_taken(2);
        assert_eq!(life.step(&room, START), None, "the second record is not durable");
        life.durable(2);
        assert_eq!(life.step(&room, START), Some(LifecycleStep::StoreSnapshot));
        life.checkpoint_ended();
        write(&mut room, &mut life, 1);
        assert_eq!(life.step(&room, START), None, "the log is short again");
    }

    #[test]
    fn what_was_lost_is_appended_once_more_when_the_journal_stores_again() {
        let (mut room, mut life) = written();
        life.journal(0, false, &room);
        finish(room.disconnect(PeerId(1)));
        life.occupied(false, START);
        assert!(life.step(&room, later(99)).is_none() && !life.is_durable(&room), "it is kept");
        life.journal(1, true, &room);
        assert_eq!(life.step(&room, START), Some(LifecycleStep::AppendAgain));
        life.appended_again();
        assert_eq!((life.epoch(), life.step(&room, START)), (1, None));
        life.durable(1);
        assert_eq!(life.step(&room, later(10)), Some(LifecycleStep::TakeSnapshot));
    }

    #[test]
    fn a_journal_that_stores_nothing_gets_no_checkpoint() {
        let (room, mut life) = written();
        life.durable(1);
        life.journal(0, false, &room);
        life.occupied(false, START);
        assert_eq!(life.step(&room, later(10)), Some(LifecycleStep::Evict), "all of it is durable");
    }
}
