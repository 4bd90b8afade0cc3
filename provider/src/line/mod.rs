//! A WebSocket to a server, with tokio: frames out, frames in. Like a browser, it answers pings and sends none.
//!
//! Its sides can be polled one by one, so that the caller decides what is read and written when. It does not compress.

mod address;
mod open;

use std::fmt::{self, Display, Formatter};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink, SinkExt, Stream};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

pub use self::address::{Address, AddressError};
pub use self::open::OpenError;

/// How long a Close frame may take to be written.
const FAREWELL: Duration = Duration::from_millis(200);

/// A WebSocket as the library has it.
pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// An open connection.
#[derive(Debug)]
pub struct Line {
    socket: Socket,
}

/// Something that comes of a connection.
#[derive(Debug)]
pub enum Incoming {
    /// A binary message.
    Frame(Bytes),
    /// It has ended.
    Ended(End),
}

/// How a connection has ended.
#[derive(Debug)]
pub enum End {
    /// By the server's Close frame.
    Closed(Option<CloseFrame>),
    /// Without one.
    Lost,
    /// By an error.
    Failed(Box<Error>),
}

impl Line {
    /// Sends a frame. While the server does not take it, this waits.
    ///
    /// # Errors
    /// If the connection has ended.
    pub async fn send(&mut self, frame: Bytes) -> Result<(), End> {
        Ok(self.socket.send(Message::Binary(frame)).await?)
    }

    /// Waits for what comes next. Nothing is lost if this is dropped while it waits.
    pub async fn next(&mut self) -> Incoming {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// What comes next. What the library has to answer, it writes meanwhile.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        loop {
            let Poll::Ready(message) = Pin::new(&mut self.socket).poll_next(cx) else { return Poll::Pending };
            return Poll::Ready(match message {
                Some(Ok(Message::Binary(frame))) => Incoming::Frame(frame),
                Some(Ok(Message::Close(frame))) => {
                    // The library has its answer ready, and nobody polls a connection that has ended.
                    let _ = self.poll_flush(cx);
                    Incoming::Ended(End::Closed(frame))
                }
                // Pings are answered below this, and no Yjs client reads text.
                Some(Ok(_)) => continue,
                Some(Err(error)) => Incoming::Ended(error.into()),
                None => Incoming::Ended(End::Lost),
            });
        }
    }

    /// Whether a frame can be written.
    ///
    /// # Errors
    /// If the connection has ended.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        Pin::new(&mut self.socket).poll_ready(cx).map_err(End::from)
    }

    /// Begins to write a frame, after [`Self::poll_ready`].
    ///
    /// # Errors
    /// If the connection has ended.
    pub fn start_send(&mut self, frame: Bytes) -> Result<(), End> {
        Ok(Pin::new(&mut self.socket).start_send(Message::Binary(frame))?)
    }

    /// Writes what was begun.
    ///
    /// # Errors
    /// If the connection has ended.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        Pin::new(&mut self.socket).poll_flush(cx).map_err(End::from)
    }

    /// Says that it ends, as a browser does. What the server has still sent can be read.
    pub async fn close(&mut self) {
        // The other side may be gone, and then there is nobody to tell.
        let _ = timeout(FAREWELL, self.socket.close(None)).await;
    }

    /// The WebSocket itself, to say over it what no provider says.
    pub fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }
}

impl End {
    /// The code of the server's Close frame.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Closed(Some(frame)) => Some(frame.code.into()),
            _ => None,
        }
    }
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Failed(Box::new(error))
    }
}

impl Display for End {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(Some(frame)) => write!(f, "with {}: {:?}", frame.code, frame.reason.as_str()),
            Self::Closed(None) => f.write_str("without a code"),
            Self::Lost => f.write_str("without a Close frame"),
            Self::Failed(error) => match &**error {
                Error::Protocol(error) => write!(f, "without a Close frame ({error})"),
                error => write!(f, "with an error ({error})"),
            },
        }
    }
}
