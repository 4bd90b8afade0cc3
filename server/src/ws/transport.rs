//! The frames of one WebSocket, whatever is said over it: opening, writing in fragments, and closing so that the other side
//! hears why.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::deflate::Payload;
use super::inflate::{InflateError, Inflating};
use super::outbox::Close;
use super::socket::{Life, Socket};
use crate::metrics::Metrics;

/// tungstenite's default of 128 KiB for each connection is far more than an editor sends at once, and the [`Socket`] reads more
/// than this at a time.
pub(crate) const READ_BUFFER: usize = 1 << 10;

/// Small frames are collected up to here before they are written.
const WRITE_BUFFER: usize = 4 << 10;

/// Larger messages are written in fragments. tungstenite copies what it writes into a buffer that it keeps, and moves all
/// the rest of it for each part that the kernel takes; so it never gets more than this.
const FRAGMENT: usize = 8 << 10;

/// More than a fragment and all that fits before it; a peer that pings without reading the pongs ends here.
const MAX_WRITE_BUFFER: usize = 64 << 10;

/// How long the other side may take to agree to a close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// A control frame has 125 bytes, two of which are the code.
const LONGEST_REASON: usize = 123;

/// The half that reads: messages, inflated, pings answered.
pub(crate) type Reading = SplitStream<WebSocketStream<Socket>>;

/// How the open part of a connection's life ended.
pub(crate) enum End {
    /// The stream is at its end or broken.
    Gone,
    /// The peer sent a Close frame.
    ByPeer,
    /// We want it to end.
    ByUs(Close),
}

impl End {
    /// We want it to end, with a close code and a reason.
    pub(crate) fn by_us(code: u16, reason: &'static str) -> End {
        End::ByUs(Close { code, reason: reason.into() })
    }

    /// What an error while reading or writing means for the connection.
    pub(crate) fn after(error: &Error) -> End {
        match error {
            Error::Capacity(_) => End::by_us(1009, "the message is too large"),
            Error::Utf8(_) => End::by_us(1007, "text that is not UTF-8"),
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => End::Gone,
            Error::Protocol(_) => End::by_us(1002, "this is not the WebSocket protocol"),
            Error::Io(error) => match error.get_ref().and_then(|error| error.downcast_ref()) {
                Some(InflateError::TooLarge) => End::by_us(1009, "the message is too large"),
                Some(InflateError::Damaged) => End::by_us(1007, "the message cannot be decompressed"),
                Some(InflateError::Interleaved) => End::by_us(1002, "this is not the WebSocket protocol"),
                None => End::Gone,
            },
            // Not by its Debug form: that of some errors has the message in it.
            _ => End::Gone,
        }
    }
}

/// The half that writes whole messages, in fragments where they are large.
pub(crate) struct Writing {
    sink: SplitSink<WebSocketStream<Socket>, Message>,
    /// What is to be written.
    pub(crate) messages: VecDeque<Payload>,
    /// Text or binary.
    pub(crate) kind: Data,
    /// The first of `messages` is the rest of one whose beginning has been written.
    continues: bool,
}

/// Makes a WebSocket of a stream on which the handshake is over. `read_ahead` is what arrived behind it; `compressed`
/// says whether messages may come compressed.
pub(crate) async fn open(
    stream: TcpStream,
    read_ahead: Vec<u8>,
    compressed: bool,
    max_message_bytes: usize,
    metrics: Arc<Metrics>,
) -> (Reading, Writing, Arc<Life>) {
    let (inflating, read_ahead) = if compressed {
        (Some(Inflating::new(max_message_bytes, read_ahead)), Vec::new())
    } else {
        (None, read_ahead)
    };
    let (socket, life) = Socket::new(stream, inflating, metrics);
    let limits = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(MAX_WRITE_BUFFER)
        .max_message_size(Some(max_message_bytes))
        .max_frame_size(Some(max_message_bytes));
    let websocket =
        WebSocketStream::from_partially_read(socket, read_ahead, Role::Server, Some(limits)).await;
    let (sink, reading) = websocket.split();
    let writing = Writing { sink, messages: VecDeque::new(), kind: Data::Binary, continues: false };
    (reading, writing, life)
}

impl Writing {
    /// Writes all messages down to the kernel. Can be dropped at any point and called again.
    pub(crate) async fn write_all(&mut self) -> Result<(), Error> {
        while let Some(message) = self.messages.front_mut() {
            message.make_ready().await;
            poll_fn(|cx| self.sink.poll_ready_unpin(cx)).await?;
            if let Some(fragment) = self.next_fragment() {
                self.sink.start_send_unpin(fragment)?;
            }
        }
        self.sink.flush().await
    }

    /// Writes a message that is not in `messages`, and is small.
    pub(crate) async fn feed(&mut self, message: Message) -> Result<(), Error> {
        self.sink.feed(message).await
    }

    /// Writes what was fed down to the kernel.
    pub(crate) async fn flush(&mut self) -> Result<(), Error> {
        self.sink.flush().await
    }

    fn next_fragment(&mut self) -> Option<Message> {
        let message = self.messages.front_mut()?;
        let fragment = message.bytes.split_to(message.bytes.len().min(FRAGMENT));
        let (begins, ends) = (!self.continues, message.bytes.is_empty());
        let opcode = OpCode::Data(if begins { self.kind } else { Data::Continue });
        let mut frame = Frame::message(fragment, opcode, ends);
        frame.header_mut().rsv1 = begins && message.compressed;
        self.continues = !ends;
        if ends {
            self.messages.pop_front();
        }
        Some(Message::Frame(frame))
    }
}

/// Closes in order, as far as the other side plays along: the messages that are left, our Close frame, then everything the
/// peer still sends, up to the end of its stream. A socket that is dropped with unread bytes is reset, and the peer would
/// never see why.
pub(crate) async fn close(end: End, reading: Reading, writing: Writing) {
    // Rarely needed and not small: not part of what every open connection holds.
    let _ = timeout(CLOSE_TIMEOUT, Box::pin(finish(end, reading, writing))).await;
}

async fn finish(end: End, mut reading: Reading, mut writing: Writing) -> Result<(), Error> {
    match end {
        End::Gone => return Ok(()),
        End::ByPeer => {}
        End::ByUs(Close { code, reason }) => {
            writing.write_all().await?;
            let shown = &reason[..reason.floor_char_boundary(LONGEST_REASON)];
            let close = CloseFrame { code: code.into(), reason: shown.into() };
            writing.sink.send(Message::Close(Some(close))).await?;
        }
    }
    while let Some(Ok(_)) = reading.next().await {}
    if let Ok(websocket) = reading.reunite(writing.sink) {
        let mut socket = websocket.into_inner().into_inner();
        socket.shutdown().await?;
        tokio::io::copy(&mut socket, &mut tokio::io::sink()).await?;
    }
    Ok(())
}
