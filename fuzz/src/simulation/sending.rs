//! How messages of replicas leave: each in a frame of its own, or several in one.

use std::cmp::Reverse;

use bytes::Bytes;

use super::{Due, Entry, Simulation};
use crate::outcome::Failure;

impl Simulation<'_> {
    /// The next messages of a replica are to leave in one frame.
    pub(super) fn gather(&mut self, seat: usize, messages: usize) {
        self.release(seat);
        let place = &mut self.seats[seat];
        place.gathered = place.link.is_some().then(|| (messages, Vec::new()));
    }

    /// A replica asks for what it has asked before, in one frame.
    pub(super) fn ask(&mut self, seat: usize, times: usize) -> Result<(), Failure> {
        let (now, place) = (self.now, &mut self.seats[seat]);
        let frames = place.editor.ask_again(place.replica.as_mut(), times, now);
        let frames = frames.map_err(|error| self.replica_failed(&error))?;
        if !frames.is_empty() {
            self.send(seat, [Bytes::from(frames.concat())]);
        }
        Ok(())
    }

    /// A replica sends frames to the server, or gathers them.
    pub(super) fn send(&mut self, seat: usize, frames: impl IntoIterator<Item = Bytes>) {
        for frame in frames {
            match &mut self.seats[seat].gathered {
                Some((most, gathered)) => {
                    gathered.push(frame);
                    if gathered.len() >= *most {
                        self.release(seat);
                    }
                }
                None => self.send_together(seat, &[frame]),
            }
        }
    }

    /// What a replica has gathered leaves.
    pub(super) fn release(&mut self, seat: usize) {
        if let Some((_, gathered)) = self.seats[seat].gathered.take() {
            self.send_together(seat, &gathered);
        }
    }

    /// Messages leave in one frame.
    fn send_together(&mut self, seat: usize, messages: &[Bytes]) {
        let place = &mut self.seats[seat];
        let Some(link) = place.link.as_mut().filter(|_| !messages.is_empty()) else { return };
        let at = (self.now + place.latency).max(link.arrives[0]);
        link.arrives[0] = at;
        let sent: Vec<_> =
            messages.iter().map(|message| self.record.sent(seat + 1, 0, message, self.now)).collect();
        if !place.cut {
            let frame = if let [frame] = messages { frame.clone() } else { messages.concat().into() };
            let due = Due::ToServer { peer: link.peer, frame, messages: sent[0]..sent[0] + sent.len() };
            self.queued += 1;
            self.busy += 1;
            self.queue.push(Reverse(Entry { at, number: self.queued, due }));
        }
    }
}
