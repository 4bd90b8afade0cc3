//! Lets messages gather before the runtime takes them, as a network card does with interrupts: on one core that is woken again
//! and again after a moment only, waking up costs more than what there is to do.
//!
//! Where there are several cores, nothing is done: while one of them waits, the others can work.

use std::cell::Cell;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;

/// How long messages gather.
const PAUSE: Duration = Duration::from_micros(500);

/// They gather while the runtime usually waits less than this for the next.
const SHORT: Duration = Duration::from_micros(300);

/// What counts of a long wait: so much that one is enough to end the gathering.
const LONG: Duration = Duration::from_millis(10);

/// How many waits make what is usual.
const WAITS: u32 = 8;

/// Sets a runtime up.
pub(crate) fn moderate(runtime: &mut Builder) {
    if thread::available_parallelism().is_ok_and(|cores| cores.get() == 1) {
        runtime.on_thread_park(before_wait).on_thread_unpark(after_wait);
    }
}

/// How long the runtime has waited for something to do of late, on average.
#[derive(Debug, Copy, Clone)]
struct UsualWait(Duration);

impl UsualWait {
    fn and(self, wait: Duration) -> UsualWait {
        UsualWait((self.0 * (WAITS - 1) + wait.min(LONG)) / WAITS)
    }

    fn is_short(self) -> bool {
        self.0 < SHORT
    }
}

thread_local! {
    static USUAL_WAIT: Cell<UsualWait> = const { Cell::new(UsualWait(LONG)) };
    static WAITING_SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
}

fn before_wait() {
    if USUAL_WAIT.get().is_short() {
        thread::sleep(PAUSE);
    }
    WAITING_SINCE.set(Some(Instant::now()));
}

fn after_wait() {
    if let Some(since) = WAITING_SINCE.take() {
        USUAL_WAIT.set(USUAL_WAIT.get().and(since.elapsed()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_many_short_waits_begin_the_gathering_and_a_long_one_ends_it() {
        let (short, long) = (Duration::from_micros(100), Duration::from_secs(1));
        let mut usual = UsualWait(LONG);
        for _ in 0..WAITS {
            usual = usual.and(short);
            assert!(!usual.is_short());
        }
        for _ in 0..100 {
            usual = usual.and(short);
        }
        assert!(usual.is_short());
        assert!(!usual.and(long).is_short());
    }
}
