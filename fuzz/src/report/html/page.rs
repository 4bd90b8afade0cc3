//! A run, as a page shows it.

use crate::outcome::{Failure, Timeline};
use crate::scenario::Scenario;

/// The content of a page.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// The failure, if it failed.
    pub failure: Option<&'a Failure>,
    /// The messages and events of the run.
    pub timeline: &'a Timeline,
    /// The command that replays it.
    pub replay: &'a str,
}
