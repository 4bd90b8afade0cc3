//! One WebSocket: reads and writes at the same time on one task, so that a peer that does not read is still heard.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use coscribe_engine::protocol::y_websocket::KEEP_ALIVE;
use coscribe_persistence::DocumentName;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_tungstenite::tungstenite::{Error, Message};
use tracing::{debug, warn};

use super::outbox::{Close, Outbox};
use super::pace::{Pace, Verdict};
use super::transport::{End, READ_BUFFER, Transport};
use crate::config::Config;
use crate::connections::Registration;
use crate::metrics::Metrics;
use crate::rooms::{Membership, Shown};

/// A connection that is a peer of a room.
pub(crate) struct Connection {
    /// Its place in the room.
    pub(crate) membership: Membership,
    /// Its place among the connections that shutdown closes.
    pub(crate) _registration: Registration,
    /// What the room wants to have sent.
    pub(crate) outbox: Arc<Outbox>,
    /// The document.
    pub(crate) name: DocumentName,
    /// The other end.
    pub(crate) from: SocketAddr,
    /// The server's configuration.
    pub(crate) config: Arc<Config>,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
}

impl Connection {
    /// Runs the connection until it is closed; `read_ahead` is what arrived behind the handshake.
    pub(crate) async fn run(self, socket: TcpStream, read_ahead: Vec<u8>) {
        debug!(from = %self.from, document = %Shown(&self.name), peer = self.membership.peer.0, "connected");
        let compressed = self.outbox.window().is_some();
        let (limit, metrics) = (self.config.max_message_bytes, Arc::clone(&self.metrics));
        let transport = Transport::new(socket, read_ahead, compressed, limit, metrics);
        let timer = pin!(sleep_until(Instant::now()));
        let mut open = Open::new(&self, transport, timer);
        let end = poll_fn(|cx| open.poll(cx)).await;
        let mut transport = open.transport;

        self.note(&end);
        let Connection { membership, _registration, outbox, .. } = self;
        drop(membership);
        transport.messages.append(&mut outbox.try_take().frames);
        transport.close(end).await;
    }

    fn note(&self, end: &End) {
        if let End::ByUs(Close { code, .. }) = end
            && let Some(reason) = rejection(*code)
        {
            self.metrics.reject(reason);
        }
        let (from, document) = (self.from, Shown(&self.name));
        match end {
            End::Gone => debug!(%from, %document, "gone"),
            End::ByPeer => debug!(%from, %document, "closed by its peer"),
            End::ByUs(Close { code: 1001, reason }) => {
                debug!(%from, %document, "closing: {reason}")
            }
            End::ByUs(Close { code, reason }) => warn!(%from, %document, code, "closing: {reason}"),
        }
    }
}

/// What a close code is counted as; `None` if that is nobody's fault.
fn rejection(code: u16) -> Option<&'static str> {
    match code {
        1001 => None,
        1002 => Some("protocol"),
        1003 => Some("text"),
        1007 => Some("damaged"),
        1008 => Some("policy"),
        1009 => Some("too_large"),
        1013 => Some("overload"),
        _ => Some("internal"),
    }
}

/// The open part of a connection's life. It is polled whenever anything may have happened, so it asks first for what costs
/// least.
struct Open<'a> {
    connection: &'a Connection,
    transport: Transport,
    /// What is being written, as its outbox counts it.
    writing: Option<usize>,
    pace: Pace,
    /// Until when nothing is read: the room has no space, or the peer is too fast.
    pause: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// The last message, if it is large.
    large: Option<Bytes>,
    keep_alive_at: Instant,
    ping_at: Instant,
    timer: Pin<&'a mut Sleep>,
}

impl<'a> Open<'a> {
    fn new(connection: &'a Connection, transport: Transport, timer: Pin<&'a mut Sleep>) -> Open<'a> {
        let (config, now) = (&connection.config, Instant::now());
        Open {
            connection,
            transport,
            writing: None,
            pace: Pace::new(config.rates, now),
            pause: None,
            large: None,
            keep_alive_at: now + config.keep_alive,
            ping_at: now + config.ping_interval,
            timer,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        for poll in [Self::poll_write, Self::poll_read, Self::poll_timer] {
            if let Poll::Ready(end) = poll(self, cx) {
                return Poll::Ready(end);
            }
        }
        Poll::Pending
    }

    /// Writes what the room wants to have sent, or ends the connection if it wants that.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let Connection { outbox, membership, config, metrics, .. } = self.connection;
        loop {
            match outbox.poll_take(cx, self.writing.is_none()) {
                Poll::Ready(Ok(batch)) => {
                    metrics.messages_sent.inc_by(batch.frames.len() as u64);
                    metrics.sent_bytes.inc_by(batch.frames.iter().map(|frame| frame.plain_len as u64).sum());
                    self.writing = Some(batch.cost());
                    self.transport.messages = batch.frames;
                }
                Poll::Ready(Err(close)) => return Poll::Ready(End::ByUs(close)),
                Poll::Pending if self.writing.is_none() => return Poll::Pending,
                Poll::Pending => {}
            }
            let start = Instant::now();
            let written = self.transport.poll_write_all(cx);
            let now = Instant::now();
            membership.spent(now - start);
            if let Err(error) = ready!(written) {
                return Poll::Ready(End::after(&error));
            }
            self.keep_alive_at = now + config.keep_alive;
            if self.writing.take().is_some_and(|cost| outbox.written(cost)) {
                membership.drained();
            }
        }
    }

    /// Brings messages to the room until there is a reason to stop.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
                self.transport.life().set_unread(false);
            }
            let polled = self.transport.poll_next(cx);
            // While the last message was alive, the read buffer could not grow back into its memory and keep it for good.
            self.large = None;
            let (bytes, space) = match ready!(polled) {
                Ok(Message::Binary(frame)) => (frame.len(), self.deliver(frame)),
                Ok(Message::Text(_)) => {
                    return Poll::Ready(End::by_us(1003, "text frames are not understood: send binary ones"));
                }
                Ok(Message::Close(_)) => return Poll::Ready(End::ByPeer),
                Ok(control @ (Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
                    (control.len(), None)
                }
                Err(error) => return Poll::Ready(End::after(&error)),
            };
            let turn = match self.pace.count(bytes, Instant::now()) {
                Verdict::GoOn => None,
                Verdict::Wait(until) => Some(until),
                Verdict::Exceeded => {
                    return Poll::Ready(End::by_us(1013, "too many messages or bytes a second"));
                }
            };
            if space.is_some() || turn.is_some() {
                self.pause(space, turn);
            }
        }
    }

    /// Hands a message to the room; where that has no space, it gives what is to be waited for.
    fn deliver(&mut self, frame: Bytes) -> Option<impl Future<Output = ()> + Send + use<>> {
        let Connection { membership, metrics, .. } = self.connection;
        metrics.messages_received.inc();
        metrics.received_bytes.inc_by(frame.len() as u64);
        let frame = if frame.len() < READ_BUFFER {
            // A small message must not keep the whole read buffer alive that it came in.
            Bytes::copy_from_slice(&frame)
        } else {
            self.large.insert(frame).clone()
        };
        membership.try_send(frame).err().map(|frame| membership.send(frame))
    }

    /// Reads nothing before the room has space and it is the peer's turn again.
    fn pause(&mut self, space: Option<impl Future<Output = ()> + Send + 'static>, turn: Option<Instant>) {
        self.transport.life().set_unread(true);
        // Rarely needed: not part of what every open connection holds.
        self.pause = Some(Box::pin(async move {
            if let Some(space) = space {
                space.await;
            }
            if let Some(turn) = turn {
                sleep_until(turn).await;
            }
        }));
    }

    /// Gives up a peer of which nothing has been seen for too long, and says something now and then where there is nothing
    /// else to write.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            let due = self.due();
            // What has moved away is noticed when the time has come: that costs less than to set it for each frame.
            if due < self.timer.deadline() {
                self.timer.as_mut().reset(due);
            }
            ready!(self.timer.as_mut().poll(cx));
            let now = Instant::now();
            if self.silent_at() <= now {
                return Poll::Ready(End::ByUs(Close { code: 1001, reason: "no sign of life".into() }));
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
        let silent_at = self.silent_at();
        if self.writing.is_some() { silent_at } else { silent_at.min(self.keep_alive_at).min(self.ping_at) }
    }

    fn silent_at(&mut self) -> Instant {
        let config = &self.connection.config;
        self.transport.life().deadline(config.ping_interval * 2, config.stall_timeout)
    }

    fn feed_signs_of_life(&mut self, now: Instant) -> Result<(), Error> {
        if self.writing.is_some() {
            return Ok(());
        }
        let config = &self.connection.config;
        if self.ping_at <= now {
            self.ping_at = now + config.ping_interval;
            self.writing = Some(0);
            self.transport.feed(Message::Ping(Bytes::new()))?;
        }
        if self.keep_alive_at <= now {
            self.keep_alive_at = now + config.keep_alive;
            self.writing = Some(0);
            self.transport.feed(Message::Binary(Bytes::from_static(KEEP_ALIVE)))?;
        }
        Ok(())
    }
}
