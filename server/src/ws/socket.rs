//! A TCP stream that notes signs of life of its peer, and gives compressed messages in plain form.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::coop;
use tokio::time::Instant;

use super::inflate::{InflateError, Inflating};
use crate::metrics::Metrics;

/// Most that is read at a time.
const READ: usize = 4 << 10;

/// A TCP stream and what was last seen of the other end.
pub(crate) struct Socket {
    stream: TcpStream,
    life: Arc<Life>,
    unread: Unread,
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
    opened: Instant,
    /// Milliseconds after `opened`.
    seen: AtomicU64,
    /// The kernel takes nothing more of what we write.
    full: AtomicBool,
    /// We don't read, because the room has too much to do.
    unread: AtomicBool,
}

impl Socket {
    /// Wraps a stream; the other half is for whoever watches it.
    pub(crate) fn new(
        stream: TcpStream,
        inflating: Option<Inflating>,
        metrics: Arc<Metrics>,
    ) -> (Socket, Arc<Life>) {
        let life = Arc::new(Life {
            opened: Instant::now(),
            seen: AtomicU64::new(0),
            full: AtomicBool::new(false),
            unread: AtomicBool::new(false),
        });
        let unread = match inflating {
            Some(inflating) => Unread::Compressed(Box::new(inflating)),
            None => Unread::Plain { bytes: Vec::new(), taken: 0 },
        };
        (Socket { stream, life: Arc::clone(&life), unread, metrics }, life)
    }

    fn poll_stream(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let received = buf.filled().len() - before;
        if received > 0 {
            self.life.see();
            self.metrics.received_wire_bytes.inc_by(received as u64);
        }
        Poll::Ready(Ok(()))
    }

    /// The stream itself.
    pub(crate) fn into_inner(self) -> TcpStream {
        self.stream
    }
}

impl Life {
    /// When the peer is to be given up if nothing more is seen of it: after `silence`, or after `stall` where silence is no
    /// sign of death because its pongs cannot reach us or our pings cannot reach it.
    pub(crate) fn deadline(&self, silence: Duration, stall: Duration) -> Instant {
        let excused = self.full.load(Ordering::Relaxed) || self.unread.load(Ordering::Relaxed);
        let patience = if excused { stall } else { silence };
        self.opened + Duration::from_millis(self.seen.load(Ordering::Relaxed)) + patience
    }

    /// Tells whether we leave unread what the peer sends.
    pub(crate) fn set_unread(&self, unread: bool) {
        self.unread.store(unread, Ordering::Relaxed);
        self.see();
    }

    fn see(&self) {
        let now = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.seen.store(now, Ordering::Relaxed);
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

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        while buf.filled().len() == before {
            // A message can take long to inflate, without a word from the socket: others are to have their turn.
            let turn = ready!(coop::poll_proceed(cx));
            let passed = ready!(self.unread.poll_pass(cx, buf));
            if passed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))? {
                turn.made_progress();
                break;
            }
            let mut bytes = [0; READ];
            let mut received = ReadBuf::new(&mut bytes);
            ready!(self.poll_stream(cx, &mut received))?;
            if received.filled().is_empty() {
                break;
            }
            buf.put_slice(self.unread.receive(received.filled(), buf.remaining()));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        // Taking bytes is no sign of life while the kernel has room for them, whether or not the peer is there.
        let was_full = self.life.full.swap(written.is_pending(), Ordering::Relaxed);
        if was_full && written.is_ready() {
            self.life.see();
        }
        if let Poll::Ready(Ok(written)) = written {
            self.metrics.sent_wire_bytes.inc_by(written as u64);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
