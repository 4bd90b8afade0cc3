//! A TCP stream that is read and written at once or not at all, as tungstenite wants it. It notes signs of life of its peer,
//! and gives compressed messages in plain form.

use std::io;
use std::mem;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::inflate::{InflateError, Inflating};
use super::yielding::wake_after_others;
use crate::metrics::Metrics;

/// Most that is read at a time.
const READ: usize = 4 << 10;

/// What a connection may read, or inflate, before others have their turn: some 0.1 ms, if it is all small frames.
const TURN: usize = 16 << 10;

/// A TCP stream and what was last seen of the other end.
pub(crate) struct Socket {
    stream: TcpStream,
    unread: Unread,
    /// What was last seen of the other end.
    pub(crate) life: Life,
    /// The one task that reads and writes.
    task: Waker,
    /// All that had come was read and passed on.
    dry: bool,
    /// What is left of the turn.
    turn: usize,
    /// Bytes that came from the stream and were not asked for yet.
    received: usize,
    metrics: Arc<Metrics>,
}

/// What was read of the stream and not passed on. There is rarely any: a buffer for each connection that waits for it would be
/// most of what an idle connection takes.
enum Unread {
    /// Nothing was compressed.
    Plain { bytes: Vec<u8>, taken: usize },
    /// Where compression was negotiated; others must not pay for it.
    Compressed(Box<Inflating>),
}

/// When the peer last gave a sign of life: bytes that arrived, or bytes that the kernel took although it was full before,
/// which means that the peer has acknowledged others.
pub(crate) struct Life {
    seen: Instant,
    /// The kernel takes nothing more of what we write.
    full: bool,
    /// We don't read, because the room has too much to do.
    unread: bool,
}

impl Socket {
    /// Wraps a stream. `inflating` is for messages that come compressed, if they may.
    pub(crate) fn new(stream: TcpStream, inflating: Option<Inflating>, metrics: Arc<Metrics>) -> Socket {
        let life = Life { seen: Instant::now(), full: false, unread: false };
        let unread = match inflating {
            Some(inflating) => Unread::Compressed(Box::new(inflating)),
            None => Unread::Plain { bytes: Vec::new(), taken: 0 },
        };
        Socket {
            stream,
            unread,
            life,
            task: Waker::noop().clone(),
            dry: false,
            turn: TURN,
            received: 0,
            metrics,
        }
    }

    /// Has this task woken when a read or write that has failed with `WouldBlock` is worth another try.
    pub(crate) fn wake(&mut self, task: &Waker) {
        self.task.clone_from(task);
    }

    /// The task has been given the processor: it may read on.
    pub(crate) fn begin_turn(&mut self) {
        self.turn = TURN;
    }

    /// The last message that was read has gone elsewhere: another connection may inflate a large one.
    pub(crate) fn release(&mut self) {
        if let Unread::Compressed(inflating) = &mut self.unread {
            inflating.release();
        }
    }

    /// Bytes that have come since this was last asked, whatever they were.
    pub(crate) fn take_received(&mut self) -> usize {
        mem::take(&mut self.received)
    }

    /// Ready if reading may bring something, or lets tungstenite write a pong that has been waiting.
    pub(crate) fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.dry && !self.life.full {
            // An error is seen by who reads.
            let _ = ready!(self.stream.poll_read_ready(cx));
        }
        Poll::Ready(())
    }

    /// The stream itself.
    pub(crate) fn into_inner(self) -> TcpStream {
        self.stream
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        while buf.filled().len() == before {
            // A fast sender, or a message that takes long to inflate, never makes a read wait. Not the runtime's budget
            // but this ends the turn: that is given back by each read that passes nothing on.
            if self.turn == 0 {
                wake_after_others(cx);
                return Poll::Pending;
            }
            let passed = ready!(self.unread.poll_pass(cx, buf));
            if passed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))? {
                break;
            }
            let mut bytes = [const { MaybeUninit::uninit() }; READ];
            let mut received = ReadBuf::uninit(&mut bytes);
            ready!(self.poll_stream(cx, &mut received))?;
            if received.filled().is_empty() {
                break;
            }
            self.turn = self.turn.saturating_sub(received.filled().len());
            buf.put_slice(self.unread.receive(received.filled(), buf.remaining()));
        }
        self.turn = self.turn.saturating_sub(buf.filled().len() - before);
        Poll::Ready(Ok(()))
    }

    fn poll_stream(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.dry = polled.is_pending();
        ready!(polled)?;
        let received = buf.filled().len();
        if received > 0 {
            self.life.see();
            self.received += received;
            self.metrics.received_wire_bytes.inc_by(received as u64);
        }
        Poll::Ready(Ok(()))
    }
}

impl Life {
    /// When the peer is to be given up if nothing more is seen of it: after `silence`, or after `stall` where silence is no
    /// sign of death because its pongs cannot reach us or our pings cannot reach it.
    pub(crate) fn deadline(&self, silence: Duration, stall: Duration) -> Instant {
        let excused = self.full || self.unread;
        self.seen + if excused { stall } else { silence }
    }

    /// Tells whether we leave unread what the peer sends.
    pub(crate) fn set_unread(&mut self, unread: bool) {
        self.unread = unread;
        self.see();
    }

    fn see(&mut self) {
        self.seen = Instant::now();
    }
}

impl Unread {
    /// Passes on what can be, and tells whether that was anything.
    fn poll_pass(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<bool, InflateError>> {
        match self {
            Unread::Compressed(inflating) => inflating.poll_pass(cx, buf),
            Unread::Plain { bytes, taken } => {
                let part = &bytes[*taken..];
                let part = &part[..part.len().min(buf.remaining())];
                buf.put_slice(part);
                *taken += part.len();
                let passed = !part.is_empty();
                if *taken == bytes.len() {
                    (*bytes, *taken) = (Vec::new(), 0);
                }
                Poll::Ready(Ok(passed))
            }
        }
    }

    /// Takes what came, when there was nothing left to pass on; gives what can be passed on right away.
    fn receive<'a>(&mut self, received: &'a [u8], room: usize) -> &'a [u8] {
        match self {
            Unread::Compressed(inflating) => {
                inflating.receive(received);
                &[]
            }
            Unread::Plain { bytes, .. } => {
                let (now, later) = received.split_at(received.len().min(room));
                bytes.extend_from_slice(later);
                now
            }
        }
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
        // Taking bytes is no sign of life while the kernel has room for them, whether or not the peer is there.
        let was_full = mem::replace(&mut self.life.full, written.is_pending());
        if was_full && written.is_ready() {
            self.life.see();
        }
        if let Poll::Ready(Ok(written)) = written {
            self.metrics.sent_wire_bytes.inc_by(written as u64);
        }
        at_once(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        // A TCP stream has no buffer of its own.
        Ok(())
    }
}

fn at_once<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}
