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

mod orders;
mod parting;
mod permission;
mod questions;
pub(crate) mod register;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use coscribe_engine::message::{Outbound, Parting};
use coscribe_engine::room::Terms;
use coscribe_persistence::DocumentName;
use coscribe_websocket::{Close, End, Gone, MessageBytes, Stream, Transport, WindowBits};
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use self::frames::Framing;
use self::open::OpenConnection;
use self::parting::end_by;
use self::register::Registration;
use crate::access::{Authorizer, Decision, Denied, Grant, Refusals, Told, Visitor};
use crate::config::Config;
use crate::limits::TURNED_AWAY_AFTER;
use crate::metrics::Metrics;
use crate::observe::Span;
use crate::rooms::{JoinError, Rooms, shown};

pub(crate) use self::orders::{Orders, Review};
pub(crate) use self::parting::{counted_as, told_as};

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

/// Why a connection does not become a peer.
#[derive(Debug, thiserror::Error)]
enum TurnedAway {
    /// Its client may not have the document.
    #[error(transparent)]
    Denied(Denied),
    /// There is no place in the room.
    #[error(transparent)]
    NoRoom(JoinError),
    /// The server wants it to end before it has begun.
    #[error("{}", .0.words)]
    Closed(Parting),
}

impl TurnedAway {
    /// The reason under which metrics count it.
    fn label(&self) -> Option<&'static str> {
        match self {
            TurnedAway::Denied(denied) => Some(denied.label()),
            TurnedAway::NoRoom(error) => Some(error.label()),
            TurnedAway::Closed(_) => None,
        }
    }
}

impl From<TurnedAway> for Parting {
    fn from(refused: TurnedAway) -> Parting {
        match refused {
            TurnedAway::Denied(denied) => Parting::new(denied.reason(), denied.to_string()),
            TurnedAway::NoRoom(error) => error.into(),
            TurnedAway::Closed(parting) => parting,
        }
    }
}

impl Dialect {
    /// Tells which it is, and of which document, in a span.
    pub(crate) fn tell(&self, span: &Span) {
        match self {
            Dialect::YWebsocket { name, .. } => {
                span.set("coscribe.dialect", || "y-websocket");
                span.set("coscribe.document", || shown(name));
            }
            Dialect::Hocuspocus => span.set("coscribe.dialect", || "hocuspocus"),
        }
    }
}

/// A connection that is to be a peer of rooms.
pub(crate) struct Connection {
    /// Its place among the connections that shutdown closes.
    pub(crate) registration: Registration,
    /// Where it hears of that, and of what else the server wants of it.
    pub(crate) orders: Arc<Orders>,
    /// What the peer reads that was compressed with, if messages may be.
    pub(crate) window: Option<WindowBits>,
    /// How many bytes before it a compressed message of the peer may refer to, if messages may come compressed.
    pub(crate) client_window: Option<usize>,
    /// What is said on it.
    pub(crate) dialect: Dialect,
    /// How often it gets a keep-alive while there is nothing else.
    pub(crate) keep_alive: Duration,
    /// What its client has shown so far.
    pub(crate) visitor: Visitor,
    /// Decides what its client may do.
    pub(crate) authorizer: Arc<Authorizer>,
    /// How often addresses were refused.
    pub(crate) refusals: Arc<Refusals>,
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
    /// Runs the connection from the end of the handshake until it is closed. What is decided about its client comes along, if that
    /// wants one document.
    pub(crate) fn run(
        self,
        decision: Option<Decision>,
        stream: impl Future<Output = Result<(Stream, Vec<u8>), Gone>> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        // Boxed for as long as it is needed: most of this is for the beginning, and connections are idle for long.
        let admission = Box::pin(self.admit(decision, stream));
        async move {
            if let Some(mut open) = admission.await {
                let end = poll_fn(|cx| open.poll(cx)).await;
                Box::pin(open.close(end)).await;
            }
        }
    }

    /// Lets its client in, if that may be.
    async fn admit(
        self,
        decision: Option<Decision>,
        stream: impl Future<Output = Result<(Stream, Vec<u8>), Gone>>,
    ) -> Option<Box<OpenConnection>> {
        let Ok((stream, read_ahead)) = stream.await else {
            debug!(from = %self.from, "gone before the handshake was over");
            return None;
        };
        let limits = MessageBytes {
            usual: self.config.max_message_bytes.get(),
            most: self.config.max_message_bytes.get().max(self.config.max_document_bytes.get()),
        };
        let wire_bytes = self.metrics.wire_bytes.clone();
        let party = self.registration.account().party();
        let transport = Transport::new(stream, read_ahead, self.client_window, limits, wire_bytes, party);
        let grant = match decision {
            None => None,
            Some(decision) => match self.decided(decision).await {
                Ok(grant) => Some(grant),
                Err(refused) => {
                    self.turn_away(transport, refused).await;
                    return None;
                }
            },
        };
        let mut open = Box::new(OpenConnection::new(self, transport));
        if let Err(error) = open.begin(grant) {
            let (connection, transport) = open.into_parts();
            connection.turn_away(transport, TurnedAway::NoRoom(error)).await;
            return None;
        }
        Some(open)
    }

    /// What is decided about its client, who has to wait where the application is asked.
    async fn decided(&self, decision: Decision) -> Result<Grant, TurnedAway> {
        let decided = match decision {
            Decision::Now(decided) => decided,
            Decision::Later(decided) => tokio::select! {
                decided = decided => decided,
                parting = self.closed() => return Err(TurnedAway::Closed(parting)),
            },
        };
        decided.map_err(TurnedAway::Denied)
    }

    /// Why it is to end, once it is.
    fn closed(&self) -> impl Future<Output = Parting> {
        poll_fn(|cx| {
            self.orders.wake(cx);
            self.orders.poll_close()
        })
    }

    /// Its document for a log line, if it is of one.
    fn document(&self) -> Option<String> {
        match &self.dialect {
            Dialect::YWebsocket { name, .. } => Some(shown(name)),
            Dialect::Hocuspocus => None,
        }
    }

    /// Tells its client that there is no place for it, and lets it go.
    async fn turn_away(mut self, mut transport: Transport, refused: TurnedAway) {
        self.registration.give_up_place();
        if self.refusals.is_logged(self.visitor.address, Instant::now()) {
            let (document, reason) = (self.document(), refused.label());
            info!(from = %self.from, document, reason, "refused a connection: {refused}");
        }
        if let Some(label) = refused.label() {
            self.metrics.reject(label);
        }
        if let TurnedAway::Denied(denied) = &refused {
            self.metrics.denied(denied.label());
        }
        let told = match &refused {
            TurnedAway::NoRoom(JoinError::Stopping) | TurnedAway::Closed(_) => Told::AtOnce,
            // Clients are to come back, and not at once.
            TurnedAway::NoRoom(_) | TurnedAway::Denied(Denied::Unavailable) => Told::Later,
            TurnedAway::Denied(denied) => {
                let words = Outbound::Denied(denied.to_string().into());
                transport
                    .messages
                    .extend(Framing::YWebsocket.encode(&words).map(|frame| frame.payload(None)));
                self.refusals.count(self.visitor.address, Instant::now())
            }
        };
        let parting = match told {
            Told::AtOnce => refused.into(),
            _ => self.wait_before(&mut transport, refused).await,
        };
        transport.close(end_by(parting)).await;
    }

    /// Writes what there is to say, and waits for a while before the connection is closed for this reason.
    async fn wait_before(&self, transport: &mut Transport, refused: TurnedAway) -> Parting {
        let wait = async {
            if poll_fn(|cx| transport.poll_write_all(cx)).await.is_ok() {
                sleep(TURNED_AWAY_AFTER).await;
            }
        };
        tokio::select! {
            () = wait => refused.into(),
            parting = self.closed() => parting,
        }
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
            // The server stops, or an end of access was logged when it came.
            End::ByUs(Close { code: 1001 | 4401 | 4403, reason }) => {
                debug!(%from, document, "closing: {reason}")
            }
            End::ByUs(Close { code, reason }) => warn!(%from, document, code, "closing: {reason}"),
        }
    }
}
