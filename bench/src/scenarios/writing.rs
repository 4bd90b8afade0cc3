//! A crowd whose writers keep to a schedule, and the books about it.

use std::time::{Duration, Instant};

use coscribe_engine::update::Clock;

use crate::crowd::Crowd;
use crate::dialect::{self, Incoming};
use crate::ledger::{Ledger, Shape};
use crate::limits;
use crate::process::ProcessTree;
use crate::schedule::Schedule;

/// How often the server's memory is checked.
const WATCH_INTERVAL: Duration = Duration::from_millis(200);

/// A crowd at work.
pub(super) struct Writing<W> {
    /// Who wrote what and who has it.
    pub(super) ledger: Ledger,
    /// When they write.
    pub(super) schedule: Schedule,
    /// Makes the update of a client at a clock.
    update: W,
    process: Option<ProcessTree>,
    watched: Instant,
}

impl<W: Fn(u64, Clock) -> Vec<u8>> Writing<W> {
    pub(super) fn new(shape: Shape, rate: f64, process: Option<ProcessTree>, update: W) -> Self {
        let (ledger, schedule) = (Ledger::new(shape), Schedule::new(shape.all_writers(), rate));
        Self { ledger, schedule, update, process, watched: Instant::now() }
    }

    /// Measures latencies from now on.
    pub(super) fn measure(&mut self) {
        self.ledger.measure_from(Instant::now(), self.ledger.shape().editors());
        self.schedule.forget_lateness();
    }

    /// Writes and reads for some time.
    pub(super) fn write_for(&mut self, crowd: &mut Crowd, time: Duration) -> anyhow::Result<()> {
        self.schedule.resume(Instant::now());
        self.go_on_for(crowd, time)
    }

    /// Writes and reads for some more time, after [`Self::write_for`] and with the same schedule.
    pub(super) fn go_on_for(&mut self, crowd: &mut Crowd, time: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            for _ in 0..limits::WRITES_PER_TURN {
                let Some(writer) = self.schedule.due(Instant::now()) else { break };
                let (editor, client, clock) = self.ledger.write(writer, Instant::now());
                crowd.send(editor, |prefix| dialect::update(prefix, &(self.update)(client, clock)));
            }
            self.turn(crowd, self.schedule.next().min(end))?;
        }
        Ok(())
    }

    /// Reads until all but `never` deliveries have come, or none has for `patience`; returns how long the last one took.
    pub(super) fn drain(
        &mut self,
        crowd: &mut Crowd,
        patience: Duration,
        never: u64,
    ) -> anyhow::Result<Duration> {
        let start = Instant::now();
        let (mut last, mut delivered) = (start, self.ledger.delivered());
        while self.ledger.missing() > never && last.elapsed() < patience && start.elapsed() < limits::DRAIN {
            self.turn(crowd, (last + patience).min(Instant::now() + WATCH_INTERVAL))?;
            if self.ledger.delivered() > delivered {
                (last, delivered) = (Instant::now(), self.ledger.delivered());
            }
        }
        Ok(last - start)
    }

    /// Reads messages until `until` at the latest.
    pub(super) fn turn(&mut self, crowd: &mut Crowd, until: Instant) -> anyhow::Result<()> {
        let ledger = &mut self.ledger;
        let mut unreadable = None;
        crowd.turn(until, |editor, at, message| match message {
            Incoming::Step2(update) | Incoming::Update(update) => {
                unreadable = ledger.receive(editor, at, update).err().or(unreadable.take());
            }
            Incoming::Confirmed(clock) => {
                ledger.confirm(editor, clock.try_into().map_or(0, Clock::from_be_bytes));
            }
            _ => {}
        })?;
        if let Some(error) = unreadable {
            anyhow::bail!("the server sent a malformed update: {error}");
        }
        self.watch_memory()
    }

    fn watch_memory(&mut self) -> anyhow::Result<()> {
        if let Some(process) = self.process
            && self.watched.elapsed() > WATCH_INTERVAL
        {
            self.watched = Instant::now();
            let resident = process.resident()?;
            anyhow::ensure!(
                resident < limits::SERVER_MEMORY_BYTES,
                "stopped: over {} GB resident",
                limits::SERVER_MEMORY_BYTES >> 30
            );
        }
        Ok(())
    }
}
