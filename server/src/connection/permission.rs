//! What the clients of an open connection may do, which changes while they are here: a grant ends or is renewed, access is
//! taken back, or whoever decides says something else.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use coscribe_engine::dialect::hocuspocus::{denied_frame, document_of, token_wanted_frame};
use coscribe_engine::message::{Outbound, Parting, Reason};
use coscribe_engine::room::{Access, PeerId};
use coscribe_persistence::DocumentName;
use coscribe_websocket::End;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;
use tracing::{debug, info};

use super::Dialect;
use super::addresses::Document;
use super::frames::Framing;
use super::open::OpenConnection;
use super::orders::Review;
use super::parting::end_by;
use crate::access::{Credentials, Decision, Denied, Grant};
use crate::config::Config;
use crate::limits::{INBOX_MESSAGE_COST, UNDECIDED_BYTES};
use crate::rooms::Said;

/// What a client may do with a document that it has open, and what it has shown for it.
pub(super) struct Permit {
    pub(super) grant: Grant,
    credentials: Arc<Credentials>,
    /// When the client is to be asked for a new token.
    renews_at: Option<Instant>,
    ends_at: Option<Instant>,
}

impl Permit {
    /// A grant that was just given.
    pub(super) fn new(grant: Grant, credentials: Arc<Credentials>, config: &Config) -> Permit {
        let (now, today) = (Instant::now(), SystemTime::now());
        let left = grant.expires.map(|end| end.duration_since(today).unwrap_or_default());
        let renew_before = config.access.renew_before.get();
        let ends_at = left.and_then(|left| now.checked_add(left.max(SHORTEST)));
        let renews_at = left.and_then(|left| now.checked_add(left - renew_before.min(left / 2)));
        Permit { grant, credentials, renews_at, ends_at }
    }

    fn due(&self) -> Option<Instant> {
        [self.renews_at, self.ends_at].into_iter().flatten().min()
    }
}

/// How long a grant holds at least, so that one whose end has passed is not given again and again.
const SHORTEST: Duration = Duration::from_secs(1);

/// What the application is being asked for a connection.
#[derive(Default)]
pub(super) struct Undecided {
    questions: FuturesUnordered<BoxFuture<'static, (Asked, Result<Grant, Denied>)>>,
    /// Documents that are to be opened: what has come for each meanwhile.
    opening: Vec<Opening>,
    /// The bytes of all that, and what the messages cost beside them.
    bytes: usize,
    last: u64,
    /// Something was asked that the task has not waited for yet.
    is_new: bool,
}

/// A document that is to be opened.
struct Opening {
    number: u64,
    said: VecDeque<(Said, usize)>,
}

/// What a decision is for.
enum Asked {
    /// To open a document.
    Open { number: u64, address: Bytes, credentials: Arc<Credentials>, tells_version: bool },
    /// To go on with one.
    GoOn { peer: PeerId, member: usize, credentials: Arc<Credentials>, why: Why },
}

/// Why it is decided once more what a client may do.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
enum Why {
    /// It has sent a token.
    Token,
    /// Its grant has ended.
    Ended,
    /// The application wants it.
    Review,
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

impl OpenConnection<'_> {
    /// The grants of the members have changed.
    pub(super) fn note_permits(&mut self) {
        self.permits_due = self.members.iter().filter_map(|member| member.permit.due()).min();
    }

    /// Asks for new tokens whose time has come, and looks again at the grants that have ended.
    pub(super) fn check_permits(&mut self, now: Instant) -> Option<End> {
        if self.permits_due.is_none_or(|due| due > now) {
            return None;
        }
        for number in self.members.numbers() {
            let Some(member) = self.members.get_mut(number) else { continue };
            let wants_token = member.permit.renews_at.take_if(|at| *at <= now).is_some();
            let has_ended = member.permit.ends_at.take_if(|at| *at <= now).is_some();
            let address = match member.delivery.framing() {
                Framing::Hocuspocus { address, .. } => Some(address.clone()),
                Framing::YWebsocket => None,
            };
            if let Some(address) = address.filter(|_| wants_token && !has_ended) {
                self.reply(token_wanted_frame(&address));
            }
            if has_ended && let Some(end) = self.decide_again(number, None, Why::Ended) {
                return Some(end);
            }
        }
        self.note_permits();
        None
    }

    /// A client has sent a new token for a document that it has open.
    ///
    /// # Errors
    /// The end of the connection, if the token does not allow the only document that it may have.
    pub(super) fn renew(&mut self, number: usize, token: &[u8]) -> Result<(), End> {
        self.decide_again(number, Some(&String::from_utf8_lossy(token)), Why::Token).map_or(Ok(()), Err)
    }

    /// Looks again at what the server wants looked at.
    pub(super) fn review(&mut self) -> Option<End> {
        for review in self.connection.orders.take_reviews() {
            for number in self.members.numbers() {
                let end = match &*review {
                    Review::Grants { document, subject } if self.is_meant(number, document, subject) => {
                        self.decide_again(number, None, Why::Review)
                    }
                    Review::Revocations if self.is_revoked(number) => {
                        self.withdraw(number, Parting::new(Reason::Forbidden, "the token was revoked"))
                    }
                    _ => None,
                };
                if end.is_some() {
                    return end;
                }
            }
        }
        None
    }

    fn is_meant(&self, number: usize, document: &Option<DocumentName>, subject: &Option<String>) -> bool {
        let Some(member) = self.members.get(number) else { return false };
        subject.as_ref().is_none_or(|subject| **subject == *member.permit.grant.subject)
            && document.as_ref().is_none_or(|document| self.document_of(number).as_ref() == Some(document))
    }

    fn is_revoked(&self, number: usize) -> bool {
        let grant = self.members.get(number).map(|member| &member.permit.grant);
        grant.is_some_and(|grant| self.connection.authorizer.revocations.cover(grant))
    }

    fn document_of(&self, number: usize) -> Option<DocumentName> {
        match (&self.connection.dialect, self.members.get(number)?.delivery.framing()) {
            (Dialect::YWebsocket { name, .. }, _) => Some(name.clone()),
            (_, Framing::Hocuspocus { address, .. }) => DocumentName::from_bytes(document_of(address)).ok(),
            (_, Framing::YWebsocket) => None,
        }
    }

    /// Decides once more what a client may do with a document that it has open, with another token if there is one.
    fn decide_again(&mut self, member: usize, token: Option<&str>, why: Why) -> Option<End> {
        let document = self.document_of(member)?;
        let held = self.members.get(member)?;
        let (peer, shown) = (held.membership.peer, &held.permit.credentials);
        let credentials = token.map_or_else(|| Arc::clone(shown), |token| Arc::new(shown.with_token(token)));
        let asked = Asked::GoOn { peer, member, credentials: Arc::clone(&credentials), why };
        match self.decide(credentials, &document) {
            Decision::Now(decided) => self.take_decision(asked, decided),
            Decision::Later(decided) => {
                self.wait_for(asked, decided);
                None
            }
        }
    }

    fn decide(&self, credentials: Arc<Credentials>, document: &DocumentName) -> Decision {
        let visitor = self.connection.visitor.with(credentials);
        self.connection.authorizer.decide(&visitor, document)
    }

    fn wait_for(&mut self, asked: Asked, decided: BoxFuture<'static, Result<Grant, Denied>>) {
        let undecided = self.undecided.get_or_insert_default();
        undecided.is_new = true;
        undecided.questions.push(Box::pin(async move { (asked, decided.await) }));
    }

    /// Decides whether a client may have a document. `None`: it is asked, and what comes for the document waits meanwhile.
    pub(super) fn decide_to_open(
        &mut self,
        address: &Bytes,
        document: &DocumentName,
        credentials: Arc<Credentials>,
        tells_version: bool,
    ) -> Option<Result<Grant, Denied>> {
        match self.decide(Arc::clone(&credentials), document) {
            Decision::Now(decided) => Some(decided),
            Decision::Later(decided) => {
                let undecided = self.undecided.get_or_insert_default();
                undecided.last += 1;
                let number = undecided.last;
                undecided.opening.push(Opening { number, said: VecDeque::new() });
                self.addresses.set(address.clone(), Document::Undecided { number });
                self.wait_for(
                    Asked::Open { number, address: address.clone(), credentials, tells_version },
                    decided,
                );
                None
            }
        }
    }

    /// Something has come for a document that is not decided about. False: it is too much.
    pub(super) fn keep_until_decided(&mut self, number: u64, said: Said, bytes: usize) -> bool {
        let Some(undecided) = &mut self.undecided else { return true };
        let Some(opening) = undecided.opening.iter_mut().find(|one| one.number == number) else {
            return true;
        };
        opening.said.push_back((said, bytes));
        undecided.bytes += bytes + INBOX_MESSAGE_COST;
        undecided.bytes <= UNDECIDED_BYTES
    }

    /// Takes the decisions that the application has made.
    pub(super) fn poll_decisions(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        while let Some(undecided) = &mut self.undecided {
            match undecided.questions.poll_next_unpin(cx) {
                Poll::Ready(Some((asked, decided))) => {
                    // What follows from it may have something to wait for.
                    cx.waker().wake_by_ref();
                    if let Some(end) = self.take_decision(asked, decided) {
                        return Poll::Ready(end);
                    }
                }
                Poll::Ready(None) => self.undecided = None,
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
        self.undecided.as_ref().is_some_and(|undecided| undecided.is_new)
    }

    fn take_decision(&mut self, asked: Asked, decided: Result<Grant, Denied>) -> Option<End> {
        match asked {
            Asked::Open { number, address, credentials, tells_version } => {
                let said = self.undecided.as_mut()?.close(number);
                // The client may have closed it meanwhile.
                if matches!(self.addresses.get(&address), Some(Document::Undecided { number: now }) if now == number)
                {
                    match self.open_decided(&address, decided, credentials, tells_version) {
                        Ok(Some(member)) => self.hand_over(member, said),
                        Ok(None) => {}
                        Err(end) => return Some(end),
                    }
                }
                None
            }
            Asked::GoOn { peer, member, credentials, why } => {
                let held = self.members.get(member).filter(|held| held.membership.peer == peer)?;
                let (access, subject) = (held.permit.grant.access, Arc::clone(&held.permit.grant.subject));
                match decided {
                    // Who was nobody in particular may say who it is.
                    Ok(grant) if grant.subject != subject && !subject.is_empty() => self
                        .withdraw(member, Parting::new(Reason::Forbidden, "the token is of somebody else")),
                    Ok(grant) => {
                        self.go_on(member, access, grant, credentials, why);
                        None
                    }
                    // It keeps what it has until that ends.
                    Err(Denied::Unavailable) if why != Why::Ended => None,
                    Err(denied) => {
                        let reason = if why == Why::Review { Reason::Forbidden } else { denied.reason() };
                        self.withdraw(member, Parting::new(reason, denied.to_string()))
                    }
                }
            }
        }
    }

    /// A client may stay, perhaps with another access.
    fn go_on(
        &mut self,
        number: usize,
        before: Access,
        grant: Grant,
        credentials: Arc<Credentials>,
        why: Why,
    ) {
        let access = grant.access;
        let Some(member) = self.members.get_mut(number) else { return };
        member.permit = Permit::new(grant, credentials, &self.connection.config);
        let framing = member.delivery.framing().clone();
        let metrics = &self.connection.metrics;
        member.membership.set_subject(Arc::clone(&member.permit.grant.subject));
        if access != before {
            member.membership.set_access(access);
            metrics.access_changed.inc();
        }
        if why == Why::Token {
            metrics.tokens_refreshed.inc();
        }
        debug!(from = %self.connection.from, ?access, ?why, "a grant was given once more");
        if access == before && why == Why::Token {
            self.tell(&framing, &Outbound::Access(access));
        }
        self.note_permits();
    }

    /// A client may not have a document any more that it has open.
    fn withdraw(&mut self, number: usize, parting: Parting) -> Option<End> {
        let member = self.members.get(number)?;
        info!(from = %self.connection.from, "access ends: {}", parting.words);
        self.connection.metrics.access_changed.inc();
        match member.delivery.framing().clone() {
            Framing::YWebsocket => {
                self.tell(&Framing::YWebsocket, &Outbound::Denied(parting.words.clone()));
                Some(end_by(parting))
            }
            Framing::Hocuspocus { address, .. } => {
                self.addresses.set(address.clone(), Document::Shut);
                self.reply(denied_frame(&address, &parting.words));
                self.leave(number);
                None
            }
        }
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
