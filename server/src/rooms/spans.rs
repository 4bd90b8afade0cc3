//! The spans of what a room takes in, appends, sends on and confirms, for messages that are traced.

use std::collections::VecDeque;
use std::time::SystemTime;

use coscribe_engine::room::PeerId;

use crate::limits::SPANS_IN_ROOM;
use crate::observe::Span;

/// The spans of messages on their way through a room. Where nothing is traced it is one pointer that is null.
#[derive(Default)]
pub(super) struct Spans(Option<Box<Open>>);

#[derive(Default)]
struct Open {
    /// Messages of which a record may come.
    unlogged: Vec<(PeerId, Span)>,
    /// Messages that the next flush may bring to others, and when the first of them came.
    unflushed: Vec<Span>,
    since: Option<SystemTime>,
    /// Records that are not durable, by sequence.
    appended: VecDeque<(u64, Span)>,
    /// Confirmations of which the peers hear next.
    confirming: Vec<Span>,
}

impl Spans {
    /// A message comes from a peer.
    pub(super) fn receive(&mut self, peer: PeerId, span: &Span) {
        if !span.is_traced() {
            return;
        }
        let open = self.0.get_or_insert_default();
        if open.unlogged.len() < SPANS_IN_ROOM {
            open.unlogged.push((peer, span.clone()));
        }
        if open.unflushed.len() < SPANS_IN_ROOM {
            open.since.get_or_insert_with(SystemTime::now);
            open.unflushed.push(span.clone());
        }
    }

    /// A record of what this peer has written is appended.
    pub(super) fn append(&mut self, source: Option<PeerId>, sequence: u64, bytes: usize) -> Span {
        let (Some(open), Some(source)) = (&mut self.0, source) else { return Span::default() };
        let written: Vec<_> = open.unlogged.extract_if(.., |(peer, _)| *peer == source).collect();
        let written: Vec<_> = written.into_iter().map(|(_, span)| span).collect();
        let append = Span::child_of(&written, "append", None);
        if append.is_traced() {
            append.set("coscribe.sequence", || i64::try_from(sequence).unwrap_or(i64::MAX));
            append.set("coscribe.bytes", || i64::try_from(bytes).unwrap_or(i64::MAX));
            if open.appended.len() >= SPANS_IN_ROOM {
                open.appended.pop_front();
            }
            open.appended.push_back((sequence, append.clone()));
        }
        append
    }

    /// A flush goes to so many peers.
    pub(super) fn flush(&mut self, bytes: usize, peers: usize) -> Span {
        let Some(open) = &mut self.0 else { return Span::default() };
        let flush = Span::child_of(&std::mem::take(&mut open.unflushed), "flush", open.since.take());
        flush.set("coscribe.bytes", || i64::try_from(bytes).unwrap_or(i64::MAX));
        flush.set("coscribe.peers", || i64::try_from(peers).unwrap_or(i64::MAX));
        flush
    }

    /// All up to this sequence is durable.
    pub(super) fn durable(&mut self, sequence: u64) {
        let Some(open) = &mut self.0 else { return };
        while let Some((_, append)) = open.appended.pop_front_if(|(appended, _)| *appended <= sequence) {
            open.confirming.push(append.child("confirm"));
        }
    }

    /// Everything that was to be done of it now is done. What brought nothing new is in no record, and in no flush.
    pub(super) fn settle(&mut self, is_flushed: bool) {
        let Some(open) = &mut self.0 else { return };
        open.confirming.clear();
        open.unlogged.clear();
        if is_flushed {
            open.unflushed.clear();
            open.since = None;
        }
        if open.unflushed.is_empty() && open.appended.is_empty() {
            self.0 = None;
        }
    }
}
