//! Which elements an update names, without their content: what it brings, and what it deletes.

use std::collections::BTreeMap;
use std::ops::Range;

use super::id_set::IdSet;
use crate::lib0::write_var_uint;
use crate::update::{ClientId, Clock, Id, Update, write_section_header};
use crate::work::Work;

/// The number of a GC block, which has elements and no content.
const GC: u8 = 0;
/// The number of a Skip, which stands for elements that are not there.
const SKIP: u8 = 10;

/// What a range takes in a set.
const RANGE_BYTES: usize = 48;

/// The elements that updates name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    brought: IdSet,
    deleted: IdSet,
}

impl Named {
    /// The elements that this update names. O(blocks and deleted ranges · log).
    pub(crate) async fn in_update(update: &Update, work: &mut Work) -> Self {
        let mut named = Self::default();
        for run in update.runs() {
            let start = run.next.clock;
            let mut end = start;
            let mut blocks = run.blocks();
            while let Some(block) = blocks.next_in_slices(work).await {
                end = block.end();
            }
            named.brought.insert(run.client(), start..end, |_| {});
            work.count(4);
            work.pause().await;
        }
        for (client, range) in update.deletions() {
            named.deleted.insert(client, range, |_| {});
            work.count(4);
            work.pause().await;
        }
        named
    }

    /// About how many bytes of memory they take. O(1).
    pub(crate) fn memory(&self) -> usize {
        (self.brought.len() + self.deleted.len()) * RANGE_BYTES
    }

    /// Adds what others name.
    pub(crate) fn extend(&mut self, other: &Self) {
        self.brought.extend(&other.brought);
        self.deleted.extend(&other.deleted);
    }

    /// The smallest update that names the same. Whoever has these elements already learns nothing from it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut by_client = BTreeMap::<ClientId, Vec<Range<Clock>>>::new();
        self.brought.iter().for_each(|(client, range)| by_client.entry(client).or_default().push(range));
        let mut out = Vec::new();
        write_var_uint(&mut out, by_client.len() as u64);
        for (client, ranges) in by_client {
            let start = Id { client, clock: ranges[0].start };
            write_section_header(&mut out, 2 * ranges.len() as u64 - 1, start);
            let mut end = start.clock;
            for range in ranges {
                if range.start > end {
                    write_block(&mut out, SKIP, range.start - end);
                }
                write_block(&mut out, GC, range.end - range.start);
                end = range.end;
            }
        }
        self.deleted.encode(&mut out);
        out
    }
}

fn write_block(out: &mut Vec<u8>, kind: u8, len: Clock) {
    out.push(kind);
    write_var_uint(out, len.into());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::finish;

    fn named(update: &[u8]) -> Named {
        let update = Update::scan(update.to_vec().into()).expect("it is an update");
        finish(Named::in_update(&update, &mut Work::default()))
    }

    #[test]
    fn the_update_of_what_is_named_names_the_same() {
        // "abc" by client 7, and a deletion of its second letter.
        let update = [1, 1, 7, 0, 4, 1, 1, b't', 3, b'a', b'b', b'c', 1, 7, 1, 1, 1];
        let names = named(&update);
        assert_eq!(names.encode(), [1, 1, 7, 0, 0, 3, 1, 7, 1, 1, 1]);
        assert_eq!(named(&names.encode()), names);
        assert_eq!(named(&[0, 0]).encode(), [0, 0]);
    }

    #[test]
    fn what_several_updates_name_is_one_update_with_gaps() {
        let mut all = named(&[1, 1, 7, 0, 0, 3, 0]);
        all.extend(&named(&[2, 1, 7, 5, 0, 1, 1, 9, 2, 0, 1, 0]));
        assert_eq!(all.encode(), [2, 3, 7, 0, 0, 3, 10, 2, 0, 1, 1, 9, 2, 0, 1, 0]);
        assert_eq!(named(&all.encode()), all);
    }
}
