//! The floor: a server that passes every binary frame on to the others in the room, and knows nothing of documents.
//!
//! One task per connection reads, and writes everything queued for it in one go. Nothing is merged, stored or bounded.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;

use crate::limits;
use bytes::Bytes;
use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{LocalSet, spawn_local};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

/// The connections of a room, by their numbers.
type Room = HashMap<u64, UnboundedSender<Bytes>>;
type Socket = WebSocketStream<TcpStream>;

/// A deliberate fault of a relay, to show that it is noticed. Frames are counted as they are passed on to each connection, over
/// all rooms.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// One frame does not reach one connection.
    DropFrame(u64),
    /// One frame reaches one connection twice.
    RepeatFrame(u64),
    /// A connection is closed instead of getting this frame.
    CloseAfter(u64),
}

/// The rooms, and the fault that is still to come.
#[derive(Debug)]
struct Relay {
    rooms: HashMap<String, Room>,
    passed_on: u64,
    fault: Fault,
}

/// Relays until the process ends.
///
/// # Errors
/// If it cannot listen.
pub fn run(listen: SocketAddr) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(listen).await?;
        serve(listener, Fault::None).await
    })
}

/// Relays between the connections to `listener`; to be run inside a [`LocalSet`].
///
/// # Errors
/// If nothing more can be accepted.
pub async fn serve(listener: TcpListener, fault: Fault) -> anyhow::Result<()> {
    let state = Rc::new(RefCell::new(Relay { rooms: HashMap::new(), passed_on: 0, fault }));
    for number in 0.. {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // A broken connection does not concern the others.
        spawn_local({
            let state = Rc::clone(&state);
            async move { drop(connection(stream, number, &state).await) }
        });
    }
    Ok(())
}

async fn connection(stream: TcpStream, number: u64, relay: &RefCell<Relay>) -> Result<(), Error> {
    let mut name = String::new();
    // The callback's error is a whole response, whose size is not our choice.
    #[allow(clippy::result_large_err)]
    let note_path = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        name = request.uri().path().to_owned();
        Ok(response)
    };
    let config = WebSocketConfig::default().read_buffer_size(limits::RELAY_READ_BYTES);
    let socket = tokio_tungstenite::accept_hdr_async_with_config(stream, note_path, Some(config)).await?;
    let (queue, queued) = unbounded_channel();
    relay.borrow_mut().rooms.entry(name.clone()).or_default().insert(number, queue);
    let (sink, mut stream) = socket.split();
    let writer = spawn_local(write(sink, queued));
    while let Some(Ok(message)) = stream.next().await {
        if let Message::Binary(frame) = message {
            relay.borrow_mut().pass_on(&name, number, &frame);
        }
    }
    writer.abort();
    relay.borrow_mut().leave(&name, number);
    Ok(())
}

impl Relay {
    fn pass_on(&mut self, room: &str, from: u64, frame: &Bytes) {
        let Some(room) = self.rooms.get_mut(room) else { return };
        room.retain(|&number, queue| {
            if number == from {
                return true;
            }
            self.passed_on += 1;
            match self.fault {
                Fault::DropFrame(count) if count == self.passed_on => return true,
                Fault::CloseAfter(count) if count == self.passed_on => return false,
                Fault::RepeatFrame(count) if count == self.passed_on => drop(queue.send(frame.clone())),
                _ => {}
            }
            // A connection that is gone needs nothing.
            drop(queue.send(frame.clone()));
            true
        });
    }

    fn leave(&mut self, name: &str, number: u64) {
        if let Some(room) = self.rooms.get_mut(name) {
            room.remove(&number);
            if room.is_empty() {
                self.rooms.remove(name);
            }
        }
    }
}

async fn write(
    mut sink: SplitSink<Socket, Message>,
    mut queued: UnboundedReceiver<Bytes>,
) -> Result<(), Error> {
    while let Some(frame) = queued.recv().await {
        sink.feed(Message::Binary(frame)).await?;
        while let Ok(frame) = queued.try_recv() {
            sink.feed(Message::Binary(frame)).await?;
        }
        sink.flush().await?;
    }
    sink.close().await
}
