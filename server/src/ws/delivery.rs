//! What one connection still has to be sent, and how: a message that would take too long over a slow link goes in pieces.
//!
//! Clients give a connection up on which no whole message has come for 30 seconds, and begin anew. A message that takes longer
//! than that never arrives: nothing can be sent in between. So before a large message the rate of the link is measured from
//! end to end, with whatever proxies are in between: by some bytes that say nothing, and the time until the ping behind them
//! is answered. Where the message would take too long, it goes in pieces that the client keeps until it has the last one
//! ([`Pieces`]), each as long as the last one shows that it may be.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use coscribe_engine::protocol::pieces::{PieceFrame, Pieces};
use coscribe_engine::protocol::y_websocket::padded_keep_alive;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::warn;

use super::deflate::{Outgoing, Payload};

/// Smaller messages are sent without a look at the link: at 32 kB/s they arrive within 16 seconds.
const LARGE: usize = 512 << 10;

/// A message goes in pieces that would take longer than this: a third of what clients wait.
const WHOLE: Duration = Duration::from_secs(10);

/// How long a piece is to take. With shorter ones, clients merge what they keep more often.
const PIECE: Duration = Duration::from_secs(4);

/// What a piece has at least and at most, whatever the rate.
const PIECE_BYTES: (usize, usize) = (16 << 10, 16 << 20);

/// What clients wait, with some room for what else is on the link.
const PATIENCE: Duration = Duration::from_secs(25);

/// Bytes that are sent to measure. The first ones find slow links; TCP has not got up to speed by then where the way is
/// long, so others follow where these were there at once.
const PROBES: [usize; 2] = [64 << 10, 256 << 10];

/// Where a probe took less than this, a larger one is worth its bytes.
const AT_ONCE: Duration = Duration::from_millis(300);

/// Whoever has never answered a ping, and not for so long that behind a probe, is sent all as it is.
const UNANSWERED: Duration = Duration::from_secs(10);

/// Within this time the last measurement holds.
const FRESH: Duration = Duration::from_secs(10);

/// Whoever has a slow link may ask for a large document again and again, so only one is cut at a time.
static CUTTING: Semaphore = Semaphore::const_new(1);

static PROBE_MESSAGES: LazyLock<[Outgoing; 2]> =
    LazyLock::new(|| PROBES.map(|bytes| Outgoing::new(padded_keep_alive(bytes).into())));

type Cutting = Pin<Box<dyn Future<Output = (Option<Pieces>, Option<PieceFrame>)> + Send>>;

/// The messages that a connection has taken from its outbox.
#[derive(Default)]
pub(crate) struct Delivery {
    /// They go in this order.
    queue: VecDeque<Payload>,
    link: Link,
    /// What is left of the first of them, where it goes in pieces.
    pieces: Option<Pieces>,
    cutting: Option<Cutting>,
}

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

/// What is known of the way to the peer.
#[derive(Default)]
struct Link {
    /// How fast it is, and since when that is known.
    rate: Option<(Rate, Instant)>,
    measuring: Option<Measuring>,
    /// How many probes have been sent for the next message.
    probes: usize,
    /// Whether the peer has ever answered a ping, as it must.
    answers: bool,
    /// It was said that something is too large for it.
    warned: bool,
}

/// Bytes that are on their way.
struct Measuring {
    bytes: usize,
    since: Instant,
    /// The number of the ping behind them, once it was sent.
    ping: Option<u64>,
    /// When they are given up.
    end: Option<Pin<Box<Sleep>>>,
}

impl Delivery {
    /// Takes messages, in order. Gives them back where all of them can be sent as they are.
    #[must_use]
    pub(crate) fn add(&mut self, messages: VecDeque<Payload>) -> VecDeque<Payload> {
        if self.queue.is_empty() && messages.iter().all(|message| message.plain_len() < LARGE) {
            return messages;
        }
        self.queue.extend(messages);
        VecDeque::new()
    }

    /// Gives all up that was not sent.
    pub(crate) fn into_rest(self) -> VecDeque<Payload> {
        if self.pieces.is_some() || self.cutting.is_some() { VecDeque::new() } else { self.queue }
    }

    /// All that was given to be written has been. Whether a ping is to follow it: see [`Self::note_ping`].
    pub(crate) fn wants_ping(&self) -> bool {
        self.link.measuring.as_ref().is_some_and(|measuring| measuring.ping.is_none())
    }

    /// The ping that is wanted was sent.
    pub(crate) fn note_ping(&mut self, number: u64) {
        if let Some(measuring) = &mut self.link.measuring {
            measuring.ping = Some(number);
        }
    }

    /// A ping was answered. Whether there is something to send now.
    pub(crate) fn note_pong(&mut self, number: u64, now: Instant) -> bool {
        self.link.answers = true;
        let is_last = |measuring: &mut Measuring| measuring.ping.is_some_and(|ping| ping <= number);
        let Some(Measuring { bytes, since, .. }) = self.link.measuring.take_if(is_last) else { return false };
        self.link.rate = Some((Rate::of(bytes, now - since), now));
        true
    }

    /// What is to be written next; nothing where all has been given. To be called when all is written that was given before.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<VecDeque<Payload>> {
        if let Some(measuring) = &mut self.link.measuring {
            let Some(end) = &mut measuring.end else { return Poll::Pending };
            ready!(end.as_mut().poll(cx));
            self.link.measuring = None;
            self.link.rate = Some((Rate(u64::MAX), Instant::now()));
        }
        if self.pieces.is_some() || self.cutting.is_some() {
            return self.poll_piece(cx);
        }
        let small = self.queue.iter().take_while(|message| message.plain_len() < LARGE).count();
        if small > 0 || self.queue.is_empty() {
            return Poll::Ready(self.queue.drain(..small).collect());
        }
        let bytes = self.queue[0].plain_len();
        let now = Instant::now();
        match self.link.rate.filter(|&(_, since)| now - since < FRESH) {
            Some((rate, _)) if rate.time_for(bytes) <= WHOLE => self.poll_whole(),
            Some((rate, _)) if !self.link.may_be_faster(rate) => {
                self.link.probes = 0;
                let frame = self.queue[0].plain().clone();
                self.cut(move || (Pieces::of_frame(&frame), None));
                self.poll_piece(cx)
            }
            _ => Poll::Ready(self.link.probe(now).into_iter().collect()),
        }
    }

    fn poll_whole(&mut self) -> Poll<VecDeque<Payload>> {
        self.link.probes = 0;
        Poll::Ready(self.queue.pop_front().into_iter().collect())
    }

    /// Cuts the next piece, elsewhere: the message may have hundreds of megabytes.
    fn cut(&mut self, cut: impl FnOnce() -> (Option<Pieces>, Option<PieceFrame>) + Send + 'static) {
        self.cutting = Some(Box::pin(async move {
            let _turn = CUTTING.acquire().await;
            spawn_blocking(cut).await.unwrap_or_default()
        }));
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<VecDeque<Payload>> {
        loop {
            let Some(cutting) = &mut self.cutting else {
                let Some(mut pieces) = self.pieces.take() else { return self.poll_whole() };
                let bytes = self.link.piece_bytes();
                self.cut(move || {
                    let piece = pieces.next(bytes);
                    (Some(pieces), Some(piece))
                });
                continue;
            };
            let (pieces, piece) = ready!(cutting.as_mut().poll(cx));
            (self.cutting, self.pieces) = (None, pieces);
            let Some(PieceFrame { frame, is_last }) = piece else { continue };
            let payload = self.queue[0].of_the_same_kind(Outgoing::new(frame));
            self.link.warn_if_too_large(&payload);
            if is_last {
                self.pieces = None;
                self.queue.pop_front();
            } else {
                self.link.measure(payload.plain_len(), Instant::now());
            }
            return Poll::Ready([payload].into());
        }
    }
}

impl Link {
    /// A piece is on its way from now on.
    fn measure(&mut self, bytes: usize, now: Instant) {
        self.measuring = Some(Measuring { bytes, since: now, ping: None, end: None });
    }

    /// The next probe, which is on its way from now on.
    fn probe(&mut self, now: Instant) -> Option<Payload> {
        let which = self.probes.min(PROBES.len() - 1);
        self.probes = which + 1;
        let end = (!self.answers).then(|| Box::pin(sleep_until(now + UNANSWERED)));
        self.measuring = Some(Measuring { bytes: PROBES[which], since: now, ping: None, end });
        Some(PROBE_MESSAGES[which].payload(None, false))
    }

    /// Whether a larger probe may show a higher rate.
    fn may_be_faster(&self, rate: Rate) -> bool {
        (1..PROBES.len()).contains(&self.probes) && rate.time_for(PROBES[self.probes - 1]) < AT_ONCE
    }

    fn piece_bytes(&self) -> usize {
        let bytes = self.rate.map_or(0, |(rate, _)| rate.within(PIECE));
        bytes.clamp(PIECE_BYTES.0, PIECE_BYTES.1)
    }

    /// A single element cannot be cut, and may be too large for the link.
    fn warn_if_too_large(&mut self, piece: &Payload) {
        let Some((rate, _)) = self.rate else { return };
        let takes = rate.time_for(piece.plain_len());
        if takes > PATIENCE && !std::mem::replace(&mut self.warned, true) {
            warn!(
                bytes = piece.plain_len(),
                bytes_per_second = rate.0,
                "an element of the document cannot be cut and is too large for the link of a peer: it will take {} s, and clients \
                 give up after 30 s",
                takes.as_secs()
            );
        }
    }
}
