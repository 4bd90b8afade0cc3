//! One WebSocket: reads and writes at the same time on one task, so that a peer that does not read is still heard.

mod open;

mod reading;

mod addresses;
mod documents;
mod freed;
mod pace;

mod writing;

mod delivery;
mod frames;
mod link;
mod members;

mod closing;
mod parting;
pub(crate) mod register;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use coscribe_engine::dialect::y_websocket::GREETING;
use coscribe_engine::room::Terms;
use coscribe_persistence::DocumentName;
use coscribe_websocket::{Close, End, MessageBytes, Transport, WindowBits};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info, warn};

use self::delivery::Delivery;
use self::frames::Framing;
use self::members::Member;
use self::open::OpenConnection;
use self::parting::end_by;
use self::register::Registration;
use crate::config::Config;
use crate::limits::{MAX_TURNED_AWAY, OPENS_WITHIN, TURNED_AWAY_AFTER};
use crate::metrics::Metrics;
use crate::observe::Span;
use crate::rooms::{JoinError, Rooms, Shown};

pub(crate) use self::closing::Closing;
pub(crate) use self::parting::{counted_as, told_as};

/// Connections that stay for a moment without a place in a room.
static TURNED_AWAY: Semaphore = Semaphore::const_new(MAX_TURNED_AWAY);

/// What is said on a connection, and of which documents.
pub(crate) enum Dialect {
    /// That of y-websocket, of one document.
    YWebsocket {
        /// The document.
        name: DocumentName,
        /// What the client may do with it, and wants to hear.
        terms: Terms,
    },
    /// That of Hocuspocus, of those that its client opens.
    Hocuspocus,
}

impl Dialect {
    /// Tells which it is, and of which document, in a span.
    pub(crate) fn tell(&self, span: &Span) {
        match self {
            Dialect::YWebsocket { name, .. } => {
                span.set("coscribe.dialect", || "y-websocket");
                span.set("coscribe.document", || Shown(name).to_string());
            }
            Dialect::Hocuspocus => span.set("coscribe.dialect", || "hocuspocus"),
        }
    }
}

/// A connection that is to be a peer of rooms.
pub(crate) struct Connection {
    /// Its place among the connections that shutdown closes.
    pub(crate) registration: Registration,
    /// Where it hears of that.
    pub(crate) closing: Arc<Closing>,
    /// What the peer reads that was compressed with, if messages may be.
    pub(crate) window: Option<WindowBits>,
    /// How many bytes before it a compressed message of the peer may refer to, if messages may come compressed.
    pub(crate) client_window: Option<usize>,
    /// What is said on it.
    pub(crate) dialect: Dialect,
    /// How often it gets a keep-alive while there is nothing else.
    pub(crate) keep_alive: Duration,
    /// When its client's right to be here ends.
    pub(crate) expires: Option<Instant>,
    /// The other end.
    pub(crate) from: SocketAddr,
    /// What its spans are parts of.
    pub(crate) trace: Span,
    /// The documents.
    pub(crate) rooms: Arc<Rooms>,
    /// The server's configuration.
    pub(crate) config: Arc<Config>,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
}

impl Connection {
    /// Runs the connection until it is closed; `read_ahead` is what arrived behind the handshake.
    pub(crate) async fn run(self, socket: TcpStream, read_ahead: Vec<u8>) {
        let limits = MessageBytes {
            usual: self.config.max_message_bytes.get(),
            most: self.config.max_message_bytes.get().max(self.config.max_document_bytes.get()),
        };
        let wire_bytes = self.metrics.wire_bytes.clone();
        let transport = Transport::new(socket, read_ahead, self.client_window, limits, wire_bytes);
        let timer = pin!(sleep_until(Instant::now()));
        let mut open = OpenConnection::new(&self, transport, timer);
        if let Err(error) = self.begin(&mut open) {
            let transport = open.into_transport();
            return Box::pin(self.turn_away(transport, error)).await;
        }
        let end = poll_fn(|cx| open.poll(cx)).await;
        let transport = open.into_transport();
        self.note(&end);
        transport.close(end).await;
    }

    /// Joins the room of its document, if it is of one.
    fn begin(&self, open: &mut OpenConnection<'_>) -> Result<(), JoinError> {
        let Dialect::YWebsocket { name, terms } = &self.dialect else {
            open.opens_by = Some(Instant::now() + OPENS_WITHIN);
            debug!(from = %self.from, "connected");
            return Ok(());
        };
        let outbox = self.rooms.outbox(&open.ready, open.members.next_number());
        let membership = self.rooms.join(name, Arc::clone(&outbox), *terms, &GREETING, &self.trace)?;
        debug!(from = %self.from, document = %Shown(name), peer = membership.peer.0, "connected");
        open.members.add(Member::new(membership, outbox, Delivery::new(Framing::YWebsocket, self.window)));
        Ok(())
    }

    /// Its document for a log line, if it is of one.
    fn document(&self) -> Option<String> {
        match &self.dialect {
            Dialect::YWebsocket { name, .. } => Some(Shown(name).to_string()),
            Dialect::Hocuspocus => None,
        }
    }

    /// There is no place for it in the room.
    async fn turn_away(mut self, transport: Transport, error: JoinError) {
        let permit = TURNED_AWAY.try_acquire();
        if permit.is_ok() {
            self.registration.give_up_place();
        }
        info!(from = %self.from, document = self.document(), "turned away: {error}");
        self.metrics.reject(error.label());
        let closing = poll_fn(|cx| {
            self.closing.wake_on_close(cx);
            self.closing.poll()
        });
        let parting = match error {
            JoinError::Stopping => error.into(),
            error => timeout(TURNED_AWAY_AFTER, closing).await.unwrap_or_else(|_| error.into()),
        };
        transport.close(end_by(parting)).await;
    }

    fn note(&self, end: &End) {
        if let End::ByUs(Close { code, .. }) = end
            && let Some(reason) = counted_as(*code)
        {
            self.metrics.reject(reason);
        }
        let (from, document) = (self.from, self.document());
        match end {
            End::Gone => debug!(%from, document, "gone"),
            End::ByPeer => debug!(%from, document, "closed by its peer"),
            End::ByUs(Close { code: 1001, reason }) => {
                debug!(%from, document, "closing: {reason}")
            }
            End::ByUs(Close { code, reason }) => warn!(%from, document, code, "closing: {reason}"),
        }
    }
}
