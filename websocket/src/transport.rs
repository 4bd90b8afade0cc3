//! The messages of one WebSocket: reading, writing in fragments, and closing so that the other side hears why.

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::sync::LazyLock;
use std::task::{Context, Poll, ready};

use coscribe_turns::{NextTurn, Party, Turn, Turns};
use tokio::io::AsyncWriteExt;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::Data;
use tungstenite::protocol::{CloseFrame, Role, WebSocket, WebSocketConfig};
use tungstenite::{Error, Message};

use crate::deflate::Payload;
use crate::end::{Close, End};
use crate::fragments::Writing;
use crate::inflate::Inflating;
use crate::large::{MessageBytes, Right};
use crate::limits::{
    CLOSE_TIMEOUT, MAX_WRITE_BUFFER, READ_BUFFER, WRITE_BUFFER, WRITTEN_AT_ONCE, WRITTEN_BETWEEN_LOOKS,
    WRITTEN_IN_A_TURN,
};
use crate::socket::{SignsOfLife, Socket, WireBytes};
use crate::stream::Stream;

/// Connections with much to write take turns.
static TURNS: LazyLock<Turns> = LazyLock::new(Turns::on_half_of_the_processors);

thread_local! {
    /// Bytes that were written since the last look.
    static WRITTEN: Cell<usize> = const { Cell::new(0) };
}

/// Counts bytes that are about to be written without a look, if they may be.
fn needs_no_look(bytes: usize) -> bool {
    let written = WRITTEN.get() + bytes;
    let fits = written <= WRITTEN_BETWEEN_LOOKS;
    if fits {
        WRITTEN.set(written);
    }
    fits
}

/// The next turn to write.
async fn next_turn(party: Party) -> Turn {
    let turn = TURNS.next(party).await;
    if !needs_no_look(WRITTEN_IN_A_TURN) {
        yield_now().await;
        WRITTEN.set(WRITTEN_IN_A_TURN);
    }
    turn
}

/// A control frame has 125 bytes, two of which are the code.
const LONGEST_REASON: usize = 123;

/// A WebSocket on which the handshake is over. It inflates messages and answers pings. One task reads and writes: the
/// one that polled last is woken for both.
pub struct Transport {
    websocket: WebSocket<Socket>,
    /// The messages that are to be written, in order.
    pub messages: VecDeque<Payload>,
    /// Whether these are text or binary, which is the default.
    pub(crate) kind: Data,
    /// The message before these, of which a part may have been written.
    writing: Option<Writing>,
    /// The socket has not taken everything that was written.
    blocked: bool,
    /// The right to write on, which is waited for.
    next_turn: Option<NextTurn>,
    /// An error ends what can be read.
    ended: bool,
    /// Whose turns these are.
    party: Party,
}

impl Transport {
    /// `read_ahead` are the bytes that arrived behind the handshake. Messages may come compressed if `client_window` says to
    /// how many bytes of the messages before them they may refer. The socket's bytes are counted in `wire_bytes`. `party` shares its turns with
    /// its other connections.
    pub fn new(
        stream: Stream,
        read_ahead: Vec<u8>,
        client_window: Option<usize>,
        message_bytes: MessageBytes,
        wire_bytes: WireBytes,
        party: Party,
    ) -> Transport {
        let inflating = Inflating::new(message_bytes, client_window, read_ahead, party);
        let limits = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            .max_write_buffer_size(MAX_WRITE_BUFFER)
            .max_message_size(Some(message_bytes.most))
            .max_frame_size(Some(message_bytes.most));
        let socket = Socket::new(stream, inflating, wire_bytes, party);
        Transport {
            websocket: WebSocket::from_raw_socket(socket, Role::Server, Some(limits)),
            messages: VecDeque::new(),
            kind: Data::Binary,
            writing: None,
            blocked: false,
            next_turn: None,
            ended: false,
            party,
        }
    }

    /// When the peer was last seen.
    pub fn signs_of_life(&mut self) -> &mut SignsOfLife {
        &mut self.websocket.get_mut().signs_of_life
    }

    /// The task has been given the processor: it may read on.
    pub fn begin_turn(&mut self) {
        self.websocket.get_mut().begin_turn();
    }

    /// Bytes that have come since this was last asked, also of a message whose end has not come.
    pub fn take_received(&mut self) -> usize {
        self.websocket.get_mut().take_received()
    }

    /// Bytes that the stream has ever taken.
    pub fn written(&mut self) -> u64 {
        self.websocket.get_mut().written
    }

    /// Bytes in memory of a message whose end has not come, after decompression.
    pub fn unfinished(&self) -> usize {
        self.websocket.get_ref().unfinished()
    }

    /// The right to have the message in memory that was just read, if that is larger than usual. Others wait for the right
    /// until it is dropped.
    pub fn take_right(&mut self) -> Option<Right> {
        self.websocket.get_mut().take_right()
    }

    /// When the message that is being read is too slow if no more of it has come. `None` while nobody waits because of it.
    pub fn too_slow_at(&mut self) -> Option<Instant> {
        self.websocket.get_mut().too_slow_at()
    }

    /// The last message that was read has gone elsewhere: another connection may inflate a large one.
    pub fn release(&mut self) {
        self.websocket.get_mut().release();
    }

    /// The next message. After 16 KiB that were read or inflated in a turn it is pending, and the task is woken after others.
    /// It is also pending while a large message waits for its right.
    ///
    /// # Errors
    /// At the end of the stream, and when the peer breaks the protocol or a limit: [`End::after`] says which. After
    /// an error nothing more can be read.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, Error>> {
        if self.ended {
            return Poll::Ready(Err(Error::AlreadyClosed));
        }
        let socket = self.websocket.get_mut();
        socket.set_task(cx.waker());
        ready!(socket.poll_read_ready(cx));
        let read = ready!(unless_blocked(self.websocket.read()));
        match &read {
            Ok(message) => self.websocket.get_mut().finish(message),
            Err(_) => self.ended = true,
        }
        Poll::Ready(read)
    }

    /// The next message, read in a turn of its own.
    pub(crate) fn poll_next_in_turn(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, Error>> {
        self.begin_turn();
        self.poll_next(cx)
    }

    /// Writes all messages down to the kernel: 16 KiB at once, and more in turns of 64 KiB. Compresses messages that
    /// nobody has compressed yet, see [`Payload::form`].
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn poll_write_all(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.websocket.get_mut().set_task(cx.waker());
        let (mut _turn, mut left) = (None, WRITTEN_AT_ONCE);
        loop {
            if let Some(next) = &mut self.next_turn {
                _turn = Some(ready!(next.as_mut().poll(cx)));
                (self.next_turn, left) = (None, WRITTEN_IN_A_TURN);
            }
            if self.blocked {
                ready!(self.poll_flush())?;
            }
            let Some(fragment) = ready!(self.poll_fragment(cx))? else { return self.poll_flush() };
            left = left.saturating_sub(fragment.len());
            self.feed(Message::Frame(fragment))?;
            if left == 0 {
                self.next_turn = Some(Box::pin(next_turn(self.party)));
                _turn = None;
            }
        }
    }

    /// Takes a small message to be written before those in `messages`, and not compressed. It must be a control message unless
    /// [`Self::poll_write_all`] was ready: a part of a longer one may have been written otherwise.
    ///
    /// # Errors
    /// If the connection is broken, or the peer reads nothing and the buffer of 64 KiB is full.
    pub fn feed(&mut self, message: Message) -> Result<(), Error> {
        match self.websocket.write(message) {
            // It has been taken all the same.
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => self.blocked = true,
            written => written?,
        }
        Ok(())
    }

    fn poll_flush(&mut self) -> Poll<Result<(), Error>> {
        let flushed = unless_blocked(self.websocket.flush());
        self.blocked = flushed.is_pending();
        match flushed {
            // The reply to the peer's Close frame has been written.
            Poll::Ready(Err(Error::ConnectionClosed)) => Poll::Ready(Ok(())),
            flushed => flushed,
        }
    }

    fn poll_fragment(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, Error>> {
        if self.writing.is_none() {
            self.writing = self.messages.pop_front().map(|message| Writing::new(message.form(), self.party));
        }
        let Some(writing) = &mut self.writing else { return Poll::Ready(Ok(None)) };
        let fragment = ready!(writing.poll_fragment(cx, self.kind))?;
        if fragment.header().is_final {
            self.writing = None;
        }
        Poll::Ready(Ok(Some(fragment)))
    }

    /// Closes in order, as far as the other side plays along: the messages that are left, our Close frame, then everything the
    /// peer still sends, up to the end of its stream. A socket that is dropped with unread bytes is reset, and the peer would
    /// never see why. Takes three seconds at most.
    pub async fn close(self, end: End) {
        // Rarely needed and not small: open connections do not hold it.
        let _ = timeout(CLOSE_TIMEOUT, Box::pin(self.finish(end))).await;
    }

    /// Closes without the messages that are left, and without the one that is being read: their memory is free at once. The peer
    /// is told why if its socket takes that. Takes three seconds at most.
    pub async fn abandon(mut self, close: Close) {
        self.messages.clear();
        self.writing = None;
        // After an error there is nobody to tell.
        let _ = self.feed(close_message(&close));
        let _ = self.poll_flush();
        let stream = self.websocket.into_inner().into_inner();
        let _ = timeout(CLOSE_TIMEOUT, Box::pin(drain(stream))).await;
    }

    async fn finish(mut self, end: End) -> Result<(), Error> {
        match end {
            End::Gone => return Ok(()),
            End::ByPeer => {
                self.messages.clear();
                self.writing = None;
            }
            End::ByUs(close) => {
                poll_fn(|cx| self.poll_write_all(cx)).await?;
                self.feed(close_message(&close))?;
            }
        }
        poll_fn(|cx| self.poll_write_all(cx)).await?;
        // Not read as messages: nobody counts what these take any more.
        drain(self.websocket.into_inner().into_inner()).await?;
        Ok(())
    }
}

/// A Close frame with as much of the reason as it has room for.
fn close_message(Close { code, reason }: &Close) -> Message {
    let shown = &reason[..reason.floor_char_boundary(LONGEST_REASON)];
    Message::Close(Some(CloseFrame { code: (*code).into(), reason: shown.into() }))
}

/// Reads what the peer still sends, to the end of its stream, and forgets it.
async fn drain(mut stream: Stream) -> io::Result<()> {
    stream.shutdown().await?;
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    Ok(())
}

/// Pending where the socket has nothing to read or no room to write: it will wake the task.
fn unless_blocked<T>(result: Result<T, Error>) -> Poll<Result<T, Error>> {
    match result {
        Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
        result => Poll::Ready(result),
    }
}
