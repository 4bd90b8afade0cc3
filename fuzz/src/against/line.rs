//! A connection to the server on which frames can be held back, left unread, or get lost.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink, Stream};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

/// How long a Close frame may take to be written.
const FAREWELL: Duration = Duration::from_millis(200);

/// A connection.
pub(super) struct Line {
    stream: WebSocketStream<TcpStream>,
    /// How long frames are held back, each way.
    pub(super) delay: Duration,
    /// Nothing is read.
    pub(super) stalled: bool,
    /// Nothing is read, and nothing is written.
    pub(super) cut: bool,
    incoming: VecDeque<(Instant, Bytes)>,
    outgoing: VecDeque<(Instant, Bytes)>,
    unflushed: bool,
}

/// What comes of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// A binary message.
    Frame(Bytes),
    /// The server has ended it: how, in words.
    Closed(String),
}

impl Line {
    pub(super) fn new(stream: WebSocketStream<TcpStream>) -> Self {
        Self {
            stream,
            delay: Duration::ZERO,
            stalled: false,
            cut: false,
            incoming: VecDeque::new(),
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
        if let Err(error) = self.poll_write(cx) {
            return Poll::Ready(Incoming::Closed(in_words(&error)));
        }
        if self.stalled {
            return Poll::Pending;
        }
        let closed = self.poll_read(cx);
        if let Some((_, frame)) = self.incoming.pop_front_if(|(due, _)| *due <= Instant::now()) {
            return Poll::Ready(Incoming::Frame(frame));
        }
        match closed {
            // What came before the end comes before the end.
            Some(how) if self.incoming.is_empty() => Poll::Ready(Incoming::Closed(how)),
            _ => Poll::Pending,
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        let mut stream = Pin::new(&mut self.stream);
        while self.outgoing.front().is_some_and(|(due, _)| *due <= Instant::now()) {
            match stream.as_mut().poll_ready(cx)? {
                Poll::Pending => return Ok(()),
                Poll::Ready(()) => {}
            }
            if let Some((_, frame)) = self.outgoing.pop_front() {
                stream.as_mut().start_send(Message::Binary(frame))?;
                self.unflushed = true;
            }
        }
        if self.unflushed {
            self.unflushed = stream.as_mut().poll_flush(cx)?.is_pending();
        }
        Ok(())
    }

    /// Reads all there is; gives how the connection has ended, if it has.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Option<String> {
        loop {
            match Pin::new(&mut self.stream).poll_next(cx) {
                Poll::Pending => return None,
                Poll::Ready(Some(Ok(Message::Binary(frame)))) => {
                    self.incoming.push_back((due(&self.incoming, self.delay), frame));
                }
                Poll::Ready(Some(Ok(Message::Close(Some(close))))) => {
                    return Some(format!("with {}: {:?}", close.code, close.reason.as_str()));
                }
                Poll::Ready(Some(Ok(Message::Close(None)))) => return Some("without a code".to_owned()),
                // Pings are answered below this, and no Yjs client reads text.
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(error))) => return Some(in_words(&error)),
                Poll::Ready(None) => return Some("without a Close frame".to_owned()),
            }
        }
    }

    /// Ends it as a browser does.
    pub(super) async fn close(mut self) {
        // The other side may be gone.
        let _ = timeout(FAREWELL, self.stream.close(None)).await;
    }
}

/// A connection keeps the order.
fn due(queue: &VecDeque<(Instant, Bytes)>, delay: Duration) -> Instant {
    let due = Instant::now() + delay;
    queue.back().map_or(due, |(last, _)| due.max(*last))
}

fn in_words(error: &Error) -> String {
    match error {
        Error::Protocol(error) => format!("without a Close frame ({error})"),
        error => format!("with an error ({error})"),
    }
}
