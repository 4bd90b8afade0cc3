//! What the clients of an open connection may do, which changes while they are here: a grant ends or is renewed, access is
//! taken back, or whoever decides says something else.

use std::sync::Arc;
use std::time::SystemTime;

use coscribe_engine::dialect::hocuspocus::{denied_frame, document_of, token_wanted_frame};
use coscribe_engine::message::{Outbound, Parting, Reason};
use coscribe_persistence::DocumentName;
use coscribe_websocket::End;
use tokio::time::Instant;
use tracing::{debug, info};

use super::Dialect;
use super::addresses::Document;
use super::frames::Framing;
use super::open::OpenConnection;
use super::orders::Review;
use super::parting::end_by;
use super::questions::Question;
use crate::access::{Credentials, Denied, Grant};
use crate::config::Config;
use crate::limits::{REVIEW_RETRY, SHORTEST_GRANT, TOKEN_BYTES};

/// What a client may do with a document that it has open, and what it has shown for it.
pub(super) struct Permit {
    pub(super) grant: Grant,
    pub(super) credentials: Arc<Credentials>,
    /// When the client is to be asked for a new token.
    renews_at: Option<Instant>,
    ends_at: Option<Instant>,
    /// When it is looked at again, because a question had no answer.
    reviewed_at: Option<Instant>,
    /// Tokens of the client that are being asked about.
    pub(super) renewing: u32,
    /// The question whose answer the grant is.
    decided_by: u64,
}

impl Permit {
    /// A grant that was just given, as the answer to a question.
    pub(super) fn new(grant: Grant, question: Question, config: &Config) -> Permit {
        let Question { number: decided_by, credentials } = question;
        let (now, today) = (Instant::now(), SystemTime::now());
        let left = grant.expires.map(|end| end.duration_since(today).unwrap_or_default());
        let renew_before = config.access.renew_before.get();
        let ends_at = left.and_then(|left| now.checked_add(left.max(SHORTEST_GRANT)));
        let renews_at = left.and_then(|left| now.checked_add(left - renew_before.min(left / 2)));
        Permit { grant, credentials, renews_at, ends_at, reviewed_at: None, renewing: 0, decided_by }
    }

    fn due(&self) -> Option<Instant> {
        [self.renews_at, self.ends_at, self.reviewed_at].into_iter().flatten().min()
    }
}

/// Why it is decided once more what a client may do.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(super) enum Why {
    /// It has sent a token.
    Token,
    /// Its grant has ended.
    Ended,
    /// The application wants it.
    Review,
}

impl OpenConnection {
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
            let is_reviewed = member.permit.reviewed_at.take_if(|at| *at <= now).is_some();
            let address = match member.delivery.framing() {
                Framing::Hocuspocus { address, .. } => Some(address.clone()),
                Framing::YWebsocket => None,
            };
            if let Some(address) = address.filter(|_| wants_token && !has_ended) {
                self.reply(token_wanted_frame(&address));
            }
            let why = if has_ended { Why::Ended } else { Why::Review };
            if (has_ended || is_reviewed)
                && let Some(end) = self.decide_again(number, None, why)
            {
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
        if token.len() > TOKEN_BYTES {
            let parting = Parting::new(Reason::Violation, "the token is too long");
            return self.withdraw(number, parting).map_or(Ok(()), Err);
        }
        self.decide_again(number, Some(&String::from_utf8_lossy(token)), Why::Token).map_or(Ok(()), Err)
    }

    /// Looks again at what the server wants looked at.
    pub(super) fn review(&mut self) -> Option<End> {
        for review in self.connection.orders.take_reviews() {
            if matches!(*review, Review::Grants { .. }) {
                self.distrust_answers();
            }
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
        // One whose token is being asked about is reviewed with that.
        let Some(member) = self.members.get(number).filter(|member| member.permit.renewing == 0) else {
            return false;
        };
        subject.as_ref().is_none_or(|subject| **subject == *member.permit.grant.subject)
            && document.as_ref().is_none_or(|document| self.document_of(number).as_ref() == Some(document))
    }

    fn is_revoked(&self, number: usize) -> bool {
        let grant = self.members.get(number).map(|member| &member.permit.grant);
        grant.is_some_and(|grant| self.connection.authorizer.revocations.cover(grant))
    }

    pub(super) fn document_of(&self, number: usize) -> Option<DocumentName> {
        match (&self.connection.dialect, self.members.get(number)?.delivery.framing()) {
            (Dialect::YWebsocket { name, .. }, _) => Some(name.clone()),
            (_, Framing::Hocuspocus { address, .. }) => DocumentName::from_bytes(document_of(address)).ok(),
            (_, Framing::YWebsocket) => None,
        }
    }

    /// It is decided once more, by a question with this number, what a client may do with a document that it has open.
    pub(super) fn take_new_grant(
        &mut self,
        number: usize,
        question: Question,
        why: Why,
        decided: Result<Grant, Denied>,
    ) -> Option<End> {
        let permit = &mut self.members.get_mut(number)?.permit;
        if why == Why::Token {
            permit.renewing = permit.renewing.saturating_sub(1);
        }
        // A later question was answered before.
        if question.number < permit.decided_by {
            return None;
        }
        let subject = &permit.grant.subject;
        match decided {
            // Who was nobody in particular may say who it is.
            Ok(grant) if grant.subject != *subject && !subject.is_empty() => {
                self.withdraw(number, Parting::new(Reason::Forbidden, "the token is of somebody else"))
            }
            Ok(grant) => {
                self.go_on(number, grant, question, why);
                None
            }
            // It keeps what it has until that ends.
            Err(Denied::Unavailable) if why != Why::Ended => {
                // Also a token may have stood for a review.
                permit.reviewed_at = Some(Instant::now() + REVIEW_RETRY);
                self.note_permits();
                None
            }
            Err(denied) => {
                let reason = if why == Why::Review { Reason::Forbidden } else { denied.reason() };
                self.withdraw(number, Parting::new(reason, denied.to_string()))
            }
        }
    }

    /// A client may stay, perhaps with another access.
    fn go_on(&mut self, number: usize, grant: Grant, question: Question, why: Why) {
        let access = grant.access;
        let Some(member) = self.members.get_mut(number) else { return };
        let (before, renewing) = (member.permit.grant.access, member.permit.renewing);
        if grant.subject != member.permit.grant.subject {
            member.membership.set_subject(Arc::clone(&grant.subject));
        }
        let permit = Permit::new(grant, question, &self.connection.config);
        member.permit = Permit { renewing, ..permit };
        let framing = member.delivery.framing().clone();
        let metrics = &self.connection.metrics;
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
}
