//! How faults are made, and how they are mended.

use std::time::Duration;

use super::server::LIFE;
use super::{COMMIT_WINDOW, Due, RECONNECT, Simulation};
use crate::outcome::{Failure, Oracle};
use crate::scenario::{Crash, Fault};

/// The server notices within this time that a connection is dead.
const DEAD: Duration = Duration::from_secs(50);
/// Latency of a connection that is well.
const QUICK: Duration = Duration::from_millis(1);

impl Simulation<'_> {
    pub(super) fn fault(&mut self, fault: &Fault) -> Result<(), Failure> {
        let editors = self.editors.len();
        match fault {
            Fault::Disconnect(replica) => self.disconnect(replica % editors)?,
            Fault::Connect(replica) => self.connect(replica % editors)?,
            Fault::Partition(replicas) => {
                for replica in replicas {
                    let editor = &mut self.editors[replica % editors];
                    editor.cut = editor.link.is_some();
                }
            }
            Fault::Rejoin => self.rejoin()?,
            Fault::Delay(replica, millis) => {
                self.editors[replica % editors].latency = QUICK + Duration::from_millis((*millis).into());
            }
            Fault::Stall(replica) => {
                let editor = &mut self.editors[replica % editors];
                editor.stalled = editor.link.is_some();
            }
            Fault::Resume(replica) => self.resume(replica % editors)?,
            Fault::Duplicate(replica, updates) => self.duplicate(replica % editors, *updates),
            Fault::Overtake(source, reader) => self.overtake(source % editors, reader % editors)?,
            Fault::Lose(replica) => {
                let editor = &mut self.editors[replica % editors];
                editor.loses_next = editor.link.is_some();
            }
            Fault::Crash(crash) => self.crash(*crash)?,
            Fault::Checkpoint => self.checkpoint()?,
            Fault::Full(millis) => {
                self.server.set_full(true);
                self.schedule(Duration::from_millis((*millis).into()), Due::Room);
            }
            Fault::Evict => self.evict()?,
            Fault::Restore(replica, edits) => self.restore(replica % editors, *edits)?,
        }
        self.serve()
    }

    /// The editors behind a partition notice it, and connect again. The server takes their old connections for alive.
    pub(super) fn rejoin(&mut self) -> Result<(), Failure> {
        let cut: Vec<_> = (0..self.editors.len()).filter(|&replica| self.editors[replica].cut).collect();
        let mut handshake = Duration::ZERO;
        for &replica in &cut {
            // It takes longer than what was sent before on the old connection.
            handshake = handshake.max(2 * self.editors[replica].latency);
            if let Some(link) = self.leave(replica) {
                self.ghosts.push(link.peer);
                let after = DEAD.mul_f64(self.rng.f64());
                self.schedule(after, Due::Notice(link.peer));
            }
        }
        self.wait(handshake)?;
        cut.into_iter().try_for_each(|replica| self.connect(replica))
    }

    /// A replica reads again.
    fn resume(&mut self, replica: usize) -> Result<(), Failure> {
        self.editors[replica].stalled = false;
        self.pass_on(replica);
        let Some(link) = &mut self.editors[replica].link else { return Ok(()) };
        if std::mem::take(&mut link.lagging) {
            let peer = link.peer;
            self.room(|room| room.drained(peer))?;
        }
        self.serve()
    }

    fn duplicate(&mut self, replica: usize, updates: usize) {
        let again: Vec<_> = self.editors[replica].provider.recent().take(updates).cloned().collect();
        for update in again {
            let frames = self.editors[replica].provider.send(update);
            self.send(replica, frames);
        }
    }

    fn overtake(&mut self, source: usize, reader: usize) -> Result<(), Failure> {
        let known = self.editors[reader].replica.state_vector();
        let past = known.and_then(|known| self.editors[source].replica.diff(&known));
        let written = past.and_then(|past| self.editors[reader].replica.apply(&past));
        // The source may be gone before the server has the update; then the reader brings it with its next connection.
        self.editors[reader].has_lost |= self.editors[reader].link.is_some();
        for update in written.map_err(|error| self.replica_failed(&error))? {
            let frames = self.editors[reader].provider.write(update);
            self.send(reader, frames);
        }
        Ok(())
    }

    fn crash(&mut self, crash: Crash) -> Result<(), Failure> {
        self.server.crash(crash, self.now, &mut self.rng).map_err(|broken| self.broken(broken))?;
        self.ghosts.clear();
        for replica in 0..self.editors.len() {
            if self.leave(replica).is_some() {
                self.schedule(RECONNECT, Due::Reconnect(replica));
            }
        }
        self.check_acknowledged()
    }

    /// The log is long enough for a checkpoint, which is made when all is durable.
    fn checkpoint(&mut self) -> Result<(), Failure> {
        self.server.lengthen_log();
        self.serve()?;
        self.wait(2 * COMMIT_WINDOW)?;
        self.check_acknowledged()
    }

    /// All leave, and the document is closed when it is stored.
    fn evict(&mut self) -> Result<(), Failure> {
        let connected: Vec<_> =
            (0..self.editors.len()).filter(|&replica| self.editors[replica].link.is_some()).collect();
        connected.iter().try_for_each(|&replica| self.disconnect(replica))?;
        self.bury()?;
        self.server.set_full(false);
        self.serve()?;
        self.wait(LIFE.grace + 4 * COMMIT_WINDOW)?;
        let is_left = self.editors.iter().all(|editor| editor.link.is_none());
        if is_left && self.server.is_open() {
            let detail = "the document stays open though nobody needs it".to_owned();
            return Err(self.broken((Oracle::Rest, detail)));
        }
        self.check_acknowledged()?;
        connected.iter().for_each(|&replica| self.schedule(RECONNECT, Due::Reconnect(replica)));
        Ok(())
    }

    fn restore(&mut self, replica: usize, edits: usize) -> Result<(), Failure> {
        let Some(former) = self.editors[replica].former(edits) else { return Ok(()) };
        self.disconnect(replica)?;
        let mut restored =
            self.new_replica(self.scenario.replicas[replica]).map_err(|error| self.replica_failed(&error))?;
        restored.apply(&former).map_err(|error| self.replica_failed(&error))?;
        self.acknowledged.extend(self.editors[replica].provider.acknowledged());
        self.editors[replica].replace(restored, self.now);
        self.connect(replica)
    }

    /// The server notices all dead connections.
    pub(super) fn bury(&mut self) -> Result<(), Failure> {
        while let Some(&peer) = self.ghosts.first() {
            self.notice(peer)?;
        }
        Ok(())
    }

    /// The disk has room, and everybody is connected, reads, and has nothing lost.
    pub(super) fn mend(&mut self) -> Result<(), Failure> {
        self.server.set_full(false);
        self.rejoin()?;
        for replica in 0..self.editors.len() {
            self.release(replica);
            self.editors[replica].latency = QUICK;
            self.editors[replica].loses_next = false;
            if self.editors[replica].has_lost {
                self.disconnect(replica)?;
            }
            self.resume(replica)?;
            self.connect(replica)?;
        }
        Ok(())
    }
}
