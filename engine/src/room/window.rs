//! How long a room lets updates gather before it flushes them. Not at all while there is time to spare: then latency is all
//! that counts. The busier the process is, or the more it would cost to send each update of this room by itself, the longer,
//! up to a frame of a screen: what many people type meanwhile goes out as one update.

use std::ops::Range;
use std::time::Duration;

use crate::limits::FLUSH_WINDOW;

/// How busy the process is while the time between flushes grows from nothing to the longest.
const LOAD: Range<f32> = 0.25..0.75;

/// The same for what one room needs of a processor, if each update goes by itself.
const DEMAND: Range<f32> = 0.3..2.0;

/// Over so long a room's demand is measured.
const MEASURED: Duration = Duration::from_millis(50);

/// What a flush counts beside those before it, in what one costs.
const WEIGHT: f32 = 0.125;

/// What the time between two flushes follows.
#[derive(Debug, Default)]
pub(super) struct FlushWindow {
    /// How busy the process is, as a share of all its processors.
    load: f32,
    /// How much of one processor the fan-out would take, were each update sent by itself, when that was last measured.
    demand: f32,
    /// What a flush costs, in seconds of one processor.
    flush_cost: f32,
    /// Updates that have come since the last measurement.
    updates: u32,
    measured: Duration,
}

impl FlushWindow {
    /// How busy the process is: 0 where nothing is done, 1 where all its processors are.
    pub(super) fn set_load(&mut self, load: f32) {
        self.load = load;
    }

    /// An update has come that is to be sent.
    pub(super) fn note_update(&mut self) {
        self.updates = self.updates.saturating_add(1);
    }

    /// A flush has cost so much of one processor.
    pub(super) fn spend(&mut self, cost: Duration, now: Duration) {
        self.flush_cost += (cost.as_secs_f32() - self.flush_cost) * WEIGHT;
        let time = now.saturating_sub(self.measured);
        if time >= MEASURED {
            self.demand = self.updates as f32 / time.as_secs_f32() * self.flush_cost;
            (self.updates, self.measured) = (0, now);
        }
    }

    /// How long after a flush the next one may come.
    pub(super) fn length(&self) -> Duration {
        let busy = place(self.load, LOAD).max(place(self.demand, DEMAND));
        // Of a float's rounding there may be a nanosecond more.
        FLUSH_WINDOW.mul_f32(busy).min(FLUSH_WINDOW)
    }
}

/// Where a value is between two others: 0 to 1.
fn place(value: f32, Range { start, end }: Range<f32>) -> f32 {
    ((value - start) / (end - start)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A room in which so many updates come in a second, each flush of which costs so many milliseconds.
    fn room(updates: u32, cost: u64) -> FlushWindow {
        let mut window = FlushWindow::default();
        for second in 1..=60 {
            (0..updates).for_each(|_| window.note_update());
            window.spend(Duration::from_millis(cost), Duration::from_secs(second));
        }
        window
    }

    #[test]
    fn with_time_to_spare_nothing_waits() {
        assert_eq!(FlushWindow::default().length(), Duration::ZERO);
        let mut window = room(10, 5);
        window.set_load(0.2);
        assert_eq!(window.length(), Duration::ZERO);
    }

    #[test]
    fn in_a_busy_process_updates_gather() {
        let mut window = room(1, 1);
        for (load, millis) in [(0.3, 1), (0.5, 7), (1.0, 15), (f32::INFINITY, 15)] {
            window.set_load(load);
            let length = window.length();
            assert!(length > Duration::from_millis(millis) && length <= FLUSH_WINDOW, "{length:?}");
            window.set_load(0.0);
            assert_eq!(window.length(), Duration::ZERO, "it is quiet again");
        }
    }

    #[test]
    fn one_room_that_costs_much_lets_them_gather_by_itself() {
        let (some, many) = (room(500, 1), room(8_000, 1));
        assert!(some.length() > Duration::from_millis(1) && some.length() < Duration::from_millis(4));
        assert_eq!(many.length(), FLUSH_WINDOW);
    }
}
