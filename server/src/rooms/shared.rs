//! A message for any number of peers, and its frames, made once for all of them.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use coscribe_engine::message::Outbound;

/// A message, and the forms in which connections write it: frames of their dialects, compressed or not.
#[derive(Debug)]
pub(crate) struct Shared {
    message: Outbound,
    /// Rooms don't know how messages are written.
    made: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Shared {
    /// A message that nobody has written yet.
    pub(crate) fn new(message: Outbound) -> Arc<Shared> {
        Arc::new(Shared { message, made: OnceLock::new() })
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
