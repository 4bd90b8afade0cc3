//! What attackers hear of a server: not the content, but how many messages and pongs, and why it closes.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const IS_CONTROL: u8 = 8;

/// A frame; only a control frame keeps its payload.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(super) struct Skimmed<'a> {
    /// What it carries.
    opcode: u8,
    /// The bytes of a control frame; of others none.
    payload: &'a [u8],
}

impl<'a> Skimmed<'a> {
    /// The payload of a ping, if it is one.
    pub(super) fn pinged(self) -> Option<&'a [u8]> {
        (self.opcode == PING).then_some(self.payload)
    }
}

/// Finds frames in a stream without keeping what is in them.
#[derive(Debug, Default)]
pub(super) struct Skimmer {
    /// A header that is not complete, or a control frame.
    head: Vec<u8>,
    /// What is still to come of a frame's payload.
    left: usize,
}

impl Skimmer {
    /// Passes over bytes, and calls `each` for every frame that begins in them, or ends if it is a control frame.
    pub(super) fn skim(&mut self, mut bytes: &[u8], mut each: impl FnMut(Skimmed<'_>)) {
        while let Some((&first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let skipped = self.left.min(bytes.len());
                self.left -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            self.head.push(first);
            bytes = rest;
            let Some((header, len)) = announced(&self.head) else { continue };
            let opcode = self.head[0] & 0x0f;
            let is_control = opcode & IS_CONTROL != 0;
            if is_control && self.head.len() < header + len {
                continue;
            }
            each(Skimmed { opcode, payload: &self.head[header..] });
            self.head.clear();
            self.left = if is_control { 0 } else { len };
        }
    }
}

/// The lengths of a frame's header and payload, if the header is complete.
fn announced(head: &[u8]) -> Option<(usize, usize)> {
    match *head {
        [_, 126, high, low, ..] => Some((4, usize::from(u16::from_be_bytes([high, low])))),
        [_, 127, ref rest @ ..] => {
            let len = u64::from_be_bytes(*rest.first_chunk()?);
            Some((10, usize::try_from(len).unwrap_or(usize::MAX)))
        }
        [_, short, ..] if short < 126 => Some((2, usize::from(short))),
        _ => None,
    }
}

/// What one connection has heard, told by the thread that reads to the one that waits.
#[derive(Debug, Default)]
pub(super) struct Heard {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    pongs: u32,
    /// The code of the server's Close frame.
    code: Option<u16>,
    ended: bool,
}

impl Heard {
    pub(super) fn note(&self, frame: Skimmed<'_>) {
        match frame.opcode {
            PONG => self.state().pongs += 1,
            CLOSE => {
                let mut state = self.state();
                state.code = frame.payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                state.ended = true;
            }
            _ => return,
        }
        self.changed.notify_all();
    }

    /// The stream is at its end.
    pub(super) fn end(&self) {
        self.state().ended = true;
        self.changed.notify_all();
    }

    /// The code with which the server has closed the connection, if it did.
    pub(super) fn code(&self) -> Option<u16> {
        self.state().code
    }

    /// Why the connection is at its end, if it is.
    pub(super) fn parting(&self) -> Option<anyhow::Error> {
        let state = self.state();
        state.ended.then(|| match state.code {
            Some(code) => anyhow::anyhow!("closed with {code}"),
            None => anyhow::anyhow!("cut off"),
        })
    }

    /// Whether so many pongs have come, within `patience`.
    ///
    /// # Errors
    /// If the connection has ended.
    pub(super) fn wait_for_pongs(&self, pongs: u32, patience: Duration) -> anyhow::Result<bool> {
        let state = self.state();
        let waits = |state: &mut State| state.pongs < pongs && !state.ended;
        let waited = self.changed.wait_timeout_while(state, patience, waits);
        let state = waited.unwrap_or_else(PoisonError::into_inner).0;
        if state.pongs >= pongs {
            return Ok(true);
        }
        drop(state);
        self.parting().map_or(Ok(false), Err)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_however_the_stream_is_cut() {
        let long = [&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0][..], &vec![8; 1 << 16]].concat();
        let stream = [&[0x82, 2, 8, 8][..], &long, &[0x8a, 1, 7], &[0x82, 126, 0, 1, 8], &[0x88, 2, 3, 0xe8]];
        let stream = stream.concat();
        for size in [1, 3, 1000, stream.len()] {
            let (mut skimmer, mut seen) = (Skimmer::default(), Vec::new());
            for part in stream.chunks(size) {
                skimmer.skim(part, |frame| seen.push((frame.opcode, frame.payload.to_vec())));
            }
            let expected = [(2, vec![]), (2, vec![]), (10, vec![7]), (2, vec![]), (8, vec![3, 0xe8])];
            assert_eq!(seen, expected, "in parts of {size}");
        }
    }

    #[test]
    fn who_waits_for_a_pong_hears_of_it_or_why_none_comes() {
        let heard = Heard::default();
        assert!(!heard.wait_for_pongs(1, Duration::ZERO).unwrap());
        heard.note(Skimmed { opcode: PONG, payload: &[] });
        assert!(heard.wait_for_pongs(1, Duration::ZERO).unwrap());
        heard.note(Skimmed { opcode: CLOSE, payload: &1009_u16.to_be_bytes() });
        let error = heard.wait_for_pongs(2, Duration::ZERO).unwrap_err();
        assert_eq!(error.to_string(), "closed with 1009");
    }
}
