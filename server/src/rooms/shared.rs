//! A message for any number of peers, and what is made of it to be written: once, for all of them.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use coscribe_engine::message::Outbound;

/// A message, and what those who write it have made of it: frames of their dialects, compressed forms.
#[derive(Debug)]
pub(crate) struct Shared {
    message: Outbound,
    /// Rooms don't know how messages are written.
    made: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Shared {
    /// A message of which nothing has been made.
    pub(crate) fn new(message: Outbound) -> Arc<Shared> {
        Arc::new(Shared { message, made: OnceLock::new() })
    }

    /// The message.
    pub(crate) fn message(&self) -> &Outbound {
        &self.message
    }

    /// What is made of it, by the first who asks. Panics if others have made something of another type.
    pub(crate) fn made<T: Any + Send + Sync>(&self, make: impl FnOnce(&Outbound) -> T) -> &T {
        let made = self.made.get_or_init(|| Box::new(make(&self.message)));
        made.downcast_ref().expect("all who write make the same of it")
    }
}
