//! A long message, compressed a block at a time, on another thread, once for all its readers: when the first of them has got so
//! far. A peer that asks for a large document and does not read it costs one block.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use coscribe_engine::rope::Rope;
use coscribe_turns::{Party, Turns};
use flate2::{Compress, Compression, FlushCompress};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::spawn_blocking;

use super::TAIL;
use crate::extensions::WindowBits;
use crate::limits::{BLOCK_BYTES, BLOCKS_AT_ONCE};

/// One for each block that is being compressed, in the whole process.
static TURNS: LazyLock<Turns> = LazyLock::new(|| Turns::new(BLOCKS_AT_ONCE));

/// A long message, and the part of it that has been compressed.
#[derive(Debug)]
pub struct Long {
    plain: Rope,
    window: WindowBits,
    progress: Arc<Mutex<Progress>>,
}

#[derive(Debug, Default)]
struct Progress {
    compressor: Option<Compress>,
    /// The next byte to be compressed: in which part of the message, and where in that.
    part: usize,
    at: usize,
    blocks: Vec<Bytes>,
    end: Option<End>,
}

/// Why there are no more blocks.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
enum End {
    /// All of the message is in them.
    Complete,
    /// The first block was hardly shorter than its plain bytes.
    Incompressible,
}

/// A part of a compressed message.
#[derive(Debug)]
pub(crate) enum Block {
    /// The message is better sent as it is. Only the first block says so.
    Incompressible,
    /// Bytes that follow those of the block before.
    Deflated { bytes: Bytes, is_last: bool },
}

impl Long {
    /// A message of which nothing has been compressed.
    pub(super) fn new(plain: Rope, window: WindowBits) -> Long {
        Long { plain, window, progress: Arc::default() }
    }

    /// The message as it is.
    pub(crate) fn plain(&self) -> &Rope {
        &self.plain
    }

    /// The block with this number, where there is one; all before it must have been asked for. Whoever asks first gives a turn
    /// for it.
    pub(crate) async fn block(&self, number: usize, party: Party) -> Block {
        let mut progress = Arc::clone(&self.progress).lock_owned().await;
        while progress.blocks.len() <= number && progress.end.is_none() {
            progress = self.advance(progress, party).await;
        }
        match progress.blocks.get(number) {
            Some(bytes) => {
                let is_last = progress.end == Some(End::Complete) && number + 1 == progress.blocks.len();
                Block::Deflated { bytes: bytes.clone(), is_last }
            }
            None => Block::Incompressible,
        }
    }

    async fn advance(
        &self,
        mut progress: OwnedMutexGuard<Progress>,
        party: Party,
    ) -> OwnedMutexGuard<Progress> {
        let _turn = TURNS.next(party).await;
        let (plain, window) = (self.plain.clone(), self.window);
        let compressed = spawn_blocking(move || {
            progress.advance(&plain, window);
            progress
        });
        match compressed.await {
            Ok(progress) => progress,
            Err(_) => {
                // It panicked or the server stops: a message that was begun cannot be continued.
                let mut progress = Arc::clone(&self.progress).lock_owned().await;
                progress.end = Some(End::Incompressible);
                progress
            }
        }
    }

    #[cfg(test)]
    pub(super) async fn compressed_blocks(&self) -> usize {
        self.progress.lock().await.blocks.len()
    }
}

impl Progress {
    /// Compresses one more block.
    fn advance(&mut self, plain: &Rope, window: WindowBits) {
        let compressor = self
            .compressor
            .get_or_insert_with(|| Compress::new_with_window_bits(Compression::fast(), false, window.get()));
        let mut input = Vec::with_capacity(BLOCK_BYTES);
        while input.len() < BLOCK_BYTES
            && let Some(part) = plain.parts().get(self.part)
        {
            let taken = (part.len() - self.at).min(BLOCK_BYTES - input.len());
            input.extend_from_slice(&part[self.at..self.at + taken]);
            self.at += taken;
            if self.at == part.len() {
                (self.part, self.at) = (self.part + 1, 0);
            }
        }
        // Where nothing can be compressed, this is enough for it as it is.
        let mut out = Vec::with_capacity(input.len() + input.len() / 16 + 64);
        let compressed = compressor.compress_vec(&input, &mut out, FlushCompress::Sync);
        let is_first = self.blocks.is_empty();
        if compressed.is_err() || is_first && out.len() > input.len() - input.len() / 16 {
            self.end = Some(End::Incompressible);
            self.compressor = None;
            return;
        }
        if self.part == plain.parts().len() {
            debug_assert!(out.ends_with(&TAIL));
            out.truncate(out.len() - TAIL.len());
            self.end = Some(End::Complete);
            self.compressor = None;
        }
        out.shrink_to_fit();
        self.blocks.push(out.into());
    }
}
