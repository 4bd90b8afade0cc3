//! The open part of a connection's life, on one task: what its client sends goes to the rooms of its documents, and what these
//! have for it is written. It is polled whenever anything may have happened, so it asks first for what costs least.

use std::collections::VecDeque;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use coscribe_engine::dialect::y_websocket::{GREETING, Messages};
use coscribe_engine::message::Reason;
use coscribe_engine::room::Terms;
use coscribe_websocket::{End, Error, Message, Payload, Right, Transport, awake};
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::debug;

use super::addresses::Addresses;
use super::delivery::Delivery;
use super::frames::Framing;
use super::link::Link;
use super::members::{Member, Members};
use super::pace::Pace;
use super::parting::{end, end_by};
use super::permission::Permit;
use super::questions::{Question, Questions};
use super::{Connection, Dialect};
use crate::access::Grant;
use crate::budget::Charge;
use crate::limits::OPENS_WITHIN;
use crate::rooms::{JoinError, Ready, shown};

/// The open part of a connection's life.
pub(super) struct OpenConnection {
    pub(super) connection: Connection,
    pub(super) transport: Transport,
    /// Its memberships. A client of y-websocket has one for as long as it is here.
    pub(super) members: Members,
    /// Which of their outboxes have something new.
    pub(super) ready: Arc<Ready>,
    /// The documents of a Hocuspocus provider.
    pub(super) addresses: Addresses,
    /// Until when it has to open one.
    pub(super) opens_by: Option<Instant>,
    /// Documents that were refused for the tokens of the client.
    pub(super) refused: u32,
    /// What is asked about its client.
    pub(super) questions: Questions,
    /// When a grant of its members is to be looked at.
    pub(super) permits_due: Option<Instant>,
    /// The way to the peer.
    pub(super) link: Link,
    /// The member whose messages are being written.
    pub(super) writes: Option<usize>,
    /// Something was given to the transport that is not in the kernel's hands yet.
    pub(super) is_writing: bool,
    /// What the connection itself has to say.
    pub(super) replies: VecDeque<Payload>,
    pub(super) reply_bytes: usize,
    pub(super) pace: Pace,
    /// Until when nothing is read: the room has no space, or the peer is too fast.
    pub(super) pause: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Bytes of messages that have not been given to a room yet.
    pub(super) unread: Charge,
    /// What has not been given to a room yet of the last frame.
    pub(super) rest: Option<Rest>,
    /// The last frame, if it is large.
    pub(super) large: Option<Bytes>,
    /// The right to have it in memory, if it is larger than usual. Its parts share it, until the room has taken them in.
    pub(super) right: Option<Arc<Right>>,
    /// Nothing is read before the application has answered.
    pub(super) awaits_answers: bool,
    /// What comes is not read any more: the rooms decide when the connection ends.
    pub(super) unreadable: bool,
    /// The task is woken when the server wants something of the connection.
    hears_orders: bool,
    /// Messages of the last frame that the room has been given.
    pub(super) delivered: usize,
    /// Bytes that have come and were not yet counted against the rates.
    pub(super) uncounted: usize,
    /// Bytes from the wire that were counted before their message was complete.
    pub(super) wire_bytes: usize,
    pub(super) keep_alive_at: Instant,
    ping_at: Instant,
    /// How many pings were sent; each carries its number.
    pub(super) pings: u64,
    /// The members that are to hear of a pong to this ping, or a later one.
    pub(super) probes: Vec<(u64, usize)>,
    timer: Pin<Box<Sleep>>,
}

/// A frame that has come, or what is left of it.
pub(super) enum Rest {
    /// Messages for the only document.
    Messages(Messages),
    /// A new token, which comes before these messages.
    Token(Bytes, Messages),
    /// A message of a Hocuspocus provider.
    Frame(Bytes),
}

impl Rest {
    /// How many bytes are left.
    pub(super) fn len(&self) -> usize {
        match self {
            Rest::Messages(messages) => messages.rest(),
            Rest::Token(token, messages) => token.len() + messages.rest(),
            Rest::Frame(frame) => frame.len(),
        }
    }
}

impl OpenConnection {
    /// A connection without a document.
    pub(super) fn new(connection: Connection, transport: Transport) -> OpenConnection {
        let (config, now) = (&connection.config, Instant::now());
        let account = connection.registration.account();
        OpenConnection {
            transport,
            members: Members::default(),
            ready: Ready::new(Arc::clone(account)),
            addresses: Addresses::default(),
            opens_by: None,
            refused: 0,
            questions: Questions::default(),
            permits_due: None,
            link: Link::new(matches!(connection.dialect, Dialect::Hocuspocus)),
            writes: None,
            is_writing: false,
            replies: VecDeque::new(),
            reply_bytes: 0,
            pace: Pace::new(config.rates(), now),
            pause: None,
            unread: account.charge(0),
            rest: None,
            large: None,
            right: None,
            awaits_answers: false,
            unreadable: false,
            hears_orders: false,
            delivered: 0,
            uncounted: 0,
            wire_bytes: 0,
            keep_alive_at: now + connection.keep_alive,
            ping_at: now + config.ping_interval.get(),
            pings: 0,
            probes: Vec::new(),
            timer: Box::pin(sleep_until(now)),
            connection,
        }
    }

    /// Joins the room of its document, if it is of one.
    ///
    /// # Errors
    /// If there is no place in it.
    pub(super) fn begin(&mut self, grant: Option<Grant>) -> Result<(), JoinError> {
        let connection = &self.connection;
        let (Dialect::YWebsocket { name, terms }, Some(grant)) = (&connection.dialect, grant) else {
            self.opens_by = Some(Instant::now() + OPENS_WITHIN);
            debug!(from = %connection.from, "connected");
            return Ok(());
        };
        let outbox = connection.rooms.outbox(&self.ready, self.members.next_number());
        let terms = Terms { access: grant.access, ..*terms };
        let subject = Arc::clone(&grant.subject);
        let membership =
            connection.rooms.join(name, Arc::clone(&outbox), subject, terms, &GREETING, &connection.trace)?;
        let (subject, peer) = (grant.known_subject(), membership.peer.0);
        debug!(from = %connection.from, document = shown(name), subject, peer, "connected");
        let question = Question { number: 0, credentials: Arc::clone(&connection.visitor.credentials) };
        let permit = Permit::new(grant, question, &connection.config);
        let party = connection.registration.account().party();
        let delivery = Delivery::new(Framing::YWebsocket, connection.window, party);
        self.members.add(Member::new(membership, outbox, delivery, permit));
        connection.metrics.granted(connection.visitor.kind.name());
        self.note_permits();
        Ok(())
    }

    /// Closes it, for this reason. It keeps its place until then, and nothing else that is not needed for that: closing may take a
    /// while.
    pub(super) async fn close(self: Box<Self>, end: End) {
        self.connection.note(&end);
        match end {
            End::ByUs(close) if self.connection.orders.gives_way() => {
                let (_connection, transport) = self.into_bare_parts();
                transport.abandon(close).await;
            }
            end => {
                let (_connection, transport) = self.into_parts();
                transport.close(end).await;
            }
        }
    }

    /// The same as [`Self::into_parts`] where nothing is to be said any more.
    fn into_bare_parts(self: Box<Self>) -> (Connection, Transport) {
        (self.connection, self.transport)
    }

    /// The connection before it was open, and its transport with all that is still to be said.
    pub(super) fn into_parts(mut self: Box<Self>) -> (Connection, Transport) {
        let messages = &mut self.transport.messages;
        messages.extend(self.replies);
        for mut member in self.members.into_all() {
            let left = member.outbox.take().messages;
            let new = member.delivery.add(left);
            messages.extend(member.delivery.into_rest());
            messages.extend(new);
        }
        (self.connection, self.transport)
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let orders = &self.connection.orders;
        if !mem::replace(&mut self.hears_orders, true) {
            orders.wake(cx);
        }
        if let Poll::Ready(parting) = orders.poll_close() {
            return Poll::Ready(end_by(parting));
        }
        if orders.has_reviews() {
            // To be woken once has used that up.
            orders.wake(cx);
            if let Some(end) = self.review() {
                return Poll::Ready(end);
            }
        }
        self.transport.begin_turn();
        let polls =
            [Self::poll_write, Self::poll_read, Self::poll_decisions, Self::poll_replies, Self::poll_timer];
        for poll in polls {
            if let Poll::Ready(end) = poll(self, cx) {
                return Poll::Ready(end);
            }
        }
        if self.has_new_questions() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Writes what has to be said to that which was just read.
    fn poll_replies(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if self.replies.is_empty() { Poll::Pending } else { self.poll_write(cx) }
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
            if let Some(end) = self.overdue(now) {
                return Poll::Ready(end);
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

    /// What has not come in time.
    fn overdue(&mut self, now: Instant) -> Option<End> {
        if self.silent_at() <= now {
            return Some(end(Reason::Silence, "no sign of life"));
        }
        if let Some(end) = self.check_permits(now) {
            return Some(end);
        }
        if self.opens_by().is_some_and(|at| at <= now) {
            return Some(end(Reason::Silence, "no document was opened"));
        }
        if self.too_slow_at().is_some_and(|at| at <= now) {
            return Some(end(
                Reason::Overload,
                "too slow for so large a message: others wait for their turn",
            ));
        }
        None
    }

    /// When `poll_timer` has something to do.
    fn due(&mut self) -> Instant {
        let sooner = [self.too_slow_at(), self.opens_by(), self.permits_due].into_iter().flatten();
        let silent_at = sooner.fold(self.silent_at(), Instant::min);
        if self.is_writing { silent_at } else { silent_at.min(self.keep_alive_at).min(self.ping_at) }
    }

    /// Until when it has to open a document: after a pause of the process, it has all of its time again.
    fn opens_by(&self) -> Option<Instant> {
        self.opens_by.map(|at| at.max(awake::resumed() + OPENS_WITHIN))
    }

    /// When a message larger than usual has kept others waiting for too long, unless it is we who don't read it.
    fn too_slow_at(&mut self) -> Option<Instant> {
        if self.pause.is_some() { None } else { self.transport.too_slow_at() }
    }

    fn silent_at(&mut self) -> Instant {
        let config = &self.connection.config;
        self.transport.signs_of_life().deadline(config.ping_interval.get() * 2, config.stall_timeout.get())
    }

    fn feed_signs_of_life(&mut self, now: Instant) -> Result<(), Error> {
        if self.is_writing {
            return Ok(());
        }
        let config = &self.connection.config;
        if self.ping_at <= now {
            self.ping_at = now + config.ping_interval.get();
            self.feed_ping()?;
        }
        if self.keep_alive_at <= now {
            self.keep_alive_at = now + self.connection.keep_alive;
            let member = self.members.iter().next();
            // Providers listen to what is for no document as well.
            let nobody = Framing::Hocuspocus { address: Bytes::new(), is_name: false };
            let framing = member.map_or(&nobody, |member| member.delivery.framing());
            self.is_writing = true;
            self.transport.feed(Message::Binary(framing.keep_alive(0)))?;
        }
        Ok(())
    }

    /// Asks for a sign of life.
    pub(super) fn feed_ping(&mut self) -> Result<(), Error> {
        self.pings += 1;
        self.is_writing = true;
        self.transport.feed(Message::Ping(Bytes::copy_from_slice(&self.pings.to_be_bytes())))
    }
}
