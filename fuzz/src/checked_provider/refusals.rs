//! What a provider is told as a reader.

/// What a provider was told as a reader on one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Refusals {
    /// How many changes were refused, where the dialect says so of each.
    pub changes: usize,
    /// Whether the last word was that it may not write, where the dialect has words for that.
    pub is_told: bool,
}
