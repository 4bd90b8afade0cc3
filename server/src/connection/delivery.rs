//! What one connection still has to be sent, and how: a message that would take too long over a slow link goes in pieces.
//!
//! Clients give a connection up on which no whole message has come for 30 seconds, and begin anew. A message that takes longer
//! than that never arrives: nothing can be sent in between. So before a large message the rate of the link is measured from
//! end to end, with whatever proxies are in between: by some bytes that say nothing, and the time until the ping behind them
//! is answered. Where the message would take too long, it goes in pieces that the client keeps until it has the last one
//! ([`Pieces`]), each as long as the last one shows that it may be.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use coscribe_engine::dialect::y_websocket::padded_keep_alive;
use coscribe_engine::message::Outbound;
use coscribe_engine::update::pieces::{Pieces, UpdatePiece};
use coscribe_websocket::{Outgoing, Payload, WindowBits};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::{error, warn};

use super::frames::{frame, frame_of, pieces};
use crate::rooms::{Queued, Shared};

/// Smaller messages are sent without a look at the link: at 32 kB/s they arrive within 16 seconds.
const LARGE: usize = 512 << 10;

/// A message goes in pieces that would take longer than this: a third of what clients wait.
const WHOLE: Duration = Duration::from_secs(10);

/// How long a piece is to take. With shorter ones, clients merge what they keep more often.
const PIECE: Duration = Duration::from_secs(4);

/// What a piece has at least and at most, whatever the rate.
const PIECE_BYTES: (usize, usize) = (16 << 10, 16 << 20);

/// A piece has at most so many times what the last one had: what is measured over a moment may be wrong.
const GROWTH: usize = 4;

/// What clients wait, with some room for what else is on the link.
const PATIENCE: Duration = Duration::from_secs(25);

/// Bytes that are sent to measure. The first ones find slow links; TCP has not got up to speed by then where the way is
/// long, so others follow where these were there at once.
const PROBES: [usize; 2] = [64 << 10, 256 << 10];

/// Where a probe took less than this, a larger one is worth its bytes.
const AT_ONCE: Duration = Duration::from_millis(300);

/// How long an answer is waited for before a look at what else the peer does. Its pong waits behind all that it sends itself.
const WINDOW: Duration = Duration::from_secs(10);

/// Who sends this much in a window is busy, and not deaf.
const BUSY: usize = 16 << 10;

/// Windows after which nothing is waited for any more.
const WINDOWS: u32 = 6;

/// Within this time the last measurement holds.
const FRESH: Duration = Duration::from_secs(10);

/// Large messages are cut one at a time: whoever has a slow link may ask for a large document again and again.
static CUTTING: Semaphore = Semaphore::const_new(1);

static PROBE_MESSAGES: LazyLock<[Outgoing; 2]> =
    LazyLock::new(|| PROBES.map(|bytes| Outgoing::new(padded_keep_alive(bytes).into())));

type Cutting = Pin<Box<dyn Future<Output = (Option<Pieces>, Option<UpdatePiece>)> + Send>>;

/// The messages that a connection has taken from its outbox. All that is rare is boxed: each connection has one.
#[derive(Default)]
pub(crate) struct Delivery {
    /// What frames may be compressed with, if they may.
    window: Option<WindowBits>,
    /// Messages go in this order.
    queue: VecDeque<Arc<Shared>>,
    link: Link,
    /// What is left of the first of them, where it goes in pieces.
    pieces: Option<Box<Pieces>>,
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

/// How fast the way to the peer is: what is sent, and what that is on the wire, where it may be compressed.
#[derive(Clone, Copy)]
struct Speed {
    plain: Rate,
    wire: Rate,
    since: Instant,
}

impl Speed {
    /// Whether a message goes as it is. What comes next may not compress as well as what came before.
    fn is_enough_for(self, bytes: usize) -> bool {
        self.plain.time_for(bytes) <= WHOLE && self.wire.time_for(bytes) <= PATIENCE
    }

    /// What a piece may have.
    fn piece_bytes(self) -> usize {
        let most = self.wire.within(PATIENCE);
        self.plain.within(PIECE).min(most).clamp(PIECE_BYTES.0, PIECE_BYTES.1)
    }
}

/// What is known of the way to the peer.
#[derive(Default)]
struct Link {
    speed: Option<Speed>,
    measuring: Option<Box<Measuring>>,
    /// How many probes have been sent for the next message.
    probes: usize,
    /// What the last piece of it was to have, if there was one.
    last_piece: Option<usize>,
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

impl Delivery {
    /// Nothing is to be sent yet. What is may be compressed with `window`, if there is one.
    pub(crate) fn new(window: Option<WindowBits>) -> Delivery {
        Delivery { window, ..Delivery::default() }
    }

    /// Takes messages, in order. Gives their frames where all of them can be sent as they are.
    #[must_use]
    pub(crate) fn add(&mut self, messages: VecDeque<Queued>) -> VecDeque<Payload> {
        if self.queue.is_empty() && messages.iter().all(|queued| !is_large(&queued.message)) {
            return messages.iter().map(|queued| self.payload(&queued.message)).collect();
        }
        self.queue.extend(messages.into_iter().map(|queued| queued.message));
        VecDeque::new()
    }

    fn payload(&self, message: &Shared) -> Payload {
        frame(message).payload(self.window)
    }

    /// What was not sent; nothing where a part of a message was, since what follows comes after it.
    pub(crate) fn into_rest(mut self) -> VecDeque<Payload> {
        if self.pieces.is_some() || self.cutting.is_some() {
            self.queue.clear();
        }
        self.queue.iter().map(|message| self.payload(message)).collect()
    }

    /// All that was given to be written has been. Whether a ping is to follow it: see [`Self::note_ping`].
    pub(crate) fn wants_ping(&self) -> bool {
        self.link.measuring.as_ref().is_some_and(|measuring| measuring.ping.is_none())
    }

    /// Whether all that was given has been written, and the next comes later: something else may come now.
    pub(crate) fn is_waiting(&self) -> bool {
        self.cutting.is_some()
            || self.link.measuring.as_ref().is_some_and(|measuring| measuring.ping.is_some())
    }

    /// The ping that is wanted was sent, when so many bytes had ever been written to the socket.
    pub(crate) fn note_ping(&mut self, number: u64, written: u64) {
        if let Some(measuring) = &mut self.link.measuring {
            measuring.ping = Some(number);
            measuring.wire = written.saturating_sub(measuring.wire).max(1);
        }
    }

    /// A ping was answered. Whether there is something to send now.
    pub(crate) fn note_pong(&mut self, number: u64, now: Instant) -> bool {
        self.link.answers = true;
        let is_last = |measuring: &mut Box<Measuring>| measuring.ping.is_some_and(|ping| ping <= number);
        let measured = self.link.measuring.take_if(is_last);
        measured.map(|measured| self.link.speed = Some(measured.speed(now))).is_some()
    }

    /// So many bytes have come from the peer.
    pub(crate) fn note_heard(&mut self, bytes: usize) {
        if let Some(measuring) = &mut self.link.measuring {
            measuring.heard += bytes;
        }
    }

    /// What is to be written next; nothing where all has been given. To be called when all is written that was given before, of
    /// which the socket has ever taken so many bytes.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>, written: u64) -> Poll<VecDeque<Payload>> {
        ready!(self.link.poll_measured(cx));
        if self.pieces.is_some() || self.cutting.is_some() {
            return self.poll_piece(cx, written);
        }
        let small = self.queue.iter().take_while(|message| !is_large(message)).count();
        if small > 0 || self.queue.is_empty() {
            let small: Vec<_> = self.queue.drain(..small).collect();
            return Poll::Ready(small.iter().map(|message| self.payload(message)).collect());
        }
        let message = &self.queue[0];
        let now = Instant::now();
        match self.link.speed.filter(|speed| now - speed.since < FRESH) {
            Some(speed) if speed.is_enough_for(message.message().len()) => self.poll_whole(),
            Some(speed) if !self.link.may_be_faster(speed) => {
                (self.link.probes, self.link.last_piece) = (0, None);
                let message = Arc::clone(message);
                self.cut(move || (pieces(&message), None));
                self.poll_piece(cx, written)
            }
            _ => Poll::Ready([self.link.probe(now, written)].into()),
        }
    }

    fn poll_whole(&mut self) -> Poll<VecDeque<Payload>> {
        self.link.probes = 0;
        let message = self.queue.pop_front();
        Poll::Ready(message.iter().map(|message| self.payload(message)).collect())
    }

    /// Cuts the next piece, elsewhere: the message may have hundreds of megabytes. Whoever is gone has no turn, but one that
    /// has begun ends it.
    fn cut(&mut self, cut: impl FnOnce() -> (Option<Pieces>, Option<UpdatePiece>) + Send + 'static) {
        self.cutting = Some(Box::pin(async move {
            let turn = CUTTING.acquire().await;
            let cut = spawn_blocking(move || {
                let _turn = turn;
                cut()
            });
            cut.await.unwrap_or_else(|error| {
                error!("a message could not be cut, and is sent as it is: {error}");
                (None, None)
            })
        }));
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>, written: u64) -> Poll<VecDeque<Payload>> {
        loop {
            let Some(cutting) = &mut self.cutting else {
                let Some(mut pieces) = self.pieces.take() else { return self.poll_whole() };
                let bytes = self.link.next_piece_bytes();
                self.cut(move || {
                    let piece = pieces.next(bytes);
                    (Some(*pieces), Some(piece))
                });
                continue;
            };
            let (pieces, piece) = ready!(cutting.as_mut().poll(cx));
            (self.cutting, self.pieces) = (None, pieces.map(Box::new));
            let Some(UpdatePiece { update, is_last }) = piece else { continue };
            // With the last one everything is there: it says what the message has said.
            let says_synced = is_last && matches!(self.queue[0].message(), Outbound::Step2(_));
            let piece = if says_synced { Outbound::Step2(update) } else { Outbound::Update(update) };
            self.link.warn_if_too_large(piece.len());
            if is_last {
                self.pieces = None;
                self.queue.pop_front();
            } else {
                self.link.measure(piece.len(), Instant::now(), written);
            }
            return Poll::Ready([frame_of(&piece).payload(self.window)].into());
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

impl Link {
    /// So many bytes are on their way from now on.
    fn measure(&mut self, plain: usize, now: Instant, written: u64) {
        let window = Box::pin(sleep_until(now + WINDOW));
        let measuring =
            Measuring { plain, wire: written, since: now, ping: None, window, windows: 0, heard: 0 };
        self.measuring = Some(Box::new(measuring));
    }

    /// Waits until what is on its way has arrived, or nothing is to be gained by that.
    fn poll_measured(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(measuring) = &mut self.measuring {
            ready!(measuring.window.as_mut().poll(cx));
            let now = Instant::now();
            measuring.window.as_mut().reset(now + WINDOW);
            measuring.windows += 1;
            let is_busy = std::mem::take(&mut measuring.heard) >= BUSY;
            let speed = measuring.speed(now);
            if is_busy || measuring.windows == WINDOWS {
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
        let which = self.probes.min(PROBES.len() - 1);
        self.probes = which + 1;
        // What was measured long ago says nothing.
        self.speed = None;
        self.measure(PROBES[which], now, written);
        PROBE_MESSAGES[which].payload(None)
    }

    /// Whether a larger probe may show a higher rate.
    fn may_be_faster(&self, speed: Speed) -> bool {
        (1..PROBES.len()).contains(&self.probes) && speed.plain.time_for(PROBES[self.probes - 1]) < AT_ONCE
    }

    fn next_piece_bytes(&mut self) -> usize {
        let most = self.last_piece.map_or(usize::MAX, |last| last * GROWTH);
        let bytes = self.speed.map_or(PIECE_BYTES.0, Speed::piece_bytes).min(most);
        self.last_piece = Some(bytes);
        bytes
    }

    /// What cannot be cut, or has to become visible at once, may be too large for the link.
    fn warn_if_too_large(&mut self, bytes: usize) {
        let Some(Speed { plain, .. }) = self.speed else { return };
        let takes = plain.time_for(bytes);
        if takes > PATIENCE && !std::mem::replace(&mut self.warned, true) {
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

fn is_large(message: &Shared) -> bool {
    message.message().len() >= LARGE
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use coscribe_engine::lib0::write_var_buf;
    use coscribe_websocket::Form;

    use super::*;

    /// An update with so much text.
    fn update(bytes: usize) -> Queued {
        let mut update = vec![1, 1, 7, 0, 0x04, 1];
        write_var_buf(&mut update, b"text");
        write_var_buf(&mut update, &vec![b'a'; bytes]);
        update.push(0);
        Queued { message: Shared::new(Outbound::Update(update.into())), is_answer: false }
    }

    fn plain_len(payload: &Payload) -> usize {
        match payload.form() {
            Form::Plain(frame) => frame.len(),
            other => panic!("nothing is compressed here: {other:?}"),
        }
    }

    /// How long its frame is.
    fn frame_len(queued: &Queued) -> usize {
        plain_len(&frame(&queued.message).payload(None))
    }

    /// A connection on which this much has been written.
    #[derive(Default)]
    struct Sent {
        delivery: Delivery,
        written: u64,
        pings: u64,
    }

    impl Sent {
        /// How long the next messages are.
        async fn next(&mut self) -> Vec<usize> {
            if self.delivery.wants_ping() {
                self.pings += 1;
                self.delivery.note_ping(self.pings, self.written);
            }
            let next = poll_fn(|cx| self.delivery.poll_next(cx, self.written)).await;
            self.written += next.iter().map(|message| plain_len(message) as u64).sum::<u64>();
            next.iter().map(plain_len).collect()
        }

        /// What was sent last takes so long.
        async fn arrives_after(&mut self, time: Duration) {
            assert!(self.delivery.wants_ping());
            self.pings += 1;
            self.delivery.note_ping(self.pings, self.written);
            tokio::time::advance(time).await;
            assert!(self.delivery.note_pong(self.pings, Instant::now()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn small_messages_are_given_back_at_once() {
        let mut sent = Sent::default();
        assert_eq!(sent.delivery.add([update(LARGE / 2), update(1)].into()).len(), 2);
        assert!(sent.next().await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn over_a_fast_link_a_message_goes_as_it_is_and_in_order() {
        let mut sent = Sent::default();
        assert!(sent.delivery.add([update(1), update(LARGE), update(2)].into()).is_empty());
        assert!(sent.delivery.add([update(3)].into()).is_empty(), "it comes after what waits");
        let [first, large, second, third] = [1, LARGE, 2, 3].map(|bytes| frame_len(&update(bytes)));
        assert_eq!(sent.next().await, [first]);
        assert!(sent.next().await[0] > PROBES[0]);
        sent.arrives_after(Duration::from_millis(20)).await;
        assert_eq!(sent.next().await, [large]);
        assert_eq!(sent.next().await, [second, third]);
        assert!(sent.next().await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn over_a_slow_link_the_size_of_pieces_follows_it() {
        let mut sent = Sent::default();
        assert!(sent.delivery.add([update(4 << 20), update(1)].into()).is_empty());
        sent.next().await;
        sent.arrives_after(Duration::from_secs(1)).await;
        let mut sizes = Vec::new();
        let last = loop {
            let piece = sent.next().await;
            if !sent.delivery.wants_ping() {
                break piece;
            }
            sizes.push(piece[0]);
            // Twice as fast as it was.
            sent.arrives_after(Duration::from_secs(2)).await;
        };
        let first = PROBES[0] * 4;
        assert!(sizes[0].abs_diff(first) < 20 << 10, "{sizes:?}");
        assert!(sizes[1].abs_diff(2 * first) < 20 << 10, "{sizes:?}");
        assert_eq!(last.len(), 1);
        assert_eq!(sent.next().await, [frame_len(&update(1))]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_answers_gets_the_message_as_it_is_and_who_is_busy_gets_pieces() {
        let large = frame_len(&update(4 << 20));
        for (heard, whole) in [(0, true), (BUSY - 1, true), (BUSY, false)] {
            let mut sent = Sent::default();
            assert!(sent.delivery.add([update(4 << 20)].into()).is_empty());
            sent.next().await;
            sent.delivery.note_heard(heard);
            assert_eq!(sent.next().await == [large], whole, "{heard} bytes heard");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_next_may_not_compress_as_well() {
        let mut sent = Sent::default();
        assert!(sent.delivery.add([update(8 << 20)].into()).is_empty());
        sent.next().await;
        sent.arrives_after(Duration::from_secs(1)).await;
        sent.next().await;
        // A hundredth of it was on the wire.
        sent.written = PROBES[0] as u64 + 2600;
        sent.arrives_after(Duration::from_secs(1)).await;
        let next = sent.next().await[0];
        assert!(next < 2600 * 30, "{next} bytes, though it was only 2,600 a second on the wire");
    }
}
