//! What an attack has to work with: the server, documents that nobody else has, and connections.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::course::Course;
use super::forged::{self, PLAIN_QUESTION, WRITER};
use super::peer::Peer;
use super::stranger::{Answer, Flaw, Stranger, bad_token};
use crate::crowd::Target;
use crate::dialect::Dialect;
use crate::limits;
use crate::servers;

/// The way into the server, as long as the attack is not over.
#[derive(Debug, Clone)]
pub(super) struct Door {
    target: Target,
    course: Arc<Course>,
}

/// The place of one attack.
#[derive(Debug)]
pub(super) struct Scene {
    door: Door,
    /// The writers of the documents: some servers forget a document when its last editor has left.
    keepers: Mutex<Vec<Peer>>,
    run: u32,
}

impl Door {
    /// Somebody in a document who reads nothing but the first message.
    ///
    /// # Errors
    /// If the server refuses.
    pub(super) fn peer(&self, document: &str) -> anyhow::Result<Peer> {
        self.connect(document, false)
    }

    /// Whether the server refuses somebody who may not have a document. One who is let in is noted.
    ///
    /// # Errors
    /// If the server does neither.
    pub(super) fn knock(&self, stranger: &Stranger) -> anyhow::Result<Answer> {
        let answer = stranger.knock(self.target.address, &self.course)?;
        if answer == Answer::LetIn {
            self.course.note_let_in();
        }
        Ok(answer)
    }

    /// Whether the attack is over.
    pub(super) fn is_closed(&self) -> bool {
        self.course.is_over()
    }

    fn connect(&self, document: &str, offer_deflate: bool) -> anyhow::Result<Peer> {
        Peer::connect(&self.target, document, None, offer_deflate, &self.course)
    }

    /// Somebody in a document, from another address of this machine, who may send compressed messages.
    ///
    /// # Errors
    /// If the server refuses.
    pub(super) fn peer_from(&self, from: Ipv4Addr, document: &str) -> anyhow::Result<Peer> {
        Peer::connect(&self.target, document, Some(from), true, &self.course)
    }

    /// A connection from another address of this machine, over which nothing has been said.
    ///
    /// # Errors
    /// If the server does not accept it.
    pub(super) fn socket_from(&self, from: Ipv4Addr) -> anyhow::Result<Peer> {
        Peer::dial(self.target.address, Some(from), Vec::new(), &self.course)
    }
}

impl Scene {
    pub(super) fn new(target: Target, course: Arc<Course>) -> Self {
        Self { door: Door { target, course }, keepers: Mutex::default(), run: fastrand::u32(..) }
    }

    /// The way in, for those who come while the attack is under way.
    pub(super) fn door(&self) -> Door {
        self.door.clone()
    }

    /// An empty document.
    ///
    /// # Errors
    /// If the server has to be asked for one and refuses.
    pub(super) fn document(&self, name: &str) -> anyhow::Result<String> {
        let document = format!("hostile-{:08x}-{name}", self.run);
        servers::prepare(&self.door.target, [document.as_str()])?;
        Ok(document)
    }

    /// A document with this update in it.
    ///
    /// # Errors
    /// If the server does not take it.
    pub(super) fn document_of(&self, name: &str, update: &[u8]) -> anyhow::Result<String> {
        let document = self.document(name)?;
        self.write(&document, update)?;
        Ok(document)
    }

    /// Writes an update into a document, and returns when the server has answered a question behind it; the writer stays until
    /// the attack is over.
    ///
    /// # Errors
    /// If the server does not take it.
    pub(super) fn write(&self, document: &str, update: &[u8]) -> anyhow::Result<()> {
        let mut keeper = self.peer(document)?;
        let deadline = Instant::now() + limits::PREPARATION_WRITE;
        keeper.send(&keeper.frames([&*forged::message(update), &forged::NOTHING_LACKING]))?;
        let answer = [keeper.prefix(), &[0, 1]].concat();
        while !keeper.read_message(deadline)?.starts_with(&answer) {}
        keeper.listen()?;
        self.keepers.lock().unwrap_or_else(PoisonError::into_inner).push(keeper);
        Ok(())
    }

    /// Somebody in a document who reads nothing but the first message.
    ///
    /// # Errors
    /// If the server refuses.
    pub(super) fn peer(&self, document: &str) -> anyhow::Result<Peer> {
        self.door.peer(document)
    }

    /// Somebody in a document who reads what comes.
    ///
    /// # Errors
    /// If the server refuses.
    pub(super) fn listener(&self, document: &str) -> anyhow::Result<Peer> {
        let mut peer = self.peer(document)?;
        peer.listen()?;
        Ok(peer)
    }

    /// Somebody in a document who may send compressed messages, and reads what comes.
    ///
    /// # Errors
    /// If the server refuses, or does not compress.
    pub(super) fn compressing(&self, document: &str) -> anyhow::Result<Peer> {
        let mut peer = self.door.connect(document, true)?;
        anyhow::ensure!(peer.deflates, "the server does not compress");
        peer.listen()?;
        Ok(peer)
    }

    /// Whether the server keeps documents.
    pub(super) fn has_documents(&self) -> bool {
        self.door.target.dialect != Dialect::Relay
    }

    /// Whether the server takes compressed messages.
    pub(super) fn compresses(&self) -> anyhow::Result<bool> {
        let document = self.document("probe-compression")?;
        Ok(self.door.connect(&document, true)?.deflates)
    }

    /// Whether the server refuses signed tokens that are no good.
    pub(super) fn checks_tokens(&self) -> anyhow::Result<bool> {
        let document = self.document("probe-token")?;
        let token = bad_token(Flaw::Secret, &mut fastrand::Rng::new());
        let (address, course) = (self.door.target.address, &self.door.course);
        let refuses = |dialect| {
            let answer =
                Stranger::new(dialect, &document, &token).knock_for(limits::PROBE_REFUSAL, address, course);
            matches!(answer, Ok(Answer::Refused))
        };
        Ok(refuses(Dialect::YWebsocket) && refuses(Dialect::Hocuspocus))
    }

    /// Whether the server reads all messages of a frame, and not only the first one: one frame asks it twice.
    pub(super) fn reads_several(&self) -> anyhow::Result<bool> {
        if self.door.target.dialect != Dialect::YWebsocket {
            return Ok(false);
        }
        let mut peer = self.peer(&self.document("probe-frame")?)?;
        // A question behind an update: it is answered only if it is read.
        let update = forged::message(&forged::text(WRITER, b"x"));
        let frame = peer.frame(&[&update[..], &PLAIN_QUESTION].concat());
        peer.send(&frame)?;
        let deadline = Instant::now() + limits::PROBE_ANSWER;
        while let Ok(message) = peer.read_message(deadline) {
            if message.starts_with(&[0, 1]) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
