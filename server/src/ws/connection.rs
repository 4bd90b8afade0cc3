//! One WebSocket: reads and writes at the same time on one task, so that a peer that does not read is still heard.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::protocol::y_websocket::KEEP_ALIVE;
use coscribe_persistence::DocumentName;
use futures_util::StreamExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_tungstenite::tungstenite::{Error, Message};
use tracing::{debug, warn};

use super::outbox::{Close, Outbox};
use super::pace::{Pace, Verdict};
use super::socket::Life;
use super::transport::{self, End, READ_BUFFER, Reading, Writing};
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
        let compressed = self.outbox.window().is_some();
        let (limit, metrics) = (self.config.max_message_bytes, Arc::clone(&self.metrics));
        let (mut reading, writing, life) =
            transport::open(socket, read_ahead, compressed, limit, metrics).await;
        let mut sending = Sending::new(writing, &self.config);
        debug!(from = %self.from, document = %Shown(&self.name), peer = self.membership.peer.0, "connected");

        let end = tokio::select! {
            end = self.read(&mut reading, &life) => end,
            end = sending.run(&self) => end,
            close = self.outbox.closed() => End::ByUs(close),
            close = silence(&life, &self.config) => End::ByUs(close),
        };

        self.note(&end);
        let Connection { membership, _registration, outbox, .. } = self;
        drop(membership);
        let mut writing = sending.writing;
        writing.messages.append(&mut outbox.try_take().frames);
        transport::close(end, reading, writing).await;
    }

    /// Brings messages to the room until there is a reason to stop.
    async fn read(&self, reading: &mut Reading, life: &Life) -> End {
        let mut pace = Pace::new(self.config.rates, Instant::now());
        let mut large = None;
        loop {
            let message = poll_fn(|cx| {
                let polled = reading.poll_next_unpin(cx);
                // While the last message was alive, the read buffer could not grow back into its memory and keep it for good.
                large = None;
                polled
            });
            let bytes = match message.await {
                Some(Ok(Message::Binary(frame))) if frame.len() < READ_BUFFER => {
                    // A small message must not keep the whole read buffer alive that it came in.
                    self.deliver(Bytes::copy_from_slice(&frame), life).await;
                    frame.len()
                }
                Some(Ok(Message::Binary(frame))) => {
                    self.deliver(large.insert(frame).clone(), life).await;
                    large.as_ref().map_or(0, Bytes::len)
                }
                Some(Ok(Message::Text(_))) => {
                    return End::by_us(1003, "text frames are not understood: send binary ones");
                }
                Some(Ok(Message::Close(_))) | None => return End::ByPeer,
                Some(Ok(control @ (Message::Ping(_) | Message::Pong(_) | Message::Frame(_)))) => {
                    control.len()
                }
                Some(Err(error)) => return End::after(&error),
            };
            match pace.count(bytes, Instant::now()) {
                Verdict::GoOn => {}
                Verdict::Wait(until) => {
                    life.set_unread(true);
                    // Rarely needed: not part of what every open connection holds.
                    Box::pin(sleep_until(until)).await;
                    life.set_unread(false);
                }
                Verdict::Exceeded => return End::by_us(1013, "too many messages or bytes a second"),
            }
        }
    }

    /// Hands a message to the room, waiting until it has space.
    async fn deliver(&self, frame: Bytes, life: &Life) {
        self.metrics.messages_received.inc();
        self.metrics.received_bytes.inc_by(frame.len() as u64);
        if let Err(frame) = self.membership.try_send(frame) {
            life.set_unread(true);
            self.membership.send(frame).await;
            life.set_unread(false);
        }
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

/// Returns when nothing has been seen of the peer for too long.
async fn silence(life: &Life, config: &Config) -> Close {
    let silence = config.ping_interval * 2;
    loop {
        let (deadline, now) = (life.deadline(silence, config.stall_timeout), Instant::now());
        if deadline <= now {
            return Close { code: 1001, reason: "no sign of life".into() };
        }
        // The deadline can move nearer as well, when a full socket takes bytes again.
        sleep_until(deadline.min(now + silence)).await;
    }
}

/// What is written: queued frames, and something now and then when there are none.
struct Sending {
    writing: Writing,
    keep_alive_at: Instant,
    ping_at: Instant,
}

impl Sending {
    fn new(writing: Writing, config: &Config) -> Sending {
        let now = Instant::now();
        Sending { writing, keep_alive_at: now + config.keep_alive, ping_at: now + config.ping_interval }
    }

    async fn run(&mut self, connection: &Connection) -> End {
        loop {
            if let Err(error) = self.write_next(connection).await {
                return End::after(&error);
            }
        }
    }

    /// Waits until there is something to write, and writes it.
    async fn write_next(&mut self, connection: &Connection) -> Result<(), Error> {
        let Connection { outbox, membership, config, metrics, .. } = connection;
        let Ok(batch) = timeout_at(self.keep_alive_at.min(self.ping_at), outbox.take()).await else {
            return self.write_sign_of_life(config).await;
        };
        let cost = batch.cost();
        metrics.messages_sent.inc_by(batch.frames.len() as u64);
        metrics.sent_bytes.inc_by(batch.frames.iter().map(|frame| frame.plain_len as u64).sum());
        self.writing.messages = batch.frames;
        timed(self.writing.write_all(), |time| membership.spent(time)).await?;
        if outbox.written(cost) {
            membership.drained();
        }
        self.keep_alive_at = Instant::now() + config.keep_alive;
        Ok(())
    }

    async fn write_sign_of_life(&mut self, config: &Config) -> Result<(), Error> {
        let now = Instant::now();
        if self.ping_at <= now {
            self.ping_at = now + config.ping_interval;
            self.writing.feed(Message::Ping(Bytes::new())).await?;
        }
        if self.keep_alive_at <= now {
            self.keep_alive_at = now + config.keep_alive;
            self.writing.feed(Message::Binary(Bytes::from_static(KEEP_ALIVE))).await?;
        }
        self.writing.flush().await
    }
}

/// Reports the time that a future works, without that in which it waits.
async fn timed<F: Future>(future: F, report: impl Fn(Duration)) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let start = std::time::Instant::now();
        let polled = future.as_mut().poll(cx);
        report(start.elapsed());
        polled
    })
    .await
}
