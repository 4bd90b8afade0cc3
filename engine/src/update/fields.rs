//! The fields of an update around the content of its blocks: clocks, lengths, ids and headers, read and written.

use super::{ClientId, Clock, Id, UpdateError};
use crate::lib0::{Reader, write_var_uint};
use crate::limits::MAX_CLOCK;

/// A clock.
pub(crate) fn read_clock(reader: &mut Reader<'_>) -> Result<Clock, UpdateError> {
    let clock = Clock::try_from(reader.var_uint()?).map_err(|_| UpdateError::ClockOutOfRange)?;
    if clock > MAX_CLOCK { Err(UpdateError::ClockOutOfRange) } else { Ok(clock) }
}

/// A number of elements that follow `clock`.
pub(crate) fn read_len(reader: &mut Reader<'_>, clock: Clock) -> Result<Clock, UpdateError> {
    let len = read_clock(reader)?;
    if len > MAX_CLOCK - clock { Err(UpdateError::ClockOutOfRange) } else { Ok(len) }
}

/// The id of an element.
pub(super) fn read_id(reader: &mut Reader<'_>) -> Result<Id, UpdateError> {
    Ok(Id { client: reader.var_uint()?, clock: read_clock(reader)? })
}

/// Appends an id.
pub(super) fn write_id(out: &mut Vec<u8>, id: Id) {
    write_var_uint(out, id.client);
    write_var_uint(out, id.clock.into());
}

/// Appends the header of one client's blocks: their number, the client, and the first clock.
pub(crate) fn write_section_header(out: &mut Vec<u8>, blocks: u64, start: Id) {
    write_var_uint(out, blocks);
    write_id(out, start);
}

/// Appends the header of one client's ranges in a delete set.
pub(crate) fn write_deletions_header(out: &mut Vec<u8>, client: ClientId, ranges: u64) {
    write_var_uint(out, client);
    write_var_uint(out, ranges);
}

/// Appends one range of a delete set.
pub(crate) fn write_deletion(out: &mut Vec<u8>, range: &std::ops::Range<Clock>) {
    write_var_uint(out, range.start.into());
    write_var_uint(out, (range.end - range.start).into());
}
