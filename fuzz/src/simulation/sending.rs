//! How messages of editors leave: each in a frame of its own, or several in one where the dialect has that.

use std::cmp::Reverse;

use bytes::Bytes;

use super::{Due, Entry, Simulation};
use crate::outcome::Failure;
use crate::scenario::Dialect;

impl Simulation<'_> {
    /// The next messages of a replica are to leave in one frame.
    pub(super) fn gather(&mut self, replica: usize, messages: usize) {
        self.release(replica);
        let editor = &mut self.editors[replica];
        editor.gathered = editor.link.is_some().then(|| (messages, Vec::new()));
    }

    /// A replica repeats its questions in one frame.
    pub(super) fn ask(&mut self, replica: usize, times: usize) -> Result<(), Failure> {
        let (now, editor) = (self.now, &mut self.editors[replica]);
        let frames = editor.provider.ask_again(editor.replica.as_mut(), times, now);
        let dialect = editor.dialect;
        let frames = frames.map_err(|error| self.replica_failed(&error))?;
        if dialect == Dialect::Hocuspocus {
            self.send(replica, frames);
        } else if !frames.is_empty() {
            self.send(replica, [Bytes::from(frames.concat())]);
        }
        Ok(())
    }

    /// A replica sends frames to the server, or gathers them.
    pub(super) fn send(&mut self, replica: usize, frames: impl IntoIterator<Item = Bytes>) {
        for frame in frames {
            match &mut self.editors[replica].gathered {
                Some((most, gathered)) => {
                    gathered.push(frame);
                    if gathered.len() >= *most {
                        self.release(replica);
                    }
                }
                None => self.send_together(replica, &[frame]),
            }
        }
    }

    /// The gathered messages of a replica leave.
    pub(super) fn release(&mut self, replica: usize) {
        let Some((_, gathered)) = self.editors[replica].gathered.take() else { return };
        match self.editors[replica].dialect {
            Dialect::YWebsocket => self.send_together(replica, &gathered),
            // A frame of this dialect is one message.
            Dialect::Hocuspocus => gathered.chunks(1).for_each(|frame| self.send_together(replica, frame)),
        }
    }

    /// Messages leave in one frame.
    fn send_together(&mut self, replica: usize, messages: &[Bytes]) {
        let editor = &mut self.editors[replica];
        let Some(link) = editor.link.as_mut().filter(|_| !messages.is_empty()) else { return };
        let at = (self.now + editor.latency).max(link.arrives[0]);
        link.arrives[0] = at;
        let (now, dialect, transcript) = (self.now, editor.dialect, &mut self.transcript);
        let sent: Vec<_> =
            messages.iter().map(|message| transcript.sent(replica + 1, 0, (message, dialect), now)).collect();
        if !editor.cut {
            let frame = if let [frame] = messages { frame.clone() } else { messages.concat().into() };
            let due = Due::ToServer { peer: link.peer, frame, messages: sent[0]..sent[0] + sent.len() };
            self.queued += 1;
            self.busy += 1;
            self.queue.push(Reverse(Entry { at, number: self.queued, due }));
        }
    }
}
