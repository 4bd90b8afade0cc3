//! Every WebSocket that is open, so that shutdown can close them one after another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coscribe_engine::room::PeerId;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::ws::outbox::Outbox;

/// The open connections.
#[derive(Default)]
pub(crate) struct Connections {
    open: Mutex<HashMap<PeerId, Arc<Outbox>>>,
    last_left: Notify,
}

/// Keeps a connection in the register; dropping it takes it out.
pub(crate) struct Registration {
    connections: Arc<Connections>,
    peer: PeerId,
}

impl Connections {
    /// Adds a connection.
    pub(crate) fn register(self: &Arc<Self>, peer: PeerId, outbox: Arc<Outbox>) -> Registration {
        self.open().insert(peer, outbox);
        Registration { connections: Arc::clone(self), peer }
    }

    /// Closes all connections with 1001, evenly over `spread`, so that clients don't come back all at once.
    pub(crate) async fn close_all(&self, spread: Duration) {
        let outboxes: Vec<Arc<Outbox>> = self.open().values().cloned().collect();
        let start = Instant::now();
        let step = spread.div_f64(outboxes.len().max(1) as f64);
        for (outbox, n) in outboxes.iter().zip(1..) {
            outbox.close(1001, "the server is shutting down".into());
            let next = start + step * n;
            // Sleeping less than the timer's grain would round up and stretch the whole.
            if next > Instant::now() + Duration::from_millis(1) {
                tokio::time::sleep_until(next).await;
            }
        }
    }

    /// Waits until no connection is open.
    pub(crate) async fn all_closed(&self) {
        loop {
            let left = self.last_left.notified();
            if self.open().is_empty() {
                return;
            }
            left.await;
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<PeerId, Arc<Outbox>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        open.remove(&self.peer);
        if open.is_empty() {
            self.connections.last_left.notify_one();
        }
    }
}
