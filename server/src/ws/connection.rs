//! One WebSocket: reads and writes at the same time on one task, so that a peer that does not read is still heard.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::protocol::y_websocket::KEEP_ALIVE;
use coscribe_persistence::DocumentName;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tracing::{debug, warn};

use super::outbox::{Close, Outbox};
use super::socket::{Life, Socket};
use crate::config::Config;
use crate::connections::Registration;
use crate::rooms::{Membership, Shown};

/// tungstenite's default of 128 KiB for each connection is far more than an editor sends at once.
const READ_BUFFER: usize = 4 << 10;

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

/// A connection that is a peer of a room.
pub(crate) struct Connection {
    /// Its place in the room.
    pub(crate) membership: Membership,
    /// Its place among the connections that shutdown closes.
    pub(crate) _registration: Registration,
    /// What the room wants to have sent.
    pub(crate) outbox: Arc<Outbox>,
    /// The document.
    pub(crate) name: DocumentName,
    /// The other end.
    pub(crate) from: SocketAddr,
    /// The server's configuration.
    pub(crate) config: Arc<Config>,
}

/// How the open part of a connection's life ended.
enum End {
    /// The stream is at its end or broken.
    Gone,
    /// The peer sent a Close frame.
    ByPeer,
    /// We want it to end.
    ByUs(Close),
}

type Stream = SplitStream<WebSocketStream<Socket>>;
type Sink = SplitSink<WebSocketStream<Socket>, Message>;

impl Connection {
    /// Runs the connection until it is closed; `read_ahead` is what arrived behind the handshake.
    pub(crate) async fn run(self, socket: TcpStream, read_ahead: Vec<u8>) {
        let (socket, life) = Socket::new(socket);
        let limits = websocket_config(&self.config);
        let websocket =
            WebSocketStream::from_partially_read(socket, read_ahead, Role::Server, Some(limits)).await;
        let (sink, mut stream) = websocket.split();
        let mut writing = Writing::new(sink, &self.config);
        debug!(from = %self.from, document = %Shown(&self.name), peer = self.membership.peer.0, "connected");

        let end = tokio::select! {
            end = read(&mut stream, &self.membership, &life) => end,
            end = writing.run(&self) => end,
            close = self.outbox.closed() => End::ByUs(close),
            close = silence(&life, &self.config) => End::ByUs(close),
        };

        self.log(&end);
        let Connection { membership, _registration, outbox, .. } = self;
        drop(membership);
        // Rarely needed and not small: not part of what every open connection holds.
        let closing = Box::pin(finish(end, stream, writing, outbox));
        let _ = timeout(CLOSE_TIMEOUT, closing).await;
    }

    fn log(&self, end: &End) {
        let (from, document) = (self.from, Shown(&self.name));
        match end {
            End::Gone => debug!(%from, %document, "gone"),
            End::ByPeer => debug!(%from, %document, "closed by its peer"),
            End::ByUs(Close { code: 1001, reason }) => {
                debug!(%from, %document, "closing: {reason}")
            }
            End::ByUs(Close { code, reason }) => warn!(%from, %document, code, "closing: {reason}"),
        }
    }
}

fn websocket_config(config: &Config) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(MAX_WRITE_BUFFER)
        .max_message_size(Some(config.max_message_bytes))
        .max_frame_size(Some(config.max_message_bytes))
}

/// Brings messages to the room until there is a reason to stop.
async fn read(stream: &mut Stream, membership: &Membership, life: &Life) -> End {
    let mut large = None;
    loop {
        let message = poll_fn(|cx| {
            let polled = stream.poll_next_unpin(cx);
            // While the last message was alive, the read buffer could not grow back into its memory and keep it for good.
            large = None;
            polled
        });
        let frame = match message.await {
            Some(Ok(Message::Binary(frame))) => frame,
            Some(Ok(Message::Text(_))) => {
                return by_us(1003, "text frames are not understood: send binary ones");
            }
            Some(Ok(Message::Close(_))) | None => return End::ByPeer,
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
            Some(Err(error)) => return end_for(&error),
        };
        // A small message must not keep the whole read buffer alive that it came in.
        let frame = if frame.len() < READ_BUFFER {
            Bytes::copy_from_slice(&frame)
        } else {
            large.insert(frame).clone()
        };
        if let Err(frame) = membership.try_send(frame) {
            life.set_unread(true);
            membership.send(frame).await;
            life.set_unread(false);
        }
    }
}

fn by_us(code: u16, reason: &'static str) -> End {
    End::ByUs(Close { code, reason: reason.into() })
}

fn end_for(error: &Error) -> End {
    match error {
        Error::Capacity(_) => by_us(1009, "the message is too large"),
        Error::Utf8(_) => by_us(1007, "text that is not UTF-8"),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => End::Gone,
        Error::Protocol(_) => by_us(1002, "this is not the WebSocket protocol"),
        // Not by its Debug form: that of some errors has the message in it.
        _ => End::Gone,
    }
}

/// Returns when nothing has been seen of the peer for too long.
async fn silence(life: &Life, config: &Config) -> Close {
    let silence = config.ping_interval * 2;
    loop {
        let (deadline, now) = (life.deadline(silence, config.stall_timeout), Instant::now());
        if deadline <= now {
            return Close { code: 1001, reason: "no sign of life".into() };
        }
        // The deadline can move nearer as well, when a full socket takes bytes again.
        sleep_until(deadline.min(now + silence)).await;
    }
}

/// The half that writes: queued frames, and something now and then when there are none.
struct Writing {
    sink: Sink,
    frames: VecDeque<Bytes>,
    /// The first of `frames` is the rest of a message whose beginning has been written.
    continues: bool,
    keep_alive_at: Instant,
    ping_at: Instant,
}

impl Writing {
    fn new(sink: Sink, config: &Config) -> Writing {
        let now = Instant::now();
        Writing {
            sink,
            frames: VecDeque::new(),
            continues: false,
            keep_alive_at: now + config.keep_alive,
            ping_at: now + config.ping_interval,
        }
    }

    async fn run(&mut self, connection: &Connection) -> End {
        loop {
            if let Err(error) = self.write_next(connection).await {
                return end_for(&error);
            }
        }
    }

    /// Waits until there is something to write, and writes it.
    async fn write_next(&mut self, connection: &Connection) -> Result<(), Error> {
        let Connection { outbox, membership, config, .. } = connection;
        let Ok(batch) = timeout_at(self.keep_alive_at.min(self.ping_at), outbox.take()).await else {
            return self.write_sign_of_life(config).await;
        };
        let cost = batch.cost();
        self.frames = batch.frames;
        self.write_frames().await?;
        if outbox.written(cost) {
            membership.drained();
        }
        self.keep_alive_at = Instant::now() + config.keep_alive;
        Ok(())
    }

    async fn write_sign_of_life(&mut self, config: &Config) -> Result<(), Error> {
        let now = Instant::now();
        if self.ping_at <= now {
            self.ping_at = now + config.ping_interval;
            self.sink.feed(Message::Ping(Bytes::new())).await?;
        }
        if self.keep_alive_at <= now {
            self.keep_alive_at = now + config.keep_alive;
            self.sink.feed(Message::Binary(Bytes::from_static(KEEP_ALIVE))).await?;
        }
        self.sink.flush().await
    }

    /// Writes all frames down to the kernel. Can be dropped at any point and called again.
    async fn write_frames(&mut self) -> Result<(), Error> {
        while !self.frames.is_empty() {
            poll_fn(|cx| self.sink.poll_ready_unpin(cx)).await?;
            if let Some(fragment) = self.next_fragment() {
                self.sink.start_send_unpin(fragment)?;
            }
        }
        self.sink.flush().await
    }

    fn next_fragment(&mut self) -> Option<Message> {
        let mut payload = self.frames.pop_front()?;
        let opcode = OpCode::Data(if self.continues { Data::Continue } else { Data::Binary });
        self.continues = payload.len() > FRAGMENT;
        if self.continues {
            self.frames.push_front(payload.split_off(FRAGMENT));
        }
        Some(Message::Frame(Frame::message(payload, opcode, !self.continues)))
    }
}

/// Closes in order: what is queued, our Close frame, then everything the peer still sends, up to the end of its stream.
/// A socket that is dropped with unread bytes is reset, and the peer would never see why.
async fn finish(
    end: End,
    mut stream: Stream,
    mut writing: Writing,
    outbox: Arc<Outbox>,
) -> Result<(), Error> {
    match end {
        End::Gone => return Ok(()),
        End::ByPeer => {}
        End::ByUs(Close { code, reason }) => {
            writing.frames.extend(mem::take(&mut outbox.try_take().frames));
            writing.write_frames().await?;
            let shown = &reason[..reason.floor_char_boundary(LONGEST_REASON)];
            let close = CloseFrame { code: code.into(), reason: shown.into() };
            writing.sink.send(Message::Close(Some(close))).await?;
        }
    }
    while let Some(Ok(_)) = stream.next().await {}
    if let Ok(websocket) = stream.reunite(writing.sink) {
        let mut socket = websocket.into_inner().into_inner();
        socket.shutdown().await?;
        tokio::io::copy(&mut socket, &mut tokio::io::sink()).await?;
    }
    Ok(())
}
