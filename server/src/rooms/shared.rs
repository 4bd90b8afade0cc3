//! A message for any number of peers, and its frames, made once for all of them.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use coscribe_engine::message::Outbound;

use crate::budget::{Account, Charge};
use crate::limits::OUTBOX_MESSAGE_COST;

/// A message is in memory as it is, and as a frame.
const FORMS: usize = 2;

/// A message, and the forms in which connections write it: frames of their dialects, compressed or not.
#[derive(Debug)]
pub(crate) struct Shared {
    message: Outbound,
    /// Rooms don't know how messages are written.
    made: OnceLock<Box<dyn Any + Send + Sync>>,
    /// What all of this takes, for as long as somebody has it.
    _charge: Option<Charge>,
}

impl Shared {
    /// A message that nobody has written yet, for so many peers. A document pays for it.
    pub(crate) fn new(message: Outbound, peers: usize, document: &Arc<Account>) -> Arc<Shared> {
        let charge = document.charge(FORMS * message.len() + peers * OUTBOX_MESSAGE_COST);
        Arc::new(Shared { message, made: OnceLock::new(), _charge: Some(charge) })
    }

    /// A message that nobody pays for.
    #[cfg(test)]
    pub(crate) fn uncharged(message: Outbound) -> Arc<Shared> {
        Arc::new(Shared { message, made: OnceLock::new(), _charge: None })
    }

    /// The message.
    pub(crate) fn message(&self) -> &Outbound {
        &self.message
    }

    /// The forms of the message, which the first caller makes. Panics if they have another type.
    pub(crate) fn made<T: Any + Send + Sync>(&self, make: impl FnOnce(&Outbound) -> T) -> &T {
        let made = self.made.get_or_init(|| Box::new(make(&self.message)));
        made.downcast_ref().expect("all who write make the same of it")
    }
}
