//! A whole document's encoding, read back part by part. Its parts may be as large as the document, so they are not put
//! together.

use crate::document::id_set::IdSet;
use crate::document::state_vector::StateVector;
use crate::rope::Rope;
use crate::update::rope_reader::RopeReader;
use crate::update::{Block, Clock, Content, Id, UpdateError, read_block_at, read_clock, read_len};

/// The state vector and the delete set of an update without gaps.
#[derive(Debug, Default)]
pub(crate) struct ReadBack {
    /// Its elements.
    pub(crate) state: StateVector,
    /// The elements without content.
    pub(crate) deleted: IdSet,
    /// Elements that its blocks depend on.
    dependencies: StateVector,
}

impl ReadBack {
    /// Reads an update. O(bytes); memory for a few parts, the longest block, and the result.
    ///
    /// # Errors
    /// If a client would fail on these bytes, or they have something that a whole document cannot have: gaps, missing
    /// dependencies, bytes after the end.
    pub(crate) fn read(update: &Rope) -> Result<Self, UpdateError> {
        let mut input = RopeReader::new(update.clone());
        let mut read = Self::default();
        for _ in 0..input.read(|reader| Ok(reader.var_uint()?))? {
            read.read_section(&mut input)?;
        }
        read.read_deletions(&mut input)?;
        if !input.is_at_end() {
            return Err(UpdateError::TrailingBytes);
        }
        let missing = |(client, end)| read.state.get(client) < end;
        if read.dependencies.iter().any(missing) { Err(UpdateError::DependsOnLater) } else { Ok(read) }
    }

    /// Reads the blocks of one client.
    fn read_section(&mut self, input: &mut RopeReader) -> Result<(), UpdateError> {
        let (blocks, client, clock) =
            input.read(|reader| Ok((reader.var_uint()?, reader.var_uint()?, read_clock(reader)?)))?;
        if clock != self.state.get(client) {
            return Err(UpdateError::ClockOutOfRange);
        }
        let mut next = Id { client, clock };
        for _ in 0..blocks {
            let block = input.read(|reader| read_block_at(reader, next).map(|block| Read::of(&block)))?;
            if block.content == Content::Skip {
                return Err(UpdateError::ClockOutOfRange);
            }
            if matches!(block.content, Content::Gc | Content::Deleted) && block.end > next.clock {
                self.deleted.insert(client, next.clock..block.end, |_| {});
            }
            for on in block.dependencies.into_iter().flatten() {
                let end = self.dependencies.get(on.client).max(on.clock + 1);
                self.dependencies.set(on.client, end);
            }
            next.clock = block.end;
        }
        self.state.set(client, next.clock);
        Ok(())
    }

    fn read_deletions(&mut self, input: &mut RopeReader) -> Result<(), UpdateError> {
        for _ in 0..input.read(|reader| Ok(reader.var_uint()?))? {
            let (client, ranges) = input.read(|reader| Ok((reader.var_uint()?, reader.var_uint()?)))?;
            for _ in 0..ranges {
                let (clock, len) = input.read(|reader| {
                    let clock = read_clock(reader)?;
                    Ok((clock, read_len(reader, clock)?))
                })?;
                if len > 0 {
                    self.deleted.insert(client, clock..clock + len, |_| {});
                }
            }
        }
        Ok(())
    }
}

/// The properties of a block that matter here.
struct Read {
    content: Content,
    end: Clock,
    dependencies: [Option<Id>; 3],
}

impl Read {
    fn of(block: &Block<'_>) -> Self {
        let dependencies = [block.origin, block.right_origin, block.parent];
        Self { content: block.content, end: block.end(), dependencies }
    }
}
