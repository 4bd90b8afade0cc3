//! Parts that are empty in most documents: these have no memory for them.

use std::ops::{Deref, DerefMut};

/// Something that may be empty.
pub(crate) trait Empty: Default + 'static {
    /// The empty state, which all share.
    const EMPTY: &'static Self;
}

/// Something that has no memory of its own before it is first changed.
#[derive(Debug)]
pub(crate) struct Seldom<T>(Option<Box<T>>);

impl<T> Seldom<T> {
    /// It, if it was ever changed.
    pub(crate) fn changed(&mut self) -> Option<&mut T> {
        self.0.as_deref_mut()
    }
}

impl<T> Default for Seldom<T> {
    fn default() -> Seldom<T> {
        Seldom(None)
    }
}

impl<T: Empty> Deref for Seldom<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or(T::EMPTY)
    }
}

impl<T: Empty> DerefMut for Seldom<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}
