//! A peer without a connection, for one question or one update of the server itself: how HTTP reaches documents.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use coscribe_engine::message::{Inbound, Outbound, Parting};
use coscribe_engine::room::{Access, Confirmation, Terms};
use coscribe_engine::rope::Rope;
use coscribe_persistence::DocumentName;
use tokio::sync::watch;

use super::{JoinError, Membership, Outbox, Queued, Ready, Rooms, Said};
use crate::budget::{Account, Debtor};
use crate::journal::Health;
use crate::observe::Span;

/// The state vector of somebody who has nothing.
const NOTHING: &[u8] = &[0];

/// Why a document cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GuestError {
    /// There is no place in its room.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The room has sent the guest away.
    #[error("{}", .0.words)]
    Parted(Parting),
    /// The room has refused the same before, and has said why.
    #[error("the update was refused before, and is again")]
    RefusedAgain,
    /// The update depends on others.
    #[error("the update depends on others that are missing; it takes effect when they have come")]
    Incomplete,
    /// The update is taken in and goes to editors, but it is not on disk, and nobody knows when it will be.
    #[error("it cannot be saved now; the server's log says why")]
    Unsaved,
}

impl Rooms {
    /// All of a document as one update; the empty one where there is no document. O(its bytes), unless somebody else has read the
    /// same.
    ///
    /// # Errors
    /// If it cannot be read, or there is no place in its room.
    pub(crate) async fn read(self: &Arc<Self>, name: &DocumentName) -> Result<Rope, GuestError> {
        let mut guest = Guest::join(self, name, Terms { access: Access::Read, ..Terms::default() })?;
        guest.say([Inbound::Step1(Bytes::from_static(NOTHING))], NOTHING.len()).await;
        loop {
            if let Outbound::Step2(document) = guest.hear().await? {
                return Ok(document);
            }
        }
    }

    /// Applies an update to a document, and returns when that is durable. O(the bytes of the update · log).
    ///
    /// # Errors
    /// If the update is refused, or is not durable.
    pub(crate) async fn apply(
        self: &Arc<Self>,
        name: &DocumentName,
        update: Bytes,
    ) -> Result<(), GuestError> {
        let mut guest =
            Guest::join(self, name, Terms { confirmation: Confirmation::Counted, ..Terms::default() })?;
        let bytes = update.len();
        guest.say([Inbound::Update(update)], bytes).await;
        loop {
            match guest.hear_saved().await? {
                Outbound::Saved(true) => return Ok(()),
                Outbound::Saved(false) => return Err(GuestError::RefusedAgain),
                // The room asks for what is missing.
                Outbound::Step1(_) => return Err(GuestError::Incomplete),
                _ => {}
            }
        }
    }

    /// Makes a document exist, and returns when that is durable. Nothing happens to one that does.
    ///
    /// # Errors
    /// If it is not durable, or there is no place in its room.
    pub(crate) async fn create(self: &Arc<Self>, name: &DocumentName) -> Result<(), GuestError> {
        let mut guest = Guest::join(self, name, Terms::default())?;
        guest.say([Inbound::Create, Inbound::Confirm(Bytes::new())], 0).await;
        while !matches!(guest.hear_saved().await?, Outbound::Confirmed(_)) {}
        Ok(())
    }
}

/// A membership without a connection.
struct Guest {
    membership: Membership,
    outbox: Arc<Outbox>,
    ready: Arc<Ready>,
    /// What was taken from the outbox and is still to be heard.
    messages: VecDeque<Queued>,
    /// Why the room has sent it away.
    parting: Option<Parting>,
    health: watch::Receiver<Health>,
}

impl Guest {
    fn join(rooms: &Arc<Rooms>, name: &DocumentName, terms: Terms) -> Result<Guest, JoinError> {
        let ready = Ready::new(Account::new(&rooms.budget, Debtor::Request, None, 0));
        let outbox = rooms.outbox(&ready, 0);
        let membership =
            rooms.join(name, Arc::clone(&outbox), Arc::default(), terms, &[], &Span::default())?;
        let (messages, health) = (VecDeque::new(), rooms.journal.health());
        Ok(Guest { membership, outbox, ready, messages, parting: None, health })
    }

    /// Says something of so many bytes as soon as the room has space for it.
    async fn say(&self, messages: impl IntoIterator<Item = Inbound>, bytes: usize) {
        let said = Said { messages: messages.into_iter().collect(), error: None };
        self.membership.send(said, bytes, None).await;
    }

    /// The next message of the room.
    async fn hear(&mut self) -> Result<Outbound, GuestError> {
        poll_fn(|cx| self.poll_hear(cx)).await
    }

    /// The next message of the room, for which the journal may have to store something.
    async fn hear_saved(&mut self) -> Result<Outbound, GuestError> {
        let mut health = self.health.clone();
        let stores_nothing = async move {
            // Without a journal the server is stopping.
            let _ = health.wait_for(|health| health.failure.is_some()).await;
        };
        tokio::select! {
            biased;
            message = self.hear() => message,
            () = stores_nothing => Err(GuestError::Unsaved),
        }
    }

    fn poll_hear(&mut self, cx: &mut Context<'_>) -> Poll<Result<Outbound, GuestError>> {
        loop {
            if let Some(queued) = self.messages.pop_front() {
                return Poll::Ready(Ok(queued.message.message().clone()));
            }
            if let Some(parting) = self.parting.take() {
                return Poll::Ready(Err(GuestError::Parted(parting)));
            }
            self.ready.wake(cx);
            ready!(self.ready.next().map_or(Poll::Pending, Poll::Ready));
            self.parting = self.outbox.heard();
            let batch = self.outbox.take();
            if batch.probe {
                self.membership.alive();
            }
            if self.outbox.written(batch.cost()) {
                self.membership.drained();
            }
            self.messages = batch.messages;
        }
    }
}
