//! The way in: frames are read as fast as their rooms take their messages, and as the peer may send.

use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use coscribe_engine::dialect::y_websocket::{Messages, Request};
use coscribe_engine::message::Reason;
use coscribe_websocket::limits::READ_BUFFER;
use coscribe_websocket::{Close, End, Message, TOO_LARGE};
use tokio::time::{Instant, sleep_until};

use super::Dialect;
use super::freed::freed_elsewhere;
use super::open::{OpenConnection, Rest};
use super::pace::Verdict;
use super::parting::end;
use crate::limits::{LARGE_FRAME_BYTES, MESSAGE_FORMS, MESSAGES_AT_ONCE, REPLY_BYTES};
use crate::rooms::Said;

/// Space in a room's inbox that is waited for.
type Space = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

impl OpenConnection {
    /// Brings messages to the rooms until there is a reason to stop.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let polled = self.poll_messages(cx);
        let rest = self.rest.as_ref().map_or(0, Rest::len);
        self.unread.set(MESSAGE_FORMS * (self.transport.unfinished() + rest + self.questions.bytes()));
        polled
    }

    fn poll_messages(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            if self.unreadable || self.reply_bytes > REPLY_BYTES {
                return Poll::Pending;
            }
            if self.awaits_answers != self.waits_for_answers() {
                self.awaits_answers = !self.awaits_answers;
                let is_unread = self.awaits_answers || self.pause.is_some();
                self.transport.signs_of_life().set_unread(is_unread);
            }
            if self.awaits_answers {
                return Poll::Pending;
            }
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
                self.transport.signs_of_life().set_unread(false);
            }
            if self.rest.is_none() && self.has_too_much() {
                self.wait_for_relief();
                continue;
            }
            let incoming = if self.rest.is_none() { self.poll_frame(cx) } else { Poll::Ready(Ok(0)) };
            let incoming = match incoming {
                Poll::Ready(Err(End::ByUs(Close { code: TOO_LARGE, .. }))) if self.members.len() > 0 => {
                    self.leave_unread();
                    return Poll::Pending;
                }
                Poll::Ready(Err(end)) => return Poll::Ready(end),
                Poll::Ready(Ok(controls)) => Poll::Ready(controls),
                Poll::Pending => Poll::Pending,
            };
            let (messages, space) = match (self.rest.take(), incoming) {
                (Some(rest), _) => match self.deliver(rest) {
                    Ok(delivered) => delivered,
                    Err(end) => return Poll::Ready(end),
                },
                (None, Poll::Ready(controls)) => (controls, None),
                (None, Poll::Pending) => (0, None),
            };
            if self.keeps_others_waiting() {
                return Poll::Ready(end(Reason::Overload, "too many messages in one frame"));
            }
            // Also bytes of a message whose end may never come.
            self.note_wire_bytes();
            if messages == 0 && self.uncounted == 0 && incoming.is_pending() {
                return Poll::Pending;
            }
            let turn = match self.pace.count(messages, mem::take(&mut self.uncounted), Instant::now()) {
                Verdict::GoOn => None,
                Verdict::Wait(until) => Some(until),
                Verdict::Exceeded => {
                    return Poll::Ready(end(Reason::Overload, "too many messages or bytes a second"));
                }
            };
            if space.is_some() || turn.is_some() {
                if space.is_none() && self.rest.is_none() {
                    self.large = None;
                }
                self.pause(space, turn);
            } else if incoming.is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Reads a frame, which is then in `rest`, or gives how many control messages were read.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, End>> {
        let polled = self.transport.poll_next(cx);
        // While the last frame was alive, the read buffer could not grow back into its memory and keep it for good.
        self.large = None;
        Poll::Ready(match ready!(polled) {
            Ok(Message::Binary(frame)) => {
                self.take_frame(frame);
                Ok(0)
            }
            Ok(Message::Text(_)) => {
                Err(end(Reason::Text, "text frames are not understood: send binary ones"))
            }
            Ok(Message::Close(_)) => Err(End::ByPeer),
            Ok(Message::Pong(number)) => {
                if self.note_pong(&number) {
                    cx.waker().wake_by_ref();
                }
                Ok(1)
            }
            Ok(Message::Ping(_) | Message::Frame(_)) => Ok(1),
            Err(error) => Err(End::after(&error)),
        })
    }

    fn take_frame(&mut self, frame: Bytes) {
        self.connection.metrics.received_bytes.inc_by(frame.len() as u64);
        self.note_wire_bytes();
        // What it has inflated to.
        self.uncounted += frame.len().saturating_sub(self.wire_bytes);
        self.wire_bytes = self.wire_bytes.saturating_sub(frame.len());
        self.delivered = 0;
        self.right = self.transport.take_right().map(Arc::new);
        // Whether or not its room has space for it, others may inflate theirs: what it holds is charged to it.
        self.transport.release();
        let frame = if frame.len() < READ_BUFFER {
            // A small message must not keep the whole read buffer alive that it came in.
            Bytes::copy_from_slice(&frame)
        } else {
            self.large
                .insert(if frame.len() > LARGE_FRAME_BYTES { freed_elsewhere(frame) } else { frame })
                .clone()
        };
        self.rest = Some(match self.connection.dialect {
            Dialect::YWebsocket { .. } => Rest::Messages(Messages::of(frame)),
            Dialect::Hocuspocus => Rest::Frame(frame),
        });
    }

    /// Only the answer to a ping is known to have been sent after it: other bytes may have waited here. Says whether there is
    /// something to write now.
    fn note_pong(&mut self, number: &Bytes) -> bool {
        let Ok(number) = <[u8; 8]>::try_from(&number[..]).map(u64::from_be_bytes) else { return false };
        let members = &mut self.members;
        self.probes.retain(|&(probe, member)| {
            let is_answered = number >= probe;
            if let Some(member) = members.get_mut(member).filter(|_| is_answered) {
                member.membership.alive();
            }
            !is_answered
        });
        self.link.note_pong(number, Instant::now())
    }

    fn note_wire_bytes(&mut self) {
        let bytes = self.transport.take_received();
        self.wire_bytes += bytes;
        self.uncounted += bytes;
        self.link.note_heard(bytes);
    }

    /// Hands messages of a frame to the room they are for, and keeps the others. Gives how many they were and, where the room
    /// has no space, what is to be waited for.
    fn deliver(&mut self, rest: Rest) -> Result<(usize, Option<Space>), End> {
        let (number, said, bytes) = match rest {
            Rest::Frame(frame) => {
                self.connection.metrics.messages_received.inc();
                let Some((number, said)) = self.hear(&frame)? else { return Ok((1, None)) };
                (number, said, frame.len())
            }
            Rest::Token(token, messages) => {
                self.connection.metrics.messages_received.inc();
                self.rest = (!messages.is_at_end()).then_some(Rest::Messages(messages));
                if self.rest.is_none() {
                    self.right = None;
                }
                return self.renew(0, &token).map(|()| (1, None));
            }
            Rest::Messages(mut messages) => {
                let before = messages.position();
                let (said, token) = first_of(&mut messages);
                let bytes = messages.position() - before;
                self.rest = match token {
                    Some(token) => Some(Rest::Token(token, messages)),
                    None => (!messages.is_at_end()).then_some(Rest::Messages(messages)),
                };
                self.connection.metrics.messages_received.inc_by(said.len() as u64);
                (0, said, bytes)
            }
        };
        let count = said.len();
        self.delivered += count;
        // The last part takes the right along: nothing may come after it.
        let right = if self.rest.is_some() { self.right.clone() } else { self.right.take() };
        let hold = || right.clone().map(|right| right as Arc<dyn Send + Sync>);
        let Some(member) = self.members.get_mut(number) else { return Ok((count, None)) };
        let full = member.membership.try_send(said, bytes, hold()).err();
        let space = full.map(|said| Box::pin(member.membership.send(said, bytes, hold())) as Space);
        Ok((count, space))
    }

    /// A message has begun that is larger than any may be. Whoever sent it sends it again when it is back, and the rooms know
    /// whether this is the first time.
    fn leave_unread(&mut self) {
        self.unreadable = true;
        self.transport.signs_of_life().set_unread(true);
        self.members.iter().for_each(|member| member.membership.too_large());
    }

    fn keeps_others_waiting(&self) -> bool {
        let is_large = self.large.as_ref().is_some_and(|frame| frame.len() > LARGE_FRAME_BYTES);
        self.rest.is_some() && is_large && self.delivered > self.connection.config.rates().messages as usize
    }

    /// Whether memory is short, and it has more than is allowed then.
    fn has_too_much(&self) -> bool {
        let account = self.connection.registration.account();
        account.held() > account.budget().allowance()
    }

    /// Reads nothing before there is memory again.
    fn wait_for_relief(&mut self) {
        self.transport.signs_of_life().set_unread(true);
        let account = Arc::clone(self.connection.registration.account());
        self.pause = Some(Box::pin(async move { account.budget().relief(&account).await }));
    }

    /// Reads nothing before the room has space and it is the peer's turn again.
    pub(super) fn pause(&mut self, space: Option<Space>, turn: Option<Instant>) {
        self.transport.signs_of_life().set_unread(true);
        // Rarely needed: not part of what every open connection holds.
        self.pause = Some(Box::pin(async move {
            if let Some(space) = space {
                space.await;
            }
            if let Some(turn) = turn {
                sleep_until(turn).await;
            }
        }));
    }
}

/// As many messages as a room gets at once, up to the next token, which is not for the room.
fn first_of(messages: &mut Messages) -> (Said, Option<Bytes>) {
    let mut said = Said::default();
    for message in messages.by_ref().take(MESSAGES_AT_ONCE) {
        match message {
            Ok(Request::Say(message)) => said.messages.push(message),
            Ok(Request::Token(token)) => return (said, Some(token)),
            Err(error) => said.error = Some(error),
        }
    }
    (said, None)
}
