//! The faults that can be made from outside, and how they are mended.

use std::time::Duration;

use tokio::time::sleep;

use super::restart::restart;
use super::run::{Run, hastened};
use super::stop::Stop;
use crate::scenario::Fault;

/// How long the document is without editors when all have left.
const ABSENCE: Duration = Duration::from_millis(20);

impl Run<'_> {
    pub(super) async fn fault(&mut self, fault: &Fault) -> Result<(), Stop> {
        let editors = self.editors.len();
        match fault {
            Fault::Disconnect(replica) => self.disconnect(replica % editors).await,
            Fault::Connect(replica) => self.connect(replica % editors).await?,
            Fault::Partition(replicas) => {
                for replica in replicas {
                    if let Some(line) = &mut self.editors[replica % editors].line {
                        line.cut = true;
                    }
                }
            }
            Fault::Rejoin => self.rejoin().await?,
            Fault::Delay(replica, millis) => self.delay(replica % editors, hastened(*millis)),
            Fault::Stall(replica) => self.stall(replica % editors, true),
            Fault::Resume(replica) => self.stall(replica % editors, false),
            Fault::Duplicate(replica, updates) => self.duplicate(replica % editors, *updates),
            Fault::Overtake(source, reader) => self.overtake(source % editors, reader % editors)?,
            Fault::Lose(replica) => {
                let editor = &mut self.editors[replica % editors];
                editor.loses_next = editor.line.is_some();
            }
            Fault::Crash(_) => self.crash().await?,
            Fault::Checkpoint | Fault::Evict | Fault::Full(_) => self.leave_alone().await?,
            Fault::Restore(replica, edits) => self.restore(replica % editors, *edits).await?,
        }
        Ok(())
    }

    async fn disconnect(&mut self, replica: usize) {
        if let Some(line) = self.editors[replica].leave() {
            line.close().await;
        }
    }

    /// The editors behind a partition notice it, and connect again. The server takes their old connections for alive.
    async fn rejoin(&mut self) -> Result<(), Stop> {
        for replica in 0..self.editors.len() {
            if self.editors[replica].line.as_ref().is_some_and(|line| line.cut) {
                self.ghosts.extend(self.editors[replica].leave());
                self.connect(replica).await?;
            }
        }
        Ok(())
    }

    fn delay(&mut self, replica: usize, delay: Duration) {
        self.editors[replica].delay = delay;
        if let Some(line) = &mut self.editors[replica].line {
            line.delay = delay;
        }
    }

    fn stall(&mut self, replica: usize, stalled: bool) {
        if let Some(line) = &mut self.editors[replica].line {
            line.stalled = stalled;
        }
    }

    fn duplicate(&mut self, replica: usize, updates: usize) {
        let editor = &mut self.editors[replica];
        let again: Vec<_> = editor.provider.recent().take(updates).cloned().collect();
        for update in again {
            let frames = editor.provider.send(update);
            editor.send(frames);
        }
    }

    fn overtake(&mut self, source: usize, reader: usize) -> Result<(), Stop> {
        let known = self.editors[reader].replica.state_vector()?;
        let past = self.editors[source].replica.diff(&known)?;
        let editor = &mut self.editors[reader];
        // The source may be gone before the server has the update; then the reader brings it with its next connection.
        editor.has_lost |= editor.line.is_some();
        for update in editor.replica.apply(&past)? {
            let frames = editor.provider.write(update);
            editor.send(frames);
        }
        Ok(())
    }

    /// The server is killed and started again, if there is a command for that; otherwise all connections break.
    async fn crash(&mut self) -> Result<(), Stop> {
        let mut left = Vec::new();
        for replica in 0..self.editors.len() {
            // It is still open when the server is killed.
            if let Some(line) = self.editors[replica].leave() {
                self.ghosts.push(line);
                left.push(replica);
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
        let left: Vec<_> =
            (0..self.editors.len()).filter(|&replica| self.editors[replica].line.is_some()).collect();
        for &replica in &left {
            self.disconnect(replica).await;
        }
        self.ghosts.clear();
        sleep(ABSENCE).await;
        self.check_kept("after everybody had left").await?;
        self.connect_all(left).await
    }

    async fn connect_all(&mut self, editors: Vec<usize>) -> Result<(), Stop> {
        for replica in editors {
            self.connect(replica).await?;
        }
        Ok(())
    }

    async fn restore(&mut self, replica: usize, edits: usize) -> Result<(), Stop> {
        let Some(former) = self.editors[replica].former(edits) else { return Ok(()) };
        self.disconnect(replica).await;
        let mut restored = self.new_replica(self.kind(replica))?;
        restored.apply(&former)?;
        self.acknowledged.extend(self.editors[replica].provider.acknowledged());
        let (now, speech) = (self.now(), self.speech());
        self.editors[replica].replace(restored, speech, now);
        self.connect(replica).await
    }

    /// Everybody is connected, reads, and has nothing lost.
    pub(super) async fn mend(&mut self) -> Result<(), Stop> {
        self.rejoin().await?;
        self.ghosts.clear();
        for replica in 0..self.editors.len() {
            self.delay(replica, Duration::ZERO);
            self.editors[replica].loses_next = false;
            if self.editors[replica].has_lost {
                self.disconnect(replica).await;
            }
            self.stall(replica, false);
            self.connect(replica).await?;
        }
        Ok(())
    }
}
