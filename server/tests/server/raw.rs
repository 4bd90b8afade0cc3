//! A client that frames and compresses by itself, also what no client should send.

use std::net::SocketAddr;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::process::{PATIENCE, Server};

const COMPRESSED: u8 = 0x40;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8a;

/// A connection on which frames are written and read one by one.
pub(crate) struct Raw {
    stream: BufReader<TcpStream>,
    /// What the server has agreed to, if anything.
    pub(crate) extensions: Option<String>,
}

pub(crate) struct Frame {
    /// FIN, reserved bits and opcode.
    pub(crate) first: u8,
    pub(crate) payload: Vec<u8>,
}

impl Raw {
    /// Connects and offers what `extensions` says.
    pub(crate) async fn connect(server: &Server, path: &str, extensions: &str) -> Raw {
        Raw::over(TcpStream::connect(server.address).await.unwrap(), path, extensions).await
    }

    /// Connects from another address of this machine, 127.0.0.2 for example.
    pub(crate) async fn connect_from(from: [u8; 4], server: SocketAddr, path: &str) -> Raw {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        Raw::over(socket.connect(server).await.unwrap(), path, "").await
    }

    async fn over(stream: TcpStream, path: &str, extensions: &str) -> Raw {
        let mut stream = BufReader::new(stream);
        let request = format!(
            "GET /{path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Extensions: {extensions}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.unwrap());
        }
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        let header = answer.lines().find_map(|line| line.strip_prefix("sec-websocket-extensions: "));
        Raw { stream, extensions: header.map(str::to_owned) }
    }

    /// Sends one frame, masked.
    pub(crate) async fn send(&mut self, first: u8, payload: &[u8]) {
        self.try_send(first, payload).await.unwrap();
    }

    /// Sends one frame, masked, unless the server has closed the connection.
    pub(crate) async fn try_send(&mut self, first: u8, payload: &[u8]) -> std::io::Result<()> {
        let mask = [1, 2, 3, 4];
        let mut frame = vec![first, 0xff];
        frame.extend((payload.len() as u64).to_be_bytes());
        frame.extend(mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        self.try_write(&frame).await
    }

    /// Sends bytes as they are.
    pub(crate) async fn try_write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Reads one frame, and answers pings before it.
    pub(crate) async fn frame(&mut self) -> Frame {
        loop {
            let frame = timeout(PATIENCE, self.read_frame()).await.expect("the server is silent");
            if frame.first != PING {
                return frame;
            }
            self.send(PONG, &frame.payload).await;
        }
    }

    /// Reads up to a ping, and gives its payload instead of answering it.
    pub(crate) async fn unanswered_ping(&mut self) -> Vec<u8> {
        loop {
            let frame = timeout(PATIENCE, self.read_frame()).await.expect("the server is silent");
            if frame.first == PING {
                return frame.payload;
            }
        }
    }

    async fn read_frame(&mut self) -> Frame {
        let first = self.stream.read_u8().await.unwrap();
        let length = match self.stream.read_u8().await.unwrap() {
            126 => u64::from(self.stream.read_u16().await.unwrap()),
            127 => self.stream.read_u64().await.unwrap(),
            length => u64::from(length),
        };
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut payload).await.unwrap();
        Frame { first, payload }
    }

    /// Reads one message: its frames' first bytes, and its content, inflated if it was compressed.
    pub(crate) async fn message(&mut self) -> (Vec<u8>, Vec<u8>) {
        let (mut firsts, mut content) = (Vec::new(), Vec::new());
        while firsts.last().is_none_or(|first| first & 0x80 == 0) {
            let frame = self.frame().await;
            firsts.push(frame.first);
            content.extend(frame.payload);
        }
        if firsts[0] & COMPRESSED != 0 {
            content = inflate(&content);
        }
        (firsts, content)
    }

    /// Reads up to the first compressed message.
    pub(crate) async fn compressed_message(&mut self) -> (Vec<u8>, Vec<u8>) {
        loop {
            let (firsts, content) = self.message().await;
            if firsts[0] & COMPRESSED != 0 {
                return (firsts, content);
            }
        }
    }

    /// Reads up to the Close frame, and gives its code.
    pub(crate) async fn close_code(&mut self) -> u16 {
        loop {
            let frame = self.frame().await;
            if frame.first == CLOSE {
                return u16::from_be_bytes([frame.payload[0], frame.payload[1]]);
            }
        }
    }
}

pub(crate) fn deflate(plain: &[u8], flush: FlushCompress) -> Vec<u8> {
    let mut out = Vec::with_capacity(plain.len() + 100);
    Compress::new(Compression::best(), false).compress_vec(plain, &mut out, flush).unwrap();
    out
}

/// A message as it goes over the wire.
pub(crate) fn compressed(plain: &[u8]) -> Vec<u8> {
    let out = deflate(plain, FlushCompress::Sync);
    out.strip_suffix(&[0, 0, 0xff, 0xff]).unwrap().to_vec()
}

pub(crate) fn inflate(payload: &[u8]) -> Vec<u8> {
    let input = [payload, &[0, 0, 0xff, 0xff]].concat();
    let mut out = Vec::with_capacity(8 << 20);
    // As small as was asked for by whoever asked for least.
    let status = Decompress::new(false).decompress_vec(&input, &mut out, FlushDecompress::Sync).unwrap();
    assert_eq!(status, Status::Ok);
    out
}
