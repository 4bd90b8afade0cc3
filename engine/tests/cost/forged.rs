//! Messages, byte by byte.

use bytes::Bytes;
use coscribe_engine::dialect::sync::SyncMessage;
use coscribe_engine::dialect::y_websocket::{awareness_frame, sync_frame};
use coscribe_engine::lib0::{write_var_buf, write_var_uint};

pub(crate) fn var_uint(number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    write_var_uint(&mut out, number);
    out
}

pub(crate) fn var_buf(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_var_buf(&mut out, bytes);
    out
}

pub(crate) fn update(update: &[u8]) -> Bytes {
    sync_frame(&SyncMessage::Update(update))
}

/// One block of client 1 at the start of the root `t`: its content is a number and the encoded body.
pub(crate) fn block(content: u8, body: &[u8]) -> Vec<u8> {
    [&[1, 1, 1, 0, content, 1, 1, b't'], body, &[0]].concat()
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    block(4, &var_buf(text.as_bytes()))
}

/// Deletes these ranges of client 1: clock and length.
pub(crate) fn deletions(ranges: impl IntoIterator<Item = (u64, u64)>) -> Vec<u8> {
    let ranges: Vec<_> = ranges.into_iter().collect();
    let mut update = vec![0, 1, 1];
    update.extend(var_uint(ranges.len() as u64));
    for (clock, len) in ranges {
        update.extend(var_uint(clock));
        update.extend(var_uint(len));
    }
    update
}

/// A SyncStep1 of a peer that knows little.
pub(crate) fn question() -> Bytes {
    sync_frame(&SyncMessage::Step1(&[1, 9, 1]))
}

pub(crate) fn states(entries: &[(u64, u64, &str)]) -> Bytes {
    let mut states = var_uint(entries.len() as u64);
    for (client, clock, json) in entries {
        states.extend([var_uint(*client), var_uint(*clock), var_buf(json.as_bytes())].concat());
    }
    awareness_frame(&states)
}

pub(crate) fn state_of(bytes: usize) -> String {
    format!("\"{}\"", "x".repeat(bytes - 2))
}
