//! One WebSocket, from the end of its handshake to its Close frame.

mod closing;
mod delivery;
mod frames;
mod freed;
mod link;
mod open;
mod pace;
mod parting;
pub(crate) mod register;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use coscribe_engine::dialect::y_websocket::GREETING;
use coscribe_persistence::DocumentName;
use coscribe_websocket::{Close, End, MessageBytes, Transport, WindowBits};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info, warn};

use self::frames::frame;
use self::open::OpenConnection;
use self::parting::end_by;
use self::register::Registration;
use crate::config::Config;
use crate::limits::{MAX_TURNED_AWAY, TURNED_AWAY_AFTER};
use crate::metrics::Metrics;
use crate::rooms::{JoinError, Outbox, Rooms, Shown};

pub(crate) use self::closing::Closing;
pub(crate) use self::parting::{counted_as, told_as};

/// Connections that stay for a moment without a place in a room.
static TURNED_AWAY: Semaphore = Semaphore::const_new(MAX_TURNED_AWAY);

/// A connection that is to be a peer of a room.
pub(crate) struct Connection {
    /// Its place among the connections that shutdown closes.
    pub(crate) registration: Registration,
    /// Tells it that shutdown closes it.
    pub(crate) closing: Arc<Closing>,
    /// The window of messages to the peer, if they may be compressed.
    pub(crate) window: Option<WindowBits>,
    /// How many bytes before it a compressed message of the peer may refer to, if messages may come compressed.
    pub(crate) client_window: Option<usize>,
    /// The document.
    pub(crate) name: DocumentName,
    /// The other end.
    pub(crate) from: SocketAddr,
    /// The documents.
    pub(crate) rooms: Arc<Rooms>,
    /// The server's configuration.
    pub(crate) config: Arc<Config>,
    /// The counters.
    pub(crate) metrics: Arc<Metrics>,
}

impl Connection {
    /// Runs the connection until it is closed; `read_ahead` are the bytes that arrived behind the handshake.
    pub(crate) async fn run(self, socket: TcpStream, read_ahead: Vec<u8>) {
        let limits = MessageBytes {
            usual: self.config.max_message_bytes.get(),
            most: self.config.max_message_bytes.get().max(self.config.max_document_bytes.get()),
        };
        let wire_bytes = self.metrics.wire_bytes.clone();
        let transport = Transport::new(socket, read_ahead, self.client_window, limits, wire_bytes);
        let lagging = self.metrics.lagging_peers.clone();
        let outbox = Arc::new(Outbox::new(self.config.outbox_bytes.get(), lagging));
        let membership = match self.rooms.join(&self.name, Arc::clone(&outbox), &GREETING) {
            Ok(membership) => membership,
            Err(error) => return Box::pin(self.turn_away(transport, error)).await,
        };
        debug!(from = %self.from, document = %Shown(&self.name), peer = membership.peer.0, "connected");

        let timer = pin!(sleep_until(Instant::now()));
        let mut open = OpenConnection::new(&self, &membership, &outbox, transport, timer);
        let end = poll_fn(|cx| open.poll(cx)).await;
        let mut transport = open.into_transport();

        self.note(&end);
        drop(membership);
        let left = outbox.try_take().messages;
        transport.messages.extend(left.iter().map(|queued| frame(&queued.message).payload(self.window)));
        transport.close(end).await;
    }

    /// There is no place for it in the room.
    async fn turn_away(mut self, transport: Transport, error: JoinError) {
        let permit = TURNED_AWAY.try_acquire();
        if permit.is_ok() {
            self.registration.give_up_place();
        }
        info!(from = %self.from, document = %Shown(&self.name), "turned away: {error}");
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
