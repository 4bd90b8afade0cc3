//! What rooms append, with a journal that only notes it.

use bytes::Bytes;
use coscribe_persistence::{StoreError, StoredDocument};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};

use super::*;
use crate::journal::{Append, CheckpointError, Health, Journal, State};
use crate::observe::Span;

/// What `client` sends when it begins to type.
fn typed(client: u8) -> Inbound {
    Inbound::Update(Bytes::copy_from_slice(&[1, 1, client, 0, 4, 1, 1, b't', 1, b'x', 0]))
}

/// Passes all that is appended on.
struct Noted {
    appends: mpsc::UnboundedSender<Append>,
    health: watch::Sender<Health>,
}

impl Journal for Noted {
    fn load(&self, _: &DocumentName) -> Result<Option<StoredDocument>, StoreError> {
        Ok(None)
    }

    fn contains(&self, _: &DocumentName) -> bool {
        false
    }

    fn takes_new(&self) -> bool {
        true
    }

    fn append(&self, append: Append) {
        append.fate.set_durable(append.sequence);
        self.appends.send(append).expect("the test is there");
    }

    fn checkpoint(&self, _: State) -> BoxFuture<'_, Result<(), CheckpointError>> {
        async { Ok(()) }.boxed()
    }

    fn uncheckpointed(&self) -> Vec<DocumentName> {
        Vec::new()
    }

    fn takes_checkpoints(&self) -> bool {
        true
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    fn failure(&self) -> Option<String> {
        None
    }
}

fn rooms() -> (Arc<Rooms>, mpsc::UnboundedReceiver<Append>) {
    let (appends, noted) = mpsc::unbounded_channel();
    let journal = Arc::new(Noted { appends, health: watch::Sender::default() });
    let budget = Budget::new(usize::MAX);
    let metrics = Arc::new(Metrics::new(&budget));
    (Rooms::new(Arc::default(), journal, budget, metrics), noted)
}

fn join(rooms: &Arc<Rooms>, subject: &str) -> Result<Membership, JoinError> {
    let name = DocumentName::new("doc").expect("a valid name");
    let outbox = rooms.outbox(&Ready::new(Account::new(&rooms.budget, Debtor::Connection, None, 0)), 0);
    rooms.join(&name, outbox, subject.into(), Terms::default(), &[], &Span::default())
}

#[tokio::test]
async fn records_have_the_subject_of_their_source_also_if_it_leaves_at_once() {
    let (rooms, mut noted) = rooms();
    let [ann, bob] = ["ann", "bob"].map(|subject| join(&rooms, subject).expect("there is room"));
    for (member, client) in [(&ann, 1), (&bob, 2), (&ann, 3)] {
        let said = Said { messages: SmallVec::from_buf([typed(client)]), error: None };
        assert!(member.try_send(said, 10, None).is_ok());
    }
    drop((ann, bob));
    let mut subjects = Vec::new();
    while subjects.len() < 3 {
        subjects.push(noted.recv().await.expect("rooms are there").subject.to_string());
    }
    assert_eq!(subjects, ["ann", "bob", "ann"]);
}

#[tokio::test]
async fn a_subject_for_which_the_log_has_no_place_does_not_get_in() {
    let (rooms, _noted) = rooms();
    let too_long = join(&rooms, &"s".repeat(MAX_SUBJECT_BYTES + 1));
    assert!(matches!(too_long, Err(JoinError::Subject)));
    assert!(join(&rooms, &"s".repeat(MAX_SUBJECT_BYTES)).is_ok());
}
