//! Where things are drawn: lanes side by side, time downwards.
//!
//! Time is not to scale: each moment has the room that it needs, and a longer pause is only a little higher than a short one.

use super::super::moments::{Moment, What, moments};
use crate::outcome::{Mark, MarkKind, Timeline};
use crate::scenario::{Event, Fault, Scenario};

/// Where the first lane is, in pixels.
const LEFT: f64 = 150.0;
/// From lane to lane.
const LANE: f64 = 146.0;
/// From the last lane to the words beside it.
const WORDS: f64 = 84.0;
/// The width of the words.
const WORDS_WIDTH: f64 = 430.0;
/// The height of a mark.
const MARK: f64 = 22.0;
/// From one message to the next that leaves or reaches the same lane at the same time.
const MESSAGE: f64 = 11.0;
/// Between two times, at least.
const PAUSE: f64 = 8.0;
const TOP: f64 = 16.0;

/// Places on the drawing.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) width: f64,
    pub(super) height: f64,
    /// Where the words beside the lanes begin.
    pub(super) words: f64,
    /// For each lane its place from the left.
    pub(super) lanes: Vec<f64>,
    /// For each message where it leaves and where it arrives.
    pub(super) messages: Vec<(f64, Option<f64>)>,
    /// For each mark its place, and the step that it stands for.
    pub(super) marks: Vec<(f64, Option<usize>)>,
    /// Times that are written beside the lanes, with their place.
    pub(super) times: Vec<(f64, u64)>,
    /// Parts of lanes that are not as they should be.
    pub(super) disturbances: Vec<Disturbance>,
}

/// A part of a lane.
#[derive(Debug)]
pub(super) struct Disturbance {
    pub(super) lane: usize,
    pub(super) from: f64,
    pub(super) to: f64,
    /// It is connected, but does not read.
    pub(super) stalled: bool,
}

impl Layout {
    pub(super) fn of(scenario: &Scenario, timeline: &Timeline) -> Self {
        let (lanes, words) = lanes(scenario.replicas.len());
        let mut layout = Self {
            width: words + WORDS_WIDTH,
            height: TOP,
            words,
            lanes,
            messages: vec![(0.0, None); timeline.messages.len()],
            marks: vec![(0.0, None); timeline.marks.len()],
            times: Vec::new(),
            disturbances: Vec::new(),
        };
        let moments = moments(scenario, timeline);
        let mut before = 0;
        for moments in moments.chunk_by(|one, other| one.time == other.time) {
            let time = moments[0].time;
            layout.height += pause(time - before);
            layout.tell(time, moments);
            layout.place(timeline, moments);
            before = time;
        }
        layout.height += 2.0 * PAUSE;
        layout.disturb(scenario, timeline);
        layout
    }

    /// Writes the time if there is a mark, or if no time was written for a while.
    fn tell(&mut self, time: u64, moments: &[Moment]) {
        let told = self.times.last().map_or(f64::NEG_INFINITY, |(place, _)| *place);
        let marked = moments.iter().any(|moment| matches!(moment.what, What::Mark(..)));
        if self.height - told > if marked { 14.0 } else { 60.0 } {
            self.times.push((self.height, time));
        }
    }

    /// Places what happens at one time, from the present height on.
    fn place(&mut self, timeline: &Timeline, moments: &[Moment]) {
        // How many messages each pair of lanes has had at this height: others may start from the same place.
        let mut taken: Vec<((usize, usize), f64)> = Vec::new();
        let mut low = self.height;
        // The step and the place of the mark before.
        let mut last_mark = None;
        for moment in moments {
            let (What::Arrived(index) | What::Sent(index)) = moment.what else {
                let What::Mark(index, step) = moment.what else { continue };
                self.marks[index] = match last_mark {
                    Some((last, place)) if step.is_some() && step == last => (place, step),
                    _ => {
                        low = low.max(self.height) + MARK / 2.0;
                        self.height = low + MARK / 2.0;
                        (low, step)
                    }
                };
                last_mark = Some((step, self.marks[index].0));
                taken.clear();
                continue;
            };
            let message = &timeline.messages[index];
            let pair = (message.from, message.to);
            let place = match taken.iter_mut().find(|(other, _)| *other == pair) {
                Some((_, place)) => {
                    *place += MESSAGE;
                    *place
                }
                None => {
                    taken.push((pair, self.height));
                    self.height
                }
            };
            match moment.what {
                What::Arrived(_) => self.messages[index].1 = Some(place),
                _ => self.messages[index].0 = place,
            }
            low = low.max(place);
        }
        self.height = self.height.max(low);
    }

    /// Finds out when replicas were not connected or did not read. A heal ends all of that.
    fn disturb(&mut self, scenario: &Scenario, timeline: &Timeline) {
        let replicas = scenario.replicas.len();
        let mut open: Vec<Disturbance> = Vec::new();
        for (mark, (place, step)) in timeline.marks.iter().zip(self.marks.clone()) {
            let event = step.map(|step| &scenario.steps[step].event);
            let is_over = |disturbance: &Disturbance| ends(event, disturbance, replicas);
            for mut over in open.extract_if(.., |disturbance| is_over(disturbance)) {
                over.to = place;
                self.disturbances.push(over);
            }
            if let Some(stalled) = begins(event)
                && !open.iter().any(|other| other.lane == mark.lane)
            {
                open.push(Disturbance { lane: mark.lane, from: place, to: self.height, stalled });
            }
        }
        self.disturbances.extend(open);
    }
}

/// Whether the event disturbs the lanes on which it is marked; with `true`, they only do not read.
fn begins(event: Option<&Event>) -> Option<bool> {
    match event? {
        Event::Fault(Fault::Disconnect(_) | Fault::Partition(_)) => Some(false),
        Event::Fault(Fault::Stall(_)) => Some(true),
        _ => None,
    }
}

fn ends(event: Option<&Event>, disturbance: &Disturbance, replicas: usize) -> bool {
    let concerns = |replica: &usize| replica % replicas + 1 == disturbance.lane;
    match event {
        Some(Event::Heal | Event::Fault(Fault::Rejoin | Fault::Crash(_) | Fault::Evict)) => true,
        Some(Event::Fault(Fault::Connect(replica) | Fault::Restore(replica, _))) => {
            concerns(replica) && !disturbance.stalled
        }
        Some(Event::Fault(Fault::Resume(replica))) => concerns(replica) && disturbance.stalled,
        _ => false,
    }
}

/// The server in the middle, so that messages cross few lanes; and where the words begin.
fn lanes(replicas: usize) -> (Vec<f64>, f64) {
    let at = |column: usize| LEFT + LANE * column as f64;
    let middle = replicas.div_ceil(2);
    let replica = |replica| at(if replica < middle { replica } else { replica + 1 });
    let lanes = std::iter::once(at(middle)).chain((0..replicas).map(replica)).collect();
    (lanes, at(replicas) + WORDS)
}

/// Ten times the time is a little more room.
fn pause(micros: u64) -> f64 {
    PAUSE + 5.0 * (1.0 + micros as f64 / 1_000.0).log10()
}

/// Whether a mark is a cursor's.
pub(super) fn is_cursor(mark: &Mark) -> bool {
    mark.kind == MarkKind::Edit && mark.label.starts_with("cursor")
}
