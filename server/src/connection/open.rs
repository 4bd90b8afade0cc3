//! The open part of a connection's life: reads and writes at the same time on one task, so that a peer that does not read is
//! still heard.

use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use coscribe_engine::dialect::y_websocket::{KEEP_ALIVE, Messages};
use coscribe_engine::message::Reason;
use coscribe_websocket::limits::READ_BUFFER;
use coscribe_websocket::{Close, End, Error, Message, Right, TOO_LARGE, Transport};
use tokio::time::{Instant, Sleep, sleep_until};

use super::Connection;
use super::delivery::Delivery;
use super::freed::freed_elsewhere;
use super::pace::{Pace, Verdict};
use super::parting::{end, end_by};
use crate::limits::{LARGE_FRAME_BYTES, MESSAGES_AT_ONCE};
use crate::rooms::{Membership, Outbox, Queued, Said};

/// A connection between handshake and close. It is polled whenever anything may have happened, so cheap questions come first.
pub(super) struct OpenConnection<'a> {
    connection: &'a Connection,
    membership: &'a Membership,
    outbox: &'a Outbox,
    transport: Transport,
    /// The messages that wait for the transport.
    delivery: Delivery,
    /// The cost, in the outbox, of the messages that are being written.
    writing: Option<usize>,
    pace: Pace,
    /// Until when nothing is read: the room has no space, or the peer is too fast.
    pause: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// The messages of the last frame that the room has not been given yet.
    rest: Option<Messages>,
    /// The last frame, if it is large.
    large: Option<Bytes>,
    /// The right to have it in memory, if it is larger than usual. Its parts share it, until the room has taken them in.
    right: Option<Arc<Right>>,
    /// Nothing is read any more: the room decides when the connection ends.
    unreadable: bool,
    /// The task is woken when the server wants the connection to end.
    hears_closing: bool,
    /// Messages of the last frame that the room has been given.
    delivered: usize,
    /// Bytes that have come and were not yet counted against the rates.
    uncounted: usize,
    /// Bytes from the wire that were counted before their message was complete.
    wire_bytes: usize,
    keep_alive_at: Instant,
    ping_at: Instant,
    /// How many pings were sent; each carries its number.
    pings: u64,
    /// The room wants to hear of a pong to this ping, or a later one.
    probe: Option<u64>,
    timer: Pin<&'a mut Sleep>,
}

impl<'a> OpenConnection<'a> {
    /// Nothing has been read or written.
    pub(super) fn new(
        connection: &'a Connection,
        membership: &'a Membership,
        outbox: &'a Outbox,
        transport: Transport,
        timer: Pin<&'a mut Sleep>,
    ) -> OpenConnection<'a> {
        let (config, now) = (&connection.config, Instant::now());
        OpenConnection {
            connection,
            membership,
            outbox,
            transport,
            delivery: Delivery::new(connection.window),
            writing: None,
            pace: Pace::new(config.rates(), now),
            pause: None,
            rest: None,
            large: None,
            right: None,
            unreadable: false,
            hears_closing: false,
            delivered: 0,
            uncounted: 0,
            wire_bytes: 0,
            keep_alive_at: now + config.keep_alive.get(),
            ping_at: now + config.ping_interval.get(),
            pings: 0,
            probe: None,
            timer,
        }
    }

    /// The transport, with the messages that were not sent. Closing may take a while, so an inbound message that was not
    /// delivered is given up first.
    pub(super) fn into_transport(mut self) -> Transport {
        self.transport.messages.extend(self.delivery.into_rest());
        self.transport
    }

    /// Goes on as far as it can without waiting. Ready when the open part is over.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if !mem::replace(&mut self.hears_closing, true) {
            self.connection.closing.wake_on_close(cx);
        }
        if let Poll::Ready(parting) = self.connection.closing.poll() {
            return Poll::Ready(end_by(parting));
        }
        self.transport.begin_turn();
        for poll in [Self::poll_write, Self::poll_read, Self::poll_timer] {
            if let Poll::Ready(end) = poll(self, cx) {
                return Poll::Ready(end);
            }
        }
        Poll::Pending
    }

    /// Writes the messages of the room, or ends the connection if the room wants that.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let Connection { config, metrics, .. } = self.connection;
        let (outbox, membership) = (self.outbox, self.membership);
        loop {
            let mut took = false;
            match outbox.poll_take(cx, self.writing.is_none()) {
                Poll::Ready(Ok(batch)) => {
                    took = true;
                    metrics.messages_sent.inc_by(batch.messages.len() as u64);
                    let (mut bytes, mut answers) = (0, 0);
                    for Queued { message, is_answer } in &batch.messages {
                        let sent = message.message().len();
                        bytes += sent;
                        answers += if *is_answer { sent } else { 0 };
                    }
                    metrics.sent_bytes.inc_by(bytes as u64);
                    if answers > 0 {
                        self.pace.charge(answers, Instant::now());
                    }
                    self.writing = Some(batch.cost());
                    self.transport.messages = self.delivery.add(batch.messages);
                    if batch.probe
                        && let Err(error) = self.feed_probe()
                    {
                        return Poll::Ready(End::after(&error));
                    }
                }
                Poll::Ready(Err(parting)) => return Poll::Ready(end_by(parting)),
                Poll::Pending if self.writing.is_none() => return Poll::Pending,
                Poll::Pending => {}
            }
            let start = Instant::now();
            let written = self.poll_deliver(cx);
            let now = Instant::now();
            membership.spent(now - start);
            if let Err(error) = ready!(written) {
                return Poll::Ready(End::after(&error));
            }
            let cost = self.writing.take().unwrap_or_default();
            if cost > 0 {
                // The watchdogs of clients do not hear pings.
                self.keep_alive_at = now + config.keep_alive.get();
            }
            if outbox.written(cost) {
                membership.drained();
            }
            if took {
                // Messages that were queued meanwhile have woken this task once more.
                return Poll::Pending;
            }
        }
    }

    /// Writes all that was taken from the outbox.
    fn poll_deliver(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            ready!(self.transport.poll_write_all(cx))?;
            if self.delivery.wants_ping() {
                self.feed_ping()?;
                self.delivery.note_ping(self.pings, self.transport.written());
                continue;
            }
            let next = ready!(self.delivery.poll_next(cx, self.transport.written()));
            if next.is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.transport.messages = next;
        }
    }

    /// Brings messages to the room until there is a reason to stop.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            if self.unreadable {
                return Poll::Pending;
            }
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
                self.transport.signs_of_life().set_unread(false);
            }
            let incoming = if self.rest.is_none() { self.poll_frame(cx) } else { Poll::Ready(Ok(0)) };
            let incoming = match incoming {
                Poll::Ready(Err(End::ByUs(Close { code: TOO_LARGE, .. }))) => {
                    self.leave_unread();
                    return Poll::Pending;
                }
                Poll::Ready(Err(end)) => return Poll::Ready(end),
                Poll::Ready(Ok(controls)) => Poll::Ready(controls),
                Poll::Pending => Poll::Pending,
            };
            let (messages, space) = match (self.rest.take(), incoming) {
                (Some(messages), _) => self.deliver(messages),
                (None, Poll::Ready(controls)) => (controls, None),
                (None, Poll::Pending) => (0, None),
            };
            if self.keeps_others_waiting() {
                return Poll::Ready(end(Reason::Overload, "too many messages in one frame"));
            }
            // Also bytes of a message whose end may never come.
            self.note_wire_bytes();
            if messages == 0 && self.uncounted == 0 && incoming.is_pending() {
                return Poll::Pending;
            }
            let turn = match self.pace.count(messages, mem::take(&mut self.uncounted), Instant::now()) {
                Verdict::GoOn => None,
                Verdict::Wait(until) => Some(until),
                Verdict::Exceeded => {
                    return Poll::Ready(end(Reason::Overload, "too many messages or bytes a second"));
                }
            };
            if space.is_some() || turn.is_some() {
                if space.is_none() && self.rest.is_none() {
                    self.large = None;
                    self.transport.release();
                }
                self.pause(space, turn);
            } else if incoming.is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Reads a frame, which is then in `rest`, or gives how many control messages were read.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, End>> {
        let polled = self.transport.poll_next(cx);
        // While the last frame was alive, the read buffer could not grow back into its memory and keep it for good.
        self.large = None;
        Poll::Ready(match ready!(polled) {
            Ok(Message::Binary(frame)) => {
                self.connection.metrics.received_bytes.inc_by(frame.len() as u64);
                self.note_wire_bytes();
                // The bytes that came by inflation.
                self.uncounted += frame.len().saturating_sub(self.wire_bytes);
                self.wire_bytes = self.wire_bytes.saturating_sub(frame.len());
                self.delivered = 0;
                self.right = self.transport.take_right().map(Arc::new);
                self.rest = Some(Messages::of(if frame.len() < READ_BUFFER {
                    // A small message must not keep the whole read buffer alive that it came in.
                    Bytes::copy_from_slice(&frame)
                } else {
                    self.large
                        .insert(if frame.len() > LARGE_FRAME_BYTES { freed_elsewhere(frame) } else { frame })
                        .clone()
                }));
                Ok(0)
            }
            Ok(Message::Text(_)) => {
                Err(end(Reason::Text, "text frames are not understood: send binary ones"))
            }
            Ok(Message::Close(_)) => Err(End::ByPeer),
            Ok(Message::Pong(number)) => {
                if self.note_pong(&number) {
                    cx.waker().wake_by_ref();
                }
                Ok(1)
            }
            Ok(Message::Ping(_) | Message::Frame(_)) => Ok(1),
            Err(error) => Err(End::after(&error)),
        })
    }

    /// Takes a pong: only that is known to have been sent after its ping, other bytes may have waited here. Says whether there
    /// is something to write now.
    fn note_pong(&mut self, number: &Bytes) -> bool {
        let Ok(number) = <[u8; 8]>::try_from(&number[..]).map(u64::from_be_bytes) else { return false };
        if self.probe.is_some_and(|probe| number >= probe) {
            self.probe = None;
            self.membership.alive();
        }
        self.delivery.note_pong(number, Instant::now())
    }

    fn note_wire_bytes(&mut self) {
        let bytes = self.transport.take_received();
        self.wire_bytes += bytes;
        self.uncounted += bytes;
        self.delivery.note_heard(bytes);
    }

    /// Hands messages of a frame to the room, and keeps the others. Gives their number and, where the room has no space, a
    /// future that ends when it has.
    fn deliver(
        &mut self,
        mut messages: Messages,
    ) -> (usize, Option<impl Future<Output = ()> + Send + use<>>) {
        let before = messages.position();
        let mut said = Said::default();
        for message in messages.by_ref().take(MESSAGES_AT_ONCE) {
            match message {
                Ok(message) => said.messages.push(message),
                Err(error) => said.error = Some(error),
            }
        }
        let bytes = messages.position() - before;
        let count = said.messages.len() + usize::from(said.error.is_some());
        self.rest = (!messages.is_at_end()).then_some(messages);
        self.delivered += count;
        self.connection.metrics.messages_received.inc_by(count as u64);
        // The last part takes the right along: nothing may come after it.
        let right = if self.rest.is_some() { self.right.clone() } else { self.right.take() };
        let hold = || right.clone().map(|right| right as Arc<dyn Send + Sync>);
        let full = self.membership.try_send(said, bytes, hold()).err();
        (count, full.map(|said| self.membership.send(said, bytes, hold())))
    }

    /// A message has begun that is larger than any may be. Its sender sends it again when it is back; the room knows whether
    /// this is the first time.
    fn leave_unread(&mut self) {
        self.unreadable = true;
        self.transport.signs_of_life().set_unread(true);
        self.membership.too_large();
    }

    fn keeps_others_waiting(&self) -> bool {
        let is_large = self.large.as_ref().is_some_and(|frame| frame.len() > LARGE_FRAME_BYTES);
        self.rest.is_some() && is_large && self.delivered > self.connection.config.rates().messages as usize
    }

    /// Reads nothing before the room has space and it is the peer's turn again.
    fn pause(&mut self, space: Option<impl Future<Output = ()> + Send + 'static>, turn: Option<Instant>) {
        self.transport.signs_of_life().set_unread(true);
        // Rarely needed: open connections do not hold it.
        self.pause = Some(Box::pin(async move {
            if let Some(space) = space {
                space.await;
            }
            if let Some(turn) = turn {
                sleep_until(turn).await;
            }
        }));
    }

    /// Gives up a peer that has been silent for too long, and sends pings and keep-alives where there is nothing else to write.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            let due = self.due();
            // A deadline that has moved away is noticed when the old time has come: that costs less than a reset for each
            // frame.
            if due < self.timer.deadline() {
                self.timer.as_mut().reset(due);
            }
            ready!(self.timer.as_mut().poll(cx));
            let now = Instant::now();
            if self.silent_at() <= now {
                return Poll::Ready(end(Reason::Silence, "no sign of life"));
            }
            if self.too_slow_at().is_some_and(|at| at <= now) {
                return Poll::Ready(end(
                    Reason::Overload,
                    "too slow for so large a message: others wait for their turn",
                ));
            }
            if let Err(error) = self.feed_signs_of_life(now) {
                return Poll::Ready(End::after(&error));
            }
            if let Poll::Ready(end) = self.poll_write(cx) {
                return Poll::Ready(end);
            }
            let due = self.due();
            self.timer.as_mut().reset(due);
        }
    }

    /// When `poll_timer` has something to do.
    fn due(&mut self) -> Instant {
        let silent_at = self.too_slow_at().into_iter().fold(self.silent_at(), Instant::min);
        if self.is_writing() { silent_at } else { silent_at.min(self.keep_alive_at).min(self.ping_at) }
    }

    /// When a message larger than usual has kept others waiting for too long. `None` while this side reads nothing.
    fn too_slow_at(&mut self) -> Option<Instant> {
        if self.pause.is_some() { None } else { self.transport.too_slow_at() }
    }

    fn silent_at(&mut self) -> Instant {
        let config = &self.connection.config;
        self.transport.signs_of_life().deadline(config.ping_interval.get() * 2, config.stall_timeout.get())
    }

    fn feed_signs_of_life(&mut self, now: Instant) -> Result<(), Error> {
        if self.is_writing() {
            return Ok(());
        }
        let config = &self.connection.config;
        if self.ping_at <= now {
            self.ping_at = now + config.ping_interval.get();
            self.writing.get_or_insert(0);
            self.feed_ping()?;
        }
        if self.keep_alive_at <= now {
            self.keep_alive_at = now + config.keep_alive.get();
            self.writing.get_or_insert(0);
            self.transport.feed(Message::Binary(Bytes::from_static(KEEP_ALIVE)))?;
        }
        Ok(())
    }

    /// Whether a message is on its way into the kernel: nothing else can be written before its end.
    fn is_writing(&self) -> bool {
        self.writing.is_some() && !self.delivery.is_waiting()
    }

    fn feed_ping(&mut self) -> Result<(), Error> {
        self.pings += 1;
        self.transport.feed(Message::Ping(Bytes::copy_from_slice(&self.pings.to_be_bytes())))
    }

    /// Asks for a sign of life, of which the room will hear.
    fn feed_probe(&mut self) -> Result<(), Error> {
        self.feed_ping()?;
        self.probe.get_or_insert(self.pings);
        Ok(())
    }
}
