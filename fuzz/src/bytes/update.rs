//! An update is scanned; what is accepted says the same when it is encoded again, and when its blocks are cut. A room to
//! which it is sent, once and often, does no more than it may.

use bytes::Bytes;
use coscribe_engine::dialect::sync::SyncMessage;
use coscribe_engine::dialect::y_websocket::sync_frame;
use coscribe_engine::document::id_set::IdSet;
use coscribe_engine::lib0::write_var_uint;
use coscribe_engine::limits::MAX_RUNS_FROM_PEER;
use coscribe_engine::room::PeerId;
use coscribe_engine::update::{Block, Content, Piece, Update};
use coscribe_engine::work::{Work, finish};

use super::allocation::{Limit, bounded};
use super::{elements, rounds};

/// A place in the update takes 32 bytes for each run of blocks, of which the shortest has 5; a growing list has twice
/// as much, and is copied as often.
const SCAN: Limit = Limit { peak: 16, sum: 32 };

/// Steps for each byte: the shortest block has two and takes two; a JSON text of one character has two and takes three.
const STEPS_PER_BYTE: usize = 2;

/// Steps for an update, however short.
const STEPS: usize = 4;

/// Scans `data` as an update.
pub fn update(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let mut work = Work::default();
    let scanned =
        bounded(data.len(), SCAN, || finish(Update::scan_in_slices(bytes, MAX_RUNS_FROM_PEER, &mut work)));
    let allowed = STEPS_PER_BYTE * data.len() + STEPS;
    assert!(
        work.total() <= allowed as u64,
        "{} steps for {} bytes, over {allowed}",
        work.total(),
        data.len()
    );
    rounds::check(None, &[(PeerId(1), sync_frame(&SyncMessage::Update(data)))]);
    let Ok(update) = scanned else { return };
    let encoded = encode(&update);
    let again = scan(encoded.clone());
    assert_eq!(deletions(&again), deletions(&update), "the deletions are the same");
    assert!(blocks(&again).eq(blocks(&update)), "the blocks are the same");
    assert_eq!(encode(&again), encoded, "encoding again changes nothing");
    for run in update.runs() {
        run.blocks().for_each(|block| cut(&block));
    }
}

fn scan(bytes: Vec<u8>) -> Update {
    Update::scan(bytes.into()).expect("what was read and written can be read")
}

/// Encodes the blocks of an update as they are, and its delete set in canonical form.
fn encode(update: &Update) -> Vec<u8> {
    let mut out = Vec::new();
    write_var_uint(&mut out, update.runs().len() as u64);
    for run in update.runs() {
        let first = run.blocks().next().expect("a run has a block");
        write_var_uint(&mut out, run.blocks().count() as u64);
        write_var_uint(&mut out, first.id.client);
        write_var_uint(&mut out, first.id.clock.into());
        run.blocks().for_each(|block| out.extend_from_slice(block.bytes()));
    }
    deletions(update).encode(&mut out);
    out
}

fn deletions(update: &Update) -> IdSet {
    let mut set = IdSet::default();
    update.deletions().for_each(|(client, range)| set.insert(client, range, |_| {}));
    set
}

/// All that is known of the blocks of an update without running it.
fn blocks(update: &Update) -> impl Iterator<Item = impl PartialEq> {
    let of_run = |run: coscribe_engine::update::Run| -> Vec<_> {
        let all = |block: Block<'_>| {
            let dependencies: Vec<_> = block.dependencies().collect();
            (block.id, block.len, block.content, dependencies, block.bytes().to_vec())
        };
        run.blocks().map(all).collect()
    };
    update.runs().flat_map(of_run)
}

/// A block that is cut says the same as before, and so do its parts without their content.
fn cut(block: &Block<'_>) {
    let cuts = [1, block.len / 2, block.len.saturating_sub(1)];
    for at in cuts.into_iter().filter(|&at| at > 0 && at < block.len).map(|at| block.id.clock + at) {
        let halves = [Piece::between(*block, block.id.clock, at), Piece::between(*block, at, block.end())];
        assert_parts(block, &halves);
        let stripped = halves.map(|half| alone(&half.without_content()));
        assert_eq!(stripped.iter().map(len).sum::<u32>(), block.len);
    }
    let mut parts = Vec::new();
    Piece::from(*block).cut(16, |part| parts.push(part));
    assert_parts(block, &parts);
}

/// These parts follow each other and are the whole block.
fn assert_parts(block: &Block<'_>, parts: &[Piece<'_>]) {
    let mut clock = block.id.clock;
    let mut found = Vec::new();
    let comparable = block.len <= 4096;
    for part in parts {
        assert_eq!((part.id().client, part.id().clock), (block.id.client, clock), "no gap and no overlap");
        clock += part.elements();
        let update = alone(part);
        assert_eq!(len(&update), part.elements());
        if comparable {
            found.extend(elements::of_update(&update).expect("not many"));
        }
    }
    assert_eq!(clock, block.end(), "nothing is left over");
    if comparable {
        let expected = elements::of_block(block);
        assert!(expected.len() == found.len(), "as many elements as before");
        for ((id, expected), (found_id, found)) in expected.iter().zip(&found) {
            assert!(id == found_id && expected.is(found), "{id:?}: {expected:?} became {found:?}");
        }
    }
}

/// An update that has nothing but this piece.
fn alone(piece: &Piece<'_>) -> Update {
    let mut out = vec![1, 1];
    write_var_uint(&mut out, piece.id().client);
    write_var_uint(&mut out, piece.id().clock.into());
    piece.write(&mut out);
    out.push(0);
    scan(out)
}

/// Elements in an update of one block.
fn len(update: &Update) -> u32 {
    let blocks: Vec<_> = update
        .runs()
        .flat_map(|run| run.blocks().map(|block| (block.len, block.content)).collect::<Vec<_>>())
        .collect();
    match blocks[..] {
        [(len, content)] if content != Content::Skip => len,
        _ => panic!("one block was written, and {blocks:?} were read"),
    }
}
