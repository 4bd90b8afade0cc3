//! Updates in pieces, against real Yjs: nothing of a piece is visible before the last one, and then all is.

mod oracle;

use std::sync::Arc;

use bytes::Bytes;
use coscribe_engine::document::blocks::Blocks;
use coscribe_engine::lib0::{write_var_buf, write_var_uint};
use coscribe_engine::rope::Rope;
use coscribe_engine::update::Update;
use coscribe_engine::update::pieces::{Pieces, Starts};
use oracle::Random;
use oracle::yjs::Yjs;
use serde_json::json;

/// The updates of all pieces, in order.
fn pieces(update: &Rope, bytes: usize) -> Vec<Bytes> {
    let starts = Starts::of(update).expect("an update without gaps");
    let mut pieces = Pieces::new(update.clone(), Arc::new(starts));
    let mut updates = Vec::new();
    loop {
        let piece = pieces.next(bytes);
        let update = piece.update.to_bytes();
        Update::scan(update.clone()).expect("a sound update");
        updates.push(update);
        if piece.is_last {
            return updates;
        }
    }
}

fn admit_all(updates: &[Bytes]) -> Blocks {
    let mut blocks = Blocks::default();
    for update in updates {
        blocks.admit(&Update::scan(update.clone()).expect("an update of Yjs"), 1);
    }
    blocks
}

#[test]
fn no_piece_but_the_last_shows_anything_in_yjs() {
    let Some(mut yjs) = Yjs::start() else { return };
    let mut random = Random(1);
    for seed in 1..=12 {
        let rich = json!({ "seed": seed, "clients": 2 + seed % 3, "steps": 150 });
        let (updates, roots, canonical) =
            if seed % 2 == 0 { yjs.story("rich", rich) } else { yjs.history(seed) };
        let blocks = admit_all(&updates);
        for bytes in [1, 100, 1000] {
            let seen = &updates[..random.below(2) * random.below(updates.len())];
            let diff = blocks.diff(admit_all(seen).state_vector());
            let pieces = pieces(&diff.into(), bytes);
            let name = format!("seed {seed}, {bytes} bytes, {} seen, {} pieces", seen.len(), pieces.len());
            let after = |count: usize| [seen, &pieces[..count]].concat();
            assert_eq!(yjs.canonical(&roots, &after(pieces.len())), canonical, "{name}");
            let before = yjs.shown(&roots, seen).0;
            for count in [1, random.below(pieces.len()), pieces.len() - 1] {
                assert_eq!(
                    yjs.shown(&roots, &after(count.min(pieces.len() - 1))).0,
                    before,
                    "{name}: {count}"
                );
            }
        }
    }
}

/// A large paste is one block, and its deletion may come with it.
#[test]
fn long_blocks_are_cut_and_every_piece_is_about_as_long_as_asked_for() {
    let text = "häufig 🦀 ".repeat(40_000);
    let mut update = vec![1, 1, 7, 0, 0x04, 1];
    write_var_buf(&mut update, b"text");
    write_var_buf(&mut update, text.as_bytes());
    update.push(0);
    let blocks = admit_all(&[update.clone().into()]);
    let pieces = pieces(&Bytes::from(update).into(), 50_000);
    assert_eq!(pieces.len(), 2 + text.len() / 58_000);
    for (piece, updates) in pieces.iter().zip(1..) {
        assert!(piece.len() < 70_000, "{} bytes", piece.len());
        let known = admit_all(&pieces[..updates]);
        let is_last = updates == pieces.len();
        assert_eq!(known.state_vector() == blocks.state_vector(), is_last);
        assert_eq!(known.state_vector().is_empty(), !is_last);
    }
    assert_eq!(admit_all(&pieces).encode_state(), blocks.encode_state());
}

/// What a document has deleted may be more than what it has.
#[test]
fn deletions_come_in_pieces_too() {
    let mut update = vec![1, 1, 7, 0, 0x04, 1];
    write_var_buf(&mut update, b"text");
    write_var_buf(&mut update, "a".repeat(100_000).as_bytes());
    update.extend([1, 7]);
    write_var_uint(&mut update, 30_000);
    for clock in (0..90_000).step_by(3) {
        write_var_uint(&mut update, clock);
        update.push(1);
    }
    let pieces = pieces(&Bytes::from(update.clone()).into(), 20_000);
    assert!(pieces.iter().all(|piece| piece.len() < 40_000), "{:?}", pieces.iter().map(Bytes::len));
    assert!(admit_all(&pieces[..pieces.len() - 1]).is_empty());
    assert_eq!(admit_all(&pieces).encode_state(), admit_all(&[update.into()]).encode_state());
}

#[test]
fn what_is_no_update_has_no_pieces() {
    for bytes in [&[0, 0, 0][..], &[1, 0, 0], &[1], &[]] {
        assert!(Starts::of(&Bytes::from_static(bytes).into()).is_none(), "{bytes:?}");
    }
}
