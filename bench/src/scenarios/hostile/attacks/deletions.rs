//! Many small deletions.

use super::super::attack::Need::Documents;
use super::super::attack::{Attack, sends};
use super::super::forged::{self, ANY, ANY_STRING, Forged, STRING, WRITER, counted, sized};

const MIB: usize = 1 << 20;
/// Small blocks, and characters of each: together they take less than a kilobyte.
const BLOCKS: u16 = 40;
const CHARACTERS: u16 = 20;

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "beside-uncuttable",
        what: "beside one value of 31 MiB, 800 characters of small blocks are deleted, in a frame of ten bytes each",
        needs: &[Documents],
        plan: |scene| {
            let document = scene.document_of("uncuttable", &small_blocks_and_a_large_one())?;
            let peer = scene.listener(&document)?;
            // From the last character of each block to its first: so a block is in two parts at most, and takes no more.
            let of = |block| (1..=CHARACTERS).rev().map(move |n| u64::from(block * CHARACTERS + n));
            let deletions: Vec<_> = (0..BLOCKS).flat_map(of).map(delete_one).collect();
            Ok(sends(peer, |peer| peer.frames(deletions.iter().map(Vec::as_slice))))
        },
    },
    Attack {
        name: "scattered-deletions",
        what: "of a text of 4 MiB, 2,000 characters are deleted at scattered places, in a frame each",
        needs: &[Documents],
        plan: |scene| {
            let document = scene.document_of("scattered", &forged::text(WRITER, &forged::ascii(4 * MIB)))?;
            let peer = scene.listener(&document)?;
            let mut random = fastrand::Rng::with_seed(1);
            let deletions: Vec<_> = (0..2000).map(|_| delete_one(random.u64(0..4 << 20))).collect();
            Ok(sends(peer, |peer| peer.frames(deletions.iter().map(Vec::as_slice))))
        },
    },
];

fn delete_one(clock: u64) -> Vec<u8> {
    forged::message(&Forged::by(WRITER, 0).delete(clock, 1).update())
}

/// One character, small blocks that cannot be joined since all are to the right of it, and a value that cannot be cut.
fn small_blocks_and_a_large_one() -> Vec<u8> {
    let characters = sized(&forged::ascii(CHARACTERS.into()));
    let first = Forged::by(WRITER, 0).root(STRING, &sized(b"x"));
    let small = (0..BLOCKS).fold(first, |forged, _| forged.after(0, STRING, &characters));
    let large = [vec![ANY_STRING], sized(&forged::ascii(31 * MIB))].concat();
    small.after(0, ANY, &counted(1, &large)).update()
}

#[cfg(test)]
mod tests {
    use coscribe_engine::document::blocks::Blocks;

    use super::*;

    #[test]
    fn what_is_deleted_is_there() {
        let blocks = Blocks::from_update(&small_blocks_and_a_large_one()).unwrap();
        assert_eq!(blocks.state_vector().get(WRITER), u32::from(1 + BLOCKS * CHARACTERS + 1));
    }
}
