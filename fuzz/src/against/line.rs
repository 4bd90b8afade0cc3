//! A connection to the server on which frames can be held back, left unread, or get lost.

use std::collections::VecDeque;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use coscribe_provider::line::{self, End, Incoming};
use tokio::time::Instant;

/// A connection.
pub(super) struct Line {
    line: line::Line,
    /// How long frames are held back, each way.
    pub(super) delay: Duration,
    /// Nothing is read.
    pub(super) stalled: bool,
    /// Nothing is read, and nothing is written.
    pub(super) cut: bool,
    incoming: VecDeque<(Instant, Bytes)>,
    /// How the server has ended it, behind what has come.
    ended: Option<End>,
    outgoing: VecDeque<(Instant, Bytes)>,
    unflushed: bool,
}

impl Line {
    pub(super) fn new(line: line::Line) -> Self {
        Self {
            line,
            delay: Duration::ZERO,
            stalled: false,
            cut: false,
            incoming: VecDeque::new(),
            ended: None,
            outgoing: VecDeque::new(),
            unflushed: false,
        }
    }

    /// Queues a frame; it is written while something is waited for.
    pub(super) fn send(&mut self, frame: Bytes) {
        if !self.cut {
            self.outgoing.push_back((due(&self.outgoing, self.delay), frame));
        }
    }

    /// Whether everything has been written, and everything that was read was taken in.
    pub(super) fn is_idle(&self) -> bool {
        self.outgoing.is_empty() && self.incoming.is_empty() && !self.unflushed
    }

    /// When a frame that is held back is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let due = |queue: &VecDeque<(Instant, Bytes)>| queue.front().map(|&(due, _)| due);
        let incoming = if self.stalled { None } else { due(&self.incoming) };
        if self.cut { None } else { incoming.into_iter().chain(due(&self.outgoing)).min() }
    }

    /// Writes what is due, and gives what has come.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        if self.cut {
            return Poll::Pending;
        }
        if let Err(end) = self.poll_write(cx) {
            return Poll::Ready(Incoming::Ended(end));
        }
        if self.stalled {
            return Poll::Pending;
        }
        self.poll_read(cx);
        if let Some((_, frame)) = self.incoming.pop_front_if(|(due, _)| *due <= Instant::now()) {
            return Poll::Ready(Incoming::Frame(frame));
        }
        // What came before the end comes before the end.
        match self.ended.take_if(|_| self.incoming.is_empty()) {
            Some(end) => Poll::Ready(Incoming::Ended(end)),
            None => Poll::Pending,
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        while self.outgoing.front().is_some_and(|(due, _)| *due <= Instant::now()) {
            if self.line.poll_ready(cx)?.is_pending() {
                return Ok(());
            }
            if let Some((_, frame)) = self.outgoing.pop_front() {
                self.line.start_send(frame)?;
                self.unflushed = true;
            }
        }
        if self.unflushed {
            self.unflushed = self.line.poll_flush(cx)?.is_pending();
        }
        Ok(())
    }

    /// Reads all there is.
    fn poll_read(&mut self, cx: &mut Context<'_>) {
        while self.ended.is_none()
            && let Poll::Ready(incoming) = self.line.poll_next(cx)
        {
            match incoming {
                Incoming::Frame(frame) => self.incoming.push_back((due(&self.incoming, self.delay), frame)),
                Incoming::Ended(end) => self.ended = Some(end),
            }
        }
    }

    /// Ends it as a browser does.
    pub(super) async fn close(mut self) {
        self.line.close().await;
    }
}

/// A connection keeps the order.
fn due(queue: &VecDeque<(Instant, Bytes)>, delay: Duration) -> Instant {
    let due = Instant::now() + delay;
    queue.back().map_or(due, |(last, _)| due.max(*last))
}
