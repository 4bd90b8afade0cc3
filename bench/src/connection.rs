//! One WebSocket to a server, on a socket that never blocks.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::ops::{AddAssign, Sub};

use mio::net::TcpStream;
use serde::Serialize;

use crate::inflate::{InflateError, Inflater};
use crate::websocket::{self, Frame, FrameError, Opcode, read_frame, read_response, write_frame};

/// The close code that a browser sends when its tab is closed.
const GOING_AWAY: u16 = 1001;

/// How to open a connection.
#[derive(Debug, Clone)]
pub struct Opening<'a> {
    /// Where the server listens.
    pub address: SocketAddr,
    /// The path to request.
    pub path: &'a str,
    /// Whether to offer permessage-deflate.
    pub offer_deflate: bool,
}

/// Traffic over connections, counted above TCP.
#[derive(Debug, Default, Copy, Clone, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Frames from the server.
    pub frames_in: u64,
    /// Bytes from the server, headers and handshake included.
    pub bytes_in: u64,
    /// Messages from the server that came compressed.
    pub compressed_in: u64,
    /// Messages to the server.
    pub frames_out: u64,
    /// Bytes to the server.
    pub bytes_out: u64,
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.frames_in += other.frames_in;
        self.bytes_in += other.bytes_in;
        self.compressed_in += other.compressed_in;
        self.frames_out += other.frames_out;
        self.bytes_out += other.bytes_out;
    }
}

impl Sub for Traffic {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            frames_in: self.frames_in - before.frames_in,
            bytes_in: self.bytes_in - before.bytes_in,
            compressed_in: self.compressed_in - before.compressed_in,
            frames_out: self.frames_out - before.frames_out,
            bytes_out: self.bytes_out - before.bytes_out,
        }
    }
}

/// A message as received: perhaps compressed.
#[derive(Debug)]
pub struct Payload<'a> {
    bytes: &'a [u8],
    inflater: Option<&'a mut Inflater>,
}

impl<'a> Payload<'a> {
    /// Its bytes as received, and whether they are compressed.
    pub fn raw(&self) -> (&'a [u8], bool) {
        (self.bytes, self.inflater.is_some())
    }

    /// Its bytes before compression.
    ///
    /// # Errors
    /// If they cannot be inflated.
    pub fn inflated(self) -> Result<&'a [u8], InflateError> {
        match self.inflater {
            Some(inflater) => inflater.inflate(self.bytes),
            None => Ok(self.bytes),
        }
    }
}

/// The result of one read.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Reading {
    /// As much as there was room for.
    Full,
    /// Less: there is nothing more, except perhaps the end of the stream.
    Short,
    /// Nothing.
    Nothing,
}

/// Handles one message.
pub type Receive<'a> = dyn FnMut(Payload<'_>) -> Result<(), ConnectionError> + 'a;

/// Why a connection is no longer usable.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The server refused to open it.
    #[error("refused: {0}")]
    Refused(String),
    /// The server closed it with this code, or with none.
    #[error("closed by the server with code {0:?}")]
    Closed(Option<u16>),
    /// The stream ended or broke.
    #[error("broken: {0}")]
    Io(#[from] io::Error),
    /// What the server sends is not WebSocket.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A message could not be inflated.
    #[error(transparent)]
    Inflate(#[from] InflateError),
    /// A message is malformed in its dialect.
    #[error("unreadable message: {0}")]
    Message(#[from] coscribe_engine::lib0::ReadError),
}

/// One WebSocket.
#[derive(Debug)]
pub struct Connection {
    pub(crate) stream: TcpStream,
    open: bool,
    inflater: Option<Inflater>,
    /// Bytes of a frame or response that is not complete.
    unread: Vec<u8>,
    /// Parts of a message that is not complete.
    parts: Vec<u8>,
    parts_deflated: bool,
    outgoing: Vec<u8>,
    masks: u32,
    /// Its traffic.
    pub traffic: Traffic,
}

impl Connection {
    /// Begins to connect: the request goes out as soon as the socket takes it.
    ///
    /// # Errors
    /// If no socket can be created.
    pub fn open(opening: &Opening<'_>) -> io::Result<Self> {
        let stream = TcpStream::connect(opening.address)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            open: false,
            inflater: None,
            unread: Vec::new(),
            parts: Vec::new(),
            parts_deflated: false,
            outgoing: websocket::request(opening.address, opening.path, opening.offer_deflate),
            masks: 0,
            traffic: Traffic::default(),
        })
    }

    /// Whether the handshake is over.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Bytes that the kernel has not taken yet.
    pub fn unsent(&self) -> usize {
        self.outgoing.len()
    }

    /// Sends one binary message, as far as the kernel takes it; the rest follows with [`Self::flush`].
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn send(&mut self, message: &[u8]) -> Result<(), ConnectionError> {
        self.traffic.frames_out += 1;
        self.write(Opcode::Binary, message);
        self.flush()
    }

    /// Sends the first half of a message, as far as the kernel takes it, and never the rest.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn break_off(&mut self, message: &[u8]) -> Result<(), ConnectionError> {
        self.write(Opcode::Binary, message);
        self.outgoing.truncate(self.outgoing.len() - message.len() / 2);
        self.flush()
    }

    /// Says that nothing more will be sent: with a Close frame and, for servers that don't answer one, with a TCP
    /// shutdown.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn close(&mut self) -> Result<(), ConnectionError> {
        self.write(Opcode::Close, &GOING_AWAY.to_be_bytes());
        self.flush()?;
        if self.outgoing.is_empty() {
            self.stream.shutdown(Shutdown::Write)?;
        }
        Ok(())
    }

    fn write(&mut self, opcode: Opcode, payload: &[u8]) {
        self.masks = self.masks.wrapping_mul(0x9e37_79b1).wrapping_add(0x7f4a_7c15) | 1;
        let before = self.outgoing.len();
        write_frame(&mut self.outgoing, opcode, payload, self.masks.to_be_bytes());
        self.traffic.bytes_out += (self.outgoing.len() - before) as u64;
    }

    /// Writes what is waiting, as far as the kernel takes it.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn flush(&mut self) -> Result<(), ConnectionError> {
        let mut written = 0;
        while written < self.outgoing.len() {
            match self.stream.write(&self.outgoing[written..]) {
                Ok(taken) => written += taken,
                Err(error) if is_not_ready(&error) => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.outgoing.drain(..written);
        Ok(())
    }

    /// Reads once, into `buffer`, and hands on the messages that are complete.
    ///
    /// # Errors
    /// If the connection is closed or broken.
    pub fn read(&mut self, buffer: &mut [u8], receive: &mut Receive<'_>) -> Result<Reading, ConnectionError> {
        let got = match self.stream.read(buffer) {
            Ok(0) => return Err(ConnectionError::Closed(None)),
            Ok(got) => got,
            Err(error) if is_not_ready(&error) => return Ok(Reading::Nothing),
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(Reading::Full),
            Err(error) => return Err(error.into()),
        };
        let reading = if got == buffer.len() { Reading::Full } else { Reading::Short };
        self.traffic.bytes_in += got as u64;
        if self.unread.is_empty() {
            let taken = self.take(&buffer[..got], receive)?;
            self.unread.extend_from_slice(&buffer[taken..got]);
        } else {
            let mut unread = std::mem::take(&mut self.unread);
            unread.extend_from_slice(&buffer[..got]);
            let taken = self.take(&unread, receive)?;
            unread.drain(..taken);
            self.unread = unread;
        }
        Ok(reading)
    }

    /// Takes complete frames from the start of `bytes`, and returns how many bytes they have.
    fn take(&mut self, bytes: &[u8], receive: &mut Receive<'_>) -> Result<usize, ConnectionError> {
        let mut taken = 0;
        if !self.open {
            let Some(response) = read_response(bytes).map_err(ConnectionError::Refused)? else {
                return Ok(0);
            };
            self.open = true;
            self.inflater = response.deflate.then(|| Inflater::new(!response.server_no_context_takeover));
            taken = response.len;
        }
        while let Some((frame, len)) = read_frame(&bytes[taken..])? {
            self.traffic.frames_in += 1;
            self.frame(&frame, receive)?;
            taken += len;
        }
        Ok(taken)
    }

    fn frame(&mut self, frame: &Frame<'_>, receive: &mut Receive<'_>) -> Result<(), ConnectionError> {
        match frame.opcode {
            Opcode::Ping => {
                self.write(Opcode::Pong, frame.payload);
                self.flush()
            }
            Opcode::Close => {
                let code = frame.payload.first_chunk().copied().map(u16::from_be_bytes);
                Err(ConnectionError::Closed(code))
            }
            Opcode::Binary if frame.fin => self.message(frame.payload, frame.deflated, receive),
            Opcode::Binary => {
                self.parts.clear();
                self.parts.extend_from_slice(frame.payload);
                self.parts_deflated = frame.deflated;
                Ok(())
            }
            Opcode::Continuation => {
                self.parts.extend_from_slice(frame.payload);
                if !frame.fin {
                    return Ok(());
                }
                let parts = std::mem::take(&mut self.parts);
                self.message(&parts, self.parts_deflated, receive)?;
                self.parts = parts;
                Ok(())
            }
            Opcode::Text | Opcode::Pong => Ok(()),
        }
    }

    fn message(
        &mut self,
        bytes: &[u8],
        deflated: bool,
        receive: &mut Receive<'_>,
    ) -> Result<(), ConnectionError> {
        if !deflated {
            return receive(Payload { bytes, inflater: None });
        }
        self.traffic.compressed_in += 1;
        let inflater = self.inflater.as_mut().ok_or(InflateError)?;
        receive(Payload { bytes, inflater: Some(inflater) })
    }
}

fn is_not_ready(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected)
}
