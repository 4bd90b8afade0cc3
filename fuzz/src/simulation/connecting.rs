//! How connections begin and end.

use coscribe_engine::peer::PeerId;

use super::Simulation;
use super::editor::Link;
use crate::outcome::Failure;
use crate::scenario::Access;

impl Simulation<'_> {
    /// A replica connects, if it is not connected.
    pub(super) fn connect(&mut self, replica: usize) -> Result<(), Failure> {
        if self.editors[replica].link.is_some() {
            return Ok(());
        }
        self.next_peer += 1;
        let peer = PeerId(self.next_peer);
        let now = self.now;
        let (dialect, access) = (self.editors[replica].dialect, self.editors[replica].access);
        let connected = self.server.connect(peer, dialect, access.into(), now);
        connected.map_err(|broken| self.broken(broken))?;
        let editor = &mut self.editors[replica];
        editor.provider.allow_refusals(access == Access::Read);
        editor.link = Some(Link::new(peer, now));
        let frames = editor.provider.open(editor.replica.as_mut(), now);
        let frames = frames.map_err(|error| self.replica_failed(&error))?;
        self.send(replica, frames);
        self.serve()
    }

    /// The connection of a replica ends, and both ends know.
    pub(super) fn disconnect(&mut self, replica: usize) -> Result<(), Failure> {
        let Some(link) = self.leave(replica) else { return Ok(()) };
        self.server_disconnects(link.peer)?;
        self.serve()
    }

    /// A replica takes its connection for ended.
    pub(super) fn leave(&mut self, replica: usize) -> Option<Link> {
        let editor = &mut self.editors[replica];
        (editor.cut, editor.stalled, editor.has_lost) = (false, false, false);
        editor.gathered = None;
        editor.provider.close();
        editor.link.take()
    }

    /// The server gives up a dead connection.
    pub(super) fn notice(&mut self, peer: PeerId) -> Result<(), Failure> {
        let Some(ghost) = self.ghosts.iter().position(|&ghost| ghost == peer) else { return Ok(()) };
        self.ghosts.swap_remove(ghost);
        self.server_disconnects(peer)?;
        self.serve()
    }

    fn server_disconnects(&mut self, peer: PeerId) -> Result<(), Failure> {
        self.server.disconnect(peer, self.now).map_err(|broken| self.broken(broken))
    }
}
