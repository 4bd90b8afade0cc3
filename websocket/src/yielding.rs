//! Where a connection stops for a moment because it has worked for long enough.

use std::pin::pin;
use std::sync::LazyLock;
use std::task::Context;

use coscribe_turns::{Party, Turns};
use tokio::task::{JoinHandle, yield_now};

/// Connections that have more to read than fits into a turn take turns.
static READING: LazyLock<Turns> = LazyLock::new(Turns::on_half_of_the_processors);

/// Has the task woken when the others have had their turn and the runtime has looked at the sockets. A task that wakes itself
/// comes before that look, as do some sixty of its kind.
pub(crate) fn wake_after_others(cx: &mut Context<'_>) {
    let _ = pin!(yield_now()).poll(cx);
}

/// Ready when it is a connection's turn to read on, and the others have had theirs. Nobody has the turn meanwhile who does not use
/// it: a connection may be kept from reading for another reason by then.
pub(crate) fn next_read(party: Party) -> JoinHandle<()> {
    tokio::spawn(async move {
        let _turn = READING.next(party).await;
        yield_now().await;
    })
}
