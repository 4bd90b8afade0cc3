//! The values that flags may have: no run that means nothing, and none that never ends.

use std::ops::RangeInclusive;
use std::time::Duration;

use clap::builder::RangedU64ValueParser;

use crate::limits;
use crate::replica::NodeProcess;

/// Replicas that run real Yjs, unless another number is asked for.
const YJS: usize = 2;

/// A time such as 90s, 10m or 2h.
///
/// # Errors
/// If it is none, or no time at all.
pub fn time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if time.is_zero() { Err("it must be longer than that".to_owned()) } else { Ok(time) }
}

/// How many replicas a run has.
pub fn replicas() -> RangedU64ValueParser<usize> {
    range(1..=limits::REPLICAS)
}

/// How many edits a run has.
pub fn edits() -> RangedU64ValueParser<usize> {
    range(0..=limits::EDITS)
}

/// How many of the replicas run real Yjs: as many as are asked for; otherwise two and not all, where Node is found.
pub fn yjs(asked: Option<usize>, replicas: usize) -> usize {
    match asked {
        None if NodeProcess::start().is_err() => 0,
        None => YJS.min(replicas - 1),
        Some(yjs) => yjs.min(replicas),
    }
}

/// How many runs there are.
pub fn runs() -> RangedU64ValueParser {
    range(1..=u64::MAX)
}

fn range<T: TryFrom<u64>>(range: RangeInclusive<u64>) -> RangedU64ValueParser<T> {
    RangedU64ValueParser::new().range(range)
}
