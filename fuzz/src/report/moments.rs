//! The moments of a run, one after the other.

use crate::outcome::{MarkKind, Timeline};
use crate::scenario::{Event, Fault, Scenario};

/// One thing that happened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// When, in simulated microseconds.
    pub(super) time: u64,
    pub(super) what: What,
}

/// The event, by its index in the timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// A message was taken in.
    Arrived(usize),
    /// A mark, and the step that it stands for.
    Mark(usize, Option<usize>),
    /// A message was sent.
    Sent(usize),
}

/// All moments. At one time, arrivals come first; then the first messages of connections; then marks; then the messages that
/// follow from them.
pub(super) fn moments(scenario: &Scenario, timeline: &Timeline) -> Vec<Moment> {
    let mut moments: Vec<(u64, u8, What)> = Vec::new();
    for (index, message) in timeline.messages.iter().enumerate() {
        moments.extend(message.arrived.map(|arrived| (arrived, 0, What::Arrived(index))));
        let order = if message.label == "SyncStep1" && message.from != 0 { 1 } else { 3 };
        moments.push((message.sent, order, What::Sent(index)));
    }
    let steps = steps_of_marks(scenario, timeline);
    for (index, (mark, step)) in timeline.marks.iter().zip(steps).enumerate() {
        let order = if mark.kind == MarkKind::Failure { 4 } else { 2 };
        moments.push((mark.time, order, What::Mark(index, step)));
    }
    moments.sort_by_key(|(time, order, _)| (*time, *order));
    moments.into_iter().map(|(time, _, what)| Moment { time, what }).collect()
}

/// The step that each mark stands for: marks are in the order of steps, one for each, and of a partition one for each replica
/// that is cut off.
fn steps_of_marks(scenario: &Scenario, timeline: &Timeline) -> Vec<Option<usize>> {
    let mut steps = scenario.steps.iter().enumerate().flat_map(|(number, step)| {
        let marks = match &step.event {
            Event::Fault(Fault::Partition(replicas)) => replicas.len(),
            _ => 1,
        };
        std::iter::repeat_n((number, step.event.kind()), marks)
    });
    let mut in_order = true;
    let mut step = |label: &str| {
        let (number, _) = steps.next().filter(|(_, kind)| in_order && *kind == label).or_else(|| {
            in_order = false;
            None
        })?;
        Some(number)
    };
    let marks = timeline.marks.iter();
    marks.map(|mark| if mark.kind == MarkKind::Failure { None } else { step(&mark.label) }).collect()
}
