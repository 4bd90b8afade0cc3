//! What can go wrong from outside, and how it is mended.

use std::time::Duration;

use tokio::time::sleep;

use super::restart::restart;
use super::run::{Run, Stop, hastened};
use crate::scenario::Fault;

/// How long nobody is there when all have left.
const ABSENCE: Duration = Duration::from_millis(20);

impl Run<'_> {
    pub(super) async fn fault(&mut self, fault: &Fault) -> Result<(), Stop> {
        let seats = self.seats.len();
        match fault {
            Fault::Disconnect(replica) => self.disconnect(replica % seats).await,
            Fault::Connect(replica) => self.connect(replica % seats).await?,
            Fault::Partition(replicas) => {
                for line in replicas.iter().map(|replica| replica % seats) {
                    if let Some(line) = &mut self.seats[line].line {
                        line.cut = true;
                    }
                }
            }
            Fault::Rejoin => self.rejoin().await?,
            Fault::Delay(replica, millis) => self.delay(replica % seats, hastened(*millis)),
            Fault::Stall(replica) => self.stall(replica % seats, true),
            Fault::Resume(replica) => self.stall(replica % seats, false),
            Fault::Duplicate(replica, updates) => self.duplicate(replica % seats, *updates),
            Fault::Overtake(author, reader) => self.overtake(author % seats, reader % seats)?,
            Fault::Lose(replica) => {
                let seat = &mut self.seats[replica % seats];
                seat.loses_next = seat.line.is_some();
            }
            Fault::Crash(_) => self.crash().await?,
            Fault::Checkpoint | Fault::Evict | Fault::Full(_) => self.leave_alone().await?,
            Fault::Restore(replica, edits) => self.restore(replica % seats, *edits).await?,
        }
        Ok(())
    }

    async fn disconnect(&mut self, seat: usize) {
        if let Some(line) = self.seats[seat].leave() {
            line.close().await;
        }
    }

    /// Who is behind a partition notices it, and connects again. The server takes the old connection for alive.
    async fn rejoin(&mut self) -> Result<(), Stop> {
        for seat in 0..self.seats.len() {
            if self.seats[seat].line.as_ref().is_some_and(|line| line.cut) {
                self.ghosts.extend(self.seats[seat].leave());
                self.connect(seat).await?;
            }
        }
        Ok(())
    }

    fn delay(&mut self, seat: usize, delay: Duration) {
        self.seats[seat].delay = delay;
        if let Some(line) = &mut self.seats[seat].line {
            line.delay = delay;
        }
    }

    fn stall(&mut self, seat: usize, stalled: bool) {
        if let Some(line) = &mut self.seats[seat].line {
            line.stalled = stalled;
        }
    }

    fn duplicate(&mut self, seat: usize, updates: usize) {
        let place = &mut self.seats[seat];
        let again: Vec<_> = place.editor.recent().take(updates).cloned().collect();
        for update in again {
            let frames = place.editor.send(update);
            place.send(frames);
        }
    }

    fn overtake(&mut self, author: usize, reader: usize) -> Result<(), Stop> {
        let known = self.seats[reader].replica.state_vector()?;
        let past = self.seats[author].replica.diff(&known)?;
        let place = &mut self.seats[reader];
        // Whoever wrote it may be gone before the server has it, and who only read it brings it with its next connection.
        place.has_lost |= place.line.is_some();
        for update in place.replica.apply(&past)? {
            let frames = place.editor.write(update);
            place.send(frames);
        }
        Ok(())
    }

    /// The server is killed and started again, if there is a command for that; otherwise all connections break.
    async fn crash(&mut self) -> Result<(), Stop> {
        let mut left = Vec::new();
        for seat in 0..self.seats.len() {
            // It is still open when the server is killed.
            if let Some(line) = self.seats[seat].leave() {
                self.ghosts.push(line);
                left.push(seat);
            }
        }
        if let Some(command) = &self.server.restart {
            self.account.restarts += 1;
            restart(command, &self.server.target, &self.document).await.map_err(Stop::Impossible)?;
            self.ghosts.clear();
            self.check_kept("after the restart").await?;
        }
        self.ghosts.clear();
        self.connect_all(left).await
    }

    /// Everybody leaves, so that the server may close the document, and comes back.
    async fn leave_alone(&mut self) -> Result<(), Stop> {
        let left: Vec<_> = (0..self.seats.len()).filter(|&seat| self.seats[seat].line.is_some()).collect();
        for &seat in &left {
            self.disconnect(seat).await;
        }
        self.ghosts.clear();
        sleep(ABSENCE).await;
        self.check_kept("after everybody had left").await?;
        self.connect_all(left).await
    }

    async fn connect_all(&mut self, seats: Vec<usize>) -> Result<(), Stop> {
        for seat in seats {
            self.connect(seat).await?;
        }
        Ok(())
    }

    async fn restore(&mut self, seat: usize, edits: usize) -> Result<(), Stop> {
        let Some(former) = self.seats[seat].former(edits) else { return Ok(()) };
        self.disconnect(seat).await;
        let mut replica = self.replica(self.kind(seat))?;
        replica.apply(&former)?;
        self.acknowledged.extend(self.seats[seat].editor.acknowledged());
        let now = self.now();
        self.seats[seat].replace(replica, self.server.acknowledges, now);
        self.connect(seat).await
    }

    /// Everybody is connected, reads, and has nothing lost.
    pub(super) async fn mend(&mut self) -> Result<(), Stop> {
        self.rejoin().await?;
        self.ghosts.clear();
        for seat in 0..self.seats.len() {
            self.delay(seat, Duration::ZERO);
            self.seats[seat].loses_next = false;
            if self.seats[seat].has_lost {
                self.disconnect(seat).await;
            }
            self.stall(seat, false);
            self.connect(seat).await?;
        }
        Ok(())
    }
}
