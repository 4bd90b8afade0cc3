//! The content of a page.

use crate::outcome::{Failure, Timeline};
use crate::scenario::Scenario;

/// What a page shows.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// What is wrong with it, if anything is.
    pub failure: Option<&'a Failure>,
    /// What went where.
    pub timeline: &'a Timeline,
    /// The command that replays it.
    pub replay: &'a str,
}
