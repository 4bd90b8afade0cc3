//! One WebSocket: reads and writes at the same time on one task, so that a peer that does not read is still heard.

mod open;

mod reading;

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

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use coscribe_engine::dialect::y_websocket::GREETING;
use coscribe_engine::room::{Access, Terms};
use coscribe_persistence::DocumentName;
use coscribe_websocket::{Close, End, MessageBytes, Transport, WindowBits};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info, warn};

use self::delivery::Delivery;
use self::frames::Framing;
use self::members::Member;
use self::open::Open;
use self::parting::{counted_as, end_by};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::net::connections::Registration;
use crate::rooms::{Outbox, Ready, Refused, Rooms, Shown};

pub(crate) use self::closing::Closing;
pub(crate) use self::parting::told_as;

/// How long a connection stays that has no place in a room. y-websocket forgets how often it has tried when a socket opens, and
/// would be back a tenth of a second later; this is what it waits at most between two tries.
const TURNED_AWAY_AFTER: Duration = Duration::from_millis(2500);

/// How many of these may stay beside the connections that are counted, so that a crowd before one document keeps nobody from
/// another.
static TURNED_AWAY: Semaphore = Semaphore::const_new(1024);

/// How long a Hocuspocus provider may take to open its first document. Its token may come from elsewhere.
const OPENS_WITHIN: Duration = Duration::from_secs(60);

/// What is said on a connection, and of which documents.
pub(crate) enum Dialect {
    /// That of y-websocket, of one document.
    YWebsocket {
        /// The document.
        name: DocumentName,
        /// What the client may do with it.
        access: Access,
    },
    /// That of Hocuspocus, of those that its client opens.
    Hocuspocus,
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
    /// The other end.
    pub(crate) from: SocketAddr,
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
            usual: self.config.max_message_bytes,
            most: self.config.max_message_bytes.max(self.config.max_document_bytes),
        };
        let wire_bytes = self.metrics.wire_bytes.clone();
        let transport = Transport::new(socket, read_ahead, self.client_window, limits, wire_bytes);
        let timer = pin!(sleep_until(Instant::now()));
        let mut open = Open::new(&self, transport, timer);
        if let Err(refused) = self.begin(&mut open) {
            let transport = open.into_transport();
            return Box::pin(self.turn_away(transport, refused)).await;
        }
        let end = poll_fn(|cx| open.poll(cx)).await;
        let transport = open.into_transport();
        self.note(&end);
        transport.close(end).await;
    }

    /// Joins the room of its document, if it is of one.
    fn begin(&self, open: &mut Open<'_>) -> Result<(), Refused> {
        let Dialect::YWebsocket { name, access } = &self.dialect else {
            open.opens_by = Some(Instant::now() + OPENS_WITHIN);
            debug!(from = %self.from, "connected");
            return Ok(());
        };
        let outbox = self.outbox(&open.ready, open.members.next_number());
        let terms = Terms { access: *access, ..Terms::default() };
        let membership = self.rooms.join(name, Arc::clone(&outbox), terms, &GREETING)?;
        debug!(from = %self.from, document = %Shown(name), peer = membership.peer.0, "connected");
        open.members.add(Member::new(membership, outbox, Delivery::new(Framing::YWebsocket, self.window)));
        Ok(())
    }

    /// An outbox for the member with this number.
    fn outbox(&self, ready: &Arc<Ready>, number: usize) -> Arc<Outbox> {
        let lagging = self.metrics.lagging_peers.clone();
        Arc::new(Outbox::new(self.config.outbox_bytes, lagging, Arc::clone(ready), number))
    }

    /// Its document for a log line, if it is of one.
    fn document(&self) -> Option<String> {
        match &self.dialect {
            Dialect::YWebsocket { name, .. } => Some(Shown(name).to_string()),
            Dialect::Hocuspocus => None,
        }
    }

    /// There is no place for it in the room.
    async fn turn_away(mut self, transport: Transport, refused: Refused) {
        let permit = TURNED_AWAY.try_acquire();
        if permit.is_ok() {
            self.registration.give_up_place();
        }
        info!(from = %self.from, document = self.document(), "refused: {refused}");
        self.metrics.reject(refused.label());
        let closing = poll_fn(|cx| {
            self.closing.wake(cx);
            self.closing.poll()
        });
        let parting = match refused {
            Refused::Stopping => refused.into(),
            refused => timeout(TURNED_AWAY_AFTER, closing).await.unwrap_or_else(|_| refused.into()),
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
