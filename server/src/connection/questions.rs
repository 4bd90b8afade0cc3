//! What is being asked for an open connection: who may have a document, and whether a client may go on with one. Where a token
//! or the configuration decides, nothing waits.
//!
//! Questions have numbers in the order in which they are asked. An answer that may be older than a review is asked for again, and one
//! that is older than another for the same document is no answer any more.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use coscribe_engine::room::PeerId;
use coscribe_persistence::DocumentName;
use coscribe_websocket::End;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

use super::addresses::Document;
use super::open::OpenConnection;
use super::permission::Why;
use crate::access::{Credentials, Decision, Denied, Grant};
use crate::limits::{INBOX_MESSAGE_COST, QUESTIONS_ON_CONNECTION, UNDECIDED_BYTES};
use crate::rooms::Said;

/// The questions about a connection's client.
#[derive(Default)]
pub(super) struct Questions {
    /// The number of the last one.
    asked: u64,
    /// Those up to this one were asked before a review.
    reviewed: u64,
    /// Those that have no answer yet. Most connections never have any.
    undecided: Option<Box<Undecided>>,
}

/// Questions that have no answer yet.
#[derive(Default)]
struct Undecided {
    questions: FuturesUnordered<BoxFuture<'static, Answered>>,
    /// Documents that are to be opened: what has come for each meanwhile.
    opening: Vec<Opening>,
    /// The bytes of all that, and what the messages cost beside them.
    bytes: usize,
    /// Something was asked that the task has not waited for yet.
    is_new: bool,
}

/// A question, what it was for, and the answer.
type Answered = (Question, Purpose, Result<Grant, Denied>);

/// A document that is to be opened.
struct Opening {
    number: u64,
    said: VecDeque<(Said, usize)>,
}

/// A question about a client.
pub(super) struct Question {
    pub(super) number: u64,
    /// What the client shows.
    pub(super) credentials: Arc<Credentials>,
}

/// What a decision is for.
enum Purpose {
    /// To open a document, which is [`Document::Undecided`] with the number of the first question about it.
    Open { opening: u64, address: Bytes, document: DocumentName, tells_version: bool },
    /// To go on with one.
    GoOn { peer: PeerId, member: usize, why: Why },
}

impl Questions {
    /// Bytes of messages that wait for answers.
    pub(super) fn bytes(&self) -> usize {
        self.undecided.as_ref().map_or(0, |undecided| undecided.bytes)
    }
}

impl Undecided {
    /// It is decided whether a document is opened: gives what has come for it.
    fn close(&mut self, number: u64) -> VecDeque<(Said, usize)> {
        let place = self.opening.iter().position(|one| one.number == number);
        let said = place.map(|place| self.opening.swap_remove(place).said).unwrap_or_default();
        self.bytes -= said.iter().map(|(_, bytes)| bytes + INBOX_MESSAGE_COST).sum::<usize>();
        said
    }
}

impl OpenConnection {
    /// Decides once more what a client may do with a document that it has open, with another token if there is one.
    pub(super) fn decide_again(&mut self, member: usize, token: Option<&str>, why: Why) -> Option<End> {
        let held = self.members.get_mut(member)?;
        let (peer, shown) = (held.membership.peer, &held.permit.credentials);
        let credentials = token.map_or_else(|| Arc::clone(shown), |token| Arc::new(shown.with_token(token)));
        held.permit.renewing += u32::from(why == Why::Token);
        self.ask_to_go_on(peer, member, credentials, why)
    }

    fn ask_to_go_on(
        &mut self,
        peer: PeerId,
        member: usize,
        credentials: Arc<Credentials>,
        why: Why,
    ) -> Option<End> {
        let document = self.document_of(member)?;
        match self.decide(&credentials, &document) {
            (number, Decision::Now(decided)) => {
                self.take_new_grant(member, Question { number, credentials }, why, decided)
            }
            (number, Decision::Later(decided)) => {
                let purpose = Purpose::GoOn { peer, member, why };
                self.wait_for(Question { number, credentials }, purpose, decided);
                None
            }
        }
    }

    /// Asks a question, which gets the next number.
    fn decide(&mut self, credentials: &Arc<Credentials>, document: &DocumentName) -> (u64, Decision) {
        self.questions.asked += 1;
        let visitor = self.connection.visitor.with(Arc::clone(credentials));
        (self.questions.asked, self.connection.authorizer.decide(&visitor, document))
    }

    fn wait_for(
        &mut self,
        question: Question,
        purpose: Purpose,
        decided: BoxFuture<'static, Result<Grant, Denied>>,
    ) {
        let undecided = self.questions.undecided.get_or_insert_default();
        undecided.is_new = true;
        undecided.questions.push(Box::pin(async move { (question, purpose, decided.await) }));
    }

    /// What was asked until now may be answered by what held before.
    pub(super) fn distrust_answers(&mut self) {
        self.questions.reviewed = self.questions.asked;
    }

    /// Whether so much is being asked that nothing more is read before some of it is answered.
    pub(super) fn waits_for_answers(&self) -> bool {
        self.questions
            .undecided
            .as_ref()
            .is_some_and(|undecided| undecided.questions.len() >= QUESTIONS_ON_CONNECTION)
    }

    /// Decides whether a client may have a document, by a question with this number. `None`: it is asked, and what comes for the
    /// document waits meanwhile.
    pub(super) fn decide_to_open(
        &mut self,
        address: &Bytes,
        document: DocumentName,
        credentials: Arc<Credentials>,
        tells_version: bool,
    ) -> Option<(Question, Result<Grant, Denied>)> {
        match self.decide(&credentials, &document) {
            (number, Decision::Now(decided)) => Some((Question { number, credentials }, decided)),
            (number, Decision::Later(decided)) => {
                let undecided = self.questions.undecided.get_or_insert_default();
                undecided.opening.push(Opening { number, said: VecDeque::new() });
                self.addresses.set(address.clone(), Document::Undecided { number });
                let purpose =
                    Purpose::Open { opening: number, address: address.clone(), document, tells_version };
                self.wait_for(Question { number, credentials }, purpose, decided);
                None
            }
        }
    }

    /// Something has come for a document that is not decided about. False: it is too much.
    pub(super) fn keep_until_decided(&mut self, number: u64, said: Said, bytes: usize) -> bool {
        let Some(undecided) = &mut self.questions.undecided else { return true };
        let opening = undecided.opening.iter_mut().find(|one| one.number == number);
        let cost = bytes + INBOX_MESSAGE_COST;
        match opening {
            Some(_) if undecided.bytes + cost > UNDECIDED_BYTES => return false,
            Some(opening) => opening.said.push_back((said, bytes)),
            None => return true,
        }
        undecided.bytes += cost;
        true
    }

    /// Takes the decisions that the application has made.
    pub(super) fn poll_decisions(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        while let Some(undecided) = &mut self.questions.undecided {
            match undecided.questions.poll_next_unpin(cx) {
                Poll::Ready(Some((question, purpose, decided))) => {
                    // What follows from it may have something to wait for.
                    cx.waker().wake_by_ref();
                    if let Some(end) = self.take_decision(question, purpose, decided) {
                        return Poll::Ready(end);
                    }
                }
                Poll::Ready(None) => self.questions.undecided = None,
                Poll::Pending => {
                    undecided.is_new = false;
                    return Poll::Pending;
                }
            }
        }
        Poll::Pending
    }

    /// Whether there is a question whose answer nobody would hear.
    pub(super) fn has_new_questions(&self) -> bool {
        self.questions.undecided.as_ref().is_some_and(|undecided| undecided.is_new)
    }

    fn take_decision(
        &mut self,
        question: Question,
        purpose: Purpose,
        decided: Result<Grant, Denied>,
    ) -> Option<End> {
        let is_stale = question.number <= self.questions.reviewed;
        match purpose {
            Purpose::Open { opening, address, document, tells_version } => {
                let state = self.addresses.get(&address);
                let is_wanted = matches!(state, Some(Document::Undecided { number }) if number == opening);
                if is_stale && is_wanted {
                    return self.ask_to_open(opening, address, document, question.credentials, tells_version);
                }
                self.take_opening(opening, is_wanted.then_some(address), question, tells_version, decided)
            }
            Purpose::GoOn { peer, member, why } => {
                self.members.get(member).filter(|held| held.membership.peer == peer)?;
                if is_stale {
                    return self.ask_to_go_on(peer, member, question.credentials, why);
                }
                self.take_new_grant(member, question, why, decided)
            }
        }
    }

    /// Asks once more whether a client may have a document.
    fn ask_to_open(
        &mut self,
        opening: u64,
        address: Bytes,
        document: DocumentName,
        credentials: Arc<Credentials>,
        tells_version: bool,
    ) -> Option<End> {
        match self.decide(&credentials, &document) {
            (number, Decision::Now(decided)) => {
                let question = Question { number, credentials };
                self.take_opening(opening, Some(address), question, tells_version, decided)
            }
            (number, Decision::Later(decided)) => {
                let purpose = Purpose::Open { opening, address, document, tells_version };
                self.wait_for(Question { number, credentials }, purpose, decided);
                None
            }
        }
    }

    /// It is decided whether a client may have a document. Without an address it has closed it meanwhile.
    fn take_opening(
        &mut self,
        opening: u64,
        address: Option<Bytes>,
        question: Question,
        tells_version: bool,
        decided: Result<Grant, Denied>,
    ) -> Option<End> {
        let said =
            self.questions.undecided.as_mut().map(|undecided| undecided.close(opening)).unwrap_or_default();
        let Some(address) = address else {
            return decided.err().and_then(|denied| self.count_refusal(&denied).err());
        };
        match self.open_decided(&address, question, tells_version, decided) {
            Ok(Some(member)) => self.hand_over(member, said),
            Ok(None) => {}
            Err(end) => return Some(end),
        }
        None
    }

    /// Gives a room what has come for it before it was decided that it may.
    fn hand_over(&mut self, number: usize, said: VecDeque<(Said, usize)>) {
        let Some(member) = self.members.get_mut(number) else { return };
        let mut waiting = VecDeque::new();
        for (said, bytes) in said {
            // In the order in which it came.
            let full = if waiting.is_empty() {
                member.membership.try_send(said, bytes, None).err()
            } else {
                Some(said)
            };
            waiting.extend(full.map(|said| member.membership.send(said, bytes, None)));
        }
        if !waiting.is_empty() {
            let before = self.pause.take();
            let space = Box::pin(async move {
                if let Some(before) = before {
                    before.await;
                }
                for sent in waiting {
                    sent.await;
                }
            });
            self.pause(Some(space), None);
        }
    }
}
