//! Where a connection stops for a moment because it has worked for long enough.

use std::pin::pin;
use std::task::Context;

use tokio::task::yield_now;

/// Has the task woken when the others have had their turn and the runtime has looked at the sockets. A task that wakes itself
/// comes before that look, as do some sixty of its kind.
pub(crate) fn wake_after_others(cx: &mut Context<'_>) {
    let _ = pin!(yield_now()).poll(cx);
}
