//! Many editors on one thread: each is a connection that speaks a dialect, and all of them are read as bytes arrive.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use crate::connection::{Connection, ConnectionError, Opening, Payload, Reading, Traffic};
use crate::dialect::{Dialect, Incoming, nothing_lacking};
use crate::limits;

/// Where and how editors connect.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where the server listens.
    pub address: SocketAddr,
    /// The server's dialect.
    pub dialect: Dialect,
    /// The path to request, with `{}` for the document.
    pub path: String,
    /// Whether compression is offered.
    pub offer_deflate: bool,
}

/// One editor.
#[derive(Debug)]
struct Editor {
    connection: Connection,
    prefix: Vec<u8>,
    client: u64,
    greeted: bool,
    stalled: bool,
    closing: bool,
    /// The stream has ended: its end comes after the last bytes, and no further event will report it.
    ended: bool,
}

/// Handles one payload of an editor, with the time at which it came; replies go into the last argument.
type Handle<'a> =
    dyn FnMut(usize, Instant, &[u8], Payload<'_>, &mut Vec<Vec<u8>>) -> Result<(), ConnectionError> + 'a;

/// Many editors.
#[derive(Debug)]
pub struct Crowd {
    poll: Poll,
    events: Events,
    target: Target,
    /// By index; `None` where the connection has ended.
    editors: Vec<Option<Editor>>,
    buffer: Vec<u8>,
    /// Editors that have more to be read although no event will say so.
    unread: Vec<usize>,
    /// Editors whose connection has ended, and why.
    pub broken: Vec<(usize, ConnectionError)>,
    greeted: usize,
    gone: usize,
    /// Traffic of connections that have ended.
    past: Traffic,
    /// Time spent waiting: what is left of this thread's capacity.
    waited: Duration,
}

impl Crowd {
    /// A crowd without anybody in it.
    ///
    /// # Errors
    /// If the system cannot create a poll.
    pub fn new(target: Target) -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(limits::EVENTS_PER_TURN),
            target,
            editors: Vec::new(),
            buffer: vec![0; limits::READ_BYTES],
            unread: Vec::new(),
            broken: Vec::new(),
            greeted: 0,
            gone: 0,
            past: Traffic::default(),
            waited: Duration::ZERO,
        })
    }

    /// How many editors there are, open or not.
    pub fn len(&self) -> usize {
        self.editors.len()
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.editors.is_empty()
    }

    /// The server's dialect.
    pub fn dialect(&self) -> Dialect {
        self.target.dialect
    }

    /// Whether an editor's connection is open.
    pub fn is_greeted(&self, index: usize) -> bool {
        self.editors[index].as_ref().is_some_and(|editor| editor.greeted)
    }

    /// Begins to connect one more editor, who speaks as `client`; gives its index.
    ///
    /// # Errors
    /// If the system cannot create a socket.
    pub fn add(&mut self, document: &str, client: u64) -> io::Result<usize> {
        let Target { address, dialect, ref path, offer_deflate } = self.target;
        let path = path.replace("{}", document);
        let mut connection = Connection::open(&Opening { address, path: &path, offer_deflate })?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut connection.stream, Token(self.editors.len()), interest)?;
        let prefix = dialect.prefix(document);
        self.editors.push(Some(Editor {
            connection,
            prefix,
            client,
            greeted: false,
            stalled: false,
            closing: false,
            ended: false,
        }));
        Ok(self.editors.len() - 1)
    }

    /// Connects an editor for each of `documents` with clients that count up from `first_client`, a few at a time, and
    /// returns when all are open. What they receive meanwhile is handed on.
    ///
    /// # Errors
    /// If one is refused, or it takes longer than `patience` until the next one is open.
    pub fn add_all<'a>(
        &mut self,
        documents: impl IntoIterator<Item = &'a str>,
        first_client: u64,
        patience: Duration,
        mut receive: impl FnMut(usize, Instant, Incoming<'_>),
    ) -> anyhow::Result<()> {
        for (client, document) in (first_client..).zip(documents) {
            self.add(document, client)?;
            while self.editors.len() - self.greeted > limits::HANDSHAKES {
                self.await_greeting(patience, &mut receive)?;
            }
        }
        while self.greeted < self.editors.len() {
            self.await_greeting(patience, &mut receive)?;
        }
        Ok(())
    }

    fn await_greeting(
        &mut self,
        patience: Duration,
        receive: &mut impl FnMut(usize, Instant, Incoming<'_>),
    ) -> anyhow::Result<()> {
        let (before, deadline) = (self.greeted, Instant::now() + patience);
        while self.greeted == before {
            self.turn(deadline, &mut *receive)?;
            if let Some((editor, error)) = self.broken.first() {
                anyhow::bail!("editor {editor} could not connect: {error}");
            }
            anyhow::ensure!(Instant::now() < deadline, "no connection opened within {patience:?}");
        }
        Ok(())
    }

    /// Waits until something arrives or `until` has come, and handles a part of what has arrived. The server's questions are
    /// answered.
    ///
    /// # Errors
    /// If the system's poll fails. What happens to connections is in [`Self::broken`].
    pub fn turn(
        &mut self,
        until: Instant,
        mut receive: impl FnMut(usize, Instant, Incoming<'_>),
    ) -> io::Result<()> {
        let dialect = self.target.dialect;
        self.handle_turn(until, &mut |editor, at, prefix, payload, replies| {
            let message = dialect.read(prefix, payload.inflated()?)?;
            if let Incoming::Step1(_) = message {
                replies.push(nothing_lacking(prefix));
            }
            receive(editor, at, message);
            Ok(())
        })
    }

    /// Like [`Self::turn`], but nothing is inflated, read or answered.
    ///
    /// # Errors
    /// If the system's poll fails.
    pub fn turn_unread(
        &mut self,
        until: Instant,
        mut receive: impl FnMut(usize, Instant, Payload<'_>),
    ) -> io::Result<()> {
        self.handle_turn(until, &mut |editor, at, _, payload, _| {
            receive(editor, at, payload);
            Ok(())
        })
    }

    fn handle_turn(&mut self, until: Instant, handle: &mut Handle<'_>) -> io::Result<()> {
        self.wait(until)?;
        let mut ready = std::mem::take(&mut self.unread);
        let mut writable = Vec::new();
        for event in &self.events {
            if event.is_writable() {
                writable.push(event.token().0);
            }
            let ended = event.is_read_closed() || event.is_error();
            if let Some(editor) = self.editors[event.token().0].as_mut().filter(|_| ended) {
                editor.ended = true;
            }
            if event.is_readable() || ended {
                ready.push(event.token().0);
            }
        }
        for index in writable {
            let Some(editor) = &mut self.editors[index] else { continue };
            if let Err(error) = editor.connection.flush() {
                self.lose(index, error);
            }
        }
        for index in ready {
            if let Err(error) = self.read(index, handle) {
                self.lose(index, error);
            }
        }
        Ok(())
    }

    fn wait(&mut self, until: Instant) -> io::Result<()> {
        let start = Instant::now();
        let left =
            if self.unread.is_empty() { until.saturating_duration_since(start) } else { Duration::ZERO };
        // The system counts in milliseconds and rounds up: the last one is spent in a busy loop.
        let left =
            if left < Duration::from_millis(1) { Duration::ZERO } else { left - Duration::from_millis(1) };
        match self.poll.poll(&mut self.events, Some(left)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => self.waited += start.elapsed(),
        }
        Ok(())
    }

    fn read(&mut self, index: usize, handle: &mut Handle<'_>) -> Result<(), ConnectionError> {
        let Some(editor) = &mut self.editors[index] else { return Ok(()) };
        if editor.stalled {
            return Ok(());
        }
        for _ in 0..limits::READS_PER_TURN {
            let (mut replies, mut at) = (Vec::new(), None);
            let reading = editor.connection.read(&mut self.buffer, &mut |payload| {
                let at = *at.get_or_insert_with(Instant::now);
                handle(index, at, &editor.prefix, payload, &mut replies)
            })?;
            if editor.connection.is_open() && !editor.greeted {
                editor.greeted = true;
                self.greeted += 1;
                replies.splice(0..0, self.target.dialect.opening(&editor.prefix, editor.client));
            }
            for reply in replies {
                editor.connection.send(&reply)?;
            }
            match reading {
                Reading::Full => {}
                Reading::Short if editor.ended => {}
                Reading::Short | Reading::Nothing => return Ok(()),
            }
        }
        self.unread.push(index);
        Ok(())
    }

    /// Sends one message, made with the editor's prefix.
    pub fn send(&mut self, index: usize, message: impl FnOnce(&[u8]) -> Vec<u8>) {
        let Some(editor) = &mut self.editors[index] else { return };
        if let Err(error) = editor.connection.send(&message(&editor.prefix)) {
            self.lose(index, error);
        }
    }

    /// Lets an editor stop reading.
    pub fn stall(&mut self, index: usize) {
        if let Some(editor) = &mut self.editors[index] {
            editor.stalled = true;
        }
    }

    /// Lets an editor read again.
    pub fn resume(&mut self, index: usize) {
        if let Some(editor) = &mut self.editors[index] {
            editor.stalled = false;
            self.unread.push(index);
        }
    }

    /// Lets an editor vanish in the middle of a message.
    pub fn break_off(&mut self, index: usize, message: impl FnOnce(&[u8]) -> Vec<u8>) {
        let Some(editor) = &mut self.editors[index] else { return };
        editor.closing = true;
        let message = message(&editor.prefix);
        let end = editor.connection.break_off(&message).err().unwrap_or(ConnectionError::Closed(None));
        self.lose(index, end);
    }

    /// Begins to close the connection; the editor is gone when the server has taken everything before that and closes, too.
    pub fn close(&mut self, index: usize) {
        let Some(editor) = &mut self.editors[index] else { return };
        editor.closing = true;
        if let Err(error) = editor.connection.close() {
            self.lose(index, error);
        }
    }

    /// How many editors are still there.
    pub fn present(&self) -> usize {
        self.editors.len() - self.gone
    }

    fn lose(&mut self, index: usize, error: ConnectionError) {
        let Some(editor) = self.editors[index].take() else { return };
        self.gone += 1;
        self.past += editor.connection.traffic;
        if !editor.closing {
            self.broken.push((index, error));
        }
    }

    /// Bytes that the server has not taken yet.
    pub fn unsent(&self) -> usize {
        self.editors.iter().flatten().map(|editor| editor.connection.unsent()).sum()
    }

    /// Time spent waiting for something to do, since the beginning.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Traffic of all connections.
    pub fn traffic(&self) -> Traffic {
        let mut sum = self.past;
        for editor in self.editors.iter().flatten() {
            sum += editor.connection.traffic;
        }
        sum
    }
}
