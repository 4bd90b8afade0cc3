//! Which documents a Hocuspocus provider's socket has open: each address is a membership of its own, and opening, closing or
//! denying one leaves the others alone.

use std::sync::Arc;

use bytes::Bytes;
use coscribe_engine::dialect::MessageError;
use coscribe_engine::dialect::hocuspocus::{
    self, Frame, GREETING, PONG, Request, close_frame, denied_frame, document_of, granted_frame,
};
use coscribe_engine::message::{Inbound, Parting, Reason};
use coscribe_persistence::{DocumentName, NameError};
use coscribe_websocket::End;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::addresses::Document;
use super::delivery::Delivery;
use super::frames::Framing;
use super::members::Member;
use super::open::OpenConnection;
use super::parting::{counted_as, end, end_by, told_as};
use super::permission::Permit;
use super::questions::Question;
use crate::access::{self, Credentials, Grant};
use crate::limits::{ADDRESS_BYTES, REFUSALS_ON_CONNECTION, TOKEN_BYTES};
use crate::rooms::{JoinError, Said, shown};

/// What a client hears that names no document.
const NO_DOCUMENT: &str =
    "no document is named: ws://host:port/<document>, or the `name` of a Hocuspocus provider";

/// Why a document is not opened.
#[derive(Debug, thiserror::Error)]
enum Denied {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("the token is too long")]
    Token,
    #[error("too much was sent before it was decided who may have the document")]
    TooEarly,
    #[error(transparent)]
    Access(#[from] access::Denied),
    #[error("too many documents on one connection")]
    Documents,
    #[error(transparent)]
    Room(#[from] JoinError),
}

impl Denied {
    /// What it is counted as.
    fn label(&self) -> &'static str {
        match self {
            Denied::Name(_) | Denied::Token => "handshake",
            Denied::TooEarly => "undecided",
            Denied::Access(denied) => denied.label(),
            Denied::Documents => "documents_on_connection",
            Denied::Room(error) => error.label(),
        }
    }
}

impl OpenConnection {
    /// A frame has come from a Hocuspocus provider. Gives what a member is to tell its room, if it is for one.
    ///
    /// # Errors
    /// The end of the connection, where the frame cannot be said to be of any document.
    pub(super) fn hear(&mut self, frame: &Bytes) -> Result<Option<(usize, Said)>, End> {
        let (address, request) = match Frame::read(frame) {
            Ok(Frame::Ping) => {
                self.reply(Bytes::from_static(PONG));
                return Ok(None);
            }
            Ok(Frame::Pong) => return Ok(None),
            // What a client of y-websocket sends that names no document in its path looks like this.
            Ok(Frame::Addressed { address, .. }) if address.is_empty() => {
                return Err(end(Reason::Violation, NO_DOCUMENT));
            }
            Ok(Frame::Addressed { address, .. }) if address.len() > ADDRESS_BYTES => {
                return Err(end(Reason::Violation, "the address of a message is too long"));
            }
            Ok(Frame::Addressed { address, request }) => (address, request),
            Err(error) => return Err(malformed(error)),
        };
        let known = self.addresses.get(&address);
        Ok(match (known, request) {
            (Some(Document::Open { number, .. }), request) => self.hear_of(number, &address, request)?,
            (Some(Document::Undecided { number }), Ok(Request::Say(wish, message))) => {
                if !self.keep_until_decided(number, said(wish.into_iter().chain([message])), frame.len()) {
                    self.deny(&address, &Denied::TooEarly);
                }
                None
            }
            // The answer to the first token is on its way.
            (Some(Document::Undecided { .. }), Ok(Request::Auth { .. })) => None,
            (_, Ok(Request::Auth { token, tells_version })) => {
                self.open_document(&address, &token, tells_version)?;
                None
            }
            (_, Ok(Request::Close)) => {
                self.addresses.forget(&address);
                None
            }
            // It was on its way when the document was shut.
            (Some(Document::Shut), _) => None,
            // Version 2 says nothing of a token where it has none, and begins with its question. After it has closed a document
            // it says once more that its client is gone: that opens nothing.
            (None, Ok(Request::Say(_, message))) if !matches!(message, Inbound::Step1(_)) => None,
            (None, Ok(Request::Say(wish, message))) => {
                let said = said(wish.into_iter().chain([message]));
                match self.open_document(&address, &[], false)? {
                    Some(number) => Some((number, said)),
                    None => {
                        if let Some(Document::Undecided { number }) = self.addresses.get(&address) {
                            self.keep_until_decided(number, said, frame.len());
                        }
                        None
                    }
                }
            }
            (_, Err(error)) => return Err(malformed(error)),
        })
    }

    fn hear_of(
        &mut self,
        number: usize,
        address: &Bytes,
        request: Result<Request, MessageError>,
    ) -> Result<Option<(usize, Said)>, End> {
        Ok(match request {
            Ok(Request::Say(wish, message)) => Some((number, said(wish.into_iter().chain([message])))),
            Ok(Request::Auth { token, .. }) => {
                self.renew(number, &token)?;
                None
            }
            Ok(Request::Close) => {
                self.addresses.forget(address);
                self.leave(number);
                None
            }
            Err(error) => Some((number, Said { error: Some(error), ..Said::default() })),
        })
    }

    /// Opens a document, denies it, or has the application asked. Gives its number among the members if it is open.
    ///
    /// # Errors
    /// The end of the connection, if it was refused too often.
    fn open_document(
        &mut self,
        address: &[u8],
        token: &[u8],
        tells_version: bool,
    ) -> Result<Option<usize>, End> {
        let address = Bytes::copy_from_slice(address);
        let (document, credentials) = match self.check_request(&address, token) {
            Ok(checked) => checked,
            Err(denied) => {
                self.deny(&address, &denied);
                return Ok(None);
            }
        };
        match self.decide_to_open(&address, document, credentials, tells_version) {
            None => Ok(None),
            Some((question, decided)) => self.open_decided(&address, question, tells_version, decided),
        }
    }

    /// Opens a document, or denies it. Gives its number among the members if it is open.
    ///
    /// # Errors
    /// The end of the connection, if it was refused too often.
    pub(super) fn open_decided(
        &mut self,
        address: &Bytes,
        question: Question,
        tells_version: bool,
        decided: Result<Grant, access::Denied>,
    ) -> Result<Option<usize>, End> {
        let joined = decided.map_err(Denied::from).and_then(|grant| {
            let access = grant.access;
            let permit = Permit::new(grant, question, &self.connection.config);
            self.join(address, permit, tells_version).map(|number| (number, access))
        });
        match joined {
            Ok((number, access)) => {
                self.reply(granted_frame(address, access));
                self.addresses.set(address.clone(), Document::Open { number, tells_version });
                self.opens_by = None;
                self.note_permits();
                self.connection.metrics.granted(self.connection.visitor.kind.name());
                Ok(Some(number))
            }
            Err(denied) => {
                self.deny(address, &denied);
                if let Denied::Access(denied) = denied {
                    self.count_refusal(&denied)?;
                }
                Ok(None)
            }
        }
    }

    /// A document was refused to the client. Nobody is at fault where that cannot be decided.
    ///
    /// # Errors
    /// The end of the connection, if that was too often.
    pub(super) fn count_refusal(&mut self, denied: &access::Denied) -> Result<(), End> {
        self.refused += u32::from(*denied != access::Denied::Unavailable);
        if self.refused > REFUSALS_ON_CONNECTION {
            return Err(end(Reason::Unauthorized, "too many refused tokens"));
        }
        Ok(())
    }

    fn deny(&mut self, address: &Bytes, denied: &Denied) {
        if self.connection.refusals.is_logged(self.connection.visitor.address, Instant::now()) {
            let (from, shown) = (self.connection.from, String::from_utf8_lossy(address));
            info!(%from, document = &*shown, reason = denied.label(), "refused a document: {denied}");
        }
        self.connection.metrics.reject(denied.label());
        if let Denied::Access(denied) = denied {
            self.connection.metrics.denied(denied.label());
        }
        self.reply(denied_frame(address, &denied.to_string()));
        if !self.addresses.is_full(address) {
            self.addresses.set(address.clone(), Document::Shut);
        }
    }

    /// The document that an address is of, and what the client shows for it.
    fn check_request(
        &self,
        address: &Bytes,
        token: &[u8],
    ) -> Result<(DocumentName, Arc<Credentials>), Denied> {
        let name = DocumentName::from_bytes(document_of(address))?;
        if self.addresses.is_full(address) {
            return Err(Denied::Documents);
        }
        if token.len() > TOKEN_BYTES {
            return Err(Denied::Token);
        }
        let shown = &self.connection.visitor.credentials;
        if token.is_empty() {
            return Ok((name, Arc::clone(shown)));
        }
        Ok((name, Arc::new(shown.with_token(&String::from_utf8_lossy(token)))))
    }

    fn join(&mut self, address: &Bytes, permit: Permit, tells_version: bool) -> Result<usize, Denied> {
        let document = document_of(address);
        let name = DocumentName::from_bytes(document)?;
        let is_name = document.len() == address.len();
        let framing = Framing::Hocuspocus { address: address.clone(), is_name };
        let number = self.members.next_number();
        let outbox = self.connection.rooms.outbox(&self.ready, number);
        let terms = hocuspocus::terms(permit.grant.access, tells_version);
        let subject = Arc::clone(&permit.grant.subject);
        let (rooms, trace) = (&self.connection.rooms, &self.connection.trace);
        let membership = rooms.join(&name, Arc::clone(&outbox), subject, terms, &GREETING, trace)?;
        let (from, subject, peer) = (self.connection.from, permit.grant.known_subject(), membership.peer.0);
        debug!(%from, document = shown(&name), subject, peer, "opened");
        let party = self.connection.registration.account().party();
        let delivery = Delivery::new(framing, self.connection.window, party);
        self.members.add(Member::new(membership, outbox, delivery, permit));
        Ok(number)
    }

    /// The room of a document has sent the client away, and all that it had for it is written: the client hears why, and
    /// the document is shut. Version 2 fails where it is told that a document is closed, so those who don't tell their
    /// version hear that it is denied.
    pub(super) fn shut(&mut self, number: usize, parting: Parting) {
        let Some(member) = self.members.get_mut(number) else { return };
        let Framing::Hocuspocus { address, .. } = member.delivery.framing().clone() else { return };
        let document = self.addresses.set(address.clone(), Document::Shut);
        let (code, _) = told_as(parting.reason);
        if let Some(reason) = counted_as(code) {
            self.connection.metrics.reject(reason);
        }
        let (from, shown) = (self.connection.from, String::from_utf8_lossy(&address));
        warn!(%from, document = &*shown, "shutting: {}", parting.words);
        self.reply(match document {
            Some(Document::Open { tells_version: true, .. }) => close_frame(&address, &parting.words),
            _ => denied_frame(&address, &parting.words),
        });
        self.leave(number);
    }

    pub(super) fn leave(&mut self, number: usize) {
        self.members.remove(number);
        // Another may get its number.
        self.writes.take_if(|writes| *writes == number);
        self.probes.retain(|&(_, member)| member != number);
    }
}

fn said(messages: impl Iterator<Item = Inbound>) -> Said {
    Said { messages: messages.collect(), error: None }
}

fn malformed(error: MessageError) -> End {
    end_by(Parting::new(Reason::Violation, format!("malformed message: {error}")))
}
