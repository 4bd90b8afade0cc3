//! A stream that is read and written at once or not at all, as tungstenite wants it. It notes signs of life of its peer,
//! and gives compressed messages in plain form.

use std::io;
use std::mem;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use coscribe_turns::Party;
use prometheus_client::metrics::counter::Counter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tungstenite::Message;

use crate::awake;
use crate::inflate::Inflating;
use crate::large::Right;
use crate::limits::{READ_BYTES, READ_IN_A_TURN};
use crate::stream::Stream;
use crate::yielding::next_read;

/// Where sockets count their bytes, with frame headers, compressed as they are on the wire, and before they are encrypted.
/// Clones count in the same place.
#[derive(Debug, Clone, Default)]
pub struct WireBytes {
    /// Bytes that were read.
    pub received: Counter,
    /// Bytes that the stream took.
    pub sent: Counter,
}

/// The header of a control frame from a client, with the mask.
const CONTROL_HEADER_BYTES: usize = 6;

/// A stream and the signs of life of its peer.
pub(crate) struct Socket {
    stream: Stream,
    /// Bytes that were read and not passed on. There are rarely any: a buffer for them would be most of the memory of an idle
    /// connection.
    inflating: Box<Inflating>,
    /// A message larger than usual waits for its turn.
    waiting: bool,
    /// When the peer was last seen.
    pub(crate) signs_of_life: SignsOfLife,
    /// The one task that reads and writes.
    task: Waker,
    /// All that had come was read and passed on.
    dry: bool,
    /// Bytes that are left of the turn.
    turn: usize,
    /// The next turn, which is waited for.
    next_turn: Option<JoinHandle<()>>,
    /// Whose turns these are.
    party: Party,
    /// Bytes that came from the stream and were not asked for yet.
    received: usize,
    /// Bytes that were passed on since the last message.
    unfinished: usize,
    /// Bytes that the stream has ever taken: once it is flushed, the kernel has.
    pub(crate) written: u64,
    wire_bytes: WireBytes,
}

/// When the peer last gave a sign of life: bytes that arrived, or bytes that the kernel took although it was full before,
/// which means that the peer has acknowledged others.
pub struct SignsOfLife {
    seen: Instant,
    /// The kernel takes no more bytes from this side.
    full: bool,
    /// This side does not read, because others come first.
    unread: bool,
}

impl Socket {
    /// Wraps a stream, on which all that comes goes through `inflating`. `party` shares its turns with its other connections.
    pub(crate) fn new(stream: Stream, inflating: Inflating, wire_bytes: WireBytes, party: Party) -> Socket {
        let signs_of_life = SignsOfLife { seen: Instant::now(), full: false, unread: false };
        Socket {
            stream,
            inflating: Box::new(inflating),
            waiting: false,
            signs_of_life,
            task: Waker::noop().clone(),
            dry: false,
            turn: READ_IN_A_TURN,
            next_turn: None,
            party,
            received: 0,
            unfinished: 0,
            written: 0,
            wire_bytes,
        }
    }

    /// Sets the task that is woken when a read or write that has failed with `WouldBlock` is worth another try.
    pub(crate) fn set_task(&mut self, task: &Waker) {
        self.task.clone_from(task);
    }

    /// The task has been given the processor: it may read on, unless it waits for its turn.
    pub(crate) fn begin_turn(&mut self) {
        if self.next_turn.is_none() {
            self.turn = READ_IN_A_TURN;
        }
    }

    /// The last message that was read has gone elsewhere: another connection may inflate a large one.
    pub(crate) fn release(&mut self) {
        self.inflating.release();
    }

    /// A message has been read: with the right to have it in memory, if it is larger than usual.
    pub(crate) fn take_right(&mut self) -> Option<Right> {
        self.inflating.take_right()
    }

    /// When a message larger than usual is too slow if no more of it has come.
    pub(crate) fn too_slow_at(&self) -> Option<Instant> {
        self.inflating.too_slow_at()
    }

    /// Bytes that have come since this was last asked, whatever they were.
    pub(crate) fn take_received(&mut self) -> usize {
        mem::take(&mut self.received)
    }

    /// Bytes in memory of messages whose end has not come, or that are being inflated.
    pub(crate) fn unfinished(&self) -> usize {
        self.unfinished + self.inflating.held()
    }

    /// A message has been read. Control messages come between the parts of another one.
    pub(crate) fn finish(&mut self, message: &Message) {
        let is_data = matches!(message, Message::Text(_) | Message::Binary(_));
        let finished = if is_data { self.unfinished } else { message.len() + CONTROL_HEADER_BYTES };
        self.unfinished = self.unfinished.saturating_sub(finished);
    }

    /// Ready if reading may bring something, or lets tungstenite write a pong that has been waiting.
    pub(crate) fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.dry && !self.signs_of_life.full {
            // Reading shows the error.
            let _ = ready!(self.stream.poll_read_ready(cx));
        }
        Poll::Ready(())
    }

    /// The stream itself.
    pub(crate) fn into_inner(self) -> Stream {
        self.stream
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        while buf.filled().len() == before {
            // A fast sender, or a message that takes long to inflate, never makes a read wait. Not the runtime's budget
            // but this ends the turn: that is given back by each read that passes nothing on.
            if self.turn == 0 {
                let next_turn = self.next_turn.get_or_insert_with(|| next_read(self.party));
                // It fails where the runtime ends, and then nothing matters any more.
                let _ = ready!(Pin::new(next_turn).poll(cx));
                (self.next_turn, self.turn) = (None, READ_IN_A_TURN);
            }
            let passed = self.inflating.poll_pass(cx, buf);
            self.note_waiting();
            let passed = ready!(passed);
            if passed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))? {
                break;
            }
            let mut bytes = [const { MaybeUninit::uninit() }; READ_BYTES];
            let mut received = ReadBuf::uninit(&mut bytes);
            ready!(self.poll_stream(cx, &mut received))?;
            if received.filled().is_empty() {
                break;
            }
            self.turn = self.turn.saturating_sub(received.filled().len());
            self.inflating.receive(received.filled());
        }
        let passed = buf.filled().len() - before;
        self.turn = self.turn.saturating_sub(passed);
        self.unfinished += passed;
        Poll::Ready(Ok(()))
    }

    /// A peer that is left unread because others come first can give no sign of life.
    fn note_waiting(&mut self) {
        let waits = self.inflating.is_waiting();
        if mem::replace(&mut self.waiting, waits) != waits {
            self.signs_of_life.set_unread(waits);
        }
    }

    fn poll_stream(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.dry = polled.is_pending();
        ready!(polled)?;
        let received = buf.filled().len();
        if received > 0 {
            self.signs_of_life.see();
            self.received += received;
            self.wire_bytes.received.inc_by(received as u64);
        }
        Poll::Ready(Ok(()))
    }
}

impl SignsOfLife {
    /// When the peer is to be given up if nothing more is seen of it: after `silence`, or after `stall` where silence is no
    /// sign of death because its pongs cannot reach us or our pings cannot reach it.
    pub fn deadline(&self, silence: Duration, stall: Duration) -> Instant {
        let excused = self.full || self.unread;
        self.seen.max(awake::resumed()) + if excused { stall } else { silence }
    }

    /// Notes whether the bytes of the peer are left unread. A change counts as a sign of life.
    pub fn set_unread(&mut self, unread: bool) {
        self.unread = unread;
        self.see();
    }

    /// Notes whether the kernel has had room. Taking bytes is no sign of life while it has, whether or not the peer is there.
    fn note_room(&mut self, has_room: bool) {
        let was_full = mem::replace(&mut self.full, !has_room);
        if was_full && has_room {
            self.see();
        }
    }

    fn see(&mut self) {
        self.seen = Instant::now();
    }
}

impl io::Read for Socket {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut buf = ReadBuf::new(buf);
        let task = mem::replace(&mut self.task, Waker::noop().clone());
        let polled = self.poll_read(&mut Context::from_waker(&task), &mut buf);
        self.task = task;
        at_once(polled)?;
        Ok(buf.filled().len())
    }
}

impl io::Write for Socket {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let written = Pin::new(&mut self.stream).poll_write(&mut Context::from_waker(&self.task), buf);
        self.signs_of_life.note_room(written.is_ready());
        if let Poll::Ready(Ok(written)) = written {
            self.written += written as u64;
            self.wire_bytes.sent.inc_by(written as u64);
        }
        at_once(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        // TLS may have encrypted what the kernel has no room for. A TCP stream has no buffer of its own.
        let flushed = Pin::new(&mut self.stream).poll_flush(&mut Context::from_waker(&self.task));
        self.signs_of_life.note_room(flushed.is_ready());
        at_once(flushed)
    }
}

fn at_once<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}
