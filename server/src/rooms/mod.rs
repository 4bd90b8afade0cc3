//! The open documents: name -> room, opened once however many connections ask at the same time.
//!
//! One rule keeps the register and the rooms in step. A `Join` is put into the room's inbox *under the register's lock*. A room
//! takes itself out under the same lock, and only when its inbox is empty. So no join is lost, and there are never two rooms
//! for one name.

mod door;
mod effects;
mod guest;
mod inbox;
mod long_work;
mod opened;
mod outbox;
mod shared;
mod spans;
mod task;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coscribe_engine::dialect::MessageError;
use coscribe_engine::message::{Inbound, Parting, Reason};
use coscribe_engine::room::{Access, PeerId, Terms};
use coscribe_persistence::DocumentName;
use coscribe_persistence::limits::MAX_SUBJECT_BYTES;
use coscribe_turns::{Party, Turns};
use coscribe_websocket::awake;
use smallvec::SmallVec;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use self::door::Door;
pub(crate) use self::guest::GuestError;
use self::inbox::{Inbox, Input, Place};
use self::long_work::LongWork;
pub(crate) use self::outbox::{Outbox, Queued, Ready};
pub(crate) use self::shared::Shared;
use crate::budget::{Account, Budget, Debtor, Strain};
use crate::config::Config;
use crate::journal::SharedJournal;
use crate::limits::{INBOX_MESSAGE_COST, LOADING_THREADS, MESSAGE_FORMS, ROOM_BYTES, SHOWN_NAME_CHARS};
use crate::load::Load;
use crate::metrics::Metrics;
use crate::observe::Span;

/// All open rooms, and the parts of the server that each needs.
pub(crate) struct Rooms {
    open: Mutex<Register>,
    last_peer: AtomicU64,
    last_gone: Notify,
    config: Arc<Config>,
    journal: SharedJournal,
    metrics: Arc<Metrics>,
    /// Where the rooms' clocks start. They stand still while the process does.
    origin: Instant,
    /// Turns for long work.
    long_work: LongWork,
    /// Turns to read a document from disk.
    loading: Turns,
    /// How busy the process is.
    load: Load,
    /// What the documents may have in memory, with all else.
    budget: Arc<Budget>,
}

#[derive(Default)]
struct Register {
    rooms: HashMap<DocumentName, Arc<Mailbox>>,
    stopping: bool,
}

/// The way into a room.
struct Mailbox {
    inbox: Inbox,
    /// Bounds the bytes in the inbox: each message holds its share until the room has processed it.
    space: Arc<Semaphore>,
    /// Nanoseconds that the room's connections have spent on writing since the room last looked.
    writing: AtomicU64,
    /// How many connections have joined.
    peers: AtomicUsize,
    /// What the server holds for the document.
    account: Arc<Account>,
}

/// A peer's place in a room. Dropping it leaves the room.
pub(crate) struct Membership {
    /// The peer.
    pub(crate) peer: PeerId,
    mailbox: Arc<Mailbox>,
    inbox_bytes: u32,
    /// What the spans of its messages are parts of.
    trace: Span,
    /// What the server holds for the peer.
    account: Arc<Account>,
}

/// Messages that a peer has sent at once, and then perhaps bytes that are no message.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// The messages, in order.
    pub(crate) messages: SmallVec<[Inbound; 1]>,
    /// Why the bytes after them cannot be read.
    pub(crate) error: Option<MessageError>,
}

impl Said {
    /// How many messages it has, with the one that cannot be read.
    pub(crate) fn len(&self) -> usize {
        self.messages.len() + usize::from(self.error.is_some())
    }

    /// Whether it may change the document.
    fn writes(&self) -> bool {
        let writes = |message: &Inbound| matches!(message, Inbound::Step2(_) | Inbound::Update(_));
        self.messages.iter().any(writes)
    }
}

/// A right to have messages in memory, which is kept until they have been taken in.
pub(crate) type Hold = Option<Arc<dyn Send + Sync>>;

/// Why a document cannot be joined now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JoinError {
    /// The configured number of rooms is open.
    #[error("too many documents are open; try again later")]
    TooManyRooms,
    /// The configured number of connections is in this room.
    #[error("too many connections to this document; try again later")]
    TooManyPeers,
    /// There is too little memory for another document.
    #[error("the server is short of memory; try again later")]
    NoMemory,
    /// There is too little space on the disk for a document that does not exist yet.
    #[error("the server is short of disk space; try again later")]
    NoDisk,
    /// The log has no place for so long a subject. A grant with one is refused before, so nobody hears this who has a token.
    #[error("the user's id has more than {MAX_SUBJECT_BYTES} bytes")]
    Subject,
    /// The server is on its way down.
    #[error("the server is shutting down")]
    Stopping,
}

impl JoinError {
    /// The reason under which metrics count it.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            JoinError::TooManyRooms => "documents",
            JoinError::TooManyPeers => "connections_to_document",
            JoinError::NoMemory => "memory",
            JoinError::NoDisk => "disk",
            JoinError::Subject => "forbidden",
            JoinError::Stopping => "stopping",
        }
    }
}

impl From<JoinError> for Parting {
    fn from(error: JoinError) -> Parting {
        let reason = match error {
            JoinError::TooManyRooms | JoinError::TooManyPeers | JoinError::NoMemory | JoinError::NoDisk => {
                Reason::Overload
            }
            JoinError::Subject => Reason::Forbidden,
            JoinError::Stopping => Reason::Shutdown,
        };
        Parting::new(reason, error.to_string())
    }
}

impl Rooms {
    /// No room is open yet.
    pub(crate) fn new(
        config: Arc<Config>,
        journal: SharedJournal,
        budget: Arc<Budget>,
        metrics: Arc<Metrics>,
    ) -> Arc<Rooms> {
        Arc::new(Rooms {
            open: Mutex::default(),
            last_peer: AtomicU64::new(0),
            last_gone: Notify::new(),
            config,
            journal,
            metrics,
            origin: Instant::now(),
            long_work: LongWork::new(),
            loading: Turns::new(LOADING_THREADS),
            load: Load::new(),
            budget,
        })
    }

    /// The time of all rooms, without pauses of the process.
    fn now(&self) -> Duration {
        awake::since(self.origin)
    }

    /// When that time will be.
    fn at(&self, time: Duration) -> Instant {
        awake::after(self.origin, time)
    }

    /// Joins the room of a document, and opens it if nobody has. Everything from the room comes through the outbox, also that
    /// the document cannot be read. The peer has these terms, and `greeting` holds the wishes that it need not send. `subject` is the
    /// user of the application that it is, of at most [`MAX_SUBJECT_BYTES`]; empty if that is unknown. Its spans are parts of
    /// `trace`.
    pub(crate) fn join(
        self: &Arc<Self>,
        name: &DocumentName,
        outbox: Arc<Outbox>,
        subject: Arc<str>,
        terms: Terms,
        greeting: &'static [Inbound],
        trace: &Span,
    ) -> Result<Membership, JoinError> {
        if subject.len() > MAX_SUBJECT_BYTES {
            return Err(JoinError::Subject);
        }
        let span = trace.child("join");
        span.set("coscribe.document", || shown(name));
        let peer = PeerId(self.last_peer.fetch_add(1, Ordering::Relaxed) + 1);
        let mut register = self.register();
        let mailbox = self.enter(&mut register, name, outbox.account().party(), None)?;
        if mailbox.peers.load(Ordering::Relaxed) >= self.config.max_connections_per_document.get() {
            return Err(JoinError::TooManyPeers);
        }
        mailbox.peers.fetch_add(1, Ordering::Relaxed);
        let account = Arc::clone(outbox.account());
        account.join_room();
        mailbox.send(Input::Join { peer, place: Place { outbox, subject }, terms, greeting, span });
        Ok(Membership { peer, mailbox, inbox_bytes: self.inbox_bytes(), trace: trace.clone(), account })
    }

    /// An outbox for a peer, which announces what is new in it under this number.
    pub(crate) fn outbox(&self, ready: &Arc<Ready>, number: usize) -> Arc<Outbox> {
        let lagging = self.metrics.lagging_peers.clone();
        Arc::new(Outbox::new(self.config.outbox_bytes.get(), lagging, Arc::clone(ready), number))
    }

    /// Opens the room of a document for nobody: it is checkpointed, and evicted if nobody joins meanwhile. `turn` is given back
    /// when somebody joins, or the room ends.
    pub(crate) fn visit(
        self: &Arc<Self>,
        name: &DocumentName,
        turn: OwnedSemaphorePermit,
    ) -> Result<(), JoinError> {
        self.enter(&mut self.register(), name, None, Some(turn)).map(drop)
    }

    /// Takes a room out of the register if nothing waits in its inbox. True: it is out and must end.
    fn evict(&self, name: &DocumentName, inbox: &Inbox) -> bool {
        let mut register = self.register();
        let idle = inbox.is_empty();
        if idle {
            self.take_out(&mut register, name);
        }
        idle
    }

    /// Takes a room out of the register, though connections may be waiting: the room closes them.
    pub(crate) fn remove(&self, name: &DocumentName) {
        self.take_out(&mut self.register(), name);
    }

    /// Names of the open documents, and what these owe.
    pub(crate) fn accounts(&self) -> Vec<(DocumentName, Arc<Account>)> {
        let register = self.register();
        register.rooms.iter().map(|(name, mailbox)| (name.clone(), Arc::clone(&mailbox.account))).collect()
    }

    /// Asks rooms in which nobody is to end now, for want of memory.
    pub(crate) fn close_unused(&self) {
        let register = self.register();
        let unused = register.rooms.values().filter(|mailbox| mailbox.peers.load(Ordering::Relaxed) == 0);
        unused.for_each(|mailbox| mailbox.send(Input::Hurry));
    }

    /// Asks a room to send everybody away in these words, and to end, for want of memory.
    pub(crate) fn give_way(&self, name: &DocumentName, words: &'static str) {
        if let Some(mailbox) = self.register().rooms.get(name) {
            mailbox.send(Input::GiveWay { words });
        }
    }

    /// Lets nobody in any more.
    pub(crate) fn close_doors(&self) {
        self.register().stopping = true;
    }

    /// Asks every room to end when it has processed its inbox.
    pub(crate) fn stop(&self) {
        self.register().rooms.values().for_each(|mailbox| mailbox.send(Input::Stop));
    }

    /// Waits until no room is open.
    pub(crate) async fn all_gone(&self) {
        loop {
            let gone = self.last_gone.notified();
            if self.register().rooms.is_empty() {
                return;
            }
            gone.await;
        }
    }

    fn enter(
        self: &Arc<Self>,
        register: &mut Register,
        name: &DocumentName,
        party: Party,
        turn: Option<OwnedSemaphorePermit>,
    ) -> Result<Arc<Mailbox>, JoinError> {
        if register.stopping {
            return Err(JoinError::Stopping);
        }
        let full = register.rooms.len() >= self.config.max_rooms.get();
        match register.rooms.entry(name.clone()) {
            Entry::Occupied(room) => Ok(Arc::clone(room.get())),
            Entry::Vacant(_) if full => Err(JoinError::TooManyRooms),
            Entry::Vacant(_) if turn.is_none() && self.budget.strain() == Strain::Full => {
                Err(JoinError::NoMemory)
            }
            Entry::Vacant(_) if !self.journal.takes_new() && !self.journal.contains(name) => {
                Err(JoinError::NoDisk)
            }
            Entry::Vacant(place) => {
                let mailbox = Arc::new(Mailbox {
                    inbox: Inbox::default(),
                    space: Arc::new(Semaphore::new(self.inbox_bytes() as usize)),
                    writing: AtomicU64::new(0),
                    peers: AtomicUsize::new(0),
                    account: Account::new(&self.budget, Debtor::Document, None, ROOM_BYTES),
                });
                let door = Door::new(Arc::clone(self), name.clone(), Arc::clone(&mailbox), party);
                tokio::spawn(task::run(door, turn));
                self.metrics.rooms.inc();
                Ok(Arc::clone(place.insert(mailbox)))
            }
        }
    }

    fn take_out(&self, register: &mut Register, name: &DocumentName) {
        if register.rooms.remove(name).is_some() {
            self.metrics.rooms.dec();
        }
        if register.rooms.is_empty() {
            register.rooms.shrink_to_fit();
            self.last_gone.notify_one();
        }
    }

    fn inbox_bytes(&self) -> u32 {
        u32::try_from(self.config.inbox_bytes.get()).unwrap_or(u32::MAX)
    }

    fn register(&self) -> MutexGuard<'_, Register> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mailbox {
    fn send(&self, input: Input) {
        self.inbox.send(input);
    }
}

impl Membership {
    /// Hands messages of so many bytes to the room, if it has space for them now; else gives them back.
    pub(crate) fn try_send(&self, said: Said, bytes: usize, hold: Hold) -> Result<(), Said> {
        match Arc::clone(&self.mailbox.space).try_acquire_many_owned(self.cost(&said, bytes)) {
            Ok(space) => {
                let span = self.span(&said, bytes);
                let charge = self.account.charge(MESSAGE_FORMS * space.num_permits());
                self.mailbox.send(Input::Said { peer: self.peer, said, span, _space: (space, hold, charge) });
                Ok(())
            }
            Err(_) => Err(said),
        }
    }

    /// Hands messages to the room as soon as it has space.
    pub(crate) fn send(
        &self,
        said: Said,
        bytes: usize,
        hold: Hold,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (peer, mailbox, cost) = (self.peer, Arc::clone(&self.mailbox), self.cost(&said, bytes));
        let span = self.span(&said, bytes);
        let charge = self.account.charge(MESSAGE_FORMS * cost as usize);
        async move {
            if let Ok(space) = Arc::clone(&mailbox.space).acquire_many_owned(cost).await {
                mailbox.send(Input::Said { peer, said, span, _space: (space, hold, charge) });
            }
        }
    }

    /// Tells the room that the peer sends a message that is larger than any may be. The room decides when the peer is closed.
    pub(crate) fn too_large(&self) {
        self.mailbox.send(Input::TooLarge { peer: self.peer });
    }

    /// Tells the room that all its messages are on their way.
    pub(crate) fn drained(&self) {
        self.mailbox.send(Input::Drained { peer: self.peer });
    }

    /// Changes what the peer may do, of which it hears.
    pub(crate) fn set_access(&self, access: Access) {
        self.mailbox.send(Input::SetAccess { peer: self.peer, access });
    }

    /// Says who the peer is from now on.
    pub(crate) fn set_subject(&self, subject: Arc<str>) {
        self.mailbox.send(Input::SetSubject { peer: self.peer, subject });
    }

    /// Tells the room that the peer has given the sign of life that it wanted.
    pub(crate) fn alive(&self) {
        self.mailbox.send(Input::Alive { peer: self.peer });
    }

    /// Tells the room how long it took to write its frames.
    pub(crate) fn spent(&self, writing: Duration) {
        let nanos = u64::try_from(writing.as_nanos()).unwrap_or(u64::MAX);
        self.mailbox.writing.fetch_add(nanos, Ordering::Relaxed);
    }

    /// What becomes of messages of so many bytes, if it is traced.
    fn span(&self, said: &Said, bytes: usize) -> Span {
        if !self.trace.is_traced() || !said.writes() {
            return Span::default();
        }
        let span = self.trace.message("receive");
        span.set("coscribe.bytes", || i64::try_from(bytes).unwrap_or(i64::MAX));
        span
    }

    /// Messages larger than the inbox take all of it.
    fn cost(&self, said: &Said, bytes: usize) -> u32 {
        let cost = bytes + said.len() * INBOX_MESSAGE_COST;
        u32::try_from(cost).unwrap_or(u32::MAX).min(self.inbox_bytes)
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.mailbox.peers.fetch_sub(1, Ordering::Relaxed);
        self.account.leave_room();
        self.mailbox.send(Input::Leave { peer: self.peer });
    }
}

/// A document name for a log line or a span, as a string: each format of the log quotes and escapes strings by itself. It is
/// cut where it is long: anybody may ask for any name.
pub(crate) fn shown(name: &DocumentName) -> String {
    let name = name.as_str();
    match name.char_indices().nth(SHOWN_NAME_CHARS) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests;
