//! The way out: what the rooms of a connection's documents have for it, one member after the other.

use std::collections::VecDeque;
use std::mem;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use coscribe_engine::message::{Outbound, Reason};
use coscribe_websocket::{End, Error, Outgoing, Payload};
use tokio::time::Instant;

use super::Dialect;
use super::frames::Framing;
use super::open::OpenConnection;
use super::parting::{end, end_by};

impl OpenConnection {
    /// Writes what the rooms want to have sent, or ends the connection if that is what its only room wants.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if let Some(end) = self.hear_rooms(cx) {
            return Poll::Ready(end);
        }
        match ready!(self.poll_turns(cx)) {
            // The last room that could have ended it has sent its peer away before.
            Ok(()) if self.unreadable && self.members.len() == 0 => {
                Poll::Ready(end(Reason::TooLarge, "the message is too large"))
            }
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(End::after(&error)),
        }
    }

    /// Has something to say that no room knows of. It goes before all that is not being written yet.
    pub(super) fn reply(&mut self, frame: Bytes) {
        self.reply_bytes += frame.len();
        self.replies.push_back(Outgoing::new(frame.into()).payload(None));
    }

    /// Has something to say to one member's client that its room does not know of.
    pub(super) fn tell(&mut self, framing: &Framing, message: &Outbound) {
        if let Some(frame) = framing.encode(message) {
            self.reply_bytes += message.len();
            self.replies.push_back(frame.payload(None));
        }
    }

    /// Lets those members line up whose rooms have something new.
    fn hear_rooms(&mut self, cx: &Context<'_>) -> Option<End> {
        self.ready.wake(cx);
        while let Some(number) = self.ready.next() {
            let Some(member) = self.members.get_mut(number) else { continue };
            if let Some(parting) = member.outbox.heard() {
                if self.unreadable || matches!(self.connection.dialect, Dialect::YWebsocket { .. }) {
                    return Some(end_by(parting));
                }
                member.parting = Some(parting);
            }
            self.members.line_up(number);
        }
        None
    }

    /// Gives one member after the other its turn, until nothing is left that can be written now.
    fn poll_turns(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            if !self.is_writing {
                self.begin_member(cx)?;
            }
            if !self.is_writing {
                return Poll::Ready(Ok(()));
            }
            let start = Instant::now();
            let written = self.transport.poll_write_all(cx);
            let now = Instant::now();
            if let Some(member) = self.writes.and_then(|number| self.members.get_mut(number)) {
                member.membership.spent(now - start);
            }
            ready!(written)?;
            self.is_writing = false;
            self.end_member(now)?;
        }
    }

    /// Gives the transport what the connection itself has to say, or else what the next in line has.
    fn begin_member(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        if !self.replies.is_empty() {
            self.transport.messages.append(&mut self.replies);
            self.reply_bytes = 0;
            self.is_writing = true;
            return Ok(());
        }
        let mut waiting = 0;
        while let Some(number) = self.members.waiting_at(waiting) {
            match self.poll_member(number, cx)? {
                // For a pong, or for a piece to be cut: others need not wait for that.
                Poll::Pending => waiting += 1,
                Poll::Ready(messages) => {
                    self.members.take_turn(waiting);
                    self.transport.messages = messages;
                    (self.writes, self.is_writing) = (Some(number), true);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// What a member has to be written next.
    fn poll_member(&mut self, number: usize, cx: &mut Context<'_>) -> Result<Poll<VecDeque<Payload>>, Error> {
        let Some(member) = self.members.get_mut(number) else { return Ok(Poll::Ready(VecDeque::new())) };
        if member.delivery.is_done() {
            let batch = member.outbox.take();
            member.taken += batch.cost();
            let metrics = &self.connection.metrics;
            metrics.messages_sent.inc_by(batch.messages.len() as u64);
            let (mut bytes, mut answers) = (0, 0);
            for queued in &batch.messages {
                let sent = queued.message.message().len();
                bytes += sent;
                answers += if queued.is_answer { sent } else { 0 };
            }
            metrics.sent_bytes.inc_by(bytes as u64);
            let messages = member.delivery.add(batch.messages);
            let is_done = member.delivery.is_done();
            if answers > 0 {
                self.pace.charge(answers, Instant::now());
            }
            if batch.probe {
                self.feed_probe(number)?;
            }
            if is_done {
                return Ok(Poll::Ready(messages));
            }
        }
        let written = self.transport.written();
        let next =
            self.members.get_mut(number).map(|member| member.delivery.poll_next(cx, &mut self.link, written));
        Ok(next.unwrap_or(Poll::Ready(VecDeque::new())))
    }

    /// All that was given to the transport is in the kernel's hands.
    fn end_member(&mut self, now: Instant) -> Result<(), Error> {
        let Some(number) = self.writes.take() else { return Ok(()) };
        if self.link.wants_ping() {
            self.feed_ping()?;
            self.link.note_ping(self.pings, self.transport.written());
        }
        let Some(member) = self.members.get_mut(number) else { return Ok(()) };
        if !member.delivery.is_done() {
            self.members.line_up(number);
            return Ok(());
        }
        let cost = mem::take(&mut member.taken);
        if cost > 0 {
            // The watchdogs of clients do not hear pings.
            self.keep_alive_at = now + self.connection.keep_alive;
        }
        if member.outbox.written(cost) {
            member.membership.drained();
        }
        if member.outbox.has_more() {
            // It may have come, and was heard of, while the member was in line with what it had taken before.
            self.members.line_up(number);
        } else if !member.is_in_line()
            && let Some(parting) = member.parting.take()
        {
            // Where it is in line again, more has come before the room has sent it away.
            self.shut(number, parting);
        }
        Ok(())
    }

    /// Asks for a sign of life, of which a member's room will hear.
    fn feed_probe(&mut self, number: usize) -> Result<(), Error> {
        self.feed_ping()?;
        if self.probes.iter().all(|&(_, other)| other != number) {
            self.probes.push((self.pings, number));
        }
        Ok(())
    }
}
