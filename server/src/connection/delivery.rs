//! What one membership still has to be sent, and how: a message that would take too long over a slow link goes in pieces.
//!
//! Clients give a connection up on which no whole message has come for 30 seconds, and begin anew. A message that takes longer
//! than that never arrives: nothing can be sent in between. So before a large message the rate of the link is measured
//! ([`Link`]). Where the message would take too long, it goes in pieces that the client keeps until it has the last one
//! ([`Pieces`]), each as long as the last one shows that it may be.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};

use coscribe_engine::message::Outbound;
use coscribe_engine::update::pieces::{Pieces, UpdatePiece};
use coscribe_turns::{Party, Turns};
use coscribe_websocket::{Outgoing, Payload, WindowBits};
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tracing::error;

use super::frames::{Framing, pieces};
use super::link::{Link, Plan};
use crate::limits::{CUT_AT_ONCE, LARGE_MESSAGE_BYTES};
use crate::rooms::{Queued, Shared};

/// One for each large message that is being cut.
static CUTTING: LazyLock<Turns> = LazyLock::new(|| Turns::new(CUT_AT_ONCE));

type Cutting = Pin<Box<dyn Future<Output = (Option<Pieces>, Option<UpdatePiece>)> + Send>>;

/// The messages that a connection has taken from an outbox. All that is rare is boxed: each membership has one.
pub(super) struct Delivery {
    framing: Framing,
    /// What frames may be compressed with, if they may.
    window: Option<WindowBits>,
    /// Whose turns these are.
    party: Party,
    /// Messages go in this order.
    queue: VecDeque<Arc<Shared>>,
    /// What is left of the first of them, where it goes in pieces.
    pieces: Option<Box<Pieces>>,
    cutting: Option<Cutting>,
    /// What the last piece of it was to have, if there was one.
    last_piece: Option<usize>,
}

impl Delivery {
    /// Nothing is to be sent yet. What is may be compressed with `window`, if there is one, and is cut in turns of `party`.
    pub(super) fn new(framing: Framing, window: Option<WindowBits>, party: Party) -> Delivery {
        Delivery {
            framing,
            window,
            party,
            queue: VecDeque::new(),
            pieces: None,
            cutting: None,
            last_piece: None,
        }
    }

    /// How its frames are made.
    pub(super) fn framing(&self) -> &Framing {
        &self.framing
    }

    /// Whether nothing is left of what was taken.
    pub(super) fn is_done(&self) -> bool {
        self.queue.is_empty()
    }

    /// Takes messages, in order. Gives their frames where all of them can be sent as they are.
    #[must_use]
    pub(super) fn add(&mut self, messages: VecDeque<Queued>) -> VecDeque<Payload> {
        if self.queue.is_empty() && messages.iter().all(|queued| !is_large(&queued.message)) {
            return messages.iter().filter_map(|queued| self.payload(&queued.message)).collect();
        }
        self.queue.extend(messages.into_iter().map(|queued| queued.message));
        VecDeque::new()
    }

    fn payload(&self, message: &Shared) -> Option<Payload> {
        self.framing.payload(message, self.window)
    }

    /// What was not sent; nothing where a part of a message was, since what follows comes after it.
    pub(super) fn into_rest(mut self) -> VecDeque<Payload> {
        if self.pieces.is_some() || self.cutting.is_some() {
            self.queue.clear();
        }
        self.queue.iter().filter_map(|message| self.payload(message)).collect()
    }

    /// What is to be written next; nothing where all has been given. To be called when all is written that was given before, of
    /// which the socket has ever taken so many bytes.
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        link: &mut Link,
        written: u64,
    ) -> Poll<VecDeque<Payload>> {
        if self.pieces.is_some() || self.cutting.is_some() {
            ready!(link.poll_measured(cx));
            return self.poll_piece(cx, link, written);
        }
        let small = self.queue.iter().take_while(|message| !is_large(message)).count();
        if small > 0 || self.queue.is_empty() {
            let small: Vec<_> = self.queue.drain(..small).collect();
            return Poll::Ready(small.iter().filter_map(|message| self.payload(message)).collect());
        }
        ready!(link.poll_measured(cx));
        let message = &self.queue[0];
        match link.plan(message.message().len(), Instant::now(), written) {
            Plan::Whole => Poll::Ready(self.take_whole()),
            Plan::Pieces => {
                self.last_piece = None;
                let message = Arc::clone(message);
                self.cut(move || (pieces(&message), None));
                self.poll_piece(cx, link, written)
            }
            Plan::Probe(bytes) => {
                let probe = Outgoing::new(self.framing.keep_alive(bytes).into());
                Poll::Ready([probe.payload(None)].into())
            }
        }
    }

    fn take_whole(&mut self) -> VecDeque<Payload> {
        let message = self.queue.pop_front();
        message.iter().filter_map(|message| self.payload(message)).collect()
    }

    /// Cuts the next piece, elsewhere: the message may have hundreds of megabytes. Whoever is gone has no turn, but one that
    /// has begun ends it.
    fn cut(&mut self, cut: impl FnOnce() -> (Option<Pieces>, Option<UpdatePiece>) + Send + 'static) {
        let turn = CUTTING.next(self.party);
        self.cutting = Some(Box::pin(async move {
            let turn = turn.await;
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

    fn poll_piece(&mut self, cx: &mut Context<'_>, link: &mut Link, written: u64) -> Poll<VecDeque<Payload>> {
        loop {
            let Some(cutting) = &mut self.cutting else {
                let Some(mut pieces) = self.pieces.take() else { return Poll::Ready(self.take_whole()) };
                let bytes = *self.last_piece.insert(link.piece_bytes(self.last_piece));
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
            link.warn_if_too_large(piece.len());
            if is_last {
                self.pieces = None;
                self.queue.pop_front();
            } else {
                link.measure(piece.len(), Instant::now(), written);
            }
            let frame = self.framing.encode(&piece);
            return Poll::Ready(frame.iter().map(|frame| frame.payload(self.window)).collect());
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
        Queued { message: Shared::uncharged(Outbound::Update(update.into())), is_answer: false }
    }

    fn plain_len(payload: &Payload) -> usize {
        match payload.form() {
            Form::Plain(frame) => frame.len(),
            other => panic!("nothing is compressed here: {other:?}"),
        }
    }

    /// How long its frame is.
    fn frame_len(queued: &Queued) -> usize {
        plain_len(&Framing::YWebsocket.payload(&queued.message, None).unwrap())
    }

    /// A connection on which this much has been written.
    struct Sent {
        delivery: Delivery,
        link: Link,
        written: u64,
        pings: u64,
    }

    impl Sent {
        fn nothing() -> Sent {
            let delivery = Delivery::new(Framing::YWebsocket, None, None);
            Sent { delivery, link: Link::default(), written: 0, pings: 0 }
        }

        /// How long the next messages are.
        async fn next(&mut self) -> Vec<usize> {
            if self.link.wants_ping() {
                self.pings += 1;
                self.link.note_ping(self.pings, self.written);
            }
            let next = poll_fn(|cx| self.delivery.poll_next(cx, &mut self.link, self.written)).await;
            self.written += next.iter().map(|message| plain_len(message) as u64).sum::<u64>();
            next.iter().map(plain_len).collect()
        }

        /// What was sent last takes so long.
        async fn arrives_after(&mut self, time: Duration) {
            assert!(self.link.wants_ping());
            self.pings += 1;
            self.link.note_ping(self.pings, self.written);
            tokio::time::advance(time).await;
            assert!(self.link.note_pong(self.pings, Instant::now()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn small_messages_are_given_back_at_once() {
        let mut sent = Sent::nothing();
        assert_eq!(sent.delivery.add([update(LARGE_MESSAGE_BYTES / 2), update(1)].into()).len(), 2);
        assert!(sent.next().await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn over_a_fast_link_a_message_goes_as_it_is_and_in_order() {
        let mut sent = Sent::nothing();
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
        let mut sent = Sent::nothing();
        assert!(sent.delivery.add([update(4 << 20), update(1)].into()).is_empty());
        sent.next().await;
        sent.arrives_after(Duration::from_secs(1)).await;
        let mut sizes = Vec::new();
        let last = loop {
            let piece = sent.next().await;
            if !sent.link.wants_ping() {
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
            let mut sent = Sent::nothing();
            assert!(sent.delivery.add([update(4 << 20)].into()).is_empty());
            sent.next().await;
            sent.link.note_heard(heard);
            assert_eq!(sent.next().await == [large], whole, "{heard} bytes heard");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_next_may_not_compress_as_well() {
        let mut sent = Sent::nothing();
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
