//! One connection of an attacker: a plain blocking socket, over which anything may be sent.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use socket2::{Domain, Socket, Type};

use super::course::Course;
use super::skim::{Heard, Skimmer};
use crate::crowd::Target;
use crate::dialect::Dialect;
use crate::limits;
use crate::websocket::{self, Opcode, read_frame, read_response, write_frame};

/// How often a blocked socket checks whether the attack is over.
const GLANCE: Duration = Duration::from_millis(100);
/// The mask of the attackers' frames.
pub(super) const MASK: [u8; 4] = [0x5a, 0x17, 0x83, 0x2c];

/// One connection.
#[derive(Debug)]
pub(super) struct Peer {
    stream: TcpStream,
    /// The start of each of its messages.
    prefix: Vec<u8>,
    /// Whether its messages may be compressed.
    pub(super) deflates: bool,
    course: Arc<Course>,
    /// Bytes that came and were not looked at, before it listens.
    unread: Vec<u8>,
    heard: Arc<Heard>,
    /// Held while bytes are sent, so that no pong gets into the middle of a frame.
    sending: Arc<Mutex<()>>,
    pings: u32,
}

impl Peer {
    /// Connects, and logs in if the dialect wants that; returns when the server has said something. Afterwards nothing is read
    /// until [`Self::listen`].
    ///
    /// # Errors
    /// If the server refuses or says nothing, or the attack is over.
    pub(super) fn connect(
        target: &Target,
        document: &str,
        from: Option<Ipv4Addr>,
        offer_deflate: bool,
        course: &Arc<Course>,
    ) -> anyhow::Result<Self> {
        let mut peer = Self::dial(target.address, from, target.dialect.prefix(document), course)?;
        peer.open(target, document, offer_deflate)?;
        Ok(peer)
    }

    /// Connects, `from` this address of the machine if there is one, and says nothing.
    ///
    /// # Errors
    /// If the server does not accept it.
    pub(super) fn dial(
        address: SocketAddr,
        from: Option<Ipv4Addr>,
        prefix: Vec<u8>,
        course: &Arc<Course>,
    ) -> anyhow::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        if let Some(from) = from {
            socket.bind(&SocketAddr::from((from, 0)).into())?;
        }
        socket.connect_timeout(&address.into(), limits::FIRST_MESSAGE)?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(GLANCE))?;
        stream.set_write_timeout(Some(GLANCE))?;
        Ok(Self {
            stream,
            prefix,
            deflates: false,
            course: Arc::clone(course),
            unread: Vec::new(),
            heard: Arc::default(),
            sending: Arc::default(),
            pings: 0,
        })
    }

    fn open(&mut self, target: &Target, document: &str, offer_deflate: bool) -> anyhow::Result<()> {
        let path = target.path.replace("{}", document);
        let deadline = Instant::now() + limits::FIRST_MESSAGE;
        let request = websocket::request(target.address, &path, offer_deflate);
        self.upgrade(&request, deadline)?.map_err(anyhow::Error::msg)?;
        if let Some(login) = target.dialect.login(&self.prefix, "") {
            self.send(&framed(&login))?;
        }
        if target.dialect != Dialect::Relay {
            self.read_message(deadline)?;
        }
        Ok(())
    }

    /// Asks for a WebSocket. Gives the first line of a response that opens none.
    ///
    /// # Errors
    /// If no response comes until `deadline`, or the attack is over.
    pub(super) fn upgrade(
        &mut self,
        request: &[u8],
        deadline: Instant,
    ) -> anyhow::Result<Result<(), String>> {
        self.send(request)?;
        loop {
            match read_response(&self.unread) {
                Ok(Some(response)) => {
                    self.unread.drain(..response.len);
                    self.deflates = response.deflate;
                    return Ok(Ok(()));
                }
                Ok(None) => self.read_more(deadline)?,
                Err(status) => return Ok(Err(status)),
            }
        }
    }

    fn read_more(&mut self, deadline: Instant) -> anyhow::Result<()> {
        let mut buffer = [0; 16 << 10];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => bail!("closed by the server"),
                Ok(got) => {
                    self.unread.extend_from_slice(&buffer[..got]);
                    return Ok(());
                }
                Err(error) if is_patient(&error) => self.check_over()?,
                Err(error) => return Err(error.into()),
            }
            anyhow::ensure!(Instant::now() < deadline, "the server says nothing");
        }
    }

    /// The next message; only possible before it listens.
    ///
    /// # Errors
    /// If none comes until `deadline`, or the connection ends.
    pub(super) fn read_message(&mut self, deadline: Instant) -> anyhow::Result<Vec<u8>> {
        loop {
            let Some((frame, len)) = read_frame(&self.unread)? else {
                self.read_more(deadline)?;
                continue;
            };
            let (opcode, message) = (frame.opcode, frame.payload.to_vec());
            self.unread.drain(..len);
            match opcode {
                Opcode::Binary | Opcode::Continuation => return Ok(message),
                Opcode::Close => bail!("closed by the server"),
                _ => {}
            }
        }
    }

    /// One message of this connection in a frame.
    pub(super) fn frame(&self, body: &[u8]) -> Vec<u8> {
        framed(&[&self.prefix, body].concat())
    }

    /// Several messages of this connection, in a frame each.
    pub(super) fn frames<'a>(&self, bodies: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut frames = Vec::new();
        for body in bodies {
            write_frame(&mut frames, Opcode::Binary, &[&self.prefix, body].concat(), MASK);
        }
        frames
    }

    /// The start of each message of this connection.
    pub(super) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// If the connection or the attack is over before the system has taken them.
    pub(super) fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let sending = Arc::clone(&self.sending);
        let _sending = sending.lock().unwrap_or_else(PoisonError::into_inner);
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(taken) => bytes = &bytes[taken..],
                Err(error) if is_patient(&error) => self.check_over()?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends the same bytes again and again for some time, and then hangs up.
    ///
    /// # Errors
    /// If the connection ends before that.
    pub(super) fn flood(&mut self, bytes: &[u8], time: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + time;
        let sending = Arc::clone(&self.sending);
        let _sending = sending.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rest = bytes;
        while Instant::now() < end {
            match self.stream.write(rest) {
                Ok(taken) => rest = if taken < rest.len() { &rest[taken..] } else { bytes },
                Err(error) if is_patient(&error) => self.check_over()?,
                Err(error) => return Err(self.why(error)),
            }
        }
        // A server that hung up at the same moment is gone as well.
        drop(self.stream.shutdown(Shutdown::Both));
        Ok(())
    }

    /// From now on reads and discards everything that comes, on a thread of its own; pings are answered.
    ///
    /// # Errors
    /// If no thread can be started.
    pub(super) fn listen(&mut self) -> io::Result<()> {
        let listener = Listener {
            stream: self.stream.try_clone()?,
            heard: Arc::clone(&self.heard),
            course: Arc::clone(&self.course),
            sending: Arc::clone(&self.sending),
        };
        let unread = std::mem::take(&mut self.unread);
        std::thread::Builder::new()
            .stack_size(limits::ATTACKER_STACK_BYTES)
            .spawn(move || listener.run(&unread))?;
        Ok(())
    }

    /// Returns when the server has read everything that was sent: it has answered a ping. The peer must listen.
    ///
    /// # Errors
    /// If the connection or the attack is over before.
    pub(super) fn fence(&mut self) -> anyhow::Result<()> {
        self.pings += 1;
        let mut ping = Vec::new();
        write_frame(&mut ping, Opcode::Ping, b"fence", MASK);
        self.send(&ping).map_err(|error| self.why(error))?;
        while !self.heard.wait_for_pongs(self.pings, GLANCE)? {
            self.check_over()?;
        }
        Ok(())
    }

    /// Sends, and returns when the server has read it.
    ///
    /// # Errors
    /// If the connection or the attack is over before.
    pub(super) fn send_and_fence(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.send(bytes).map_err(|error| self.why(error)).context("while it was sent")?;
        self.fence()
    }

    /// Why it cannot send any more: the server's reason, if it gave one to a peer that listens.
    fn why(&self, error: io::Error) -> anyhow::Error {
        // The reason may be on its way.
        std::thread::sleep(GLANCE);
        self.heard.parting().unwrap_or(error.into())
    }

    fn check_over(&self) -> io::Result<()> {
        if self.course.is_over() { Err(io::Error::other("the attack is over")) } else { Ok(()) }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Ends the thread that listens, too.
        drop(self.stream.shutdown(Shutdown::Both));
    }
}

/// The part of a peer that reads.
struct Listener {
    stream: TcpStream,
    heard: Arc<Heard>,
    course: Arc<Course>,
    sending: Arc<Mutex<()>>,
}

impl Listener {
    fn run(mut self, unread: &[u8]) {
        let (mut skimmer, mut buffer) = (Skimmer::default(), vec![0; limits::ATTACKER_READ_BYTES]);
        self.skim(&mut skimmer, unread);
        while !self.course.is_over() && self.heard.parting().is_none() {
            match self.stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(got) => self.skim(&mut skimmer, &buffer[..got]),
                Err(error) if is_patient(&error) => {}
                Err(_) => break,
            }
        }
        self.heard.end();
        if let Some(code) = self.heard.code() {
            self.course.note_close(code);
        }
        drop(self.stream.shutdown(Shutdown::Both));
    }

    fn skim(&mut self, skimmer: &mut Skimmer, bytes: &[u8]) {
        let mut pongs = Vec::new();
        skimmer.skim(bytes, |frame| match frame.pinged() {
            Some(payload) => write_frame(&mut pongs, Opcode::Pong, payload, MASK),
            None => self.heard.note(frame),
        });
        // A peer that is sending shows enough signs of life. The server does not need a pong that the system does not take at
        // once.
        if !pongs.is_empty()
            && let Ok(_sending) = self.sending.try_lock()
        {
            drop(self.stream.write_all(&pongs));
        }
    }
}

/// A message in a frame.
pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(message.len() + 14);
    write_frame(&mut frame, Opcode::Binary, message, MASK);
    frame
}

fn is_patient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// Lets all peers do the same at the same time; returns the first error, if any.
pub(super) fn together(
    peers: &mut [Peer],
    each: impl Fn(&mut Peer) -> anyhow::Result<()> + Sync,
) -> anyhow::Result<()> {
    let each = &each;
    std::thread::scope(|scope| {
        let threads: Vec<_> = peers.iter_mut().map(|peer| scope.spawn(move || each(peer))).collect();
        let ends = threads.into_iter().map(|thread| thread.join().expect("floods don't panic"));
        ends.collect::<Vec<_>>().into_iter().collect()
    })
}
