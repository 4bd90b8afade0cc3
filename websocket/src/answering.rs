//! A stream on which requests are answered: a client that does not take its answers is let go.

use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::awake::Patience;
use crate::limits::SLOWEST_ANSWER_BYTES_PER_SECOND;
use crate::stream::Stream;

/// A stream whose client has to take what it is sent: within `stall` some of it, and so many bytes a second on average.
pub(crate) struct Answering {
    stream: Stream,
    stall: Duration,
    /// Until when the client has time. `None` while the kernel has room for all there is.
    patience: Option<Patience>,
}

impl Answering {
    pub(crate) fn new(stream: Stream, stall: Duration) -> Answering {
        Answering { stream, stall, patience: None }
    }

    pub(crate) fn into_inner(self) -> Stream {
        self.stream
    }

    /// The kernel has taken bytes of an answer of which it did not take all before.
    fn note_taken(&mut self, bytes: usize) {
        let Some(patience) = &mut self.patience else { return };
        let earned = Duration::from_secs_f64(bytes as f64 / f64::from(SLOWEST_ANSWER_BYTES_PER_SECOND));
        let longest = Instant::now() + self.stall;
        patience.set(longest.min(patience.deadline() + earned));
    }

    /// The kernel takes nothing more.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let stall = self.stall;
        let patience = self.patience.get_or_insert_with(|| Patience::until(Instant::now() + stall));
        Pin::new(patience)
            .poll(cx)
            .map(|()| io::Error::new(io::ErrorKind::TimedOut, "the answer is not read"))
    }

    fn note_written(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Pending => self.poll_overdue(cx).map(Err),
            Poll::Ready(written) => {
                self.note_taken(*written.as_ref().unwrap_or(&0));
                Poll::Ready(written)
            }
        }
    }

    fn note_flushed(&mut self, cx: &mut Context<'_>, flushed: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
        match flushed {
            Poll::Pending => self.poll_overdue(cx).map(Err),
            Poll::Ready(flushed) => {
                self.patience = None;
                Poll::Ready(flushed)
            }
        }
    }
}

impl AsyncRead for Answering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Answering {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note_written(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.note_written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.note_flushed(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.note_flushed(cx, shut)
    }
}
