//! Counts in words.

use std::fmt::Display;

/// "1 record", "2 records".
pub(crate) fn counted<N: Display + From<u8> + PartialEq>(count: N, what: &str) -> String {
    format!("{count} {what}{}", if count == N::from(1) { "" } else { "s" })
}
