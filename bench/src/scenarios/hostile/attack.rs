//! An attack: its name, a line that describes it, what a server must have for it to make sense, and a plan.
//!
//! A plan prepares the attack: it connects, writes documents, and makes all bytes. It returns the strike, which sends them and
//! returns when the server has read them, or will not. The strike's connections stay open until the attack is over.

use super::peer::Peer;
use super::scene::Scene;

/// What is done to the server.
pub(super) type Strike = Box<dyn FnMut() -> anyhow::Result<()> + Send>;

/// What a server must have.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(super) enum Need {
    /// Documents: a relay has none.
    Documents,
    /// All messages of a frame are read, and not only the first.
    SeveralInFrame,
    /// Messages from clients may be compressed.
    Compression,
    /// Signed tokens are checked, in the URL and in the login of Hocuspocus.
    Tokens,
}

impl Need {
    /// Whether a server has it; else what it does instead.
    pub(super) fn is_met(self, scene: &Scene) -> anyhow::Result<Result<(), &'static str>> {
        Ok(match self {
            Self::Documents if !scene.has_documents() => Err("has no documents"),
            Self::SeveralInFrame if !scene.reads_several()? => Err("reads one message of a frame"),
            Self::Compression if !scene.compresses()? => Err("does not compress"),
            Self::Tokens if !scene.checks_tokens()? => Err("checks no tokens of this kind"),
            _ => Ok(()),
        })
    }
}

/// One way to misuse a server.
#[derive(Debug, Copy, Clone)]
pub struct Attack {
    /// What it is called.
    pub name: &'static str,
    /// What is done.
    pub what: &'static str,
    pub(super) needs: &'static [Need],
    pub(super) plan: fn(&Scene) -> anyhow::Result<Strike>,
}

impl Attack {
    /// What it is called among other loads.
    pub fn title(&self) -> String {
        format!("hostile: {}", self.name)
    }
}

/// The strike of one peer that sends bytes made now.
pub(super) fn sends(mut peer: Peer, bytes: impl FnOnce(&Peer) -> Vec<u8>) -> Strike {
    let bytes = bytes(&peer);
    Box::new(move || peer.send_and_fence(&bytes))
}
