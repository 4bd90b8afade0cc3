//! The transcript of a run: its coverage and its timeline.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use super::label;
use crate::outcome::{Coverage, Failure, Mark, MarkKind, Message, Outcome, Timeline};
use crate::scenario::{Dialect, Event, Fault};

/// The transcript of a run.
pub(super) struct Transcript {
    timeline: Option<Timeline>,
    coverage: Coverage,
    /// Kinds of faults, and of changes of access, since the last heal.
    faults: BTreeSet<&'static str>,
    now: Duration,
}

impl Transcript {
    pub(super) fn new(timeline: bool) -> Self {
        Self {
            timeline: timeline.then(Timeline::default),
            coverage: Coverage::default(),
            faults: BTreeSet::new(),
            now: Duration::ZERO,
        }
    }

    /// A step is carried out.
    pub(super) fn event(&mut self, event: &Event, now: Duration, replicas: usize) {
        self.now = now;
        let kind = event.kind();
        self.coverage.edits += usize::from(matches!(event, Event::Edit { .. }));
        if self.faults.is_empty() {
            self.coverage.pairs.insert((kind, "no fault"));
        }
        self.coverage.pairs.extend(self.faults.iter().map(|fault| (kind, *fault)));
        if let Event::Access { .. } | Event::Fault(_) = event {
            self.faults.insert(kind);
        }
        let lanes = match event {
            Event::Edit { replica, .. }
            | Event::Cursor { replica, .. }
            | Event::Gather { replica, .. }
            | Event::Ask { replica, .. }
            | Event::Access { replica, .. } => vec![replica % replicas + 1],
            Event::Heal => vec![0],
            Event::Fault(fault) => lanes(fault, replicas),
        };
        let mark = match event {
            Event::Edit { .. } | Event::Cursor { .. } | Event::Gather { .. } | Event::Ask { .. } => {
                MarkKind::Edit
            }
            Event::Heal => MarkKind::Heal,
            Event::Access { .. } | Event::Fault(_) => MarkKind::Fault,
        };
        if let Some(timeline) = &mut self.timeline {
            let time = micros(now);
            timeline.marks.extend(lanes.into_iter().map(|lane| Mark {
                time,
                lane,
                kind: mark,
                label: kind.to_owned(),
            }));
        }
    }

    /// A heal has found everything in order.
    pub(super) fn healed(&mut self) {
        self.faults.clear();
    }

    /// A message is sent in this dialect, from the server or to it: gives its number.
    pub(super) fn sent(
        &mut self,
        from: usize,
        to: usize,
        (frame, dialect): (&Bytes, Dialect),
        now: Duration,
    ) -> usize {
        self.now = self.now.max(now);
        let Some(timeline) = &mut self.timeline else { return 0 };
        let label = if from == 0 { label::of_server } else { label::of_editor };
        timeline.messages.push(Message {
            from,
            to,
            sent: micros(now),
            arrived: None,
            label: label(frame, dialect),
            bytes: frame.len(),
        });
        timeline.messages.len() - 1
    }

    /// A message has arrived.
    pub(super) fn arrived(&mut self, message: usize, now: Duration) {
        self.now = self.now.max(now);
        if let Some(timeline) = &mut self.timeline {
            timeline.messages[message].arrived = Some(micros(now));
        }
    }

    /// The run has ended.
    pub(super) fn finish(self, failure: Option<Failure>) -> Outcome {
        let mut timeline = self.timeline.unwrap_or_default();
        if let Some(failure) = &failure {
            let (time, label) = (micros(self.now), failure.to_string());
            timeline.marks.push(Mark { time, lane: 0, kind: MarkKind::Failure, label });
        }
        Outcome { failure, coverage: self.coverage, timeline }
    }
}

/// On which lanes a fault is drawn.
fn lanes(fault: &Fault, replicas: usize) -> Vec<usize> {
    match fault {
        Fault::Disconnect(replica)
        | Fault::Connect(replica)
        | Fault::Delay(replica, _)
        | Fault::Stall(replica)
        | Fault::Resume(replica)
        | Fault::Duplicate(replica, _)
        | Fault::Overtake(_, replica)
        | Fault::Lose(replica)
        | Fault::Restore(replica, _) => vec![replica % replicas + 1],
        Fault::Partition(cut) => cut.iter().map(|replica| replica % replicas + 1).collect(),
        Fault::Rejoin | Fault::Crash(_) | Fault::Checkpoint | Fault::Evict | Fault::Full(_) => vec![0],
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
