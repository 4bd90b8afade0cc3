//! A message as frames: none is long, and each is made when the one before has been written.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use coscribe_engine::rope::Rope;
use coscribe_turns::Party;
use tungstenite::Error;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::deflate::{Block, Form, Long};
use crate::limits::FRAGMENT_BYTES;

/// A message of which some may have been written.
pub(crate) struct Writing {
    begun: bool,
    compressed: bool,
    /// The parts that come next, and how many of these have been taken.
    parts: Rope,
    taken: usize,
    /// The rest of the last one that was taken.
    rest: Bytes,
    /// The blocks that follow the parts.
    blocks: Option<Blocks>,
    /// For whom it is.
    party: Party,
}

/// The blocks of a long message that are yet to come.
struct Blocks {
    long: Arc<Long>,
    next: usize,
    coming: Option<Pin<Box<dyn Future<Output = Block> + Send>>>,
}

impl Writing {
    /// A message for this party, of which nothing has been written.
    pub(crate) fn new(form: Form, party: Party) -> Writing {
        let (parts, compressed, blocks) = match form {
            Form::Plain(rope) => (rope, false, None),
            Form::Deflated(bytes) => (bytes.into(), true, None),
            Form::Long(long) => (Bytes::new().into(), true, Some(Blocks { long, next: 0, coming: None })),
        };
        Writing { begun: false, compressed, parts, taken: 0, rest: Bytes::new(), blocks, party }
    }

    /// The next frame; the last one is final. `kind` says whether the message is text or binary.
    pub(crate) fn poll_fragment(&mut self, cx: &mut Context<'_>, kind: Data) -> Poll<Result<Frame, Error>> {
        let mut fragment = self.take(FRAGMENT_BYTES);
        // A block may be empty.
        while fragment.is_empty() && self.blocks.is_some() {
            ready!(self.poll_block(cx))?;
            fragment = self.take(FRAGMENT_BYTES);
        }
        let begins = !std::mem::replace(&mut self.begun, true);
        let ends = self.rest.is_empty() && self.taken == self.parts.parts().len() && self.blocks.is_none();
        let opcode = OpCode::Data(if begins { kind } else { Data::Continue });
        let mut frame = Frame::message(fragment, opcode, ends);
        frame.header_mut().rsv1 = begins && self.compressed;
        Poll::Ready(Ok(frame))
    }

    /// Takes so many bytes, or all if there are fewer. They are copied only where they are in several parts.
    fn take(&mut self, most: usize) -> Bytes {
        self.advance();
        if self.rest.len() >= most || self.taken == self.parts.parts().len() {
            let taken = self.rest.split_to(self.rest.len().min(most));
            self.advance();
            return taken;
        }
        let mut taken = BytesMut::with_capacity(most);
        while taken.len() < most && !self.rest.is_empty() {
            let part = self.rest.split_to(self.rest.len().min(most - taken.len()));
            taken.extend_from_slice(&part);
            self.advance();
        }
        taken.freeze()
    }

    /// Goes to the next part that has bytes, if this one has no more.
    fn advance(&mut self) {
        while self.rest.is_empty()
            && let Some(part) = self.parts.parts().get(self.taken)
        {
            self.rest = part.clone();
            self.taken += 1;
        }
    }

    fn poll_block(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Some(blocks) = &mut self.blocks else { return Poll::Ready(Ok(())) };
        let coming = blocks.coming.get_or_insert_with(|| {
            let (long, next, party) = (Arc::clone(&blocks.long), blocks.next, self.party);
            Box::pin(async move { long.block(next, party).await })
        });
        let block = ready!(coming.as_mut().poll(cx));
        blocks.coming = None;
        blocks.next += 1;
        let parts = match block {
            Block::Deflated { bytes, is_last } => {
                if is_last {
                    self.blocks = None;
                }
                bytes.into()
            }
            Block::Incompressible if !self.begun => {
                let plain = blocks.long.plain().clone();
                (self.blocks, self.compressed) = (None, false);
                plain
            }
            Block::Incompressible => {
                return Poll::Ready(Err(Error::Io(io::Error::other(
                    "a message cannot be compressed to its end",
                ))));
            }
        };
        (self.parts, self.taken) = (parts, 0);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_message_is_cut_into_frames_whatever_parts_it_has() {
        for parts in [
            vec![0],
            vec![3],
            vec![FRAGMENT_BYTES],
            vec![FRAGMENT_BYTES + 1, 0, 5, 3 * FRAGMENT_BYTES],
            vec![700; 100],
        ] {
            let total: usize = parts.iter().sum();
            let whole: Vec<u8> = (0..total).map(|n| (n % 251).to_le_bytes()[0]).collect();
            let mut rest = Bytes::from(whole.clone());
            let rope: Rope = parts.iter().map(|&len| rest.split_to(len)).collect();
            let mut writing = Writing::new(Form::Plain(rope), None);
            let (mut out, mut frames) = (Vec::new(), 0);
            loop {
                let mut cx = Context::from_waker(Waker::noop());
                let Poll::Ready(Ok(frame)) = writing.poll_fragment(&mut cx, Data::Binary) else {
                    panic!("nothing to wait for")
                };
                let is_first = frames == 0;
                assert_eq!(frame.header().opcode == OpCode::Data(Data::Binary), is_first);
                out.extend_from_slice(frame.payload());
                frames += 1;
                if frame.header().is_final {
                    break;
                }
            }
            assert_eq!((out.len(), frames), (total, total.div_ceil(FRAGMENT_BYTES).max(1)));
            assert_eq!(out, whole);
        }
    }
}
