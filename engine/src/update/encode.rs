//! Blocks and deletions to bytes.

use super::{ClientId, Clock, Id};
use crate::lib0::write_var_uint;

pub(super) fn write_id(out: &mut Vec<u8>, id: Id) {
    write_var_uint(out, id.client);
    write_var_uint(out, id.clock.into());
}

/// Appends what precedes the blocks of one client: how many, who, from which clock.
pub(crate) fn write_section_header(out: &mut Vec<u8>, blocks: u64, start: Id) {
    write_var_uint(out, blocks);
    write_id(out, start);
}

/// Appends what precedes the ranges of one client in a delete set.
pub(crate) fn write_deletions_header(out: &mut Vec<u8>, client: ClientId, ranges: u64) {
    write_var_uint(out, client);
    write_var_uint(out, ranges);
}

/// Appends one range of a delete set.
pub(crate) fn write_deletion(out: &mut Vec<u8>, range: &std::ops::Range<Clock>) {
    write_var_uint(out, range.start.into());
    write_var_uint(out, (range.end - range.start).into());
}
