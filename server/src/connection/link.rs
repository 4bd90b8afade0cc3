//! How fast the way to a peer is: measured from end to end, with whatever proxies are in between, by some bytes that say
//! nothing, and the time until the ping behind them is answered.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};
use tracing::warn;

use crate::limits::{
    BUSY_BYTES, CLIENT_PATIENCE, FAST_PROBE, PIECE_BYTES, PIECE_GROWTH, PIECE_TIME, PIECE_TIME_AMONG_OTHERS,
    PONG_WINDOW, PONG_WINDOWS, PROBE_BYTES, SPEED_HOLDS, WHOLE_TIME, WHOLE_TIME_AMONG_OTHERS,
};

/// Bytes a second, at least one.
#[derive(Clone, Copy)]
struct Rate(u64);

impl Rate {
    fn of(bytes: usize, took: Duration) -> Rate {
        let rate = bytes as u128 * 1_000_000_000 / took.as_nanos().max(1);
        Rate(u64::try_from(rate).unwrap_or(u64::MAX).max(1))
    }

    /// What so many bytes take.
    fn time_for(self, bytes: usize) -> Duration {
        Duration::from_millis((bytes as u64).saturating_mul(1000) / self.0)
    }

    /// What comes in so many seconds.
    fn within(self, time: Duration) -> usize {
        usize::try_from(self.0.saturating_mul(time.as_secs())).unwrap_or(usize::MAX)
    }
}

/// What is sent in a second, and what that is on the wire, where it may be compressed.
#[derive(Clone, Copy)]
struct Speed {
    plain: Rate,
    wire: Rate,
    since: Instant,
}

/// How a large message is to go.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(super) enum Plan {
    /// As it is.
    Whole,
    /// In pieces.
    Pieces,
    /// As is known after a probe of so many bytes.
    Probe(usize),
}

/// What is known of the way to the peer.
#[derive(Default)]
pub(super) struct Link {
    speed: Option<Speed>,
    measuring: Option<Box<Measuring>>,
    /// How many probes have been sent for the next large message.
    probes: usize,
    /// Several documents share it.
    is_shared: bool,
    /// Whether the peer has ever answered a ping, as it must.
    answers: bool,
    /// It was said that something is too large for it.
    warned: bool,
}

/// Bytes that are on their way.
struct Measuring {
    plain: usize,
    /// What was ever written when they began, and then what they are on the wire.
    wire: u64,
    since: Instant,
    /// The number of the ping behind them, once it was sent.
    ping: Option<u64>,
    /// When this window ends, and how many have.
    window: Pin<Box<Sleep>>,
    windows: u32,
    /// What the peer has sent in this window.
    heard: usize,
}

impl Measuring {
    fn speed(&self, now: Instant) -> Speed {
        let took = now - self.since;
        let wire = usize::try_from(self.wire).unwrap_or(usize::MAX);
        Speed { plain: Rate::of(self.plain, took), wire: Rate::of(wire, took), since: now }
    }
}

impl Link {
    /// Says whether several documents share it.
    pub(super) fn share(&mut self, is_shared: bool) {
        self.is_shared = is_shared;
    }

    /// All that was given to be written has been. Whether a ping is to follow it: see [`Self::note_ping`].
    pub(super) fn wants_ping(&self) -> bool {
        self.measuring.as_ref().is_some_and(|measuring| measuring.ping.is_none())
    }

    /// The ping that is wanted was sent, when so many bytes had ever been written to the socket.
    pub(super) fn note_ping(&mut self, number: u64, written: u64) {
        if let Some(measuring) = &mut self.measuring {
            measuring.ping = Some(number);
            measuring.wire = written.saturating_sub(measuring.wire).max(1);
        }
    }

    /// A ping was answered. Whether there is something to send now.
    pub(super) fn note_pong(&mut self, number: u64, now: Instant) -> bool {
        self.answers = true;
        let is_last = |measuring: &mut Box<Measuring>| measuring.ping.is_some_and(|ping| ping <= number);
        let measured = self.measuring.take_if(is_last);
        measured.map(|measured| self.speed = Some(measured.speed(now))).is_some()
    }

    /// So many bytes have come from the peer.
    pub(super) fn note_heard(&mut self, bytes: usize) {
        if let Some(measuring) = &mut self.measuring {
            measuring.heard += bytes;
        }
    }

    /// So many bytes are on their way from now on, at the end of all that was ever written.
    pub(super) fn measure(&mut self, plain: usize, now: Instant, written: u64) {
        let window = Box::pin(sleep_until(now + PONG_WINDOW));
        let measuring =
            Measuring { plain, wire: written, since: now, ping: None, window, windows: 0, heard: 0 };
        self.measuring = Some(Box::new(measuring));
    }

    /// Waits until what is on its way has arrived, or nothing is to be gained by that.
    pub(super) fn poll_measured(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(measuring) = &mut self.measuring {
            ready!(measuring.window.as_mut().poll(cx));
            let now = Instant::now();
            measuring.window.as_mut().reset(now + PONG_WINDOW);
            measuring.windows += 1;
            let is_busy = mem::take(&mut measuring.heard) >= BUSY_BYTES;
            let speed = measuring.speed(now);
            if is_busy || measuring.windows == PONG_WINDOWS {
                // As fast as it was before, or at least so fast.
                self.speed = Some(Speed { since: now, ..self.speed.unwrap_or(speed) });
                self.measuring = None;
            } else if !self.answers {
                let rate = Rate(u64::MAX);
                self.speed = Some(Speed { plain: rate, wire: rate, since: now });
                self.measuring = None;
            }
        }
        Poll::Ready(())
    }

    /// How a message of so many bytes is to go. A probe is on its way from now on.
    pub(super) fn plan(&mut self, bytes: usize, now: Instant, written: u64) -> Plan {
        if let Some(speed) = self.speed.filter(|speed| now - speed.since < SPEED_HOLDS) {
            let whole = if self.is_shared { WHOLE_TIME_AMONG_OTHERS } else { WHOLE_TIME };
            // What comes next may not compress as well as what came before.
            let is_enough =
                speed.plain.time_for(bytes) <= whole && speed.wire.time_for(bytes) <= CLIENT_PATIENCE;
            if is_enough || !self.may_be_faster(speed) {
                self.probes = 0;
                return if is_enough { Plan::Whole } else { Plan::Pieces };
            }
        }
        let which = self.probes.min(PROBE_BYTES.len() - 1);
        self.probes = which + 1;
        // What was measured long ago says nothing.
        self.speed = None;
        self.measure(PROBE_BYTES[which], now, written);
        Plan::Probe(PROBE_BYTES[which])
    }

    /// Whether a larger probe may show a higher rate.
    fn may_be_faster(&self, speed: Speed) -> bool {
        (1..PROBE_BYTES.len()).contains(&self.probes)
            && speed.plain.time_for(PROBE_BYTES[self.probes - 1]) < FAST_PROBE
    }

    /// What a piece may have that follows one of so many bytes, or is the first.
    pub(super) fn piece_bytes(&self, last: Option<usize>) -> usize {
        let piece = if self.is_shared { PIECE_TIME_AMONG_OTHERS } else { PIECE_TIME };
        let bytes = self.speed.map_or(PIECE_BYTES.0, |speed| {
            speed
                .plain
                .within(piece)
                .min(speed.wire.within(CLIENT_PATIENCE))
                .clamp(PIECE_BYTES.0, PIECE_BYTES.1)
        });
        bytes.min(last.map_or(usize::MAX, |last| last * PIECE_GROWTH))
    }

    /// What cannot be cut, or has to become visible at once, may be too large for the link.
    pub(super) fn warn_if_too_large(&mut self, bytes: usize) {
        let Some(Speed { plain, .. }) = self.speed else { return };
        let takes = plain.time_for(bytes);
        if takes > CLIENT_PATIENCE && !mem::replace(&mut self.warned, true) {
            warn!(
                bytes,
                bytes_per_second = plain.0,
                "what a document has in one piece is too large for the link of a peer: it will take {} s, and clients give up \
                 after 30 s",
                takes.as_secs()
            );
        }
    }
}
