//! What goes wrong, and how it is healed.

use std::time::Duration;

use super::host::LIFE;
use super::{COMMIT_WINDOW, Due, RECONNECT, Simulation};
use crate::outcome::{Failure, Oracle};
use crate::scenario::{Crash, Fault};

/// The server notices within this time that a connection is dead.
const DEAD: Duration = Duration::from_secs(50);
/// Latency of a connection that is well.
const QUICK: Duration = Duration::from_millis(1);

impl Simulation<'_> {
    pub(super) fn fault(&mut self, fault: &Fault) -> Result<(), Failure> {
        let seats = self.seats.len();
        match fault {
            Fault::Disconnect(replica) => self.disconnect(replica % seats)?,
            Fault::Connect(replica) => self.connect(replica % seats)?,
            Fault::Partition(replicas) => {
                for replica in replicas {
                    let seat = &mut self.seats[replica % seats];
                    seat.cut = seat.link.is_some();
                }
            }
            Fault::Rejoin => self.rejoin()?,
            Fault::Delay(replica, millis) => {
                self.seats[replica % seats].latency = QUICK + Duration::from_millis((*millis).into());
            }
            Fault::Stall(replica) => {
                let seat = &mut self.seats[replica % seats];
                seat.stalled = seat.link.is_some();
            }
            Fault::Resume(replica) => self.resume(replica % seats)?,
            Fault::Duplicate(replica, updates) => self.duplicate(replica % seats, *updates),
            Fault::Overtake(author, reader) => self.overtake(author % seats, reader % seats)?,
            Fault::Lose(replica) => {
                let seat = &mut self.seats[replica % seats];
                seat.loses_next = seat.link.is_some();
            }
            Fault::Crash(crash) => self.crash(*crash)?,
            Fault::Checkpoint => self.checkpoint()?,
            Fault::Full(millis) => {
                self.host.set_full(true);
                self.schedule(Duration::from_millis((*millis).into()), Due::Room);
            }
            Fault::Evict => self.evict()?,
            Fault::Restore(replica, edits) => self.restore(replica % seats, *edits)?,
        }
        self.serve()
    }

    /// Who is behind a partition notices it, and connects again. The server takes the old connection for alive.
    pub(super) fn rejoin(&mut self) -> Result<(), Failure> {
        let cut: Vec<_> = (0..self.seats.len()).filter(|&seat| self.seats[seat].cut).collect();
        let mut handshake = Duration::ZERO;
        for &seat in &cut {
            // It takes longer than what was sent before on the old connection.
            handshake = handshake.max(2 * self.seats[seat].latency);
            if let Some(link) = self.leave(seat) {
                self.ghosts.push(link.peer);
                let after = DEAD.mul_f64(self.rng.f64());
                self.schedule(after, Due::Notice(link.peer));
            }
        }
        self.wait(handshake)?;
        cut.into_iter().try_for_each(|seat| self.connect(seat))
    }

    /// A replica reads again.
    fn resume(&mut self, seat: usize) -> Result<(), Failure> {
        self.seats[seat].stalled = false;
        self.pass_on(seat);
        let Some(link) = &mut self.seats[seat].link else { return Ok(()) };
        if std::mem::take(&mut link.lagging) {
            let peer = link.peer;
            self.room(|room| room.drained(peer))?;
        }
        self.serve()
    }

    fn duplicate(&mut self, seat: usize, updates: usize) {
        let again: Vec<_> = self.seats[seat].editor.recent().take(updates).cloned().collect();
        for update in again {
            let frames = self.seats[seat].editor.send(update);
            self.send(seat, frames);
        }
    }

    fn overtake(&mut self, author: usize, reader: usize) -> Result<(), Failure> {
        let known = self.seats[reader].replica.state_vector();
        let past = known.and_then(|known| self.seats[author].replica.diff(&known));
        let written = past.and_then(|past| self.seats[reader].replica.apply(&past));
        // Whoever wrote it may be gone before the server has it, and who only read it brings it with its next connection.
        self.seats[reader].has_lost |= self.seats[reader].link.is_some();
        for update in written.map_err(|error| self.replica_failed(&error))? {
            let frames = self.seats[reader].editor.write(update);
            self.send(reader, frames);
        }
        Ok(())
    }

    fn crash(&mut self, crash: Crash) -> Result<(), Failure> {
        self.host.crash(crash, self.now, &mut self.rng).map_err(|broken| self.broken(broken))?;
        self.ghosts.clear();
        for seat in 0..self.seats.len() {
            if self.leave(seat).is_some() {
                self.schedule(RECONNECT, Due::Reconnect(seat));
            }
        }
        self.check_acknowledged()
    }

    /// The log is long enough for a checkpoint, which is made when all is durable.
    fn checkpoint(&mut self) -> Result<(), Failure> {
        self.host.lengthen_log();
        self.serve()?;
        self.wait(2 * COMMIT_WINDOW)?;
        self.check_acknowledged()
    }

    /// All leave, and the document is closed when it is stored.
    fn evict(&mut self) -> Result<(), Failure> {
        let connected: Vec<_> =
            (0..self.seats.len()).filter(|&seat| self.seats[seat].link.is_some()).collect();
        connected.iter().try_for_each(|&seat| self.disconnect(seat))?;
        self.bury()?;
        self.host.set_full(false);
        self.serve()?;
        self.wait(LIFE.grace + 4 * COMMIT_WINDOW)?;
        let is_left = self.seats.iter().all(|seat| seat.link.is_none());
        if is_left && self.host.is_open() {
            let detail = "the document stays open though nobody needs it".to_owned();
            return Err(self.broken((Oracle::Rest, detail)));
        }
        self.check_acknowledged()?;
        connected.iter().for_each(|&seat| self.schedule(RECONNECT, Due::Reconnect(seat)));
        Ok(())
    }

    fn restore(&mut self, seat: usize, edits: usize) -> Result<(), Failure> {
        let Some(former) = self.seats[seat].former(edits) else { return Ok(()) };
        self.disconnect(seat)?;
        let mut replica =
            self.replica(self.scenario.replicas[seat]).map_err(|error| self.replica_failed(&error))?;
        replica.apply(&former).map_err(|error| self.replica_failed(&error))?;
        self.acknowledged.extend(self.seats[seat].editor.acknowledged());
        self.seats[seat].replace(replica, self.now);
        self.connect(seat)
    }

    /// The server knows of all dead connections that they are.
    pub(super) fn bury(&mut self) -> Result<(), Failure> {
        while let Some(&peer) = self.ghosts.first() {
            self.notice(peer)?;
        }
        Ok(())
    }

    /// The disk has room, and everybody is connected, reads, and has nothing lost.
    pub(super) fn mend(&mut self) -> Result<(), Failure> {
        self.host.set_full(false);
        self.rejoin()?;
        for seat in 0..self.seats.len() {
            self.release(seat);
            self.seats[seat].latency = QUICK;
            self.seats[seat].loses_next = false;
            if self.seats[seat].has_lost {
                self.disconnect(seat)?;
            }
            self.resume(seat)?;
            self.connect(seat)?;
        }
        Ok(())
    }
}
