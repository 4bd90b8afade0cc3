//! Who wrote what when, who has received it, and what the server has confirmed: every delivery is accounted for, by the clocks that it covers.
//!
//! Editors are numbered room by room, and the first ones of each room write. An editor's client id is [`FIRST_CLIENT`] plus its
//! number. A merged update counts by the clocks in it, a duplicate counts once, and a delivery out of order counts when it
//! arrives.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use coscribe_engine::document::blocks::Blocks;
use coscribe_engine::update::{Clock, Update, UpdateError};
use hdrhistogram::Histogram;

use crate::limits;
use crate::measure::micros;

/// The client id of editor 0; encoded, it is as long as the ids that Yjs draws.
pub const FIRST_CLIENT: u64 = 1 << 31;

/// The shape of a crowd: rooms of the same size.
#[derive(Debug, Copy, Clone)]
pub struct Shape {
    /// How many rooms there are.
    pub rooms: usize,
    /// How many editors each has.
    pub people: usize,
    /// How many of them write.
    pub writers: usize,
}

impl Shape {
    /// How many editors there are.
    pub fn editors(self) -> usize {
        self.rooms * self.people
    }

    /// How many of them write.
    pub fn all_writers(self) -> usize {
        self.rooms * self.writers
    }

    /// The editor who is a room's `writer`-th.
    fn editor(self, writer: usize) -> usize {
        writer / self.writers * self.people + writer % self.writers
    }
}

/// One writer's clocks that one editor has.
#[derive(Debug, Default, Clone)]
struct Received {
    /// It has all clocks before this one.
    until: Clock,
    /// Clocks that came ahead of a gap: start and end of each range; no two overlap.
    ahead: BTreeMap<Clock, Clock>,
}

/// The books of one run.
#[derive(Debug)]
pub struct Ledger {
    shape: Shape,
    /// By writer: when each clock was sent.
    sent: Vec<Vec<Instant>>,
    /// By writer: the server has everything before this clock on disk.
    confirmed: Vec<Clock>,
    /// By editor and writer of its room.
    received: Vec<Received>,
    /// Latencies of the clocks sent since this time.
    measured_from: Option<Instant>,
    /// Latencies to the editors before this one.
    measured_editors: usize,
    latencies: Histogram<u64>,
    delivered: u64,
    repeated: u64,
    foreign: u64,
}

impl Ledger {
    /// Empty books.
    pub fn new(shape: Shape) -> Self {
        let latencies =
            Histogram::new_with_bounds(1, limits::LONGEST_LATENCY_MICROS, 3).expect("the bounds are sound");
        Self {
            shape,
            sent: vec![Vec::new(); shape.all_writers()],
            confirmed: vec![0; shape.all_writers()],
            received: vec![Received::default(); shape.editors() * shape.writers],
            measured_from: None,
            measured_editors: 0,
            latencies,
            delivered: 0,
            repeated: 0,
            foreign: 0,
        }
    }

    /// Records latencies anew: of the clocks sent from `start` on, to the first `editors` editors.
    pub fn measure_from(&mut self, start: Instant, editors: usize) {
        self.measured_from = Some(start);
        self.measured_editors = editors;
        self.latencies.reset();
    }

    /// The editor, client id and next clock of a writer, who writes it at this time.
    pub fn write(&mut self, writer: usize, at: Instant) -> (usize, u64, Clock) {
        let clock = self.next_clock(writer);
        self.sent[writer].push(at);
        (self.shape.editor(writer), self.client(writer), clock)
    }

    /// The client id of a writer.
    pub fn client(&self, writer: usize) -> u64 {
        FIRST_CLIENT + self.shape.editor(writer) as u64
    }

    /// The clock at which a writer goes on.
    pub fn next_clock(&self, writer: usize) -> Clock {
        Clock::try_from(self.sent[writer].len()).expect("nobody types for years")
    }

    /// Enters that the server has confirmed to an editor who writes all clocks before this one.
    pub fn confirm(&mut self, editor: usize, clock: Clock) {
        let Shape { people, writers, .. } = self.shape;
        let confirmed = &mut self.confirmed[editor / people * writers + editor % people];
        *confirmed = clock.max(*confirmed);
    }

    /// The clock before which the server has confirmed everything of a writer.
    pub fn confirmed(&self, writer: usize) -> Clock {
        self.confirmed[writer]
    }

    /// Enters an update that an editor has received at this time.
    ///
    /// # Errors
    /// If it is not an update.
    pub fn receive(&mut self, editor: usize, at: Instant, update: &[u8]) -> Result<(), UpdateError> {
        let update = Update::scan(Bytes::copy_from_slice(update))?;
        for run in update.runs() {
            let mut blocks = run.blocks();
            let Some(first) = blocks.next() else { continue };
            let end = blocks.last().unwrap_or(first).end();
            self.receive_range(editor, at, run.client(), first.id.clock, end);
        }
        Ok(())
    }

    fn receive_range(&mut self, editor: usize, at: Instant, client: u64, start: Clock, end: Clock) {
        let Shape { people, writers, .. } = self.shape;
        let writer = client.checked_sub(FIRST_CLIENT).and_then(|writer| usize::try_from(writer).ok());
        let Some(writer) =
            writer.filter(|writer| writer / people == editor / people && writer % people < writers)
        else {
            self.foreign += u64::from(end - start);
            return;
        };
        if writer == editor {
            return;
        }
        let sent = &self.sent[writer / people * writers + writer % people];
        if end as usize > sent.len() {
            self.foreign += u64::from(end - start);
            return;
        }
        let received = &mut self.received[editor * writers + writer % people];
        let measured_from = self.measured_from.filter(|_| editor < self.measured_editors);
        let mut news = 0;
        received.add(start, end, |clock| {
            news += 1;
            let sent = sent[clock as usize];
            if measured_from.is_some_and(|from| sent >= from) {
                self.latencies.saturating_record(micros(sent, at));
            }
        });
        self.delivered += news;
        self.repeated += u64::from(end - start) - news;
    }

    /// The shape of the crowd.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// How many deliveries have come.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// How many clocks were written.
    pub fn written(&self) -> u64 {
        self.sent.iter().map(|clocks| clocks.len() as u64).sum()
    }

    /// How many deliveries are missing: each clock should reach everybody in the room but its writer.
    pub fn missing(&self) -> u64 {
        self.written() * (self.shape.people as u64 - 1) - self.delivered
    }

    /// How many came more than once.
    pub fn repeated(&self) -> u64 {
        self.repeated
    }

    /// How many clocks came that nobody in the room has written.
    pub fn foreign(&self) -> u64 {
        self.foreign
    }

    /// How long deliveries took, in microseconds.
    pub fn latencies(&self) -> &Histogram<u64> {
        &self.latencies
    }

    /// How many clocks of a room's writers a document lacks.
    pub fn missing_in(&self, room: usize, document: &Blocks) -> u64 {
        let of = |writer: usize| {
            let editor = room * self.shape.people + writer;
            let sent = self.sent[room * self.shape.writers + writer].len() as u64;
            sent.saturating_sub(u64::from(document.state_vector().get(FIRST_CLIENT + editor as u64)))
        };
        (0..self.shape.writers).map(of).sum()
    }

    /// The editors that miss something, and how much.
    pub fn missing_by_editor(&self) -> Vec<(usize, u64)> {
        let Shape { people, writers, .. } = self.shape;
        let editors = (0..self.shape.editors()).map(|editor| {
            let of = |writer: usize| {
                let own = editor % people == writer;
                let sent = self.sent[editor / people * writers + writer].len() as u64;
                if own { 0 } else { sent - self.received[editor * writers + writer].count() }
            };
            (editor, (0..writers).map(of).sum())
        });
        editors.filter(|&(_, missing)| missing > 0).collect()
    }
}

impl Received {
    /// Adds a range, and calls `each` with the parts of it that are new.
    fn add(&mut self, start: Clock, end: Clock, mut each: impl FnMut(Clock)) {
        if start > self.until || !self.ahead.is_empty() {
            return self.add_ahead(start, end, each);
        }
        (self.until..end).for_each(&mut each);
        self.until = self.until.max(end);
    }

    fn add_ahead(&mut self, start: Clock, end: Clock, mut each: impl FnMut(Clock)) {
        let ahead = &mut self.ahead;
        let mut next = start.max(self.until);
        while next < end {
            match ahead.range(..=next).next_back() {
                Some((_, &known)) if known > next => next = known,
                _ => {
                    let gap = ahead.range(next..).next().map_or(end, |(&known, _)| known.min(end));
                    (next..gap).for_each(&mut each);
                    ahead.insert(next, gap);
                    next = gap;
                }
            }
        }
        while let Some(first) = ahead.first_entry().filter(|first| *first.key() <= self.until) {
            self.until = self.until.max(first.remove());
        }
    }

    fn count(&self) -> u64 {
        let ahead = self.ahead.iter().map(|(&start, &end)| u64::from(end - start));
        u64::from(self.until) + ahead.sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use coscribe_engine::document::state_vector::StateVector;

    use super::*;
    use crate::updates::typed;

    const THREE: Shape = Shape { rooms: 2, people: 3, writers: 2 };

    /// Writes `count` characters as a writer of room 0, and gives them.
    fn written(ledger: &mut Ledger, writer: usize, count: usize) -> Vec<Vec<u8>> {
        let write = |_| {
            let (_, client, clock) = ledger.write(writer, Instant::now());
            typed(client, clock)
        };
        (0..count).map(write).collect()
    }

    #[test]
    fn a_lost_delivery_is_missed_by_the_one_who_did_not_get_it() {
        let mut ledger = Ledger::new(THREE);
        let updates = written(&mut ledger, 0, 4);
        for (number, update) in updates.iter().enumerate() {
            ledger.receive(1, Instant::now(), update).unwrap();
            if number != 2 {
                ledger.receive(2, Instant::now(), update).unwrap();
            }
        }
        assert_eq!(ledger.missing(), 1);
        assert_eq!(ledger.missing_by_editor(), [(2, 1)]);
        ledger.receive(2, Instant::now(), &updates[2]).unwrap();
        assert_eq!((ledger.missing(), ledger.delivered(), ledger.repeated()), (0, 8, 0));
    }

    #[test]
    fn merged_updates_count_by_their_clocks_and_repetitions_count_once() {
        let mut ledger = Ledger::new(THREE);
        let mut blocks = Blocks::default();
        for writer in [0, 1] {
            written(&mut ledger, writer, 5).iter().for_each(|update| blocks.load(update).unwrap());
        }
        let merged = blocks.diff(&StateVector::default());
        ledger.receive(2, Instant::now(), &merged).unwrap();
        assert_eq!((ledger.delivered(), ledger.repeated()), (10, 0));
        ledger.receive(2, Instant::now(), &merged).unwrap();
        assert_eq!((ledger.delivered(), ledger.repeated()), (10, 10));
        // The editor's own clocks come back with it, and are no deliveries.
        ledger.receive(0, Instant::now(), &merged).unwrap();
        assert_eq!((ledger.delivered(), ledger.missing()), (15, 5));
    }

    #[test]
    fn what_nobody_in_the_room_has_written_is_foreign() {
        let mut ledger = Ledger::new(THREE);
        let update = written(&mut ledger, 0, 1).remove(0);
        ledger.receive(3, Instant::now(), &update).unwrap();
        ledger.receive(1, Instant::now(), &typed(7, 0)).unwrap();
        assert_eq!((ledger.foreign(), ledger.delivered()), (2, 0));
    }

    #[test]
    fn ranges_in_any_order_add_up() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..500 {
            let (mut received, mut seen) = (Received::default(), [0; 40]);
            for _ in 0..random.usize(0..30) {
                let start = random.u32(0..39);
                let end = random.u32(start + 1..=40);
                received.add(start, end, |clock| seen[clock as usize] += 1);
                assert!(seen[start as usize..end as usize].iter().all(|&times| times == 1));
            }
            assert!(seen.iter().all(|&times| times <= 1));
            assert_eq!(received.count(), seen.iter().sum::<u64>());
        }
    }

    #[test]
    fn only_what_was_sent_after_the_warm_up_is_measured() {
        let mut ledger = Ledger::new(THREE);
        let start = Instant::now();
        let early = ledger.write(0, start).2;
        ledger.measure_from(start + Duration::from_millis(1), 6);
        let late = ledger.write(0, start + Duration::from_millis(2)).2;
        for clock in [early, late] {
            ledger.receive(1, start + Duration::from_millis(5), &typed(FIRST_CLIENT, clock)).unwrap();
        }
        assert_eq!(ledger.latencies().len(), 1);
        assert!((2990..=3010).contains(&ledger.latencies().max()));
    }
}
