//! The messages that one connection still has to send: a message that would take too long over a slow link goes in pieces.
//!
//! Clients give up a connection on which no whole message has come for 30 seconds, and begin anew. A message that takes longer
//! than that never arrives: nothing can be sent in between. So before a large message the link is measured ([`Link`]). Where
//! the message would take too long, it goes in pieces that the client keeps until it has the last one ([`Pieces`]). The size
//! of each piece follows the time that the one before it took.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use coscribe_engine::message::Outbound;
use coscribe_engine::pieces::{Pieces, UpdatePiece};
use coscribe_websocket::{Payload, WindowBits};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tracing::error;

use super::frames::{frame, frame_of, pieces};
use super::link::{Link, Way};
use crate::limits::{CUT_AT_ONCE, LARGE_MESSAGE_BYTES};
use crate::rooms::{Queued, Shared};

/// One for each large message that is being cut.
static CUTTING: Semaphore = Semaphore::const_new(CUT_AT_ONCE);

type Cutting = Pin<Box<dyn Future<Output = (Option<Pieces>, Option<UpdatePiece>)> + Send>>;

/// The messages that a connection has taken from its outbox. All that is rare is boxed: each connection has one.
#[derive(Default)]
pub(crate) struct Delivery {
    /// The window of compressed frames, if frames may be compressed.
    window: Option<WindowBits>,
    /// Messages go in this order.
    queue: VecDeque<Arc<Shared>>,
    link: Link,
    /// The rest of the first of them, where it goes in pieces.
    pieces: Option<Box<Pieces>>,
    cutting: Option<Cutting>,
}

impl Delivery {
    /// Nothing is to be sent yet. Messages may be compressed with `window`, if there is one.
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

    /// The messages that were not sent; none where a part of the first was, since the others must come after all of it.
    pub(crate) fn into_rest(mut self) -> VecDeque<Payload> {
        if self.pieces.is_some() || self.cutting.is_some() {
            self.queue.clear();
        }
        self.queue.iter().map(|message| self.payload(message)).collect()
    }

    /// Whether a ping is to follow the payloads that were written: see [`Self::note_ping`].
    pub(crate) fn wants_ping(&self) -> bool {
        self.link.wants_ping()
    }

    /// Whether all payloads so far have been written, and the next comes later: something else may be written now.
    pub(crate) fn is_waiting(&self) -> bool {
        self.cutting.is_some() || self.link.awaits_pong()
    }

    /// The ping that is wanted was sent, when so many bytes had ever been written to the socket.
    pub(crate) fn note_ping(&mut self, number: u64, written: u64) {
        self.link.note_ping(number, written);
    }

    /// A ping was answered. Whether there is something to send now.
    pub(crate) fn note_pong(&mut self, number: u64, now: Instant) -> bool {
        self.link.note_pong(number, now)
    }

    /// So many bytes have come from the peer.
    pub(crate) fn note_heard(&mut self, bytes: usize) {
        self.link.note_heard(bytes);
    }

    /// The payloads to write next; none where all have been given. To be called when all payloads so far are written; the
    /// socket has ever taken `written` bytes.
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
        match self.link.way_for(message.message().len(), Instant::now(), written) {
            Way::Whole => self.poll_whole(),
            Way::InPieces => {
                let message = Arc::clone(message);
                self.cut(move || (pieces(&message), None));
                self.poll_piece(cx, written)
            }
            Way::AfterProbe(probe) => Poll::Ready([probe].into()),
        }
    }

    fn poll_whole(&mut self) -> Poll<VecDeque<Payload>> {
        let message = self.queue.pop_front();
        Poll::Ready(message.iter().map(|message| self.payload(message)).collect())
    }

    /// Cuts the next piece on another thread: the message may have hundreds of megabytes. A connection that is gone loses its
    /// place in the queue, but a cut that has begun is finished.
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
            // With the last one everything is there: it has the type of the message.
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

fn is_large(message: &Shared) -> bool {
    message.message().len() >= LARGE_MESSAGE_BYTES
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use coscribe_engine::lib0::write_var_buf;
    use coscribe_websocket::Form;

    use super::*;
    use crate::limits::{BUSY_BYTES, PROBE_BYTES};

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
        assert_eq!(sent.delivery.add([update(LARGE_MESSAGE_BYTES / 2), update(1)].into()).len(), 2);
        assert!(sent.next().await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn over_a_fast_link_a_message_goes_as_it_is_and_in_order() {
        let mut sent = Sent::default();
        assert!(sent.delivery.add([update(1), update(LARGE_MESSAGE_BYTES), update(2)].into()).is_empty());
        assert!(sent.delivery.add([update(3)].into()).is_empty(), "it comes after what waits");
        let [first, large, second, third] =
            [1, LARGE_MESSAGE_BYTES, 2, 3].map(|bytes| frame_len(&update(bytes)));
        assert_eq!(sent.next().await, [first]);
        assert!(sent.next().await[0] > PROBE_BYTES[0]);
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
        let first = PROBE_BYTES[0] * 4;
        assert!(sizes[0].abs_diff(first) < 20 << 10, "{sizes:?}");
        assert!(sizes[1].abs_diff(2 * first) < 20 << 10, "{sizes:?}");
        assert_eq!(last.len(), 1);
        assert_eq!(sent.next().await, [frame_len(&update(1))]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_answers_gets_the_message_as_it_is_and_who_is_busy_gets_pieces() {
        let large = frame_len(&update(4 << 20));
        for (heard, whole) in [(0, true), (BUSY_BYTES - 1, true), (BUSY_BYTES, false)] {
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
        sent.written = PROBE_BYTES[0] as u64 + 2600;
        sent.arrives_after(Duration::from_secs(1)).await;
        let next = sent.next().await[0];
        assert!(next < 2600 * 30, "{next} bytes, though it was only 2,600 a second on the wire");
    }
}
