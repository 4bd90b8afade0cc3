//! How fast the way to a peer is, measured from end to end, with all proxies in between: by bytes that say nothing, or by a
//! piece of a message, and the time until the ping behind them is answered.

use std::mem;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use coscribe_engine::dialect::y_websocket::padded_keep_alive;
use coscribe_websocket::{Outgoing, Payload};
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::warn;

use crate::limits::{
    BUSY_BYTES, CLIENT_PATIENCE, FAST_PROBE, PIECE_BYTES, PIECE_GROWTH, PIECE_TIME, PONG_WINDOW,
    PONG_WINDOWS, PROBE_BYTES, SPEED_HOLDS, WHOLE_TIME,
};

static PROBE_MESSAGES: LazyLock<[Outgoing; PROBE_BYTES.len()]> =
    LazyLock::new(|| PROBE_BYTES.map(|bytes| Outgoing::new(padded_keep_alive(bytes).into())));

/// The way to a peer, as far as it is known.
#[derive(Default)]
pub(super) struct Link {
    speed: Option<Speed>,
    measuring: Option<Box<Measuring>>,
    /// How many probes have been sent for the next message.
    probes: usize,
    /// The size that the last piece of it was to have, if there was one.
    last_piece: Option<usize>,
    /// Whether the peer has ever answered a ping, as it must.
    answers: bool,
    /// The log has said that something is too large for it.
    warned: bool,
}

/// How a large message is sent.
pub(super) enum Way {
    /// As it is.
    Whole,
    /// In pieces, since it would take too long.
    InPieces,
    /// That is not known before this has been sent.
    AfterProbe(Payload),
}

/// Bytes a second, at least one.
#[derive(Clone, Copy)]
struct Rate(u64);

impl Rate {
    fn of(bytes: usize, took: Duration) -> Rate {
        let rate = bytes as u128 * 1_000_000_000 / took.as_nanos().max(1);
        Rate(u64::try_from(rate).unwrap_or(u64::MAX).max(1))
    }

    /// How long so many bytes take.
    fn time_for(self, bytes: usize) -> Duration {
        Duration::from_millis((bytes as u64).saturating_mul(1000) / self.0)
    }

    /// How many bytes come in this time.
    fn within(self, time: Duration) -> usize {
        usize::try_from(self.0.saturating_mul(time.as_secs())).unwrap_or(usize::MAX)
    }
}

/// How fast the way to the peer is, before compression and on the wire.
#[derive(Clone, Copy)]
struct Speed {
    plain: Rate,
    wire: Rate,
    since: Instant,
}

impl Speed {
    /// Whether a message goes as it is. It may not compress as well as the bytes that were measured.
    fn is_enough_for(self, bytes: usize) -> bool {
        self.plain.time_for(bytes) <= WHOLE_TIME && self.wire.time_for(bytes) <= CLIENT_PATIENCE
    }

    /// The size of a piece.
    fn piece_bytes(self) -> usize {
        let most = self.wire.within(CLIENT_PATIENCE);
        self.plain.within(PIECE_TIME).min(most).clamp(PIECE_BYTES.0, PIECE_BYTES.1)
    }
}

/// Bytes that are on their way.
struct Measuring {
    plain: usize,
    /// Until the ping is sent, how many bytes had ever been written before them; then their number on the wire.
    wire: u64,
    since: Instant,
    /// The number of the ping behind them, once it was sent.
    ping: Option<u64>,
    /// When this window ends, and how many have.
    window: Pin<Box<Sleep>>,
    windows: u32,
    /// Bytes that the peer has sent in this window.
    heard: usize,
}

impl Link {
    /// How the next message, of so many bytes, is to be sent. The socket has ever taken `written` bytes, all that came before
    /// the message among them.
    pub(super) fn way_for(&mut self, bytes: usize, now: Instant, written: u64) -> Way {
        let way = match self.speed.filter(|speed| now - speed.since < SPEED_HOLDS) {
            Some(speed) if speed.is_enough_for(bytes) => Way::Whole,
            Some(speed) if !self.may_be_faster(speed) => {
                self.last_piece = None;
                Way::InPieces
            }
            _ => return Way::AfterProbe(self.probe(now, written)),
        };
        self.probes = 0;
        way
    }

    /// Whether a ping is to follow the bytes that are measured.
    pub(super) fn wants_ping(&self) -> bool {
        self.measuring.as_ref().is_some_and(|measuring| measuring.ping.is_none())
    }

    /// Whether such a ping was sent and not answered.
    pub(super) fn awaits_pong(&self) -> bool {
        self.measuring.as_ref().is_some_and(|measuring| measuring.ping.is_some())
    }

    /// The ping that is wanted was sent, when so many bytes had ever been written to the socket.
    pub(super) fn note_ping(&mut self, number: u64, written: u64) {
        if let Some(measuring) = &mut self.measuring {
            measuring.ping = Some(number);
            measuring.wire = written.saturating_sub(measuring.wire).max(1);
        }
    }

    /// A ping was answered. Says whether that ends a measurement.
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

    /// So many bytes are on their way from now on.
    pub(super) fn measure(&mut self, plain: usize, now: Instant, written: u64) {
        let window = Box::pin(sleep_until(now + PONG_WINDOW));
        let measuring =
            Measuring { plain, wire: written, since: now, ping: None, window, windows: 0, heard: 0 };
        self.measuring = Some(Box::new(measuring));
    }

    /// Waits until the measured bytes have arrived, or there is no use in waiting.
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

    /// The next probe, which is on its way from now on.
    fn probe(&mut self, now: Instant, written: u64) -> Payload {
        let which = self.probes.min(PROBE_BYTES.len() - 1);
        self.probes = which + 1;
        // An old measurement says nothing.
        self.speed = None;
        self.measure(PROBE_BYTES[which], now, written);
        PROBE_MESSAGES[which].payload(None)
    }

    /// Whether a larger probe may show a higher rate.
    fn may_be_faster(&self, speed: Speed) -> bool {
        (1..PROBE_BYTES.len()).contains(&self.probes)
            && speed.plain.time_for(PROBE_BYTES[self.probes - 1]) < FAST_PROBE
    }

    /// The size of the next piece.
    pub(super) fn next_piece_bytes(&mut self) -> usize {
        let most = self.last_piece.map_or(usize::MAX, |last| last * PIECE_GROWTH);
        let bytes = self.speed.map_or(PIECE_BYTES.0, Speed::piece_bytes).min(most);
        self.last_piece = Some(bytes);
        bytes
    }

    /// Warns once where a piece is too large for the link: a part that cannot be cut, or has to become visible at once.
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

impl Measuring {
    fn speed(&self, now: Instant) -> Speed {
        let took = now - self.since;
        let wire = usize::try_from(self.wire).unwrap_or(usize::MAX);
        Speed { plain: Rate::of(self.plain, took), wire: Rate::of(wire, took), since: now }
    }
}
